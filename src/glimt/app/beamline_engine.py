"""The engine of a beamline file: where workers run, how many, and what each of them takes."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from glimt.app.written import ByteCount

EngineKind = Literal["inline", "local", "dask", "slurm"]
MAX_WORKERS = 1024
NEEDS_EXTRA = "workers on a cluster need more packages: pip install 'glimt[cluster]'"

_USE = (
    r"\A(inline:|local:[0-9]{0,4}|dask://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}|slurm:[A-Za-z0-9_.-]{0,64})\Z"
)
_USE_SAYS = "inline:, local:N with N workers, dask://host:port or slurm:PARTITION"
_TAG = r"\A[A-Za-z0-9_.-]{1,64}\Z"
_TAGS_SAYS = "a list of 1 to 64 tags, such as generic"
_WALLTIME = r"\A([0-9]{1,3}-)?[0-9]{1,3}:[0-5][0-9](:[0-5][0-9])?\Z"
_LINE = r"\A[^\n\r\x00]+\Z"

WorkerCount = Annotated[int, Meta(ge=1, le=MAX_WORKERS)]
Tag = Annotated[str, Meta(pattern=_TAG, extra={"says": "a name of letters, digits and _ . -"})]
OneLine = Annotated[str, Meta(pattern=_LINE, max_length=1000, extra={"says": "one line of text"})]


class Slots(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[engine.slots]]``: so many workers that take what has one of these tags.

    Attributes
    ----------
    tags : list of str
        ``"generic"`` takes whatever a trigger map gives no other tag.
    workers : int
        How many.
    """

    tags: Annotated[list[Tag], Meta(min_length=1, max_length=64, extra={"says": _TAGS_SAYS})]
    workers: WorkerCount = 1


class Slurm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[engine.slurm]``: what each job of one worker asks for.

    Attributes
    ----------
    walltime : str
        As Slurm writes it.
    cores : int
        Cores of a worker.
    memory : int
        Memory of a worker [bytes].
    account : str
        Who pays; empty is the user's default.
    interface : str
        Network interface over which the workers talk, such as ``ib0``; empty lets the machine choose.
    directives : list of str
        Further lines for the job script, without ``#SBATCH``.
    prologue : list of str
        Shell lines before the worker starts, such as ``module load glimt``.
    """

    walltime: Annotated[str, Meta(pattern=_WALLTIME, extra={"says": "a time as 08:00:00 or 1-00:00:00"})] = "08:00:00"
    cores: Annotated[int, Meta(ge=1, le=4096)] = 1
    memory: ByteCount = 4_000_000_000
    account: OneLine | Literal[""] = ""
    interface: OneLine | Literal[""] = ""
    directives: list[OneLine] = []
    prologue: list[OneLine] = []


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[engine]``.

    Attributes
    ----------
    use : str
        ``inline:`` (this process), ``local:N`` (processes on this machine), ``dask://host:port``, ``slurm:PARTITION``.
    workers : int or None
        How many, where ``use`` does not say it.
    slots : list of Slots
        How many with which tags, instead of ``workers``.
    max_queue_bytes : int or None
        What all streams together may hold [bytes]; the sum of their queues if it is not given.
    max_restarts : int
        A worker that dies more often than this within ``restart_window_s`` is not started again.
    restart_window_s : float
        See there [s].
    lost_after_s : float
        On a cluster: a worker that is silent for so long has lost its place [s].
    encrypt_frames : bool
        On a cluster: whether events are encrypted on their way to workers; everything else always is.
    slurm : Slurm
        What each job asks for.
    """

    use: Annotated[str, Meta(pattern=_USE, extra={"says": _USE_SAYS})] = "local:2"
    workers: WorkerCount | None = None
    slots: list[Slots] = []
    max_queue_bytes: ByteCount | None = None
    max_restarts: Annotated[int, Meta(ge=0, le=1_000_000)] = 100
    restart_window_s: Annotated[float, Meta(gt=0, le=1e6)] = 60.0
    lost_after_s: Annotated[float, Meta(ge=1, le=3600)] = 5.0
    encrypt_frames: bool = True
    slurm: Slurm = Slurm()

    @property
    def kind(self) -> EngineKind:
        """What runs the workers."""
        kind: EngineKind = self.use.partition(":")[0]  # type: ignore[assignment]  # the pattern of `use` allows no other
        return kind

    @property
    def target(self) -> str:
        """What stands behind the kind: ``tcp://host:port`` of a Dask scheduler, a Slurm partition, else ``""``."""
        _, _, rest = self.use.partition(":")
        return {"dask": f"tcp:{rest}", "slurm": rest}.get(self.kind, "")

    @property
    def stated_workers(self) -> int | None:
        """The number of workers that ``use`` or ``workers`` says, ``None`` if neither does."""
        _, _, rest = self.use.partition(":")
        return int(rest) if self.kind == "local" and rest else self.workers

    @property
    def worker_tags(self) -> dict[str, frozenset[str]]:
        """Tags of each worker slot by its name, which is ``worker-`` and a number from 0."""
        tags = [frozenset(slots.tags) for slots in self.slots for _ in range(slots.workers)]
        if not tags:
            n_workers = 1 if self.kind == "inline" else self.stated_workers or 1
            tags = [frozenset({"generic"})] * n_workers
        return {f"worker-{number}": each for number, each in enumerate(tags)}
