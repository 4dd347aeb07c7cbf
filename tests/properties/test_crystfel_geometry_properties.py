"""CrystFEL geometry files: what is written is read again, and no text does harm."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.codecs.crystfel_geometry_mask import constant_mask
from glimt.codecs.crystfel_geometry_record import (
    BadRegion,
    BeamValue,
    CrystfelGeometry,
    CrystfelPanel,
    GeometryValue,
    MaskSource,
)
from glimt.codecs.crystfel_geometry_text import write_geometry
from glimt.model.errors import GlimtError

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
positive = st.floats(min_value=1e-30, max_value=1e30)
names = st.from_regex(r"[a-zA-Z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not name.startswith("bad"))
paths = st.from_regex(r"/[a-z0-9_]{1,8}(/[a-z0-9_]{1,8}){0,2}", fullmatch=True)
lengths = st.builds(GeometryValue, st.one_of(numbers, paths), st.sampled_from(["", "m", "mm"]))
beams = st.one_of(
    st.builds(BeamValue, st.one_of(positive, paths), st.sampled_from(["", "eV", "keV"]), st.just("photon_energy")),
    st.builds(BeamValue, st.one_of(positive, paths), st.sampled_from(["m", "A"]), st.just("wavelength")),
    st.builds(BeamValue, st.one_of(positive, paths), st.sampled_from(["V", "kV"]), st.just("electron_voltage")),
)
bits = st.integers(0, (1 << 53) - 1)
masks = st.lists(st.integers(0, 7), unique=True, max_size=2).flatmap(
    lambda used: st.tuples(
        *(
            st.builds(MaskSource, st.just(n), st.one_of(st.none(), paths), st.one_of(st.none(), names), bits, bits)
            for n in sorted(used)
        )
    )
)

flags = st.tuples(st.sampled_from(["lessthan", "morethan", "equal"]), st.integers(-9, 70000))


@st.composite
def panels(draw: st.DrawFn, name: str, row: int) -> CrystfelPanel:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    scale = draw(st.sampled_from(["adu_per_photon", "adu_per_ev"]))
    given_fields: dict[str, Any] = {scale: draw(st.one_of(st.none(), positive))}
    return CrystfelPanel(
        name, 3, 3 + shape[1] - 1, row, row + shape[0] - 1, draw(numbers), draw(numbers),
        (draw(numbers), draw(numbers), draw(numbers)), (draw(numbers), draw(numbers), draw(numbers)), draw(positive),
        data=draw(paths), dims=draw(st.sampled_from([("ss", "fs"), ("%", "ss", "fs"), ("%", 3, "ss", "fs")])),
        max_adu=draw(st.one_of(st.none(), numbers)), coffset_m=draw(numbers), no_index=draw(st.booleans()),
        mask_edge_pixels=draw(st.integers(0, 3)), masks=draw(masks),
        flags=tuple(draw(st.lists(flags, max_size=3))),
        clen=draw(st.one_of(st.none(), lengths)), **given_fields,
    )  # fmt: skip


@st.composite
def geometries(draw: st.DrawFn) -> CrystfelGeometry:
    own = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    made = tuple(draw(panels(name, 10 * row)) for row, name in enumerate(own))
    shift = draw(st.one_of(st.none(), lengths))
    region = BadRegion("badone", True, (made[0].min_fs, made[0].min_ss), (made[0].max_fs, made[0].min_ss), own[0])
    return CrystfelGeometry(
        made, draw(st.one_of(st.none(), beams)), draw(st.one_of(st.none(), lengths)), shift, shift,
        bandwidth=draw(positive), bad_regions=draw(st.sampled_from([(), (region,)])),
        groups=draw(st.sampled_from([(), (("all", tuple(own)),)])) if "all" not in own else (),
    )  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(geometries())
def test_what_is_written_is_read_as_the_same(geometry: CrystfelGeometry) -> None:
    assert parse_geometry(write_geometry(geometry)) == geometry


KEYS = [
    "p/min_fs", "p/max_fs", "p/min_ss", "p/max_ss", "p/fs", "p/ss", "p/res", "res", "clen", "photon_energy",
    "p/corner_x", "p/corner_y", "q/res", "badx/min_x", "badx/max_x", "badx/min_y", "badx/max_y", "badx/min_fs", "dim0",
    "wavelength", "p/dim1", "group_all", "rigid_group_a", "mask0_data", "flag_equal", "p/", "/", "",
    "detector_shift_x", "p/clen",
]  # fmt: skip
VALUES = [
    "0", "1", "-1", "5", "1e300", "-0.0", "x", "-y", "x+y", "z", "0.1x -0.9y", "/a", "/a mm", "9000 eV", "1 A", "p",
    "p,q", "%", "ss", "fs", "", "nan", "inf", "1_0", "0x10", "true", "\u0663",
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.sampled_from(VALUES), st.text(max_size=9))), max_size=40))
def test_no_lines_do_harm(lines: list[tuple[str, str]]) -> None:
    start = "res = 1000\nclen = 1\nphoton_energy = 9000\n" if len(lines) % 2 else ""
    with suppress(GlimtError):
        geometry = parse_geometry(start + "\n".join(f"{key} = {value}" for key, value in lines))
        detector = detector_geometry(geometry, frame_shape=(64, 64))
        assert constant_mask(geometry, detector).shape == (64, 64)
