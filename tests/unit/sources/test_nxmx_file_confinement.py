"""HDF5 files that lead out of the folders that are open: refused before anything is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from glimt.model.errors import DecodeError, RejectedMessageError
from glimt.services.confined_path import confine_to
from glimt.services.image_files import ImageFiles, unreadable
from glimt.sources.image_file import open_images
from glimt.sources.new_files_images import ArrivingImages
from glimt.sources.nxmx_file_confinement import LinkConfinement
from hdf5_masters import SHAPE, frames, write_data, write_eiger_series, write_master

IMAGES = "/entry/data/data"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder that is open; beside it is another one, with ``secret.h5``."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    write_data(tmp_path / "other" / "secret.h5", frames(2))
    return tmp_path / "mine"


def refuse(path: Path, root: Path, match: str) -> None:
    files = ImageFiles(roots=[root])
    with pytest.raises(RejectedMessageError, match=match) as caught:
        files.read(path, 0)
    files.close()
    assert str(path) in str(caught.value)
    assert unreadable(caught.value, 1, retry_s=1.0) is caught.value  # at once, not after six attempts
    with pytest.raises(RejectedMessageError, match=match):
        ArrivingImages(str(path), confine=confine_to([root])).look_again()


def virtual(path: Path, source: str) -> None:
    write_master(path)
    layout = h5py.VirtualLayout((2, *SHAPE), "uint32")
    layout[:] = h5py.VirtualSource(source, IMAGES, (2, *SHAPE))
    with h5py.File(path, "a", libver="latest") as file:
        file.create_virtual_dataset(IMAGES, layout)


def test_link_to_images_elsewhere_is_refused_and_named(root: Path) -> None:
    write_master(root / "m.h5", {"data_000001": ("../other/secret.h5", IMAGES)})
    refuse(root / "m.h5", root, r"/entry/data/data_000001 leads to '../other/secret.h5': .*other/secret.h5 is outside")


def test_virtual_source_elsewhere_is_refused(root: Path) -> None:
    virtual(root / "m.h5", str(root.parent / "other" / "secret.h5"))
    refuse(root / "m.h5", root, r"/entry/data/data leads to '.*secret.h5'")


def test_symbolic_link_beside_the_master_does_not_help(root: Path) -> None:
    (root / "d.h5").symlink_to(root.parent / "other" / "secret.h5")
    write_master(root / "m.h5", {"data_000001": ("d.h5", IMAGES)})
    refuse(root / "m.h5", root, r"leads to 'd.h5': .*secret.h5, which is outside")


def test_link_of_a_linked_file_is_refused(root: Path) -> None:
    with h5py.File(root / "d.h5", "w") as file:
        file["inner"] = h5py.ExternalLink("../other/secret.h5", IMAGES)
    write_master(root / "m.h5", {"data_000001": ("d.h5", "/inner")})
    files = ImageFiles(roots=[root])
    with pytest.raises(RejectedMessageError, match=r"d\.h5: /inner leads to"):
        files.read(root / "m.h5", 0)


def test_mask_that_hdf5_would_fetch_by_itself_is_refused(root: Path) -> None:
    master, _ = write_eiger_series(root, [2])
    with h5py.File(master, "a") as file:
        detector = file["entry/instrument/detector"]
        detector["deep/er"] = 1
        detector["deep/pixel_mask"] = h5py.ExternalLink("../other/secret.h5", IMAGES)
    refuse(master, root, r"detector/deep/pixel_mask leads to")


def test_raw_data_in_another_file_are_refused(root: Path) -> None:
    (root.parent / "other" / "raw").write_bytes(bytes(4 * SHAPE[0] * SHAPE[1]))
    write_master(root / "m.h5")
    with h5py.File(root / "m.h5", "a") as file:
        raw = [(str(root.parent / "other" / "raw"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset(IMAGES, (1, *SHAPE), "uint32", external=raw)
    refuse(root / "m.h5", root, r"/entry/data/data leads to '.*other/raw'")


def test_virtual_sources_of_a_pattern_are_refused(root: Path) -> None:
    write_master(root / "m.h5")
    with h5py.File(root / "m.h5", "a", libver="latest") as file:
        space = h5py.h5s.create_simple((2, *SHAPE), (h5py.h5s.UNLIMITED, *SHAPE))
        space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (1, *SHAPE), (1, *SHAPE))
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_virtual(space, b"x_%b.h5", IMAGES.encode(), h5py.h5s.create_simple((1, *SHAPE)))
        h5py.h5d.create(file["entry/data"].id, b"data", h5py.h5t.NATIVE_UINT32, space, properties)
    with pytest.raises(DecodeError, match="cannot be known"):
        open_images(root / "m.h5", confine_to([root]))


def test_hdf5_behind_other_bytes_is_refused(root: Path) -> None:
    with h5py.File(root / "m.h5", "w", userblock_size=512) as file:
        file["x"] = h5py.ExternalLink("../other/secret.h5", IMAGES)
    with pytest.raises(DecodeError, match="behind other bytes"):
        open_images(root / "m.h5", confine_to([root]))


def test_link_that_appears_later_is_seen_by_the_watcher(root: Path) -> None:
    write_master(root / "m.h5", {"data_000001": ("d.h5", IMAGES)}, n_expected=2)
    images = ArrivingImages(str(root / "m.h5"), confine=confine_to([root]))
    images.look_again()
    assert not images.has(0)
    (root / "d.h5").symlink_to(root.parent / "other" / "secret.h5")
    images.look_again()
    with pytest.raises(RejectedMessageError, match="outside"):
        images.has(0)
    images.close()


def test_files_within_the_folders_are_read_as_before(root: Path, tmp_path: Path) -> None:
    master, pixels = write_eiger_series(root, [2, 1])
    virtual(root / "v.h5", "scan_data_000001.h5")
    files = ImageFiles(roots=[root])
    np.testing.assert_array_equal(files.read(master, 2).pixels & 0xFFFF, pixels[2] & 0xFFFF)
    np.testing.assert_array_equal(files.read(root / "v.h5", 1).pixels & 0xFFFF, pixels[1] & 0xFFFF)
    files.close()
    images = ArrivingImages(str(master), confine=confine_to([root]))
    images.look_again()
    assert [images.has(k) for k in range(4)] == [True, True, True, False]
    images.close()
    write_master(root / "m.h5", {"data_000001": ("../other/secret.h5", IMAGES)})
    with open_images(root / "m.h5") as series:  # a command of the user's own
        assert len(series) == 2


def test_files_that_lead_to_each_other_in_circles_are_gone_through_once(root: Path) -> None:
    for name, other in (("a.h5", "b.h5"), ("b.h5", "a.h5")):
        with h5py.File(root / name, "w") as file:
            file["x"] = h5py.ExternalLink(other, "/x")
            file["group/again"] = file["/"]
    asked: list[str] = []
    confinement = LinkConfinement(asked.append)
    confinement.check(str(root / "a.h5"))
    assert sorted({os.path.basename(path) for path in asked}) == ["a.h5", "b.h5"]
    n_asked = len(asked)
    confinement.check(str(root / "a.h5"))
    assert len(asked) == n_asked + 1  # only the file itself: nothing changed


def test_too_many_objects_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.sources.nxmx_file_confinement.MAX_ENTRIES", 10)
    with h5py.File(root / "a.h5", "w") as file:
        for k in range(11):
            file[f"{k}"] = k
    with pytest.raises(DecodeError, match="more than 10 objects"):
        LinkConfinement(lambda _: None).check(str(root / "a.h5"))


def test_deep_groups_do_not_end_the_process(root: Path) -> None:
    with h5py.File(root / "a.h5", "w", libver="latest") as file:
        group = file.id
        for _ in range(3000):
            group = h5py.h5g.create(group, b"g")
        h5py.Group(group)["x"] = h5py.ExternalLink("/etc/x.h5", "/")
    confine: Callable[[str], None] = confine_to([root])
    with pytest.raises(RejectedMessageError, match="/g/g/x leads to"):
        LinkConfinement(confine).check(str(root / "a.h5"))
