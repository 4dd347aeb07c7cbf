"""Pictures of diffraction images, and where they go."""

from __future__ import annotations

import bz2
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glimt.codecs.cbf import encode_cbf
from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.services.diffraction_picture import GAP_GREY
from glimt.services.images import PLUGINS, ImagesService
from glimt.services.picture_files import default_output
from glimt.services.service import ServiceSetup
from hdf5_masters import write_eiger_series
from service_steps import step_for

DRAW = {"image_command": "diffraction"}
VISIT = re.compile(r"/[a-z]{2}[0-9]{4,}-[0-9]+/")
TEMPLATE = "{visit}/jpegs/{rest}/{name}.jpeg"


def service(root: Path, **configuration: Any) -> ImagesService:
    return ImagesService(ServiceSetup(configuration, (root,), root))


@pytest.fixture
def images(tmp_path: Path) -> Iterator[ImagesService]:
    made = service(tmp_path)
    yield made
    made.close()


@pytest.fixture
def visit(tmp_path: Path) -> Path:
    folder = tmp_path / "i03" / "cm1234-5" / "thau"
    folder.mkdir(parents=True)
    return folder


def write_image(path: Path) -> Path:
    """Write 400 x 320 pixels: background that grows to the right, one strong spot, a gap."""
    pixels = np.tile(np.arange(320) // 40, (400, 1)).astype(np.int32)
    pixels[100:108, 40:48] = 5000
    pixels[200:216] = -1
    path.write_bytes(encode_cbf(pixels))
    return path


def test_picture_and_thumbnail_lie_in_the_visit(visit: Path, images: ImagesService) -> None:
    file = write_image(visit / "a_0001.cbf")
    images.handle(step_for(DRAW, {"file": str(file)}))
    folder = visit.parent / "jpegs" / "thau"
    assert sorted(os.listdir(folder)) == ["a_0001.jpeg", "a_0001.thumb.jpeg"]
    with Image.open(folder / "a_0001.jpeg") as picture:
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "L", (80, 100))
    with Image.open(folder / "a_0001.thumb.jpeg") as small:
        assert small.size == (80, 100)


def test_spots_are_dark_gaps_light_and_background_in_order(visit: Path, images: ImagesService) -> None:
    file = write_image(visit / "a.cbf")
    images.handle(step_for({**DRAW, "output": str(visit / "a.png")}, {"file": str(file)}))
    with Image.open(visit / "a.png") as picture:
        greys = np.asarray(picture).astype(int)
    assert (greys[25:27, 10:12] == 0).all()
    assert (greys[50:54] == GAP_GREY).all()
    assert greys[10, 5] == 255
    row = greys[10, ::10]
    assert (np.diff(row) < 0).all()
    # p90 is 7 counts (the last eighth), which is 40 % of 60 % dark: 255 (1 - 0.24)
    assert abs(row[-1] - 255 * (1 - 0.24)) <= 2


def test_thumbnail_fits_the_size_of_the_message(visit: Path, images: ImagesService) -> None:
    file = write_image(visit / "a.cbf")
    images.handle(step_for({**DRAW, "size-x": "40", "size-y": 40}, {"file": str(file)}))
    with Image.open(visit.parent / "jpegs" / "thau" / "a.thumb.jpeg") as small:
        assert small.size == (32, 40)


def test_real_image_is_drawn(shared_data: Path, tmp_path: Path, images: ImagesService) -> None:
    packed = shared_data / "gridscan_thaumatin_pilatus6m" / "thau_3_2_0011.cbf.bz2"
    (tmp_path / "thau.cbf").write_bytes(bz2.decompress(packed.read_bytes()))
    images.handle(step_for(DRAW, {"file": str(tmp_path / "thau.cbf")}))
    with Image.open(tmp_path / "thau.jpeg") as picture:
        greys = np.asarray(picture)
    assert greys.shape == (632, 616)
    assert 200 < np.median(greys) < 250  # light background
    assert 0.001 < np.mean(greys < 60) < 0.05  # dark spots
    assert 50_000 < (tmp_path / "thau.jpeg").stat().st_size < 400_000


def test_input_names_the_first_image_of_an_hdf5_file(tmp_path: Path, images: ImagesService) -> None:
    master, pixels = write_eiger_series(tmp_path, [3], "uint16")
    for text, name in ((f"{master}:3:5", "b"), (str(master), "a")):
        images.handle(step_for({**DRAW, "input": text, "output": str(tmp_path / f"{name}.png")}, []))
    images.handle(step_for({**DRAW, "output": str(tmp_path / "c.png")}, {"file": str(master), "hdf5-index": 2}))
    first, third, again = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert first != third == again
    assert len(pixels) == 3


def test_pictures_are_written_whole_or_not_at_all(visit: Path, images: ImagesService) -> None:
    file = write_image(visit / "a.cbf")
    target = visit / "a.jpeg"
    target.mkdir()
    with pytest.raises(RejectedMessageError, match="cannot be written"):
        images.handle(step_for({**DRAW, "output": str(target)}, {"file": str(file)}))
    assert sorted(os.listdir(visit)) == ["a.cbf", "a.jpeg"]


def test_redelivery_writes_the_same_again(visit: Path, images: ImagesService) -> None:
    file = write_image(visit / "a.cbf")
    target = visit.parent / "jpegs" / "thau" / "a.jpeg"
    images.handle(step_for(DRAW, {"file": str(file)}))
    before = target.read_bytes()
    images.handle(step_for(DRAW, {"file": str(file)}, n_deliveries=2))
    assert target.read_bytes() == before


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("/etc/a.jpeg", "outside the folders"),
        ("{root}/../a.jpeg", "outside the folders"),
        ("{root}/data.h5", "no name for a picture"),
        ("a.jpeg", "no absolute path"),
        (5, "a path is a text"),
    ],
)
def test_pictures_go_nowhere_else(output: Any, told: str, tmp_path: Path, images: ImagesService) -> None:
    file = write_image(tmp_path / "a.cbf")
    if isinstance(output, str):
        output = output.replace("{root}", str(tmp_path))
    with pytest.raises(RejectedMessageError, match=told):
        images.handle(step_for({**DRAW, "output": output}, {"file": str(file)}))


def test_image_is_never_written_over(tmp_path: Path, images: ImagesService) -> None:
    file = write_image(tmp_path / "a.png")
    with pytest.raises(RejectedMessageError, match="written over"):
        images.handle(step_for({**DRAW, "output": str(file)}, {"file": str(file)}))


def test_missing_image_may_still_come(tmp_path: Path, images: ImagesService) -> None:
    message = {"file": str(tmp_path / "a.cbf")}
    with pytest.raises(RetryMessageError, match="no such file"):
        images.handle(step_for(DRAW, message))
    with pytest.raises(RejectedMessageError, match="tried 6 times"):
        images.handle(step_for(DRAW, message, n_deliveries=6))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, {"file": "/a"}),
        ({"image_command": "delete"}, {"file": "/a"}),
        ({"image_command": ["diffraction"]}, {"file": "/a"}),
        (DRAW, []),
        (DRAW, {"file": "None"}),
        (DRAW, {"file": 5}),
        (DRAW, {"file": "{root}/a.cbf", "hdf5-index": -1}),
        (DRAW, {"file": "{root}/a.cbf", "size-x": "many"}),
        (DRAW, {"file": "{root}/a.cbf", "size-x": 10**6}),
        ({**DRAW, "input": "{root}/a.cbf:x:1"}, []),
    ],
)
def test_messages_that_make_no_sense_are_rejected(
    parameters: dict[str, Any], message: Any, tmp_path: Path, images: ImagesService
) -> None:
    write_image(tmp_path / "a.cbf")
    real = [{k: v.replace("{root}", str(tmp_path)) if isinstance(v, str) else v for k, v in given.items()}
            if isinstance(given, dict) else given for given in (parameters, message)]  # fmt: skip
    with pytest.raises(RejectedMessageError):
        images.handle(step_for(*real))


def test_thumbnail_command_makes_a_picture_smaller(tmp_path: Path, images: ImagesService) -> None:
    Image.new("RGBA", (1000, 500)).save(tmp_path / "snap.png")
    images.handle(step_for({"image_command": "thumbnail"}, {"file": str(tmp_path / "snap.png")}))
    with Image.open(tmp_path / "snapt.png") as small:
        assert small.size == (384, 192)


def test_thumbnail_of_what_is_no_picture_is_rejected(tmp_path: Path, images: ImagesService) -> None:
    (tmp_path / "snap.png").write_bytes(b"no picture")
    with pytest.raises(RejectedMessageError, match="no picture"):
        images.handle(step_for({"image_command": "thumbnail"}, {"file": str(tmp_path / "snap.png")}))


def test_picture_that_unpacks_to_too_much_is_rejected(tmp_path: Path, images: ImagesService) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "bomb.png")
    with pytest.raises(RejectedMessageError):
        images.handle(step_for({"image_command": "thumbnail"}, {"file": str(tmp_path / "bomb.png")}))


PLUGIN = """
def answer(given):
    value = given.parameters("answer")
    if value == "missing":
        raise FileNotFoundError("missing")
    assert given.parameters("nothing", "x") == "x"
    return {"yes": ["file"], "no": False, "none": None}[value]
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package with a plug-in for Zocalo's service."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "picture_plugin.py").write_text(PLUGIN)
    info = tmp_path / "picture_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: picture-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{PLUGINS}]\nanswer = picture_plugin:answer\n")
    importlib.invalidate_caches()


@pytest.mark.usefixtures("plugin")
def test_plugins_of_zocalo_are_called(tmp_path: Path) -> None:
    made = service(tmp_path, plugins=True)
    made.handle(step_for({"image_command": "answer", "answer": "no"}, {"answer": "yes"}))
    for value in ("no", "none", "missing"):
        with pytest.raises(RetryMessageError, match="answer"):
            made.handle(step_for({"image_command": "answer", "answer": value}, []))


@pytest.mark.usefixtures("plugin")
def test_plugins_are_used_only_if_the_site_says_so(tmp_path: Path, images: ImagesService) -> None:
    with pytest.raises(RejectedMessageError, match="there are diffraction, thumbnail"):
        images.handle(step_for({"image_command": "answer"}, {"answer": "yes"}))


@pytest.mark.parametrize(
    ("file", "output"),
    [
        ("/dls/i03/data/2024/cm1234-5/thau/a_0001.cbf", "/dls/i03/data/2024/cm1234-5/jpegs/thau/a_0001.jpeg"),
        ("/dls/cm1234-5/a.cbf", "/dls/cm1234-5/jpegs/a.jpeg"),
        ("/dls/cm1234-5/x/cm1234-6/a.b.nxs", "/dls/cm1234-5/jpegs/x/cm1234-6/a.b.jpeg"),
        ("/dls/cm1234-5/a_1.cbf.gz", "/dls/cm1234-5/jpegs/a_1.jpeg"),
        ("/home/me/a.cbf", "/home/me/a.jpeg"),
        ("/home/me/{rest}/cm1234-5/{name}/a", "/home/me/{rest}/cm1234-5/jpegs/{name}/a.jpeg"),
    ],
)
def test_default_place_is_in_the_folder_of_pictures_of_the_visit(file: str, output: str) -> None:
    assert default_output(file, visit=VISIT, template=TEMPLATE) == output


def test_site_chooses_the_place(tmp_path: Path) -> None:
    made = service(tmp_path, visit=r"/run[0-9]+/", output=str(tmp_path) + "/web/{rest}/{name}.png")
    folder = tmp_path / "run7" / "b"
    folder.mkdir(parents=True)
    made.handle(step_for(DRAW, {"file": str(write_image(folder / "a.cbf"))}))
    assert (tmp_path / "web" / "b" / "a.png").is_file()
    assert (tmp_path / "web" / "b" / "a.thumb.png").is_file()


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"visit": "("}, "visit"),
        ({"output": "jpegs/{name}.jpeg"}, "output"),
        ({"output": "{visit}/a.jpeg"}, "output"),
        ({"binning": 0}, "binning"),
        ({"quality": 95}, "quality"),
    ],
)
def test_configuration_that_is_wrong_names_its_table(configuration: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[services\.images\]") as refused:
        service(tmp_path, **configuration)
    assert told in str(refused.value)
