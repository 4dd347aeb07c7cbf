"""``glimt analyse``: the nine statistics of per-image analysis for image files."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glimt.cli.analyse_rows import row_writer
from glimt.cli.progress import ProgressDisplay
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.app.analyse_group import AnalysisOptions

_SILENCE_S = 6.0


def analyse(
    files: Annotated[
        list[str],
        typer.Argument(help="Images (CBF, HDF5 masters, any FabIO reads), folders, image_####.cbf.", metavar="FILE"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw spots and resolution against the image number.", metavar="FILE.png")
    ] = None,
    spots: Annotated[
        list[str] | None,
        typer.Option(help="What a spot is, by DIALS' names: 'sigma_strong=4 d_max=40'.", metavar="NAME=VALUE"),
    ] = None,
    poni: Annotated[Path | None, typer.Option(help="Geometry, instead of what the files say.", metavar="FILE")] = None,
    geometry: Annotated[
        Path | None,
        typer.Option(help="CrystFEL geometry instead, with the masks that it names.", metavar="FILE.geom"),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="Pixels to leave out: mask.npy, mask.h5:/path; not 0 is left out.", metavar="FILE"),
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Default: one for every core.", metavar="N")] = None,
) -> None:
    """Find the spots of images and estimate their resolution, as DIALS does.

    Exit code 1 if an image could not be analyzed; its row says why.
    """
    from glimt.app.analyse import analyse_images  # NumPy and the kernels, which other commands need not wait for
    from glimt.app.analyse_group import AnalysedImage

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    if plot is not None:
        from glimt.cli.analyse_plot import check_plot, draw_plot  # before hours of work, not after

        check_plot(plot)
    options = _options(spots, poni, geometry, mask)
    rows = row_writer("json" if as_json else "csv" if as_csv else "table", sys.stdout)
    kept: list[AnalysedImage] = []
    notice = threading.Timer(_SILENCE_S, _explain_silence)
    notice.daemon = True
    notice.start()

    def take(image: AnalysedImage) -> None:
        notice.cancel()
        rows.write(image)
        if plot is not None:
            kept.append(image)

    display = ProgressDisplay("analyse", things="images")
    try:
        with display:
            report = analyse_images(files, take, options=options, n_processes=processes, progress=display)
    finally:
        notice.cancel()
        rows.close()
    rate = report.n_images / max(report.elapsed_s, 1e-9)
    failed = f"{report.n_failed:,} failed" if report.n_failed else "none failed"
    print(
        f"analyse: {report.n_images:,} images, {failed}; {report.elapsed_s:.1f} s, {rate:.1f} images/s, "
        f"{report.n_processes} process{'es' if report.n_processes > 1 else ''}",
        file=sys.stderr,
    )
    if plot is not None:
        draw_plot(kept, plot)
    if report.n_failed:
        raise typer.Exit(1)


def _options(spots: list[str] | None, poni: Path | None, geometry: Path | None, mask: str | None) -> AnalysisOptions:
    from glimt.app.analyse_group import AnalysisOptions
    from glimt.codecs.crystfel_geometry import read_geometry
    from glimt.kernels.masks_file import read_mask
    from glimt.model.poni_text import read_poni
    from glimt.pipeline.workers.spot_options import parse_spot_options

    if poni is not None and geometry is not None:
        raise UsageError("--poni and --geometry both say where pixels are; give one of them")
    return AnalysisOptions(
        spots=parse_spot_options(" ".join(spots or [])),
        poni=None if poni is None else read_poni(poni),
        geometry=None if geometry is None else read_geometry(geometry),
        mask=None if mask is None else read_mask(mask),
    )


def _explain_silence() -> None:
    print(
        "analyse: no result yet; at its first use on a machine glimt compiles its kernels for some ten seconds",
        file=sys.stderr,
        flush=True,
    )
