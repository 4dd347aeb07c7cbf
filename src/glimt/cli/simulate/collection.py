"""``glimt simulate collection``: a data collection that comes to disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from glimt.cli.amounts import parse_shape
from glimt.cli.simulate.choices import parse_choice, parse_stall
from glimt.cli.stop_signals import stop_on_signals
from glimt.model.errors import UsageError


def simulate_collection(  # one argument an option
    folder: Annotated[Path, typer.Argument(help="Where to write; it is made if it is missing.")],
    name: Annotated[str, typer.Option(help="What the files are called.")] = "sim",
    form: Annotated[str, typer.Option(help="cbf, nxmx-vds or nxmx-links.")] = "cbf",
    images: Annotated[int, typer.Option(help="How many.", min=1)] = 10,
    rate: Annotated[float, typer.Option(help="Images a second [Hz]; 0 is as fast as possible.", min=0)] = 10.0,
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder with CBF files (also .bz2, .gz) whose images are written.")
    ] = None,
    shape: Annotated[str, typer.Option(help="Of drawn images [px].", metavar="ROWSxCOLUMNS")] = "512x512",
    seed: Annotated[int, typer.Option(help="The same seed gives the same images and faults.", min=0)] = 0,
    spots: Annotated[
        str, typer.Option(help="Drawn images of a crystal, all others of background: 0.3, or 5,6,13-14.")
    ] = "",
    first_number: Annotated[int, typer.Option(help="CBF: number of the first file.", min=0)] = 1,
    writing: Annotated[str, typer.Option(help="CBF: rename, grow or whole.")] = "rename",
    grow_ms: Annotated[float, typer.Option(help="CBF: how long a growing file takes [ms].", min=0)] = 0.0,
    images_per_file: Annotated[int, typer.Option(help="HDF5: of a data file.", min=1)] = 1000,
    parallel_files: Annotated[
        int, typer.Option(help="nxmx-vds: so many data files take images in turn; 0 one after the other.", min=0)
    ] = 0,
    master: Annotated[
        str, typer.Option(help="HDF5: what the master file is called; else NAME_master.h5.", metavar="FILE")
    ] = "",
    master_delay: Annotated[float, typer.Option(help="HDF5: the master comes so long after the start [s].", min=0)] = 0,
    drop: Annotated[str, typer.Option(help="Images that never come: 0.01, or 3,7,10-12, or all.")] = "",
    late: Annotated[str, typer.Option(help="Images that come after those that follow them.")] = "",
    late_by: Annotated[float, typer.Option(help="How late [s].", min=0)] = 1.0,
    truncate: Annotated[str, typer.Option(help="Images of which half comes.")] = "",
    garbage: Annotated[str, typer.Option(help="Images replaced by bytes without meaning.")] = "",
    duplicate: Annotated[str, typer.Option(help="CBF: files written twice.")] = "",
    reorder: Annotated[int, typer.Option(help="Images change places, by so many at most.", min=0)] = 0,
    jitter_ms: Annotated[float, typer.Option(help="Images are late by up to so much [ms].", min=0)] = 0.0,
    stall: Annotated[str, typer.Option(help="Pause once.", metavar="IMAGES:SECONDS")] = "",
    report: Annotated[Path | None, typer.Option(help="Write what was written when, as JSON.")] = None,
) -> None:
    """Write a data collection as a detector does, and end. Ctrl-C ends it after the image at hand.

    Images are counted from 0 where an option chooses some of them.
    """
    # Numba and HDF5, which no other command should wait for.
    from glimt.sim.collection import SimulatedCollection
    from glimt.sim.collection_plan import CollectionPlan
    from glimt.sim.faults import Faults

    if report is not None and not report.parent.is_dir():
        raise UsageError(f"cannot write {report}: there is no directory {report.parent}")
    stall_after, stall_s = parse_stall(stall)
    plan = CollectionPlan(
        folder=folder.absolute(),
        name=name,
        form=form,
        n_images=images,
        rate_hz=rate,
        first_number=first_number,
        writing=writing,
        grow_s=grow_ms / 1000,
        images_per_file=images_per_file,
        parallel_files=parallel_files,
        master_name=master,
        master_delay_s=master_delay,
        late=parse_choice(late, "--late"),
        late_s=late_by,
        faults=Faults(
            drop=parse_choice(drop, "--drop"),
            duplicate=parse_choice(duplicate, "--duplicate"),
            truncate=parse_choice(truncate, "--truncate"),
            garbage=parse_choice(garbage, "--garbage"),
            reorder=reorder,
            jitter_ms=jitter_ms,
            stall_after=stall_after,
            stall_s=stall_s,
            seed=seed,
        ),
    )
    rows, columns = parse_shape(shape)
    hits = parse_choice(spots, "--spots") if spots else None
    collection = SimulatedCollection(plan, source=source, shape=(rows, columns), seed=seed, spots=hits)
    print(f"simulate: {images:,} images, {form}, to {plan.pattern if form == 'cbf' else plan.master}", file=sys.stderr)
    with stop_on_signals() as stop:
        written = collection.run(stop)
    if report is not None:
        try:
            report.write_bytes(written.to_json())
        except OSError as error:
            raise UsageError(f"cannot write {report}: {error.strerror}") from None
    print(f"simulate: {written.n_written:,} of {images:,} images written", file=sys.stderr)
