"""Pixels of single frames that a geometry file says not to trust."""

from __future__ import annotations

import numpy as np
import pytest

from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.model.errors import UsageError
from glimt.pipeline.workers.image_analysis import trusted_range
from glimt.pipeline.workers.untrusted_pixels import UntrustedPixels, mark_untrusted, without_untrusted

TEXT = """photon_energy = 9000
clen = 0.1
res = 10000
p/min_fs = 0
p/max_fs = 3
p/min_ss = 0
p/max_ss = 1
p/corner_x = 0
p/corner_y = 0
p/fs = x
p/ss = y
"""
FRAME = np.array([[0, 5, 10, 15], [20, 25, 30, 35]], np.uint16)


def test_flags_and_saturation_together_make_the_untrusted_pixels() -> None:
    record = parse_geometry("flag_lessthan = 5\nflag_equal = 30\n" + TEXT)
    detector = detector_geometry(record)
    saturation = np.full((2, 4), np.inf)
    saturation[0, 3], saturation[0, 2] = 14, 10
    mask = np.zeros((2, 4), np.bool_)
    bad = UntrustedPixels(record, detector, saturation=saturation, mask=mask).find(FRAME)
    assert bad is not None
    assert np.argwhere(bad).tolist() == [[0, 0], [0, 3], [1, 2]]
    mask[0] = True  # what is masked anyway needs no copy of the frame
    bad = UntrustedPixels(record, detector, saturation=saturation, mask=mask).find(FRAME)
    assert bad is not None
    assert np.argwhere(bad).tolist() == [[1, 2]]
    mask[1, 2] = True
    assert UntrustedPixels(record, detector, saturation=saturation, mask=mask).find(FRAME) is None
    plain = parse_geometry(TEXT)
    assert UntrustedPixels(plain, detector).find(FRAME) is None
    with pytest.raises(UsageError, match="the frame has shape"):
        UntrustedPixels(record, detector).find(FRAME[:1])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"])
def test_marked_pixels_are_never_trusted_and_the_others_stay(dtype: str) -> None:
    frame, bad = FRAME.astype(dtype), FRAME == 20
    marked = mark_untrusted(frame, bad)
    assert marked.dtype == (np.float64 if dtype == "u8" else frame.dtype)
    assert frame[1, 0] == 20
    np.testing.assert_array_equal(marked[~bad], frame[~bad])
    trusted = trusted_range(marked.dtype, None) or (-np.inf, np.inf)
    assert not (trusted[0] <= marked[1, 0] <= trusted[1])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4", "f8"])
def test_pixels_that_are_left_out_are_missing_and_the_others_exact(dtype: str) -> None:
    frame, bad = FRAME.astype(dtype), FRAME == 20
    if dtype in ("u4", "i4"):
        frame[0, 3] = 16_777_217  # one more than 32-bit floating numbers can count to
    found = without_untrusted(frame, bad)
    assert found.dtype.kind == "f"
    assert np.isnan(found[1, 0])
    np.testing.assert_array_equal(found[~bad], frame[~bad])
