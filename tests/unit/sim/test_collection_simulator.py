"""Simulated data collections: what is on disk is what the report says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from glimt.cli.simulate.collection import simulate_collection
from glimt.codecs.cbf import decode_cbf
from glimt.model.errors import DecodeError, UsageError
from glimt.sim.collection import SimulatedCollection
from glimt.sim.collection_plan import CollectionPlan
from glimt.sim.collection_report import CollectionReport
from glimt.sim.faults import Choice, Faults
from glimt.sources.image_file import open_images

SHAPE = (40, 52)


def _written(folder: Path, shape: tuple[int, int] = SHAPE, **plan: Any) -> CollectionReport:
    return SimulatedCollection(CollectionPlan(folder=folder, rate_hz=0, **plan), shape=shape, seed=1).run()


def test_cbf_files_are_read_back_with_their_header(tmp_path: Path) -> None:
    report = _written(tmp_path / "new" / "folder", n_images=3, first_number=7)
    assert [Path(image.file).name for image in report.images] == ["sim_00007.cbf", "sim_00008.cbf", "sim_00009.cbf"]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        Path(image.file).name for image in report.images
    ]
    with open_images(report.images[0].file) as series:
        assert series.metadata.shape == SHAPE
        assert series.metadata.wavelength_angstrom == pytest.approx(1.0, abs=0.01)
        assert series.read(0).sum() > 0


@pytest.mark.parametrize("form", ["nxmx-vds", "nxmx-links"])
def test_masters_lead_to_the_images_of_all_data_files(tmp_path: Path, form: str) -> None:
    report = _written(tmp_path, form=form, n_images=5, images_per_file=2)
    assert [Path(path).name for path in report.data_files] == ["sim_000001.h5", "sim_000002.h5", "sim_000003.h5"]
    drawn = _written(tmp_path / "cbf", n_images=5)
    with open_images(report.master) as series:
        assert (len(series), series.n_images_ready) == (5, 5)
        assert series.metadata.distance_m is not None
        for number, image in enumerate(drawn.images):
            expected = decode_cbf(Path(image.file).read_bytes()).pixels
            assert np.array_equal(series.read(number), expected.astype(np.uint32))


def test_data_files_can_take_images_in_turn(tmp_path: Path) -> None:
    report = _written(tmp_path, form="nxmx-vds", n_images=5, parallel_files=3)
    with open_images(report.master) as series, open_images(report.data_files[1]) as second:
        assert (len(series), len(second)) == (5, 2)
        assert np.array_equal(series.read(4), second.read(1))


def test_dropped_images_are_not_there(tmp_path: Path) -> None:
    faults = Faults(drop=Choice(numbers=frozenset({1, 4})))
    report = _written(tmp_path / "cbf", n_images=5, faults=faults)
    assert [image.number for image in report.images if image.written_ns is None] == [2, 5]
    assert not Path(report.images[1].file).exists()
    report = _written(tmp_path / "h5", form="nxmx-vds", n_images=5, faults=faults)
    with h5py.File(report.data_files[0]) as file:
        stored = file["entry/data/data"].id
        assert [bool(stored.get_chunk_info_by_coord((n, 0, 0)).size) for n in range(5)] == [
            True,
            False,
            True,
            True,
            False,
        ]


def test_truncated_images_cannot_be_read(tmp_path: Path) -> None:
    faults = Faults(truncate=Choice(numbers=frozenset({1})))
    report = _written(tmp_path / "cbf", (100, 120), n_images=2, faults=faults)  # in a smaller one only padding is cut
    assert [image.what for image in report.images] == ["send", "truncate"]
    with pytest.raises(DecodeError):
        decode_cbf(Path(report.images[1].file).read_bytes())
    report = _written(tmp_path / "h5", form="nxmx-links", n_images=2, faults=faults)
    with open_images(report.master) as series:
        series.read(0)
        with pytest.raises(DecodeError):
            series.read(1)


def test_late_images_come_after_those_that_follow_them(tmp_path: Path) -> None:
    report = _written(tmp_path, n_images=5, late=Choice(numbers=frozenset({1})), late_s=0.0)
    assert [(image.number, image.is_late) for image in report.images] == [
        *((1, False), (3, False), (4, False), (5, False), (2, True))
    ]
    plan = CollectionPlan(folder=tmp_path, n_images=5, rate_hz=10, late=Choice(numbers=frozenset({1})), late_s=0.25)
    assert [due.number for due in plan.schedule()] == [0, 2, 3, 1, 4]
    assert [due.time_s for due in plan.schedule()] == pytest.approx([0, 0.2, 0.3, 0.35, 0.4])


def test_schedule_is_the_same_every_time(tmp_path: Path) -> None:
    faults = Faults(reorder=3, jitter_ms=50, stall_after=10, stall_s=2, seed=5, drop=Choice(0.2))
    plan = CollectionPlan(folder=tmp_path, n_images=40, rate_hz=100, faults=faults)
    assert list(plan.schedule()) == list(plan.schedule())
    assert sorted(due.number for due in plan.schedule()) == list(range(40))
    assert sum(due.time_s > 2 for due in plan.schedule()) == 30


@pytest.mark.parametrize("writing", ["grow", "whole", "rename"])
def test_however_it_is_written_the_file_is_whole_in_the_end(tmp_path: Path, writing: str) -> None:
    report = _written(tmp_path, n_images=1, writing=writing, faults=Faults(duplicate=Choice(1.0)))
    assert [path.name for path in tmp_path.iterdir()] == ["sim_00001.cbf"]
    decode_cbf(Path(report.images[0].file).read_bytes(), check_md5=True)


def test_real_images_are_copied_as_they_are(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "gridscan_thaumatin_pilatus6m"
    plan = CollectionPlan(folder=tmp_path, n_images=2, rate_hz=0)
    report = SimulatedCollection(plan, source=source).run()
    with open_images(source / "thau_3_2_0002.cbf.bz2") as real, open_images(report.images[1].file) as copy:
        assert copy.metadata == real.metadata
        assert np.array_equal(copy.read(0), real.read(0))


def test_chosen_images_show_a_crystal_and_the_others_background_alone(tmp_path: Path) -> None:
    shape = (256, 256)
    plan = CollectionPlan(folder=tmp_path, n_images=4, rate_hz=0)
    report = SimulatedCollection(plan, shape=shape, seed=1, spots=Choice(numbers=frozenset({1, 3}))).run()
    counts = [decode_cbf(Path(image.file).read_bytes()).pixels for image in report.images]
    n_bright = [int((image > 30).sum()) for image in counts]
    assert n_bright[0] == n_bright[2] == 0
    assert min(n_bright[1], n_bright[3]) > 100


def test_a_choice_of_images_with_a_crystal_is_for_drawn_ones_that_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Choice(numbers=frozenset({1}))
    with pytest.raises(UsageError, match="not for those of --from"):
        SimulatedCollection(CollectionPlan(folder=tmp_path), source=tmp_path, spots=chosen)
    monkeypatch.setattr("glimt.sim.picture_pool.MAX_POOL_FRAMES", 5)
    with pytest.raises(UsageError, match="chooses among 5 images of this size at most, and 10 are asked for"):
        SimulatedCollection(CollectionPlan(folder=tmp_path), shape=SHAPE, spots=chosen)


def test_command_writes_files_and_report(tmp_path: Path) -> None:
    app = Typer()
    app.command()(simulate_collection)
    arguments = [str(tmp_path / "c"), "--images", "4", "--rate", "0", "--shape", "40x52", "--drop", "2", "--spots", "1"]
    result = CliRunner().invoke(app, [*arguments, "--report", str(tmp_path / "report.json")])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert report["pattern"] == str(tmp_path / "c" / "sim_%05d.cbf")
    assert [(image["number"], image["what"]) for image in report["images"]] == [
        *((1, "send"), (2, "send"), (3, "drop"), (4, "send"))
    ]
    assert all((image["written_ns"] is None) == (image["what"] == "drop") for image in report["images"])


@pytest.mark.parametrize(
    "plan",
    [
        {"form": "tiff"},
        {"writing": "slowly"},
        {"name": "../up"},
        {"n_images": 0},
        {"rate_hz": float("nan")},
        {"form": "nxmx-links", "parallel_files": 2},
        {"form": "nxmx-vds", "faults": Faults(duplicate=Choice(1.0))},
    ],
)
def test_plan_that_is_not_possible_is_refused(tmp_path: Path, plan: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CollectionPlan(folder=tmp_path, **plan)


def test_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no CBF files"):
        SimulatedCollection(CollectionPlan(folder=tmp_path / "to"), source=tmp_path)
