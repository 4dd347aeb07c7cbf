"""How spots are found, by the names that DIALS has for it, and read from text as DIALS reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from glimt.kernels.strong_pixels import GlobalThreshold, Threshold
from glimt.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class SpotOptions:
    """What a spot is; names and defaults are those of ``dials.find_spots_server``.

    Parameters
    ----------
    algorithm : str
        ``dispersion_extended`` or ``dispersion``.
    kernel_size : (int, int)
        Half sizes of the neighborhood (slow, fast) [px].
    sigma_background, sigma_strong : float
        Standard deviations, of variance over mean and of a pixel above the mean.
    min_local : int
        Fewest pixels of a neighborhood.
    global_threshold : float or str
        Strong pixels are greater [counts]; ``"auto"`` chooses it for each frame.
    gain : float or None
        Counts per photon.
    min_spot_size, max_spot_size : int
        Pixels of a spot.
    max_separation : float or None
        From centroid to highest pixel [px].
    max_strong_pixel_fraction : float
        More strong pixels are an error.
    disable_parallax_correction : bool
        True takes positions as they are.
    d_min, d_max : float or None
        Spots outside are left out of all statistics [Å].
    ice_filter : bool
        Whether spots on ice rings are told apart (``ice_rings.filter``).
    ice_width : float
        Full width of a ring in 1/d² [1/Å²] (``ice_rings.width``).
    """

    algorithm: Threshold = "dispersion_extended"
    kernel_size: tuple[int, int] = (3, 3)
    sigma_background: float = 6.0
    sigma_strong: float = 3.0
    min_local: int = 2
    global_threshold: GlobalThreshold = 0.0
    gain: float | None = None
    min_spot_size: int = 3
    max_spot_size: int = 1000
    max_separation: float | None = 2.0
    max_strong_pixel_fraction: float = 0.25
    disable_parallax_correction: bool = False
    d_min: float | None = None
    d_max: float | None = None
    ice_filter: bool = True
    ice_width: float = 0.004


def _algorithm(text: str) -> Threshold:
    if text not in ("dispersion", "dispersion_extended"):
        raise ValueError(text)
    return cast("Threshold", text)


def _truth(text: str) -> bool:
    word = text.lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError(text)


def _pair(text: str) -> tuple[int, int]:
    slow, fast = (int(part) for part in text.split(","))
    return slow, fast


def _global_threshold(text: str) -> GlobalThreshold:
    return "auto" if text.lower() == "auto" else float(text)


def _optional(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


_Reader = tuple[str, Callable[[str], Any], str]

_NUMBER, _WHOLE, _TRUTH = "a number", "a whole number", "true or false"
_THRESHOLD, _DISPERSION, _FILTER = "spotfinder.threshold", "spotfinder.threshold.dispersion", "spotfinder.filter"
_READERS: MappingProxyType[str, _Reader] = MappingProxyType(
    {
        f"{_THRESHOLD}.algorithm": ("algorithm", _algorithm, "dispersion or dispersion_extended"),
        f"{_DISPERSION}.kernel_size": ("kernel_size", _pair, "two whole numbers, such as 3,3"),
        f"{_DISPERSION}.sigma_background": ("sigma_background", float, _NUMBER),
        f"{_DISPERSION}.sigma_strong": ("sigma_strong", float, _NUMBER),
        f"{_DISPERSION}.min_local": ("min_local", int, _WHOLE),
        f"{_DISPERSION}.global_threshold": ("global_threshold", _global_threshold, f"{_NUMBER} or Auto"),
        f"{_DISPERSION}.gain": ("gain", _optional, f"{_NUMBER} or None"),
        f"{_FILTER}.min_spot_size": ("min_spot_size", int, _WHOLE),
        f"{_FILTER}.max_spot_size": ("max_spot_size", int, _WHOLE),
        f"{_FILTER}.max_separation": ("max_separation", _optional, f"{_NUMBER} or None"),
        f"{_FILTER}.max_strong_pixel_fraction": ("max_strong_pixel_fraction", float, _NUMBER),
        f"{_FILTER}.disable_parallax_correction": ("disable_parallax_correction", _truth, _TRUTH),
        f"{_FILTER}.d_min": ("d_min", _optional, f"{_NUMBER} or None"),
        f"{_FILTER}.d_max": ("d_max", _optional, f"{_NUMBER} or None"),
        "ice_rings.filter": ("ice_filter", _truth, _TRUTH),
        "ice_rings.width": ("ice_width", float, _NUMBER),
    }
)

MAX_TEXT = 10_000


def spot_option_names() -> list[str]:
    """Return the names that `parse_spot_options` knows, in their shortest form."""
    return [path if path.startswith("ice_rings") else path.rpartition(".")[2] for path in _READERS]


def parse_spot_options(text: str) -> SpotOptions:
    """Return the options that a text such as ``"sigma_strong=4 d_max=40"`` sets; the others have their defaults.

    Parameters
    ----------
    text : str
        ``name=value`` with spaces between. A name is DIALS' path or its end: ``d_max``, ``filter.d_max``,
        ``spotfinder.filter.d_max``. Of several values of one name the last counts.

    Raises
    ------
    UsageError
        An unknown name, or a value that is none; the text says which, and what is possible.
    """
    if len(text) > MAX_TEXT:
        raise UsageError(f"spot options of {len(text)} characters; at most {MAX_TEXT} are read")
    values: dict[str, Any] = {}
    for item in text.split():
        name, equals, value = item.partition("=")
        found = [path for path in _READERS if path == name or path.endswith(f".{name}")]
        if not equals or len(found) != 1:
            raise UsageError(
                f"{item[:60]!r} is no option for spots; write name=value with {', '.join(spot_option_names())}"
            )
        field, read, possible = _READERS[found[0]]
        try:
            values[field] = read(value)
        except (ValueError, OverflowError):
            raise UsageError(f"spot option {name} is {value[:40]!r}; {possible} is needed") from None
    return SpotOptions(**values)
