"""A CrystFEL geometry file's panels as a `DetectorGeometry`: numbers from headers filled in, pixels to millimeters.

CrystFEL's axes: z along the beam, y up, x to the left as seen from the source, as in NeXus.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from glimt.codecs.crystfel_geometry_record import BeamValue, CrystfelGeometry, CrystfelPanel, GeometryValue
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import DecodeError, UsageError
from glimt.model.panel_placement import PanelPlacement

HC_EV_ANGSTROM = 12398.419843320026
_ELECTRON_REST_EV = 510998.95
_MM = {"m": 1e3, "mm": 1.0}
_EV = {"eV": 1.0, "": 1.0, "keV": 1e3, "MeV": 1e6, "V": 1.0, "kV": 1e3}
_ANGSTROM = {"m": 1e10, "A": 1.0}

Header = Mapping[str, float]


def detector_geometry(
    geometry: CrystfelGeometry,
    *,
    header: Header | None = None,
    camera_length_m: float | None = None,
    wavelength_angstrom: float | None = None,
    frame_shape: Sequence[int] | None = None,
) -> DetectorGeometry:
    """Return where the panels are in space and in the array of a frame.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says.
    header : mapping, optional
        Numbers of a frame's header by the location that the file names, in the unit that the file names.
    camera_length_m, wavelength_angstrom : float, optional
        Instead of what the file says, such as what a detector says of itself.
    frame_shape : (int, int) or (int, int, int), optional
        (slow, fast) of the data array, or (module, slow, fast) if panels differ in a fixed index of it; its modules are
        then below each other in the frame. Without it, as small as the panels allow.

    Raises
    ------
    UsageError
        Camera length or wavelength are in a header that is not there, or in none, or panels and shape do not fit.
    DecodeError
        A panel cannot exist, or two share pixels.
    """
    shift = [_shift_mm(value, header) for value in (geometry.shift_x, geometry.shift_y)]
    wavelength = wavelength_angstrom if wavelength_angstrom is not None else wavelength_of(geometry.beam, header)
    panels = []
    for panel in geometry.panels:
        z_mm = camera_length_m * 1e3 if camera_length_m is not None else _camera_length_mm(geometry, panel, header)
        panels.append(_panel(panel, shift[0], shift[1], z_mm))
    placements, shape = placements_of(geometry, frame_shape)
    try:
        return DetectorGeometry(panels, wavelength, placements=placements, frame_shape=shape)
    except UsageError as error:
        raise DecodeError(str(error), where="CrystFEL geometry") from None


def _number(value: GeometryValue, header: Header | None, what: str) -> float:
    if isinstance(value.value, float):
        return value.value
    try:
        number = float((header or {})[value.value])
    except KeyError:
        raise UsageError(
            f"the geometry file says that the {what} is in the header, at {value.value[:100]!r}, and it is not there: "
            "give it, or write the number into the file"
        ) from None
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"the {what} that the header has at {value.value[:100]!r} is no number")
    return number


def _shift_mm(value: GeometryValue | None, header: Header | None) -> float:
    return 0.0 if value is None else _number(value, header, "detector shift") * _MM[value.unit or "m"]


def _camera_length_mm(geometry: CrystfelGeometry, panel: CrystfelPanel, header: Header | None) -> float:
    value = panel.clen or geometry.clen
    if value is None:
        raise UsageError(f"the geometry file does not say the camera length of panel {panel.name[:60]}: write clen")
    in_file = isinstance(value.value, float)
    return _number(value, header, "camera length") * _MM[value.unit or ("m" if in_file else "mm")]


def wavelength_of(beam: BeamValue | None, header: Header | None = None) -> float:
    """Return the wavelength [Å] that a geometry file says, that of electrons with their relativistic mass.

    Raises
    ------
    UsageError
        It says none, or it is in a header that is not there, or not positive.
    """
    if beam is None:
        raise UsageError("the geometry file says no photon_energy; write 'photon_energy = 9000 eV' into it")
    number = _number(beam, header, beam.key.replace("_", " "))
    if not number > 0:
        raise UsageError(f"the {beam.key} is {number}; it has to be above 0")
    if beam.key == "wavelength":
        return number * _ANGSTROM[beam.unit]
    energy = number * _EV[beam.unit]
    if beam.key == "electron_voltage":
        energy = math.sqrt(energy) * math.sqrt(energy + 2 * _ELECTRON_REST_EV)  # momentum times c
    return HC_EV_ANGSTROM / energy


def _panel(panel: CrystfelPanel, shift_x_mm: float, shift_y_mm: float, z_mm: float) -> Panel:
    pixel_mm = 1e3 / panel.resolution_per_m
    origin = (
        panel.corner_x * pixel_mm + shift_x_mm,
        panel.corner_y * pixel_mm + shift_y_mm,
        z_mm + panel.coffset_m * 1e3,
    )
    sizes = (math.hypot(*panel.ss) * pixel_mm, math.hypot(*panel.fs) * pixel_mm)
    try:
        return Panel(origin, panel.fs, panel.ss, sizes, panel.shape)
    except UsageError as error:
        raise DecodeError(str(error), where=f"CrystFEL geometry, panel {panel.name[:60]}") from None


def placements_of(
    geometry: CrystfelGeometry, frame_shape: Sequence[int] | None = None
) -> tuple[tuple[PanelPlacement, ...], tuple[int, int] | None]:
    """Return where the panels are in the array of a frame, and its shape (slow, fast), ``None`` if nobody says it.

    Panels whose data differ, in path or in a fixed index, are modules: their arrays lie below each other in the frame.

    Raises
    ------
    UsageError
        There are modules, and ``frame_shape`` has none, or the other way around; or the frame would be too large.
    """
    modules = _modules(geometry)
    n_modules = max(modules) + 1
    height = max(panel.max_ss for panel in geometry.panels) + 1
    shape: tuple[int, int] | None = None
    if frame_shape is not None:
        given = tuple(int(n) for n in frame_shape)
        if len(given) == 3 and given[0] >= n_modules:
            height, shape = given[1], (given[0] * given[1], given[2])
        elif len(given) == 2 and n_modules == 1:
            shape = given[0], given[1]
        else:
            raise UsageError(f"frames of shape {given} do not fit the geometry file, which has {n_modules} modules")
    if any(panel.max_ss >= height for panel in geometry.panels) and n_modules > 1:
        raise UsageError(f"panels of the geometry file reach beyond modules of {height} rows")
    placements = tuple(
        PanelPlacement(module * height + panel.min_ss, panel.min_fs, panel.shape)
        for module, panel in zip(modules, geometry.panels, strict=True)
    )
    return placements, shape


def _modules(geometry: CrystfelGeometry) -> list[int]:
    """Return the module that each panel is in: the fixed index if panels differ in one alone, else in order."""
    fixed = [tuple(axis for axis in panel.dims if isinstance(axis, int)) for panel in geometry.panels]
    paths = {panel.data for panel in geometry.panels}
    if len(paths) == 1 and len({len(indices) for indices in fixed}) == 1:
        differing = [n for n in range(len(fixed[0])) if len({indices[n] for indices in fixed}) > 1]
        if not differing:
            return [0] * len(fixed)
        if len(differing) == 1:
            return [int(indices[differing[0]]) for indices in fixed]
    numbers: dict[tuple[str, tuple[int, ...]], int] = {}
    return [
        numbers.setdefault((panel.data, indices), len(numbers))
        for panel, indices in zip(geometry.panels, fixed, strict=True)
    ]
