"""What a CrystFEL geometry file says, in its own words and units; source: crystfel_geometry(5)."""

from __future__ import annotations

from dataclasses import dataclass

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class GeometryValue:
    """A quantity: a number, or where in each frame's header it is found.

    Parameters
    ----------
    value : float or str
        The number in ``unit``, or the location: an HDF5 path, a MessagePack key, a line of a CBF header.
    unit : str
        As written; empty where the file has none.
    """

    value: float | str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class BeamValue(GeometryValue):
    """How the file tells the wavelength.

    Parameters
    ----------
    key : str
        ``photon_energy``, ``wavelength`` or ``electron_voltage``.
    """

    key: str = "photon_energy"


@dataclass(frozen=True, slots=True)
class MaskSource:
    """Where one of up to eight masks of a panel is.

    Parameters
    ----------
    number : int
        0 to 7.
    data : str or None
        Path in the file of the images, or in ``file``; ``%`` stands for parts that differ from image to image.
    file : str or None
        HDF5 file that has it; ``None``: the file of the images.
    good_bits, bad_bits : int
        A pixel is good if it has all of the former and none of the latter.
    """

    number: int
    data: str | None = None
    file: str | None = None
    good_bits: int = 0
    bad_bits: int = 0


@dataclass(frozen=True, slots=True)
class BadRegion:
    """A rectangle of bad pixels.

    Parameters
    ----------
    name : str
        Starts with ``bad``.
    in_panel : bool
        Whether limits are fs and ss of the data array, ends included, or x and y in the laboratory [px], ends excluded.
    low, high : (float, float)
        (fs, ss) or (x, y).
    panel : str or None
        Panel of an fs, ss region; ``None``: the only one.
    """

    name: str
    in_panel: bool
    low: tuple[float, float]
    high: tuple[float, float]
    panel: str | None = None


@dataclass(frozen=True, slots=True)
class CrystfelPanel:
    """One panel.

    Parameters
    ----------
    name : str
        As written before the ``/``.
    min_fs, max_fs, min_ss, max_ss : int
        Its pixels in the data array, ends included.
    corner_x, corner_y : float
        Outer corner of its first pixel [px]: +x as seen looking into the beam to the left, +y up.
    fs, ss : (float, float, float)
        What one pixel along fs or ss adds to x, y, z [px].
    resolution_per_m : float
        Pixels in a meter.
    data : str
        Path of the images, with ``%`` for parts that differ from image to image.
    dims : tuple of int or str
        What the axes of the data array are: ``ss``, ``fs``, ``%`` (number of the image) or a fixed index.
    adu_per_photon, adu_per_ev, max_adu : float or None
        Scale and saturation.
    coffset_m : float
        Added to the camera length.
    no_index : bool
        Whether nothing on this panel counts.
    mask_edge_pixels : int
        So many pixels at each edge are bad.
    flags : tuple of (str, int)
        ``lessthan``, ``morethan`` or ``equal``: pixels with such values are bad.
    masks : tuple of MaskSource
        By number.
    saturation_map, saturation_map_file : str or None
        Saturation value of each pixel.
    clen : GeometryValue or None
        Camera length of this panel alone, as files before CrystFEL 0.9 may have it.
    """

    name: str
    min_fs: int
    max_fs: int
    min_ss: int
    max_ss: int
    corner_x: float
    corner_y: float
    fs: Vector
    ss: Vector
    resolution_per_m: float
    data: str = "/data/data"
    dims: tuple[int | str, ...] = ("ss", "fs")
    adu_per_photon: float | None = None
    adu_per_ev: float | None = None
    max_adu: float | None = None
    coffset_m: float = 0.0
    no_index: bool = False
    mask_edge_pixels: int = 0
    flags: tuple[tuple[str, int], ...] = ()
    masks: tuple[MaskSource, ...] = ()
    saturation_map: str | None = None
    saturation_map_file: str | None = None
    clen: GeometryValue | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(ss, fs) [px]."""
        return self.max_ss - self.min_ss + 1, self.max_fs - self.min_fs + 1


@dataclass(frozen=True, slots=True)
class CrystfelGeometry:
    """A geometry file.

    Parameters
    ----------
    panels : tuple of CrystfelPanel
        In the order in which the file mentions them first.
    beam : BeamValue or None
        Energy or wavelength; CrystFEL itself wants one.
    clen : GeometryValue or None
        Camera length; ``m`` or ``mm``; without unit a number is in meters, what a header has in millimeters.
    shift_x, shift_y : GeometryValue or None
        Added to all corners; meters if it has no unit.
    bandwidth : float
        Relative bandwidth of the beam.
    peak_list, peak_list_type : str or None
        Where the images' peaks are, and how they are written.
    groups : tuple of (str, tuple of str)
        Groups of panels and of groups before them; ``all`` is the last.
    rigid_groups, rigid_group_collections : tuple of (str, tuple of str)
        The same of older files; CrystFEL ignores them today.
    bad_regions : tuple of BadRegion
        In order.
    preamble : tuple of str
        Comments before the first line that says something.
    ignored : tuple of str
        ``line N: key`` of what is unknown and has no effect, at most 100.
    """

    panels: tuple[CrystfelPanel, ...]
    beam: BeamValue | None = None
    clen: GeometryValue | None = None
    shift_x: GeometryValue | None = None
    shift_y: GeometryValue | None = None
    bandwidth: float = 1e-8
    peak_list: str | None = None
    peak_list_type: str | None = None
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rigid_groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rigid_group_collections: tuple[tuple[str, tuple[str, ...]], ...] = ()
    bad_regions: tuple[BadRegion, ...] = ()
    preamble: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
