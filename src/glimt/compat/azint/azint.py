"""`azint.azint`: the geometry and the integrator, called as MAX IV's are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from glimt.compat.azint.detector import Detector
from glimt.compat.azint.unpacking import IntegrationResult
from glimt.kernels import azimuthal
from glimt.model import geometry
from glimt.model.errors import UsageError
from glimt.model.poni_text import poni_from_mapping, read_poni

_UNITS = {"q": "q_A^-1", "2th": "2th_deg"}

Bins = int | Sequence[float] | npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


class AzintError(UsageError, RuntimeError):
    """An argument makes no sense; azint raises a ``RuntimeError`` there."""


@dataclass
class Poni:
    """Geometry, with pyFAI's meaning of the parameters [m, rad]."""

    det: Detector
    dist: float
    poni1: float
    poni2: float
    rot1: float
    rot2: float
    rot3: float
    wavelength: float | None

    @classmethod
    def from_file(cls, filename: str | os.PathLike[str]) -> Poni:
        """Read a PONI file; see `glimt.model.poni_text.read_poni`. An orientation of the detector is respected."""
        return cls.of_model(read_poni(filename))

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Poni:
        """Read the keys of a PONI file from a dictionary."""
        return cls.of_model(poni_from_mapping(config))

    @classmethod
    def of_model(cls, poni: geometry.Poni) -> Poni:
        """Return azint's face of a geometry of glimt's."""
        detector = Detector.of_model(poni.detector)
        return cls(detector, poni.dist, poni.poni1, poni.poni2, poni.rot1, poni.rot2, poni.rot3, poni.wavelength)

    def to_model(self) -> geometry.Poni:
        """Return the geometry as glimt has it; raises `UsageError` for numbers that make no sense."""
        return geometry.Poni(
            self.det.model, self.dist, self.poni1, self.poni2, self.rot1, self.rot2, self.rot3, self.wavelength
        )


def _read_geometry(poni: Any, shape: Sequence[int] | None, pixel_size: float | None) -> geometry.Poni:
    if isinstance(poni, Poni):
        model = poni.to_model()
    elif isinstance(poni, geometry.Poni):
        model = poni
    elif isinstance(poni, Mapping):
        model = poni_from_mapping(poni)
    elif isinstance(poni, (str, os.PathLike)):
        model = read_poni(poni)
    else:
        raise AzintError(f"the geometry is a {type(poni).__name__}; give an azint.Poni or the name of a PONI file")
    if pixel_size is not None:
        model = replace(model, detector=replace(model.detector, pixel1=pixel_size, pixel2=pixel_size))
    return model if shape is None else model.with_shape(shape)


def _read_mask(mask: Any) -> tuple[npt.NDArray[Any] | None, str]:
    """Return the mask and the name of its file, empty if it came as an array."""
    if mask is None or (isinstance(mask, str) and not mask):
        return None, ""
    if not isinstance(mask, (str, os.PathLike)):
        return np.asarray(mask), ""
    path = os.fspath(mask)
    if Path(path).suffix != ".npy":
        raise AzintError(f"mask {path}: only .npy files are read here; load it and give the array")
    try:
        return np.load(path, allow_pickle=False), path
    except (OSError, ValueError, EOFError) as error:
        raise AzintError(f"mask {path} cannot be read: {str(error)[:200]}") from None


def _single(values: npt.NDArray[np.float64]) -> Floats:
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


class AzimuthalIntegrator:
    """Integrate images of one detector.

    Parameters
    ----------
    poni : Poni, str, path or dict
        Geometry, the name of a PONI file, or its keys.
    n_splitting : int
        Each pixel is shared among bins by ``n_splitting`` x ``n_splitting`` sub-pixels.
    radial_bins : int or sequence of float
        Number of bins between the smallest and largest value of all pixel centers, or edges [1/Å or deg].
    azimuth_bins : int or sequence of float, optional
        Number of sectors from 0 to 360, or edges [deg].
    unit : str
        ``q`` [1/Å] or ``2th`` [deg].
    mask : ndarray or str, optional
        Pixels marked with 1 are excluded; or the name of a ``.npy`` file.
    solid_angle, polarization_factor : bool, float or None
        Corrections, applied to each pixel before the mean is taken.
    error_model : str, optional
        ``poisson`` estimates errors.
    normalized : bool
        False returns sums instead of means; `norm_1d` and `norm_2d` are what to divide by.
    shape, pixel_size : (int, int), float, optional
        Of the detector [px], [m], as azint took them before PONI files said so; by keyword only.

    Attributes
    ----------
    radial_axis : ndarray
        (radial,) bin centers, float64 [1/Å or deg].
    azimuth_axis : ndarray or None
        (azimuth,) bin centers [deg].
    norm_1d, norm_2d, norm : ndarray, ndarray or None, ndarray
        Number of pixels in each bin, float32: radial, azimuthal x radial, and the latter if there is one.

    Raises
    ------
    UsageError
        An argument makes no sense; `AzintError` where azint raises a ``RuntimeError``.
    """

    def __init__(
        self,
        poni: Any,
        n_splitting: int,
        radial_bins: Bins,
        azimuth_bins: Bins | None = None,
        unit: str = "q",
        mask: npt.ArrayLike | str | None = None,
        solid_angle: bool = True,
        polarization_factor: float | None = None,
        error_model: str | None = None,
        normalized: bool = True,
        *,
        shape: Sequence[int] | None = None,
        pixel_size: float | None = None,
    ) -> None:
        if unit not in _UNITS:
            raise AzintError(f"wrong radial unit {str(unit)[:40]!r}; allowed units: q, 2th")
        if error_model and error_model != "poisson":
            raise AzintError(f"error model {str(error_model)[:40]!r} is not known; only poisson is")
        self.poni, self.n_splitting, self.unit = poni, n_splitting, unit
        self.radial_bins, self.azimuth_bins = radial_bins, azimuth_bins
        self.solid_angle, self.polarization_factor = solid_angle, polarization_factor
        self.error_model, self.normalized = error_model, normalized
        self.mask, self.mask_path = _read_mask(mask)
        self._kernel = azimuthal.AzimuthalIntegrator(
            _read_geometry(poni, shape, pixel_size),
            radial_bins,
            azimuth_bins=azimuth_bins,
            unit=_UNITS[unit],
            mask=self.mask,
            n_splitting=n_splitting,
            solid_angle=bool(solid_angle),
            polarization_factor=polarization_factor,
            correct_pixels=True,
            sigma=bool(error_model),
            empty=0.0,
        )
        self.radial_axis, self.azimuth_axis = self._kernel.radial_axis, self._kernel.azimuth_axis
        norm = self._kernel.norm
        self.input_size, self.output_shape = self._kernel.shape[0] * self._kernel.shape[1], list(norm.shape)
        self.norm = _single(norm)
        self.norm_2d = self.norm if norm.ndim == 2 else None
        self.norm_1d = self.norm if norm.ndim == 1 else _single(norm.sum(axis=0))

    @overload
    def integrate(
        self, img: npt.ArrayLike, mask: npt.ArrayLike | None = None, normalized: Literal[True] | None = None
    ) -> IntegrationResult: ...

    @overload
    def integrate(
        self, img: npt.ArrayLike, mask: npt.ArrayLike | None = None, *, normalized: Literal[False]
    ) -> tuple[Floats, Floats | None, Floats]: ...

    def integrate(
        self, img: npt.ArrayLike, mask: npt.ArrayLike | None = None, normalized: bool | None = None
    ) -> IntegrationResult | tuple[Floats, Floats | None, Floats]:
        """Return the integrated image.

        Parameters
        ----------
        img : ndarray
            As many pixels as the detector has; NaN are left out.
        mask : ndarray, optional
            Pixels marked with 1 are excluded from this image.
        normalized : bool, optional
            As old azint took it: False returns ``(signal, errors, norm)``, where errors are of the signal and ``None``
            without an error model. Without it, what the integrator was made with holds.

        Returns
        -------
        IntegrationResult
            ``(I, sigma, cake, cake_sigma)``, float32, or two of them; empty bins are 0. ``I`` runs over all sectors.
            Sigmas are ``None`` without an error model, cakes without azimuthal bins.

        Raises
        ------
        AzintError
            The image has another number of pixels than the detector.
        """
        result = self._kernel.integrate(self._shaped(img, "image"), mask=self._shaped(mask, "mask"))
        if normalized is not None and not normalized:
            signal, errors = _values(result, normalized=False)
            return signal, errors, _single(result.norm)
        means = self.normalized or bool(normalized)
        if result.signal.ndim == 1:
            return IntegrationResult((*_values(result, normalized=means), None, None))
        radial = _values(result.over_azimuth(empty=0.0), normalized=means)
        return IntegrationResult((*radial, *_values(result, normalized=means)))

    def _shaped(self, array: Any, what: str) -> Any:
        if array is None:
            return None
        pixels = np.asarray(array)
        if pixels.size != self.input_size:
            raise AzintError(f"the {what} has {pixels.size} pixels, the detector has {self.input_size}")
        return pixels.reshape(self._kernel.shape)


def _values(result: azimuthal.AzimuthalResult, *, normalized: bool) -> tuple[Floats, Floats | None]:
    if normalized:
        return _single(result.intensity), None if result.sigma is None else _single(result.sigma)
    return _single(result.signal), None if result.variance is None else _single(np.sqrt(np.maximum(result.variance, 0)))
