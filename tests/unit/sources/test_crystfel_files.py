"""Files that a CrystFEL geometry file leads to: opened, held within bounds, and told when they are not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.codecs.crystfel_geometry_mask import constant_mask
from glimt.model.errors import DecodeError, RejectedMessageError, UsageError
from glimt.services.confined_path import confine_to
from glimt.sources.crystfel_files import read_geometry_mask, read_header, read_saturation

SHAPE = (6, 8)
GEOMETRY = """photon_energy = 9000
clen = 0.1
res = 10000
mask_bad = 0xff
p/min_fs = 0
p/max_fs = 7
p/min_ss = 0
p/max_ss = 5
p/corner_x = 0
p/corner_y = 0
p/fs = x
p/ss = y
badrow/panel = p
badrow/min_fs = 0
badrow/max_fs = 7
badrow/min_ss = 5
badrow/max_ss = 5
"""


def mask_of(text: str, **options: Any) -> list[list[int]]:
    record = parse_geometry(text + GEOMETRY)
    detector = detector_geometry(record)
    mask = read_geometry_mask(record, detector, **options)
    return np.argwhere(mask & ~constant_mask(record, detector)).tolist()


def write(path: Path, *places: tuple[int, int], name: str = "/mask", dtype: str = "u4") -> Path:
    plane = np.zeros(SHAPE, dtype)
    for place in places:
        plane[place] = 1
    with h5py.File(path, "a") as file:
        file.create_dataset(name, data=plane, chunks=SHAPE, compression="gzip")
    return path


def test_a_named_file_is_opened_beside_what_the_text_excludes(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", (1, 2))
    assert mask_of(f"mask = /mask\nmask_file = {path}\n") == [[1, 2]]


def test_names_count_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "m.h5", (1, 2))
    monkeypatch.chdir(tmp_path)
    assert mask_of("mask = /mask\nmask_file = m.h5\n") == [[1, 2]]
    with pytest.raises(UsageError, match=r"names other.h5 \(as .*other.h5: .* working directory\), and there is no"):
        mask_of("mask = /mask\nmask_file = other.h5\n")


def test_a_mask_without_a_file_is_in_that_of_the_images(tmp_path: Path) -> None:
    images = write(tmp_path / "i.h5", (3, 3), name="/entry/mask")
    assert mask_of("mask = /entry/mask\n", images=images) == [[3, 3]]
    assert mask_of("mask = /entry/mask\n") == []
    (tmp_path / "i.cbf").write_bytes(b"###CBF: no HDF5")
    assert mask_of("mask = /entry/mask\n", images=tmp_path / "i.cbf") == []
    with pytest.raises(DecodeError, match=r"i.h5 has no readable /entry/none"):
        mask_of("mask = /entry/none\n", images=images)


def test_masks_are_followed_over_links(tmp_path: Path) -> None:
    write(tmp_path / "real.h5", (2, 2))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("real.h5", "/mask")
    assert mask_of(f"mask = /linked\nmask_file = {tmp_path / 'm.h5'}\n") == [[2, 2]]
    (tmp_path / "real.h5").unlink()
    with pytest.raises(UsageError, match=r"real\.h5 is missing"):
        mask_of(f"mask = /linked\nmask_file = {tmp_path / 'm.h5'}\n")


def test_a_virtual_mask_whose_source_is_missing_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "real.h5", (2, 2))
    layout = h5py.VirtualLayout(SHAPE, "u4")
    layout[:] = h5py.VirtualSource("real.h5", "/mask", SHAPE)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_virtual_dataset("mask", layout)
    text = f"mask = /mask\nmask_file = {tmp_path / 'm.h5'}\n"
    assert mask_of(text) == [[2, 2]]
    (tmp_path / "real.h5").unlink()
    with pytest.raises(UsageError, match=r"real\.h5 is missing"):
        mask_of(text)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write(path, (0, 0))
    with h5py.File(path, "a") as file:
        file["text"] = "a mask"
        file["number"] = 3
        file.create_group("group")
        file.create_dataset("huge", (1 << 16, 1 << 16), "u1", chunks=(1, 1 << 16))
        file.create_dataset("words", data=np.array([b"a", b"b"]))
    text = f"mask_file = {path}\nmask = "
    with pytest.raises(UsageError, match=r"takes /none from .*m.h5: .*has no readable /none"):
        mask_of(f"{text}/none\n")
    for name in ("text", "number", "group"):
        with pytest.raises(UsageError, match=f"/{name} is no dataset with an array"):
            mask_of(f"{text}/{name}\n")
    for name in ("huge", "words"):
        with pytest.raises(UsageError, match=f"/{name} is .* numbers are possible"):
            mask_of(f"{text}/{name}\n")
    (tmp_path / "no.h5").write_bytes(b"no HDF5")
    with pytest.raises(UsageError, match=r"no.h5 cannot be read"):
        mask_of(f"mask = /m\nmask_file = {tmp_path / 'no.h5'}\n")
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(UsageError, match="there is no such file"):
        mask_of(f"mask = /m\nmask_file = {tmp_path / 'pipe.h5'}\n")


def test_a_damaged_mask_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "m.h5", (0, 0))
    with h5py.File(path) as file:
        chunk = file["mask"].id.get_chunk_info(0)
    whole = bytearray(path.read_bytes())
    whole[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(whole)
    with pytest.raises(UsageError, match="/mask cannot be read"):
        mask_of(f"mask = /mask\nmask_file = {path}\n")


def test_files_out_of_bounds_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    secret = write(tmp_path / "other" / "secret.h5", (1, 1))
    inside = tmp_path / "mine" / "m.h5"
    with h5py.File(inside, "w") as file:
        file["mask"] = h5py.ExternalLink("../other/secret.h5", "/mask")
    confine = confine_to([tmp_path / "mine"])
    with pytest.raises(RejectedMessageError, match=r"secret\.h5 is outside the folders"):
        mask_of(f"mask = /mask\nmask_file = {secret}\n", confine=confine)
    record = parse_geometry(f"saturation_map = /mask\nsaturation_map_file = {secret}\n" + GEOMETRY)
    detector = detector_geometry(record)
    with pytest.raises(RejectedMessageError, match=r"secret\.h5 is outside the folders"):
        read_saturation(record, detector, confine=confine)
    with pytest.raises(RejectedMessageError, match=r"/mask leads to '../other/secret.h5'"):
        mask_of(f"mask = /mask\nmask_file = {inside}\n", confine=confine)
    with pytest.raises(RejectedMessageError, match=r"/mask leads to '../other/secret.h5'"):
        mask_of("mask = /mask\n", images=inside, confine=confine)
    with pytest.raises(RejectedMessageError, match="is outside the folders"):  # also whether it is there is not told
        mask_of(f"mask = /mask\nmask_file = {tmp_path / 'other' / 'none.h5'}\n", confine=confine)
    assert mask_of(f"mask = /mask\nmask_file = {inside}\n") == [[1, 1]]


def test_a_saturation_map_is_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "s.h5", (1, 1), dtype="f4")
    record = parse_geometry(f"saturation_map = /mask\nsaturation_map_file = {path}\n" + GEOMETRY)
    found = read_saturation(record, detector_geometry(record))
    assert found is not None
    assert (found[1, 1], found.sum()) == (1.0, 1.0)


def test_numbers_of_the_images_file_are_found_where_the_geometry_says(tmp_path: Path) -> None:
    text = GEOMETRY.replace("clen = 0.1", "clen = /d mm").replace("photon_energy = 9000", "photon_energy = /e eV")
    record = parse_geometry(f"detector_shift_x = /x mm\ndetector_shift_y = /no/y mm\n{text}")
    with h5py.File(tmp_path / "i.h5", "w") as file:
        file["d"], file["e"], file["x"] = 120.0, np.full(5, 9000.0), "left"
    assert read_header(record, images=tmp_path / "i.h5") == {"/d": 120.0, "/e": 9000.0}
    assert read_header(record, images=tmp_path / "none.h5") == {}
    with h5py.File(tmp_path / "i.h5", "a") as file:
        file["e"][2] = 9001
    with pytest.raises(UsageError, match="/e is 9000 to 9001: it differs from image to image"):
        read_header(record, images=tmp_path / "i.h5")


def test_a_number_that_is_none_is_not_said_to_differ_and_one_that_is_not_there_is_not_zero(tmp_path: Path) -> None:
    record = parse_geometry(GEOMETRY.replace("clen = 0.1", "clen = /d mm"))
    for content in (np.nan, [np.nan, 120.0], np.inf):
        with h5py.File(tmp_path / "i.h5", "w") as file:
            file["d"] = content
        with pytest.raises(UsageError, match="/d is not a finite number"):
            read_header(record, images=tmp_path / "i.h5")
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("gone.h5", "/d", (4,))
    with h5py.File(tmp_path / "i.h5", "w") as file:
        file.create_virtual_dataset("d", layout)
    with pytest.raises(DecodeError, match=r"gone\.h5 is missing"):
        read_header(record, images=tmp_path / "i.h5")
