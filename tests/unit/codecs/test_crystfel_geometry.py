from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimt.codecs.crystfel_geometry import MAX_CHARACTERS, MAX_PANELS, parse_geometry, read_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry, placements_of, wavelength_of
from glimt.codecs.crystfel_geometry_mask import constant_mask, flagged_pixels
from glimt.codecs.crystfel_geometry_record import BadRegion, BeamValue, GeometryValue, MaskSource
from glimt.codecs.crystfel_geometry_text import write_geometry
from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.model.errors import DecodeError, UsageError

TWO = """; made by hand
;  second line

photon_energy = 9.5 keV
adu_per_eV = 0.0001 ; of both panels
clen = 0.2
res = 10000
mask = /mask
mask_good = 0x0
mask_bad = 0xff
flag_lessthan = -0.5
data = /entry/data/data
dim0 = %
dim1 = ss
dim2 = fs

a/min_fs = 0
a/max_fs = 19.0
a/min_ss = 0
a/max_ss = 9
a/corner_x = -22.5
a/corner_y = -5
a/fs = +x
a/ss = y
flag_equal = 65535
b/min_fs = 20
b/max_fs = 39
b/min_ss = 0
b/max_ss = 9
b/corner_x = 2.5
b/corner_y = 5.0
b/fs = -0.5z + 0.8660254037844386 x
b/ss = -1.0y
b/coffset = -0.001
b/max_adu = 12000
b/no_index = 1
"""
ONE = """photon_energy = 12398.419843320026
adu_per_photon = 1
res = 5814.0
clen = 100 mm
p/min_fs = 0
p/max_fs = 29
p/min_ss = 0
p/max_ss = 19
p/corner_x = -15
p/corner_y = -10
p/fs = x
p/ss = y
"""


def test_panels_take_the_defaults_that_stand_before_them() -> None:
    geometry = parse_geometry(TWO)
    a, b = geometry.panels
    assert (a.name, a.shape, a.max_fs) == ("a", (10, 20), 19)
    assert (a.fs, a.ss) == ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    assert b.fs == (0.8660254037844386, 0.0, -0.5)
    assert a.masks == b.masks == (MaskSource(0, "/mask", None, 0, 255),)
    assert a.flags == (("lessthan", 0),)  # CrystFEL keeps whole numbers
    assert b.flags == (("lessthan", 0), ("equal", 65535))
    assert (a.no_index, b.no_index, b.max_adu, b.coffset_m) == (False, True, 12000.0, -0.001)
    assert a.dims == ("%", "ss", "fs")
    assert (a.adu_per_ev, a.adu_per_photon) == (0.0001, None)
    assert geometry.beam == BeamValue(9.5, "keV", "photon_energy")
    assert geometry.clen == GeometryValue(0.2, "")
    assert geometry.preamble == (" made by hand", "  second line")
    assert geometry.ignored == ()


def test_detector_is_where_the_file_says() -> None:
    detector = detector_geometry(parse_geometry(TWO))
    a, b = detector.panels
    assert detector.wavelength_angstrom == pytest.approx(12398.419843320026 / 9500)
    np.testing.assert_allclose(a.origin_mm, (-2.25, -0.5, 200.0))
    np.testing.assert_allclose(b.origin_mm, (0.25, 0.5, 199.0))
    assert a.pixel_size_mm == pytest.approx((0.1, 0.1))
    assert b.slow == (0.0, -1.0, 0.0)
    assert detector.frame_shape == (10, 40)
    assert [place.area for place in detector.placements] == [
        (slice(0, 10), slice(0, 20)),
        (slice(0, 10), slice(20, 40)),
    ]


def test_header_fills_in_what_the_file_leaves_to_it() -> None:
    text = ONE.replace("clen = 100 mm", "clen = /LCLS/detector_1/EncoderValue")
    text = text.replace("photon_energy = 12398.419843320026", "wavelength = /beam/wavelength A")
    text += "detector_shift_x = /shift/x mm\ndetector_shift_y = 0.001\n"
    header = {"/LCLS/detector_1/EncoderValue": 100.0, "/beam/wavelength": 1.5, "/shift/x": -2.0}
    detector = detector_geometry(parse_geometry(text), header=header)
    assert detector.panels[0].origin_mm[2] == pytest.approx(100.0)  # a location without unit is in millimeters
    assert detector.panels[0].origin_mm[0] == pytest.approx(-15 / 5.814 - 2.0)
    assert detector.panels[0].origin_mm[1] == pytest.approx(-10 / 5.814 + 1.0)
    assert detector.wavelength_angstrom == 1.5
    with pytest.raises(UsageError, match=r"camera length is in the header, at '/LCLS/detector_1/EncoderValue'"):
        detector_geometry(parse_geometry(text), header={"/beam/wavelength": 1.5, "/shift/x": -2.0})
    with pytest.raises(UsageError, match="the wavelength that the header has"):
        detector_geometry(parse_geometry(text), header=header | {"/beam/wavelength": math.nan})
    given = detector_geometry(
        parse_geometry(text), header={"/shift/x": 0.0}, camera_length_m=0.3, wavelength_angstrom=0.9
    )
    assert (given.panels[0].origin_mm[2], given.wavelength_angstrom) == (300.0, 0.9)


@pytest.mark.parametrize(
    ("line", "wavelength"),
    [
        ("photon_energy = 12398.419843320026", 1.0),
        ("photon_energy = 12.398419843320026 keV", 1.0),
        ("wavelength = 1.25 A", 1.25),
        ("wavelength = 1e-10 m", 1.0),
        ("electron_voltage = 200 kV", 0.02507934),  # of an electron microscope's table
    ],
)
def test_every_way_to_tell_the_wavelength(line: str, wavelength: float) -> None:
    text = ONE.replace("photon_energy = 12398.419843320026", line)
    assert wavelength_of(parse_geometry(text).beam) == pytest.approx(wavelength, rel=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("res = 5814.0", "res = fast", r"line 3, res: 'fast': a number is needed"),
        ("res = 5814.0", "res = 0", "line 3, res: '0': a number above 0"),
        ("res = 5814.0", "res = 1_0", "a number is needed"),
        ("res = 5814.0", "res 5814", "line 3: 'res 5814' is no 'key = value'"),
        ("res = 5814.0\n", "", r"panel p \(first on line 4\): res missing"),
        ("p/fs = x", "p/fs = x y", r"line 11, p/fs: 'x y': a sum such as"),
        ("p/fs = x", "p/fs = 2", "a sum such as"),
        ("p/fs = x", "p/fs = ", "a sum such as"),
        ("p/fs = x", "p/fs = y", "panel p: .*right angles"),
        ("p/max_fs = 29", "p/max_fs = 29.5", "whole number"),
        ("p/max_fs = 29", "p/max_fs = -1", "fs goes from 0 to -1"),
        ("p/max_fs = 29", "p/max_fs = 99999999", "fs goes from 0 to 99999999"),
        ("clen = 100 mm", "clen = 100 cm", r"line 4, clen: '100 cm': .*m or mm"),
        ("clen = 100 mm", "clen = 1e999", "a number is needed"),
        ("photon_energy = 12398.419843320026", "wavelength = 1.0", "a unit is needed: m or A"),
        ("photon_energy = 12398.419843320026", "photon_energy = -1 eV", "above 0"),
        ("photon_energy = 12398.419843320026", "photon_energy = 9000\nwavelength = 1 A", "has photon_energy already"),
        ("p/ss = y", "p/ss = y\nmax_adu = 10", r"line 13, max_adu: .*no effect"),
        ("p/ss = y", "p/ss = y\np/dim0 = fs\np/dim1 = ss", "has to come after"),
        ("p/ss = y", "p/ss = y\np/dim0 = ss\np/dim2 = fs", "dim1 missing"),
        ("p/ss = y", "p/ss = y\np/dim99 = 0", "axes 0 to 15"),
        ("p/ss = y", "p/ss = y\np/dim0 = up", "ss, fs, % or an index"),
        ("p/ss = y", "p/ss = y\np/dim0 = ss\np/dim1 = ss\np/dim2 = fs", "ss and fs once each"),
        ("p/ss = y", "p/ss = y\np/mask1_data = mask", "starts with /"),
        ("p/ss = y", "p/ss = y\np/mask1_data = /%/mask", "more placeholders"),
        ("p/ss = y", "p/ss = y\np/mask1_goodbits = -3", "0xfe00"),
        ("p/ss = y", "p/ss = y" + "\np/flag_equal = 1" * 17, "line 29, p/flag_equal: .*at most 16 flags"),
        ("p/ss = y", "p/ss = y\np/no_index = maybe", "true or false"),
        ("p/ss = y", "p/ss = y\n/x = 3", "written panel/name"),
        ("p/ss = y", "p/ss = y\np /x = 3", "without blanks"),
        ("p/ss = y", "p/ss = y\ngroup_one = p", "none that is called all"),
        ("p/ss = y", "p/ss = y\ngroup_all = p,q", r"line 13, group_all: 'q' is neither"),
        ("p/ss = y", "p/ss = y\ngroup_all = a\ngroup_a = b\ngroup_b = a", "already"),
        ("p/ss = y", "p/ss = y\ngroup_all = p\ngroup_a = b\ngroup_b = a", "contains itself"),
        ("p/ss = y", "p/ss = y\ngroup_all = p\ngroup_top = all", "has to be the top one"),
        ("p/ss = y", "p/ss = y\ngroup_all = p,", "names with commas"),
        ("p/ss = y", "p/ss = y\nbada/min_x = 0\nbada/max_x = 1", r"line 14, bada: min_y, max_y missing"),
        ("p/ss = y", "p/ss = y\nbada/min_x = 0\nbada/min_fs = 1", "not both"),
        ("p/ss = y", "p/ss = y\nbada/min_z = 0", "'min_z' is no limit"),
        ("p/ss = y", "p/ss = y\ndetector_shift_x = 1", "need each other"),
        ("p/ss = y", "p/ss = y\npeak_list_type = table", "auto, cxi or list3"),
    ],
)
def test_mistake_is_named_with_line_and_key(old: str, new: str, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        detector_geometry(parse_geometry(ONE.replace(old, new)))


def test_bad_regions_of_both_kinds_and_edges_are_masked() -> None:
    text = ONE + (
        "p/mask_edge_pixels = 1\nbadspot/min_fs = 4\nbadspot/max_fs = 6\nbadspot/min_ss = 7\nbadspot/max_ss = 7\n"
        "badbeam/min_x = -2\nbadbeam/max_x = 2\nbadbeam/min_y = -1.5\nbadbeam/max_y = 1\n"
    )
    geometry = parse_geometry(text)
    assert geometry.bad_regions[0] == BadRegion("badspot", True, (4.0, 7.0), (6.0, 7.0))
    mask = constant_mask(geometry, detector_geometry(geometry))
    expected = np.ones((20, 30), np.bool_)
    expected[1:-1, 1:-1] = False
    expected[7, 4:7] = True
    expected[9:11, 14:17] = True  # corners at x = -1, 0, 1 and y = -1, 0
    np.testing.assert_array_equal(mask, expected)


def test_panels_without_index_and_pixels_beside_panels_are_masked() -> None:
    geometry = parse_geometry(TWO)
    mask = constant_mask(geometry, detector_geometry(geometry, frame_shape=(12, 40)))
    expected = np.ones((12, 40), np.bool_)
    expected[:10, :20] = False
    np.testing.assert_array_equal(mask, expected)
    with pytest.raises(UsageError, match="not made of this geometry file"):
        constant_mask(parse_geometry(ONE), detector_geometry(geometry))


def test_flagged_values_are_masked_in_their_panels() -> None:
    geometry = parse_geometry(TWO)
    detector = detector_geometry(geometry)
    frame = np.zeros((10, 40), np.int32)
    frame[0, :] = -1
    frame[5, :] = 65535
    mask = flagged_pixels(geometry, detector, frame)
    assert mask is not None
    assert mask[0].all()
    assert mask[5].tolist() == [False] * 20 + [True] * 20
    assert mask.sum() == 60
    floating = flagged_pixels(geometry, detector, np.where(frame == 65535, 65534.7, np.nan))
    assert floating is not None
    assert floating.sum() == 20
    assert flagged_pixels(parse_geometry(ONE), detector_geometry(parse_geometry(ONE)), np.zeros((3, 3))) is None
    with pytest.raises(UsageError, match="frame has shape"):
        flagged_pixels(geometry, detector, np.zeros((3, 3)))


def test_modules_of_a_data_array_lie_below_each_other() -> None:
    lines = ["photon_energy = 9000", "clen = 1", "res = 1000", "dim0 = %", "dim2 = ss", "dim3 = fs"]
    for module in (0, 3):
        p = f"m{module}"
        lines += [f"{p}/min_fs = 0", f"{p}/max_fs = 4", f"{p}/min_ss = 2", f"{p}/max_ss = 6", f"{p}/dim1 = {module}"]
        lines += [f"{p}/corner_x = {module * 10}", f"{p}/corner_y = 0", f"{p}/fs = x", f"{p}/ss = y"]
    geometry = parse_geometry("\n".join(lines))
    detector = detector_geometry(geometry)
    assert [place.slow_start for place in detector.placements] == [2, 3 * 7 + 2]
    stacked = detector_geometry(geometry, frame_shape=(4, 10, 8))
    assert stacked.frame_shape == (40, 8)
    frames = np.zeros((4, 10, 8))
    frames[3, 2:7, :5] = 5.0
    assert stacked.placements[1].area == (slice(32, 37), slice(0, 5))
    assert (frames.reshape(40, 8)[stacked.placements[1].area] == 5.0).all()
    for wrong in ((40, 8), (3, 10, 8), (4, 3, 8)):
        with pytest.raises(UsageError, match=r"do not fit|beyond modules"):
            detector_geometry(geometry, frame_shape=wrong)


def test_panels_that_share_pixels_are_refused() -> None:
    with pytest.raises(DecodeError, match="panels 0 and 1 share pixels"):
        detector_geometry(parse_geometry(TWO.replace("b/min_fs = 20", "b/min_fs = 19")))
    with pytest.raises(DecodeError, match="frames to"):
        detector_geometry(parse_geometry(TWO), frame_shape=(10, 39))
    assert placements_of(parse_geometry(TWO))[1] is None


def test_old_grammar_is_read() -> None:
    text = ONE.replace("clen = 100 mm\n", "") + (
        "p/clen = /old/encoder\nrigid_group_q0 = p\nrigid_group_collection_quadrants = q0\np/badrow_direction = x\n"
        "p/made_up = 3\n"
    )
    geometry = parse_geometry(text.replace("\n", "\r\n"))
    assert geometry.rigid_groups == (("q0", ("p",)),)
    assert geometry.rigid_group_collections == (("quadrants", ("q0",)),)
    assert geometry.ignored == ("line 16: p/made_up",)
    assert detector_geometry(geometry, header={"/old/encoder": 80}).panels[0].origin_mm[2] == 80.0


def test_groups_come_bottom_up() -> None:
    text = TWO + "group_all = left,right\ngroup_left = a\ngroup_right = b\n"
    assert parse_geometry(text).groups == (("left", ("a",)), ("right", ("b",)), ("all", ("left", "right")))


def test_what_is_written_is_read_again_as_the_same() -> None:
    everything = TWO + (
        "detector_shift_x = /a/b mm\ndetector_shift_y = 0.1 m\npeak_list = /peaks\npeak_list_type = cxi\n"
        "bandwidth = 0.01\nb/saturation_map = /sat\nb/saturation_map_file = sat.h5\nb/mask3_file = m.h5\n"
        "b/mask3_data = /m\nb/clen = 3 mm\nb/mask_edge_pixels = 2\ngroup_all = a,b\nrigid_group_old = a,b\n"
        "rigid_group_collection_all = old\nbadx/panel = b\nbadx/min_fs = 21\nbadx/max_fs = 22\nbadx/min_ss = 0\n"
        "badx/max_ss = 3\nbady/min_x = -0.1\nbady/max_x = 1e-7\nbady/min_y = 2\nbady/max_y = 3.5\n"
    )
    for text in (ONE, TWO, everything):
        geometry = parse_geometry(text)
        assert parse_geometry(write_geometry(geometry)) == geometry


def test_hostile_text_is_an_error_soon() -> None:
    started = time.monotonic()
    for text in (
        "x" * (MAX_CHARACTERS + 1),
        "".join(f"p{n}/a = 1\n" for n in range(MAX_PANELS + 1)),
        "".join(f"bad{n}/a = 1\n" for n in range(5000)),
        "p/fs = " + "x+" * 5000,
        "p/res = " + "9" * 1900,
        "p/fs = " + "+9999999999999999999999e9999x",
        "group_a = " + ",".join("ab" * 30000),
        "",
        ";",
        "\0",
        "=",
        "a = b",
    ):
        with pytest.raises(DecodeError):
            parse_geometry(text)
    assert time.monotonic() - started < 10


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.geom"
    path.write_text(ONE)
    assert read_geometry(path) == parse_geometry(ONE)
    with pytest.raises(UsageError, match=r"none\.geom cannot be read"):
        read_geometry(tmp_path / "none.geom")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DecodeError, match="not text"):
        read_geometry(path)


def test_frames_of_a_geometry_file_are_integrated() -> None:
    geometry = parse_geometry(TWO)
    detector = detector_geometry(geometry)
    options: dict[str, Any] = {"unit": "r_mm", "solid_angle": False, "mask": constant_mask(geometry, detector)}
    frame = np.where(np.arange(40) < 20, 3, 1000) * np.ones((10, 1), np.int64)
    result = AzimuthalIntegrator(detector, 5, **options).integrate(frame)
    assert result.n_pixels.sum() == 200
    np.testing.assert_allclose(result.intensity[result.n_pixels > 0], 3.0)
