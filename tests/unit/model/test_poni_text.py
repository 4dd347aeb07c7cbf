from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import DecodeError, UsageError
from glimt.model.geometry import Detector, Poni
from glimt.model.poni_text import MAX_PONI_CHARACTERS, format_poni, parse_poni, poni_from_mapping, read_poni

NUMBERS = """\
Distance: 0.15
Poni1: 0.08
Poni2: 0.07
Rot1: 0.01
Rot2: -0.02
Rot3: 3e-3
Wavelength: 1e-10
"""
VERSION_1 = "# Nota: C-Order\nPixelSize1: 7.5e-05\nPixelSize2: 8e-05\nSplineFile: None\n" + NUMBERS
VERSION_2 = (
    'poni_version: 2\nDetector: Detector\nDetector_config: {"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [10, 20]}\n'
    + NUMBERS
)
VERSION_21 = 'poni_version: 2.1\nDetector: Eiger2_4M\nDetector_config: {"orientation": 2}\n' + NUMBERS


def _like(detector: Detector) -> Poni:
    return Poni(detector, 0.15, 0.08, 0.07, 0.01, -0.02, 3e-3, 1e-10)


def test_version_1_has_pixel_sizes_and_no_shape() -> None:
    assert parse_poni(VERSION_1) == _like(Detector(7.5e-5, 8e-5))


def test_version_2_configures_the_detector_in_json() -> None:
    assert parse_poni(VERSION_2) == _like(Detector(1e-4, 2e-4, (10, 20)))


def test_version_2_1_knows_detectors_by_name_and_their_orientation() -> None:
    assert parse_poni(VERSION_21) == _like(Detector(75e-6, 75e-6, (2162, 2068), "Eiger2_4M", 2))


def test_version_3_without_parallax_is_read() -> None:
    text = VERSION_21.replace("2.1", "3") + "Parallax: False\n"
    assert parse_poni(text) == parse_poni(VERSION_21)


def test_last_of_equal_keys_counts_because_pyfai_appends() -> None:
    assert parse_poni(VERSION_2 + NUMBERS.replace("0.15", "0.25")).dist == 0.25


def test_wavelength_may_be_missing() -> None:
    assert parse_poni(VERSION_2.replace("Wavelength: 1e-10\n", "")).wavelength is None
    assert parse_poni(VERSION_2.replace("1e-10", "None")).wavelength is None


@pytest.mark.parametrize("key", ["Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3"])
def test_missing_key_is_named(key: str) -> None:
    text = "\n".join(line for line in VERSION_2.splitlines() if not line.startswith(key))
    with pytest.raises(DecodeError, match=f"{key.lower()} missing"):
        parse_poni(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not a PONI file"),
        ("\x00\x01", "not a PONI file"),
        ("hello: world", "not a PONI file"),
        ("x" * (MAX_PONI_CHARACTERS + 1), "longer than"),
        (VERSION_2.replace("0.15", "zero"), "dist is 'zero'"),
        (VERSION_2.replace("0.15", "0"), "dist is 0 m"),
        (VERSION_2.replace("0.15", "nan"), "dist is nan"),
        (VERSION_2.replace("0.08", "inf"), "poni1 is inf"),
        (VERSION_2.replace("[10, 20]", "[10, 1e300]"), "detector shape"),
        (VERSION_2.replace("[10, 20]", "[100000000, 100000000]"), "detector shape"),
        (VERSION_2.replace("[10, 20]", '{"a": 1}'), "detector shape"),
        (VERSION_2.replace("1e-4", "NaN"), "pixel1 is nan"),
        (VERSION_2.replace('"pixel1": 1e-4, ', ""), "pixel sizes missing"),
        (VERSION_2.replace('{"pixel1"', '{"pixel1'), "not JSON"),
        (VERSION_2.replace('{"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [10, 20]}', "[" * 100_000), "not JSON"),
        (VERSION_2.replace('{"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": [10, 20]}', "[1]"), "not a JSON object"),
        (VERSION_2.replace("Detector: Detector", "Detector: Nose"), "'Nose' is not known"),
        (VERSION_2.replace('"pixel1"', '"splineFile": "a.spline", "pixel1"'), "distortion"),
        (VERSION_1.replace("None", "frelon.spline"), "distortion"),
        (VERSION_21.replace("2.1", "3") + "Parallax: True", "parallax"),
        (VERSION_2.replace("poni_version: 2", "poni_version: 4"), "versions 1 to 3"),
        (VERSION_2.replace("poni_version: 2", "poni_version: two"), "poni_version is 'two'"),
        (VERSION_21.replace('{"orientation": 2}', '{"orientation": 9}'), "orientation is 9"),
        (VERSION_21.replace('{"orientation": 2}', '{"orientation": [1]}'), "orientation is"),
    ],
)
def test_what_is_wrong_is_said(text: str, what: str) -> None:
    with pytest.raises(DecodeError, match=what):
        parse_poni(text)


def test_dictionary_may_have_numbers_and_a_nested_configuration() -> None:
    mapping: dict[str, Any] = {
        "dist": 0.15, "poni1": 0.08, "poni2": 0.07, "rot1": 0.01, "rot2": -0.02, "rot3": 3e-3, "wavelength": 1e-10,
        "detector": "Detector", "detector_config": {"pixel1": 1e-4, "pixel2": 2e-4, "max_shape": (10, 20)},
    }  # fmt: skip
    assert poni_from_mapping(mapping) == parse_poni(VERSION_2)


@pytest.mark.parametrize("text", [VERSION_1, VERSION_2, VERSION_21])
def test_what_is_written_reads_back(text: str, tmp_path: Path) -> None:
    poni = parse_poni(text)
    path = tmp_path / "a.poni"
    path.write_text(format_poni(poni))
    assert read_poni(path) == poni


def test_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.poni cannot be read"):
        read_poni(tmp_path / "none.poni")
    (tmp_path / "b.poni").write_bytes(b"\xff\xfe\x00Distance")
    with pytest.raises(DecodeError, match="not text"):
        read_poni(tmp_path / "b.poni")
