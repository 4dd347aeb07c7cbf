"""The detector that an image file describes, module by module, as a `DetectorGeometry`."""

from __future__ import annotations

from dataclasses import replace

from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.detector_geometry import Panel as DetectorPanel
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement
from glimt.model.sensor_absorption import absorption_per_mm
from glimt.sources.image_file_metadata import HC_EV_ANGSTROM, ImageMetadata, Panel

MM_PER_METER, METERS_PER_ANGSTROM = 1e3, 1e-10


def detector_geometry(known: ImageMetadata, *, wavelength_angstrom: float | None = None) -> DetectorGeometry:
    """Return where the modules of a detector are, in space and in the array of an image.

    Modules of a (module, slow, fast) image lie below each other in a frame (module x slow, fast). A file that describes
    no module gives the flat detector that `ImageMetadata.poni` gives.

    Parameters
    ----------
    known : ImageMetadata
        What the file says.
    wavelength_angstrom : float, optional
        Instead of the file's.

    Raises
    ------
    UsageError
        The file does not say enough, or describes modules that cannot be or share pixels.
    """
    wavelength = known.wavelength_angstrom if wavelength_angstrom is None else wavelength_angstrom
    if wavelength is None:
        raise UsageError("the image file does not say the wavelength; give it, or a geometry file")
    thickness, absorption = _sensor(known, wavelength)
    if not known.panels:
        poni = replace(known.poni(), wavelength=wavelength * METERS_PER_ANGSTROM)
        return DetectorGeometry.from_poni(poni, sensor_thickness_mm=thickness, absorption_per_mm=absorption)
    n_slow, n_fast = known.shape[-2:]
    n_modules = known.shape[-3] if len(known.shape) == 3 else 1
    for number, panel in enumerate(known.panels):
        if panel.module_number >= n_modules or panel.slow_start + panel.shape[0] > n_slow:
            raise UsageError(
                f"module {number} of the image file reaches beyond its images, which are {list(known.shape)} pixels"
            )
    placements = [
        PanelPlacement(panel.module_number * n_slow + panel.slow_start, panel.fast_start, panel.shape)
        for panel in known.panels
    ]
    panels = [_panel(panel, thickness, absorption) for panel in known.panels]
    return DetectorGeometry(panels, wavelength, placements=placements, frame_shape=(n_modules * n_slow, n_fast))


def _sensor(known: ImageMetadata, wavelength_angstrom: float) -> tuple[float, float]:
    """Return thickness [mm] and absorption [1/mm], both 0 if one is not known."""
    if not 0 < wavelength_angstrom < 1e6:
        raise UsageError(f"the wavelength is {wavelength_angstrom} Å; give a geometry file or the right one")
    absorption = absorption_per_mm(known.sensor_material, HC_EV_ANGSTROM / wavelength_angstrom)
    if known.sensor_thickness_m is None or not absorption > 0:
        return 0.0, 0.0
    return known.sensor_thickness_m * MM_PER_METER, absorption


def _panel(panel: Panel, thickness_mm: float, absorption: float) -> DetectorPanel:
    x, y, z = (part * MM_PER_METER for part in panel.origin_m)
    slow, fast = (size * MM_PER_METER for size in panel.pixel_size_m)
    return DetectorPanel(
        (x, y, z), panel.fast_axis, panel.slow_axis, (slow, fast), panel.shape, thickness_mm, absorption
    )
