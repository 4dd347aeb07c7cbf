"""X-ray centering: per-image results of a grid scan go in, where to move the sample comes out."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

from glimt.model.errors import (
    DecodeError,
    RecipeError,
    RejectedMessageError,
    ResultError,
    RetryMessageError,
    UsageError,
)
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import Envelope
from glimt.services.clock_jumps import ClockJumps
from glimt.services.recipe_log import about_recipe
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration
from glimt.services.x_ray_centering_files import write_result
from glimt.services.x_ray_centering_result import PROVISIONAL, SUCCESS, CenteringResult, center_grid, center_pair
from glimt.services.x_ray_centering_state import ABORTED, OPEN, SENT, Answer, CenteringState, GridState, StateAwayError
from glimt.services.x_ray_centering_task import CenteringTask, Fraction, NotNegative, read_task

T = TypeVar("T")

ABORT = "abort"
_TASKS_KEPT = 64
_FORGET_EVERY_S = 600.0
_RETRY_S = 30.0
_STATE_POLL_S = 0.5
_MAX_VALUE = 1e15
"""Of an image; the volume of two scans holds products of two, and sums of those."""

log = logging.getLogger(__name__)


class XRayCenteringConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.x_ray_centering]`` of the site file.

    Parameters
    ----------
    metric : str
        The entry of the per-image results that is centered on; ``n_spots_total``, or ``total_intensity`` and the like.
    weighted : bool
        Whether boxes of a single scan weigh as much as their value; Zocalo lets them all weigh the same.
    provisional_after : float
        Fraction of the images after which a provisional result goes to the stream ``provisional``, if that is wired.
    missing_after_s : float
        A scan of which no image came for so long has ended.
    tolerate_missing : float
        Fraction of the images that may be missing then for a result all the same; with more, ``abort`` is sent.
    keep_s : float
        Ended scans are remembered for so long, so that late and repeated messages do no harm.
    wait_s : float
        How long messages wait for a full disk, or whatever keeps the state from being written; then they are given
        back, delivered again, and after six deliveries are dead letters.
    """

    metric: str = "n_spots_total"
    weighted: bool = False
    provisional_after: Fraction = 0.8
    missing_after_s: Annotated[float, msgspec.Meta(gt=0)] = 900.0
    tolerate_missing: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    keep_s: Annotated[float, msgspec.Meta(ge=60)] = 86400.0
    wait_s: NotNegative = 600.0


class _ImageMessage(msgspec.Struct, frozen=True):
    file_number: Annotated[int, msgspec.Meta(gt=0)] = msgspec.field(name="file-number")
    file_seen_at: NotNegative | None = msgspec.field(name="file-seen-at", default=None)


class _Reading(msgspec.Struct, frozen=True):
    step: RecipeStep
    task: CenteringTask
    image: int
    value: float
    latency_s: float


class XRayCenteringService(Service):
    """Collects the per-image results of grid scans and sends where the crystal is, once, when a scan is complete.

    Values are kept by data collection, run of the recipe and image in a file, so that a message that comes twice
    changes nothing and a killed service loses nothing. A result leaves together with the acknowledgement of the message
    that completed the scan; if that message comes again, the very same result, with the same identity, goes out again.

    Where a recipe's run has no identity an image that is there already, or comes after the result, begins another scan,
    unless its message is known to be one that was delivered before.

    Parameters
    ----------
    setup : ServiceSetup
        Its state folder has to be on a local disk; only one machine can run the service at a time.
    clock : callable, optional
        Gives the time [s, UTC].
    monotonic : callable, optional
        Gives a time that nobody sets [s], by which it is seen that somebody set the clock.

    Raises
    ------
    UsageError
        The configuration is wrong; the text names the entry.
    """

    name: ClassVar[str] = "x_ray_centering"
    title: ClassVar[str] = "DLS X-Ray Centering"
    queues: ClassVar[tuple[str, ...]] = ("reduce.xray_centering",)
    exclusive: ClassVar[bool] = True
    prefetch: ClassVar[int] = 1024
    batch: ClassVar[int] = 256
    idle_s: ClassVar[float | None] = 1.0

    def __init__(
        self,
        setup: ServiceSetup,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(setup)
        self._configuration = read_configuration(setup, self.name, XRayCenteringConfiguration)
        self._clock = clock
        self._jumps = ClockJumps(clock, monotonic)
        # While nothing received messages no image could come: silence counts from the start of the service.
        self._started = self._forgotten = clock()
        self._quiet_until = 0.0
        self._tasks: OrderedDict[tuple[int, int], tuple[Recipe, CenteringTask]] = OrderedDict()
        self._late: dict[int, int] = {}
        self._closing = threading.Event()
        self._resumed: list[str] = []
        try:
            self._state = CenteringState(setup.state_folder / "x_ray_centering.sqlite")
        except RetryMessageError as error:
            raise UsageError(f"[services.{self.name}]: {error}; give it a state folder that can be written") from None

    def handle(self, step: RecipeStep) -> None:
        """Take one image."""
        self.handle_batch([step])

    def handle_batch(self, steps: Sequence[RecipeStep]) -> None:
        """Take several images, in one transaction, and answer for the scans that they complete."""
        readings = [self._read(step) for step in steps]
        unnamed = [step.message_id for step in steps if _is_unnamed(step)]
        if len(set(unnamed)) < len(unnamed):
            raise RetryMessageError("messages that say the same are taken one by one")
        answers = self._patiently(lambda: self._take(readings))
        for step in steps:
            if step.message_id in answers:
                with about_recipe(step.recipe_id):
                    self._send(step, answers[step.message_id])

    def _take(self, readings: Sequence[_Reading]) -> dict[str, Answer]:
        """Keep the images, and return the answers to their messages, those of an earlier delivery too."""
        self._follow_clock()
        known = [step.message_id for step in (reading.step for reading in readings) if _may_be_known(step)]
        with self._state.transaction():
            answers = dict(self._state.answers_to(known))
            for grid, step in self._collect(readings, self._clock()):
                with about_recipe(step.recipe_id):
                    answer = self._conclude(grid, step)
                if answer is not None:
                    self._state.note_answer(answer, is_due=False)
                    answers[answer.message_id] = answer
        return answers

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do something with the state; while its file cannot be written, wait and do it anew."""
        began, is_told = time.monotonic(), False
        while True:
            try:
                return work()
            except StateAwayError as error:
                if self._closing.is_set() or time.monotonic() - began > self._configuration.wait_s:
                    raise
                if not is_told:
                    log.warning("waiting, nothing is lost: %s", error)
                is_told = True
                self._closing.wait(_STATE_POLL_S)

    def stop(self) -> None:
        """Let messages that wait for the state go back at once; may be called from another thread."""
        self._closing.set()

    def idle(self) -> Sequence[RecipeStep]:
        """End scans of which images are missing for too long, and send what could not be sent yet."""
        self.idle_done()
        self._follow_clock()
        now = self._clock()
        before = now - self._configuration.missing_after_s
        if now >= self._quiet_until and self._started <= before:
            for grid in self._state.overdue(before):
                with _about(grid):
                    self._end_overdue(grid.grid_id, before)
        if now - self._forgotten > _FORGET_EVERY_S:
            self._forgotten = now
            with self._state.transaction():
                self._state.forget(now - self._configuration.keep_s)
        steps = []
        due = self._state.due_answers()
        for answer in due:
            grid = self._state.by_id(answer.grid_id)
            with _about(grid):
                try:
                    step = RecipeStep.resumed(Envelope.decode(grid.envelope), answer.message_id)
                    self._send(step, answer)
                except (DecodeError, RecipeError, ResultError, UsageError) as error:
                    # It would fail for ever, and those of other scans with it.
                    log.error(
                        "data collection %d: %s of X-ray centering cannot be sent: %s", grid.dcid, answer.stream, error
                    )
                    continue
            steps.append(step)
        self._resumed = [answer.message_id for answer in due]
        return steps

    def _follow_clock(self) -> None:
        """Let silence last as long as it did before when somebody sets the clock."""
        jump_s = self._jumps.jumped_by_s()
        if not jump_s:
            return
        with self._state.transaction():
            self._state.shift_times(jump_s)
        self._jumps.settle(jump_s)
        self._started += jump_s
        self._forgotten += jump_s
        self._quiet_until += jump_s
        log.warning("the clock was set by %+.0f s; that does not count as silence", jump_s)

    def idle_done(self) -> None:
        """Note that what `idle` returned is out."""
        if self._resumed:
            self._state.note_sent(self._resumed)
            self._resumed = []

    def close(self) -> None:
        """Close the file of the scans."""
        self._state.close()

    # Reading

    def _read(self, step: RecipeStep) -> _Reading:
        if step.recipe is None:
            raise RejectedMessageError("the message belongs to no recipe, which would say how the grid lies")
        task = self._task(step)
        message = step.read_payload(_ImageMessage)
        if message.file_number > task.grid.n_images:
            x, y = task.grid.steps
            raise RejectedMessageError(
                f"file-number is {message.file_number}, but data collection {task.dcid} has a grid of {x} x {y} images"
            )
        latency_s = 0.0 if message.file_seen_at is None else self._clock() - message.file_seen_at
        return _Reading(step, task, message.file_number, self._value(step.payload), latency_s)

    def _task(self, step: RecipeStep) -> CenteringTask:
        # Recipes are parsed once however many messages carry them: the images of a scan share the object.
        assert step.recipe is not None
        recipe = step.recipe.recipe
        key = id(recipe), step.recipe.recipe_pointer
        kept = self._tasks.get(key)
        if kept is not None and kept[0] is recipe:
            self._tasks.move_to_end(key)
            return kept[1]
        task = read_task(step.node, self.setup.roots)
        _check_outputs(step.recipe)
        self._tasks[key] = recipe, task
        if len(self._tasks) > _TASKS_KEPT:
            self._tasks.popitem(last=False)
        return task

    def _value(self, payload: Any) -> float:
        name = self._configuration.metric
        if name not in payload:
            raise RejectedMessageError(f"the message has no {name}, which is what the centering is on")
        try:
            value = msgspec.convert(payload[name], float, strict=False)
        except msgspec.ValidationError:
            value = math.nan
        if isinstance(payload[name], bool) or not 0 <= value <= _MAX_VALUE:
            raise RejectedMessageError(f"{name} is {str(payload[name])[:40]!r}; it has to be from 0 to {_MAX_VALUE:g}")
        return value

    # Collecting

    def _collect(self, readings: Sequence[_Reading], now: float) -> list[tuple[GridState, RecipeStep]]:
        """Keep the images; return the scans that got new ones, each with the last message of it."""
        scans: dict[tuple[int, str, int], list[_Reading]] = {}
        for number, reading in enumerate(readings):
            run = reading.step.recipe_id
            # Where runs have no identity two scans may be mixed, and only one image after the other tells them apart.
            scans.setdefault((reading.task.dcid, run, 0 if run else number), []).append(reading)
        changed = []
        for (dcid, run, _), images in scans.items():
            grid = self._state.grid(dcid, run) if run else self._unnamed_grid(images[0])
            last = images[-1]
            if grid is None:
                assert last.step.recipe is not None
                grid = self._state.open_grid(
                    dcid=dcid,
                    run=run,
                    partner=last.task.partner,
                    n_images=last.task.grid.n_images,
                    now=now,
                    envelope=last.step.recipe.encode(),
                    origin=images[0].step.message_id,
                )
            elif grid.n_images != last.task.grid.n_images:
                raise RejectedMessageError(
                    f"data collection {dcid} has {last.task.grid.n_images} images here, but had {grid.n_images} before"
                )
            if not run:
                self._state.note_unnamed(last.step.message_id, grid)
            if grid.state == SENT:
                log.debug("data collection %d: %d images after the result", dcid, len(images))
                continue
            with about_recipe(run):
                self._watch_latency(grid, images)
            new = self._state.add(grid, [(reading.image, reading.value) for reading in images], now)
            if new:
                # Answered for is a message that brought something: its identity has not been used for an answer before.
                changed.append((self._state.by_id(grid.grid_id), images[max(new)].step))
        return changed

    def _unnamed_grid(self, reading: _Reading) -> GridState | None:
        step = reading.step
        known = self._state.unnamed(step.message_id) if _may_be_known(step) else None
        if known is not None:
            return known
        grid = self._state.grid(reading.task.dcid, "")
        if grid is not None and (grid.state == SENT or self._state.has_image(grid, reading.image)):
            self._state.set_aside(grid)
            return None
        return grid

    def _watch_latency(self, grid: GridState, images: Sequence[_Reading]) -> None:
        """Log once a scan, and once more if it gets worse, that images come late."""
        worst = max(reading.latency_s for reading in images)
        given = images[-1].task.parameters
        level = logging.ERROR if worst >= given.latency_log_error else logging.WARNING
        if worst < given.latency_log_warning or self._late.get(grid.grid_id, 0) >= level:
            return
        self._late[grid.grid_id] = level
        if len(self._late) > _TASKS_KEPT:
            del self._late[next(iter(self._late))]
        log.log(
            level,
            "X-ray centering of data collection %d %s is late: an image came %.1f s after its file was seen",
            grid.dcid,
            f"on {given.beamline}" if given.beamline else "",
            worst,
        )

    # Concluding

    def _conclude(self, grid: GridState, step: RecipeStep) -> Answer | None:
        task = self._task(step)
        # An earlier scan of the same messages may have taken this one along as its partner.
        now = self._state.by_id(grid.grid_id)
        if now.state == SENT or (now.is_provisional_sent and not grid.is_complete):
            return None
        partner = self._state.partner_of(grid)
        if not grid.is_complete:
            return self._conclude_provisionally(grid, partner, task, step)
        if partner is not None and partner.is_complete:
            scans = [grid, partner]
        elif task.is_mesh_3d:
            log.info("data collection %d is complete and waits for the other scan of the pair", grid.dcid)
            return None
        else:
            scans = [grid]
        return self._final(scans, task, step.message_id)

    def _conclude_provisionally(
        self, grid: GridState, partner: GridState | None, task: CenteringTask, step: RecipeStep
    ) -> Answer | None:
        enough = self._configuration.provisional_after
        if grid.is_provisional_sent or grid.fraction < enough or not step.has_output(PROVISIONAL):
            return None
        scans = [grid]
        if task.is_mesh_3d:
            if partner is None or partner.fraction < enough:
                return None
            scans.append(partner)
        result = self._center(scans, task, PROVISIONAL)
        self._state.note_provisional(scans)
        return Answer(step.message_id, grid.grid_id, PROVISIONAL, result.payload)

    def _final(self, scans: list[GridState], task: CenteringTask, message_id: str) -> Answer:
        result = self._center(scans, task, SUCCESS)
        # Before the scan counts as done: a kill in between repeats the same files.
        for grid in scans:
            write_result(self._kept_task(grid), result, self.setup.roots)
        self._state.close_grids(scans, SENT)
        for grid in scans:
            self._late.pop(grid.grid_id, None)
        log.info("X-ray centering of %s: %s", " and ".join(str(grid.dcid) for grid in scans), result.summary)
        return Answer(message_id, scans[0].grid_id, SUCCESS, result.payload)

    def _center(self, scans: Sequence[GridState], task: CenteringTask, status: str) -> CenteringResult:
        if len(scans) == 1:
            return center_grid(task, self._state.values(scans[0]), weighted=self._configuration.weighted, status=status)
        first, second = (
            (self._kept_task(grid), self._state.values(grid)) for grid in sorted(scans, key=lambda grid: grid.dcid)
        )
        return center_pair(task, (first, second), status=status)

    def _kept_task(self, grid: GridState) -> CenteringTask:
        return read_task(Envelope.decode(grid.envelope).node, self.setup.roots)

    # Ending without a message

    def _end_overdue(self, grid_id: int, before: float) -> None:
        try:
            with self._state.transaction():
                answer = self._overdue_answer(self._state.by_id(grid_id), before)
                if answer is not None:
                    self._state.note_answer(answer, is_due=True)
        except RetryMessageError as error:
            self._quiet_until = self._clock() + _RETRY_S
            log.error("a scan that ended cannot be concluded; the next attempt is in %g s: %s", _RETRY_S, error)

    def _overdue_answer(self, grid: GridState, before: float) -> Answer | None:
        if grid.state != OPEN:
            return None
        made_up = f"{self.name}/{grid.origin}/{grid.dcid}/{grid.grid_id}/{grid.n_seen}"
        scans = [grid]
        try:
            task = self._kept_task(grid)
            if task.is_mesh_3d:
                partner = self._state.partner_of(grid)
                if partner is not None and partner.state == OPEN and partner.last_seen > before:
                    return None
                scans = [grid] if partner is None else [grid, partner]
            may_lack = self._configuration.tolerate_missing
            if len(scans) == 1 + task.is_mesh_3d and all(1 - scan.fraction <= may_lack for scan in scans):
                return self._final(scans, task, made_up)
        except RejectedMessageError as error:
            log.error("data collection %d cannot be centered: %s", grid.dcid, error)
        self._state.close_grids([grid], ABORTED)
        log.warning(
            "data collection %d: no image for %g s, with %d of %d there; X-ray centering aborted",
            grid.dcid,
            self._configuration.missing_after_s,
            grid.n_seen,
            grid.n_images,
        )
        return Answer(made_up, grid.grid_id, ABORT, b"{}")

    @staticmethod
    def _send(step: RecipeStep, answer: Answer) -> None:
        if _is_unnamed(step):
            step.message_id = f"{answer.message_id}/{answer.grid_id}"  # an equal message may have had another answer
        n_targets = step.send(msgspec.json.decode(answer.payload), answer.stream, default=SUCCESS)
        if n_targets == 0:
            log.info("the recipe takes no %s of X-ray centering", answer.stream)


def _about(grid: GridState) -> AbstractContextManager[None]:
    """Let lines of the log carry the identity of the run that a scan belongs to, if it has one."""
    return about_recipe("" if grid.run.startswith("/") else grid.run)


def _is_unnamed(step: RecipeStep) -> bool:
    """Say whether another message, of another scan, may look just like this one."""
    return not step.is_identified and not step.recipe_id


def _may_be_known(step: RecipeStep) -> bool:
    """Say whether a message of this identity that came before was this one."""
    return not _is_unnamed(step) or step.n_deliveries > 1


def _check_outputs(envelope: Envelope) -> None:
    """Reject a message whose recipe could not be told of the result when the scan is over."""
    try:
        for stream in (SUCCESS, ABORT, PROVISIONAL):
            for target in envelope.targets(stream, default=SUCCESS):
                _ = envelope.advanced(target, payload=None, environment={}).transport_delay_s
    except RecipeError as error:
        raise RejectedMessageError(f"the result could not be sent: {error}") from None
