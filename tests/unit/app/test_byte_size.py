"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.app.byte_size import parse_size, size_text


@pytest.mark.parametrize(
    ("written", "n_bytes"),
    [
        (1, 1),
        ("512", 512),
        ("256 MB", 256_000_000),
        ("2GiB", 2 << 30),
        ("1.5 kb", 1500),
        (" 1 TB ", 10**12),
        ("7 B", 7),
    ],
)
def test_sizes_are_read_as_people_write_them(written: int | str, n_bytes: int) -> None:
    assert parse_size(written) == n_bytes


@pytest.mark.parametrize(
    "written", [0, -1, True, 1.5, None, "", "MB", "1 XB", "-1 MB", "1e3 MB", "9" * 99, "2000 TiB", "0.1 B", "١ MB", []]
)
def test_sizes_that_are_none_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="it must be a size"):
        parse_size(written)


@given(st.integers(1, 10**15))
def test_size_as_text_is_the_size_but_for_rounding(n_bytes: int) -> None:
    assert parse_size(size_text(n_bytes)) == pytest.approx(n_bytes, rel=0.006)
