from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from glimt.codecs.cbf import cbf_mask, decode_cbf, decode_cbf_header, encode_cbf
from glimt.codecs.cbf_header import CbfHeader, read_cbf_header, write_cbf_header
from glimt.model.errors import DecodeError, UsageError

IMAGE = np.array([[0, 1, -1, 127, 255], [40_000, -2, 1 << 30, -(1 << 31), (1 << 31) - 1]], np.int32)
PACKED = bytes.fromhex(  # by hand: 1, -2, then escapes into two, four and eight bytes
    "00 01 fe 80 8000 80 8000".replace(" ", "")
)


def test_differences_of_every_size_come_back() -> None:
    assert np.array_equal(decode_cbf(encode_cbf(IMAGE)).pixels, IMAGE)


def test_bytes_written_by_hand_are_decoded() -> None:
    image = np.array([[0, 1, -1, 127, 255]], np.int32)
    file = encode_cbf(image)
    assert PACKED in file
    assert np.array_equal(decode_cbf(file).pixels, image)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_extremes_of_every_type_come_back(dtype: str) -> None:
    limits = np.iinfo(dtype)
    image = np.array([[limits.max, limits.min, limits.max], [0, limits.min, limits.max]], dtype)
    decoded = decode_cbf(encode_cbf(image), check_md5=True).pixels
    assert decoded.dtype == image.dtype
    assert np.array_equal(decoded, image)


def test_header_of_a_pilatus_is_understood() -> None:
    header = read_cbf_header(
        "# Detector: PILATUS3 6M, S/N 60-0119\r\n# Pixel_size 172e-6 m x 180e-6 m\r\n"
        "# Silicon sensor, thickness 0.000450 m\r\n# Exposure_time 0.0190000 s\r\n# Exposure_period 0.0200000 s\r\n"
        "# Count_cutoff 115897 counts\r\n# Threshold_setting: 6400 eV\r\n# Wavelength 0.96859 A\r\n"
        "# Detector_distance 0.35100 m\r\n# Beam_xy (1261.61, 1306.96) pixels\r\n# Start_angle 89.9997 deg.\r\n"
        "# Angle_increment 0.1000 deg.\r\n"
    )
    assert header == CbfHeader(
        detector="PILATUS3 6M",
        serial_number="60-0119",
        pixel_size_m=(180e-6, 172e-6),
        beam_center_px=(1306.96, 1261.61),
        distance_m=0.351,
        wavelength_angstrom=0.96859,
        exposure_s=0.019,
        period_s=0.02,
        count_cutoff=115897.0,
        threshold_ev=6400.0,
        sensor_thickness_m=0.00045,
        sensor_material="Silicon",
        start_angle_deg=89.9997,
        angle_increment_deg=0.1,
    )
    assert read_cbf_header(write_cbf_header(header)) == header


def test_other_units_are_converted_and_strange_ones_left_out() -> None:
    header = read_cbf_header(
        "# Detector_distance 351 mm\n# Exposure_time 19 ms\n# Wavelength 0.1 nm\n# Threshold_setting 6.4 keV\n"
        "# Exposure_period 3 fortnights\n# Count_cutoff many\n# Beam_xy (12, nan) pixels\n# Pixel_size 1 x\n"
    )
    assert header.distance_m == pytest.approx(0.351)
    others = (header.exposure_s, header.wavelength_angstrom, header.threshold_ev)
    assert others == (0.019, 1.0, 6400.0)
    assert (header.period_s, header.count_cutoff, header.beam_center_px, header.pixel_size_m) == (None,) * 4


@pytest.mark.parametrize(
    "line",
    ["# Wavelength " + "9" * 10_000, "# Beam_xy (" * 500, "# Exposure_time 1e999 s", "#" * 3000, "# Detector:", "\0"],
)
def test_strange_header_lines_are_left_out(line: str) -> None:
    assert read_cbf_header(line) == CbfHeader()


def test_text_with_a_line_break_cannot_be_written() -> None:
    with pytest.raises(UsageError, match="line breaks"):
        encode_cbf(IMAGE, CbfHeader(detector="a\n;\n"))
    with pytest.raises(UsageError, match="data block"):
        encode_cbf(IMAGE, name="two words")
    with pytest.raises(UsageError, match="no image"):
        encode_cbf(np.zeros((2, 2)))


def test_image_is_decoded_into_the_callers_memory() -> None:
    out = np.empty(IMAGE.shape, np.int32)
    assert decode_cbf(bytearray(encode_cbf(IMAGE)), out=out).pixels is out
    with pytest.raises(DecodeError, match="does not fit the buffer"):
        decode_cbf(encode_cbf(IMAGE), out=np.empty((5, 2), np.int32))
    out.flags.writeable = False
    with pytest.raises(UsageError, match="writable"):
        decode_cbf(encode_cbf(IMAGE), out=out)


def test_mask_excludes_what_is_no_measurement() -> None:
    assert cbf_mask(np.array([[3, -1, -2, 0]], np.int32)).tolist() == [[False, True, True, False]]
    assert cbf_mask(np.array([[3, 65535, 65534, 65533]], np.uint16)).tolist() == [[False, True, True, False]]


def test_header_alone_needs_no_pixels() -> None:
    file = encode_cbf(IMAGE, CbfHeader(distance_m=0.2))
    assert decode_cbf_header(file[:400]).distance_m == 0.2
    with pytest.raises(DecodeError, match="begins with"):
        decode_cbf_header(b"")


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"###CBF", b"###XYZ", "a CBF begins with"),
        (b"--CIF-BINARY-FORMAT-SECTION--\r\nC", b"C", "is missing before the pixels"),
        (b"\x0c\x1a\x04\xd5", b"", "no pixels begin"),
        (b"X-Binary-Size: ", b"X-Binary-Size: 99999", "the file is cut"),
        (b"X-Binary-Size: ", b"X-Binary-Size: -", "a whole number is needed"),
        (b"Fastest-Dimension: 5", b"Fastest-Dimension: 6", "only flat images"),
        (b"Second-Dimension: 2", b"Second-Dimension: 2222222222222222", "a whole number is needed"),
        (b"BYTE_OFFSET", b"PACKED", "convert the file"),
        (b"Encoding: BINARY", b"Encoding: BASE64", "convert the file to BINARY"),
        (b"signed 32-bit integer", b"signed 64-bit real IEEE", "little-endian integers"),
        (b"LITTLE_ENDIAN", b"BIG_ENDIAN", "little-endian integers"),
        (b'"signed 32-bit', b'"unsigned 32-bit', "does not fit uint32"),
        (b"Content-MD5: ", b"Content-MD5: x", "MD5"),
        (b"Content-MD5: ", b"Content-XYZ: x", "no Content-MD5"),
    ],
)
def test_damaged_file_says_what_is_wrong(old: bytes, new: bytes, what: str) -> None:
    file = encode_cbf(IMAGE)
    assert old in file
    with pytest.raises(DecodeError, match=rf"scan 3: .*{what}"):
        decode_cbf(file.replace(old, new, 1), where="scan 3", check_md5=True)


def test_few_bytes_cannot_ask_for_much_memory() -> None:
    file = encode_cbf(IMAGE)
    for old, new in (
        (b"Fastest-Dimension: 5", b"Fastest-Dimension: 50000"),
        (b"Second-Dimension: 2", b"Second-Dimension: 2000"),
        (b"Elements: 10", b"Elements: 100000000"),
    ):
        file = file.replace(old, new, 1)
    with pytest.raises(DecodeError, match="cannot hold 100000000 pixels"):
        decode_cbf(file)


def test_pixels_that_are_not_compressed_are_read() -> None:
    packed = encode_cbf(IMAGE)
    head, _, _ = packed.partition(b"\x0c\x1a\x04\xd5")
    lines = [line for line in head.split(b"\r\n") if b"conversions" not in line]
    head = b"\r\n".join(b"X-Binary-Size: 40" if line.startswith(b"X-Binary-Size: ") else line for line in lines)
    assert np.array_equal(decode_cbf(head + b"\x0c\x1a\x04\xd5" + IMAGE.tobytes()).pixels, IMAGE)


def test_bytes_behind_the_last_pixel_are_an_error() -> None:
    image = np.zeros((2, 3), np.int32)
    file = encode_cbf(image).replace(b"X-Binary-Size: 6\r", b"X-Binary-Size: 7\r")
    with pytest.raises(DecodeError, match="1 bytes follow the last pixel"):
        decode_cbf(file)


def test_empty_data_is_an_error() -> None:
    with pytest.raises(DecodeError, match="begins with"):
        decode_cbf(b"")
    with pytest.raises(DecodeError, match="contiguous"):
        decode_cbf(memoryview(encode_cbf(IMAGE))[::2])


@pytest.mark.skipif(importlib.util.find_spec("fabio") is None, reason="FabIO is not installed")
def test_fabio_and_we_read_what_the_other_writes(tmp_path: Path) -> None:
    fabio = importlib.import_module("fabio")
    header = CbfHeader(detector="PILATUS 100K", distance_m=0.2, exposure_s=0.5, count_cutoff=1000.0)
    image = np.maximum(IMAGE, -2) // 2  # FabIO 2026.6 misreads differences that need eight bytes
    (tmp_path / "ours.cbf").write_bytes(encode_cbf(image, header))
    assert np.array_equal(fabio.open(str(tmp_path / "ours.cbf")).data, image)
    fabio.cbfimage.CbfImage(data=image).write(str(tmp_path / "theirs.cbf"))
    assert np.array_equal(decode_cbf((tmp_path / "theirs.cbf").read_bytes()).pixels, image)
