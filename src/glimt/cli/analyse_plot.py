"""The picture of ``glimt analyse --plot``: spots and resolution against the image number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.app.analyse_group import AnalysedImage

_ENDINGS = (".png", ".pdf", ".svg", ".jpg", ".jpeg")
_TOTAL, _NO_ICE, _D_MIN, _FAILED = "#1b6ca8", "#6fb7e0", "#b5482a", "#888888"
_MOST_DOTS = 400


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure  # draws without a desktop and without global state
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise UsageError(
            "pictures are drawn by Matplotlib, which is not installed; pip install 'glimt[plot]'"
        ) from None
    return Figure, MaxNLocator


def check_plot(path: Path) -> None:
    """Raise `UsageError` if a picture cannot be drawn there."""
    _figure()
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"{path}: a picture's name ends in {', '.join(_ENDINGS)}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def draw_plot(images: Sequence[AnalysedImage], path: Path) -> None:
    """Draw the number of spots and the estimated d_min of images against their numbers.

    Numbers are those of the images if they all differ, otherwise the position in the list. Images without statistics
    are marked, those without an estimate leave a gap.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    make_figure, integers = _figure()
    position, label = _positions(images)
    nan = float("nan")
    found = [image.quality for image in images]
    total = [nan if quality is None else quality.n_spots_total for quality in found]
    no_ice = [nan if quality is None else quality.n_spots_no_ice for quality in found]
    d_min = [nan if quality is None or quality.estimated_d_min < 0 else quality.estimated_d_min for quality in found]
    failed = [x for x, quality in zip(position, found, strict=True) if quality is None]

    dot = "o" if len(images) <= _MOST_DOTS else ""
    style = {"marker": dot, "markersize": 4, "linewidth": 1.4}
    figure = make_figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    upper.plot(position, total, color=_TOTAL, label="all spots", **style)
    upper.plot(position, no_ice, color=_NO_ICE, label="not on ice rings", **style)
    upper.set_ylabel("spots")
    most = max([1.0, *(value for value in total if value == value)])
    upper.set_ylim(-0.03 * most, 1.05 * most)
    upper.yaxis.set_major_locator(integers(integer=True, steps=[1, 2, 5, 10]))
    lower.plot(position, d_min, color=_D_MIN, label="estimated d_min", **style)
    lower.set_ylabel("estimated $d_\\mathrm{min}$ [Å]")
    lower.set_xlabel(label)
    lower.xaxis.set_major_locator(integers(integer=True, nbins=12, steps=[1, 2, 5, 10]))
    if any(value == value for value in d_min):
        lower.invert_yaxis()  # better is up, as above
    else:
        lower.set_yticks([])
        lower.text(0.5, 0.5, "no image has enough spots", transform=lower.transAxes, ha="center", va="center")
    for axes in (upper, lower):
        axes.grid(visible=True, color="#e4e4e4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if failed:
        upper.plot(
            failed,
            [0.02] * len(failed),
            "x",
            color=_FAILED,
            label="not analyzed",
            transform=upper.get_xaxis_transform(),
        )
    upper.legend(frameon=False, loc="best")
    upper.set_title(_title(images), loc="left", fontsize=10)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error})") from None


def _positions(images: Sequence[AnalysedImage]) -> tuple[list[int], str]:
    numbers = [image.image_number for image in images]
    if len(set(numbers)) == len(numbers) and numbers == sorted(numbers):
        return numbers, "image number"
    return list(range(len(images))), "image, in the order given"


def _title(images: Sequence[AnalysedImage]) -> str:
    names = [Path(image.file).name for image in images]
    text = names[0] if names[0] == names[-1] else f"{names[0]} to {names[-1]}"
    count = f"{len(images)} image{'s' if len(images) > 1 else ''}"
    shown = text if len(text) < 90 else f"{text[:40]} … {text[-40:]}"
    return f"{shown}, {count}".replace("$", r"\$")
