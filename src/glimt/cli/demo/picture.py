"""Draws what the demonstration found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from glimt.codecs import stins
from glimt.model.errors import UsageError
from glimt.sim.scattering import MOVING_RING, STANDARD_RINGS
from glimt.sources.capture import CaptureReader

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[Any]

SIZE_PX = (1400, 900)
_DPI = 100
_BLUE, _ORANGE, _GRAY = "#0b5fa5", "#d9541e", "#5a6470"


@dataclass(frozen=True, slots=True)
class Region:
    """Rectangle of pixels, half-open."""

    slow_min: int
    slow_max: int
    fast_min: int
    fast_max: int


@dataclass(frozen=True, slots=True)
class Found:
    """What is drawn: last frame and brightest value of each pixel from the capture, the rest from the result file."""

    last_frame: Array
    last_number: int
    brightest: Array
    q: Array
    event_numbers: Array
    intensity: Array
    region_mean: Array
    n_strong: Array


def read_found(capture: Path, processed: Path, *, stream: str) -> Found:
    """Return what is drawn.

    Raises
    ------
    UsageError
        The files have no frames or no results.
    """
    last, number, brightest = None, 0, None
    with CaptureReader(capture) as reader:
        for message in reader.messages():
            record = stins.decode(message.streams[stream].frames)
            if isinstance(record, stins.StinsImage):
                last, number = record.data, message.event_number
                brightest = last.copy() if brightest is None else np.maximum(brightest, last, out=brightest)
    try:
        with h5py.File(processed) as file:
            present = np.flatnonzero(file["entry/present/intensity"][:])
            columns = [file[name][:][present] for name in ("intensity", "region_mean", "n_strong")]
            q = file["q"][:]
    except (OSError, KeyError) as error:
        raise UsageError(f"cannot draw {processed}: {error}") from None
    if last is None or brightest is None or not present.size:
        raise UsageError(f"{capture} has no frames to draw")
    return Found(last, number, brightest, q, present, *columns)


def draw(found: Found, region: Region, path: Path, *, strong_counts: int) -> None:
    """Write the picture as PNG of `SIZE_PX`.

    Raises
    ------
    ModuleNotFoundError
        Matplotlib is not installed.
    UsageError
        The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE_PX[0] / _DPI, SIZE_PX[1] / _DPI), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    rows, columns = found.last_frame.shape
    figure.suptitle(
        f"glimt demo: {found.event_numbers.size:,} simulated frames of {rows} x {columns} pixels", fontsize=15
    )
    sides: Any = figure.subfigures(1, 2, width_ratios=(0.38, 0.62))
    left, right = sides
    top, bottom = left.subplots(2, 1)
    _draw_frame(top, found.last_frame, f"Last frame (event {found.last_number})", region)
    _draw_frame(bottom, found.brightest, "Brightest value of each pixel, all frames", None)
    axes = right.subplots(3, 1, sharex=True, height_ratios=(2.3, 1, 1))
    _draw_map(axes[0], found)
    _draw_curve(axes[1], found.event_numbers, found.region_mean, _BLUE)
    axes[1].set(title="Mean of the region (white box): the ring passes through it", ylabel="mean [counts/px]")
    _draw_curve(axes[2], found.event_numbers, found.n_strong, _ORANGE)
    axes[2].set(title=f"Strong pixels: more than {strong_counts} counts", ylabel="pixels", xlabel="event number")
    try:
        figure.savefig(path, dpi=_DPI)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def _draw_frame(axes: Axes, frame: Array, title: str, region: Region | None) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    # A square root spreads the counts as their noise does; single bright spots do not set the scale.
    top = max(float(np.percentile(frame, 99.9)), 1.0)
    image = axes.imshow(frame, cmap="magma", norm=PowerNorm(0.5, 0, top), interpolation="nearest")
    if region is not None:
        size = region.fast_max - region.fast_min, region.slow_max - region.slow_min
        axes.add_patch(
            Rectangle((region.fast_min - 0.5, region.slow_min - 0.5), *size, fill=False, color="white", linewidth=1.6)
        )
    axes.set(title=title, xlabel="fast axis [px]", ylabel="slow axis [px]")
    axes.figure.colorbar(image, ax=axes, label="counts", extend="max")


def _draw_map(axes: Axes, found: Found) -> None:
    from matplotlib.colors import PowerNorm

    first, last = found.event_numbers[0], found.event_numbers[-1]
    table = np.full((int(last - first) + 1, found.q.size), np.nan)
    table[found.event_numbers - first] = found.intensity  # events that are missing stay white
    step = found.q[1] - found.q[0] if found.q.size > 1 else 1.0
    image = axes.imshow(
        table.T,
        aspect="auto",
        origin="lower",
        extent=(first - 0.5, last + 0.5, found.q[0] - step / 2, found.q[-1] + step / 2),
        cmap="viridis",
        norm=PowerNorm(0.5, *_limits(table)),
        interpolation="nearest",
    )
    for q, text in ((STANDARD_RINGS[0][0], "LaB$_6$ 100 (standard)"), (MOVING_RING[0], "graphite 002 (moves)")):
        axes.annotate(
            text, (first, q), (6, 7), textcoords="offset points", color="white", fontsize=9, annotation_clip=True
        )
    axes.set(title="Diffractogram of each event", ylabel="q [1/Å]")
    axes.figure.colorbar(image, ax=axes, label="mean intensity [counts/px]")


def _limits(table: Array) -> tuple[float, float]:
    finite = table[np.isfinite(table)]
    return (float(finite.min()), float(finite.max())) if finite.size and np.ptp(finite) > 0 else (0.0, 1.0)


def _draw_curve(axes: Axes, x: Array, y: Array, color: str) -> None:
    axes.plot(x, y, color=color, linewidth=1.3, marker="o" if x.size <= 50 else None, markersize=3)
    axes.grid(color="#dde2e7", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(bottom=0)
