"""The per-image analysis as a service: messages in, results out."""

from __future__ import annotations

import bz2
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from glimt.app.analyse import analyse_images
from glimt.app.analyse_group import AnalysedImage, AnalysisOptions
from glimt.codecs.cbf import decode_cbf, encode_cbf
from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.services.image_files import N_ATTEMPTS
from glimt.services.image_request import AnalysisParameters
from glimt.services.per_image_analysis import PerImageAnalysisService
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import ServiceSetup
from hdf5_masters import frames, write_data, write_eiger_series, write_master
from open_files import open_below
from service_steps import sent, step_for

STATISTICS = 9


def service(root: Path, **configuration: Any) -> PerImageAnalysisService:
    return PerImageAnalysisService(ServiceSetup(configuration, (root,), root))


@pytest.fixture
def analysis(tmp_path: Path) -> Iterator[PerImageAnalysisService]:
    made = service(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def thaumatin(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images with many spots, unpacked."""
    folder = tmp_path_factory.mktemp("thaumatin")
    for number in (10, 11):
        name = f"thau_3_2_{number:04d}.cbf"
        packed = (shared_data / "gridscan_thaumatin_pilatus6m" / f"{name}.bz2").read_bytes()
        (folder / name).write_bytes(bz2.decompress(packed))
    return folder


def analysed(path: Path, **spots: Any) -> list[dict[str, Any]]:
    """Return what `glimt analyse` finds, by default with Diamond's settings."""
    found: list[AnalysedImage] = []
    options = dataclasses.replace(AnalysisParameters().spots(), **spots)
    analyse_images([path], found.append, options=AnalysisOptions(spots=options), n_processes=1)
    return [dataclasses.asdict(image.quality) for image in found if image.quality is not None]


def payloads(step: RecipeStep, target: int = 2) -> list[dict[str, Any]]:
    return [payload for pointer, payload in sent(step) if pointer == target]


def test_statistics_are_those_of_the_command_exactly(thaumatin: Path) -> None:
    made = service(thaumatin)
    wanted = analysed(thaumatin)
    assert len(wanted) == 2
    for path, quality in zip(sorted(thaumatin.glob("*.cbf")), wanted, strict=True):
        step = step_for({"d_max": 40}, {"file": str(path), "file-number": 7, "file-seen-at": 1.5}, 2)
        made.handle(step)
        (payload,) = payloads(step)
        assert payload == {**quality, "file": str(path), "file-number": 7, "file-seen-at": 1.5}
        assert payload["n_spots_total"] > 300


def test_parameters_of_the_message_override_those_of_the_recipe(thaumatin: Path) -> None:
    path = thaumatin / "thau_3_2_0011.cbf"
    made = service(thaumatin)
    message = {"file": str(path), "parameters": {"d_min": "3.5", "threshold_algorithm": "dispersion_extended"}}
    step = step_for({"d_min": 2, "d_max": "None", "filter_ice": "false", "ice_rings_width": "None"}, message, 2)
    made.handle(step)
    (wanted, *_) = analysed(path, d_min=3.5, d_max=None, ice_filter=False, algorithm="dispersion_extended")
    assert payloads(step) == [{**wanted, "file": str(path)}]


def test_defaults_are_those_of_diamond() -> None:
    assert AnalysisParameters().spots() == SpotOptions(
        algorithm="dispersion", disable_parallax_correction=True, d_max=40.0, ice_filter=True, ice_width=0.004
    )


@pytest.fixture
def series(tmp_path: Path) -> tuple[Path, np.ndarray[Any, Any]]:
    master, pixels = write_eiger_series(tmp_path, [3, 2], "uint16")
    return master, pixels


def test_all_keys_that_begin_with_file_go_on(
    series: tuple[Path, np.ndarray[Any, Any]], analysis: PerImageAnalysisService
) -> None:
    message = {
        "file": str(series[0]), "file-number": 2, "file-pattern-index": 9, "file-seen-at": 3.0, "file-list-index": 4,
        "filename-of-old": "x", "hdf5": "y", "hdf5-index": 1, "other": 1, "parameters": {"scan_range": "2,2"},
    }  # fmt: skip
    step = step_for({}, message, [2, 3, 4])
    analysis.handle(step)
    assert [pointer for pointer, _ in sent(step)] == [2, 3, 4]
    (payload,) = payloads(step)
    assert {key: payload[key] for key in payload if key.startswith("file")} == {
        key: message[key] for key in message if key.startswith("file")
    }
    assert len(payload) == STATISTICS + 6


@pytest.mark.parametrize("output", [2, {"result": 2}, {"result": [2, 3], "reflections": 4}])
def test_result_is_the_default_stream(
    output: Any, series: tuple[Path, np.ndarray[Any, Any]], analysis: PerImageAnalysisService
) -> None:
    step = step_for({}, {"file": str(series[0]), "hdf5-index": 0}, output)
    analysis.handle(step)
    assert len(payloads(step)) == 1
    assert not payloads(step, 4)


def test_scan_range_gives_a_result_for_each_image(
    series: tuple[Path, np.ndarray[Any, Any]], analysis: PerImageAnalysisService
) -> None:
    master = series[0]
    step = step_for({}, {"file": str(master), "file-seen-at": 1.0, "parameters": {"scan_range": "2,5"}}, 2)
    analysis.handle(step)
    wanted = analysed(master)
    assert [(p["file-number"], p["file-seen-at"]) for p in payloads(step)] == [(n, 1.0) for n in (2, 3, 4, 5)]
    for payload in payloads(step):
        assert {key: payload[key] for key in wanted[0]} == wanted[payload["file-number"] - 1]


@pytest.mark.parametrize("in_recipe", [True, False])
def test_blocks_name_file_and_frames(
    in_recipe: bool, series: tuple[Path, np.ndarray[Any, Any]], analysis: PerImageAnalysisService
) -> None:
    block = {"filename": str(series[0]), "start_frame_index": "1", "number_of_frames": "3", "message_index": 0}
    step = step_for(block, [], 2) if in_recipe else step_for({}, block, 2)
    analysis.handle(step)
    found = payloads(step)
    assert [p["file-number"] for p in found] == [2, 3, 4]
    assert all(p["file"] == str(series[0]) and p["file-seen-at"] > 1.6e9 for p in found)
    assert all(len(p) == STATISTICS + 3 for p in found)


@pytest.mark.parametrize("as_block", [True, False])
def test_many_images_take_several_turns(
    as_block: bool, series: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    made = service(tmp_path, images_per_turn=2)
    name = str(series[0])
    message: Any = {"file": name, "parameters": {"scan_range": "1,5"}}
    if as_block:
        message = {"filename": name, "start_frame_index": 0, "number_of_frames": 5}
    turns, numbers = 0, []
    while message is not None:
        step = step_for({}, message, 2)
        made.handle(step)
        numbers += [p["file-number"] for p in payloads(step)]
        rest = [payload for pointer, payload in sent(step) if pointer == 1]
        message, turns = (rest[0] if rest else None), turns + 1
    assert numbers == [1, 2, 3, 4, 5]
    assert turns == 3


def test_images_after_one_that_is_not_written_wait(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 2], "uint16")
    late = tmp_path / "scan_data_000002.h5"
    late.unlink()
    made = service(tmp_path)
    step = step_for({}, {"filename": str(master), "start_frame_index": 0, "number_of_frames": 5}, 2)
    made.handle(step)
    assert [p["file-number"] for p in payloads(step)] == [1, 2, 3]
    (rest,) = payloads(step, 1)
    assert (rest["start_frame_index"], rest["number_of_frames"]) == (3, 2)
    assert step.outgoing[-1].delay_s == 0.5
    with pytest.raises(RetryMessageError, match="still be written"):
        made.handle(step_for({}, rest, 2))
    write_data(late, pixels[3:])
    step = step_for({}, rest, 2, n_deliveries=2)
    made.handle(step)
    assert [p["file-number"] for p in payloads(step)] == [4, 5]


def test_one_image_that_cannot_be_analyzed_does_not_hold_the_others(
    tmp_path: Path, analysis: PerImageAnalysisService
) -> None:
    pixels = frames(4, "uint16")
    pixels[1] = 0
    pixels[1, :, ::3] = 1000  # a third of its pixels are strong
    write_data(tmp_path / "d.h5", pixels)
    write_master(tmp_path / "m.h5", {"data_000001": ("d.h5", "/entry/data/data")}, n_expected=4)
    step = step_for({}, {"filename": str(tmp_path / "m.h5"), "number_of_frames": 4}, 2)
    analysis.handle(step)
    assert [p["file-number"] for p in payloads(step)] == [1, 3, 4]
    (alone,) = payloads(step, 1)
    with pytest.raises(RejectedMessageError, match="strong"):
        analysis.handle(step_for({}, alone, 2))


def test_images_of_a_growing_file_are_read_as_they_are_written(tmp_path: Path) -> None:
    pixels = frames(4, "uint16")
    made = service(tmp_path)
    write_master(tmp_path / "m.h5", {"data_000001": ("growing.h5", "/entry/data/data")}, n_expected=4)
    writer = h5py.File(tmp_path / "growing.h5", "w", libver="latest")
    data = writer.create_dataset(
        "entry/data/data", (1, *pixels.shape[1:]), "uint16", maxshape=(None, *pixels.shape[1:]),
        chunks=(1, *pixels.shape[1:]), **hdf5plugin.Bitshuffle(),
    )  # fmt: skip
    writer.swmr_mode = True
    counts = []
    for n in range(4):
        message = {"file": str(tmp_path / "m.h5"), "parameters": {"scan_range": f"{n + 1},{n + 1}"}}
        if n:
            with pytest.raises(RetryMessageError, match="still be written"):
                made.handle(step_for({}, message, 2))
        data.resize(n + 1, axis=0)
        data[n] = pixels[n]
        data.flush()
        step = step_for({}, message, 2, n_deliveries=2)
        made.handle(step)
        counts += [p["file-number"] for p in payloads(step)]
    assert counts == [1, 2, 3, 4]
    made.close()
    writer.close()


def test_file_that_is_cut_is_tried_again_and_then_rejected(tmp_path: Path, analysis: PerImageAnalysisService) -> None:
    path = tmp_path / "cut.cbf"
    path.write_bytes(encode_cbf(frames(1, "int32")[0])[:900])
    waits = []
    for n in range(1, N_ATTEMPTS):
        with pytest.raises(RetryMessageError, match=r"cut\.cbf.*still be written") as retry:
            analysis.handle(step_for({}, {"file": str(path)}, 2, n_deliveries=n))
        waits.append(retry.value.after_s)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    with pytest.raises(RejectedMessageError, match=r"cut\.cbf.*tried 6 times"):
        analysis.handle(step_for({}, {"file": str(path)}, 2, n_deliveries=N_ATTEMPTS))


@pytest.mark.parametrize("name", ["missing.cbf", "missing.h5", "folder"])
def test_file_that_is_not_there_may_come(name: str, tmp_path: Path, analysis: PerImageAnalysisService) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RetryMessageError, match="no such file"):
        analysis.handle(step_for({}, {"file": str(tmp_path / name), "hdf5-index": 0}, 2))


def test_pipes_do_not_block(tmp_path: Path, analysis: PerImageAnalysisService) -> None:
    os.mkfifo(tmp_path / "pipe.cbf")
    with pytest.raises(RetryMessageError, match="no such file"):
        analysis.handle(step_for({}, {"file": str(tmp_path / "pipe.cbf")}, 2))


def test_files_outside_the_roots_are_not_opened(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    master, _ = write_eiger_series(tmp_path, [1], "uint16")
    with pytest.raises(RejectedMessageError, match="outside the folders"):
        service(inside).handle(step_for({}, {"file": str(master), "hdf5-index": 0}, 2))


def test_file_that_was_replaced_is_opened_again(tmp_path: Path, analysis: PerImageAnalysisService) -> None:
    master, _ = write_eiger_series(tmp_path, [1], "uint16")
    message = {"file": str(master), "hdf5-index": 1}
    analysis.handle(step_for({}, {"file": str(master), "hdf5-index": 0}, 2))
    with pytest.raises(RetryMessageError, match="no image 2 of 1 yet"):
        analysis.handle(step_for({}, message, 2))
    write_data(tmp_path / "more.h5", frames(2, "uint16"))
    write_master(tmp_path / "new.h5", {"data_000001": ("more.h5", "/entry/data/data")}, n_expected=2)
    os.replace(tmp_path / "new.h5", master)
    step = step_for({}, message, 2)
    analysis.handle(step)
    assert len(payloads(step)) == 1


def test_which_image_of_many_must_be_said(
    series: tuple[Path, np.ndarray[Any, Any]], analysis: PerImageAnalysisService
) -> None:
    with pytest.raises(RejectedMessageError, match=r"5 images.*scan_range"):
        analysis.handle(step_for({}, {"file": str(series[0])}, 2))


def test_the_only_image_need_not_be_named(tmp_path: Path, analysis: PerImageAnalysisService) -> None:
    master, _ = write_eiger_series(tmp_path, [1], "uint16")
    step = step_for({}, {"file": str(master)}, 2)
    analysis.handle(step)
    assert len(payloads(step)) == 1


def test_scan_range_means_nothing_to_files_with_one_image(thaumatin: Path) -> None:
    path = thaumatin / "thau_3_2_0010.cbf"
    made = service(thaumatin)
    for text in ("10,10", "1,5"):
        step = step_for({}, {"file": str(path), "file-number": 10, "parameters": {"scan_range": text}}, 2)
        made.handle(step)
        assert [p["file-number"] for p in payloads(step)] == [10]


def test_blocks_of_files_with_one_image_are_rejected(thaumatin: Path) -> None:
    message = {"filename": str(thaumatin / "thau_3_2_0010.cbf"), "start_frame_index": 9, "number_of_frames": 1}
    with pytest.raises(RejectedMessageError, match="no HDF5"):
        service(thaumatin).handle(step_for({}, message, 2))


def test_bad_pixels_of_one_image_are_not_those_of_the_next(thaumatin: Path, tmp_path: Path) -> None:
    whole = thaumatin / "thau_3_2_0011.cbf"
    pixels, header = decode_cbf(whole.read_bytes())
    half = pixels.copy()
    half[: half.shape[0] // 2] = -2
    (tmp_path / "half.cbf").write_bytes(encode_cbf(half, header))
    (tmp_path / "whole.cbf").write_bytes(encode_cbf(pixels, header))
    made, counts = service(tmp_path), []
    for name in ("half", "whole", "half"):
        step = step_for({}, {"file": str(tmp_path / f"{name}.cbf")}, 2)
        made.handle(step)
        counts.append(payloads(step)[0]["n_spots_total"])
    (wanted, *_) = analysed(whole)
    assert counts[0] == counts[2] < counts[1] == wanted["n_spots_total"]


def test_file_that_tells_no_geometry_is_rejected_at_once(tmp_path: Path, analysis: PerImageAnalysisService) -> None:
    path = tmp_path / "bare.cbf"
    path.write_bytes(encode_cbf(frames(1, "int32")[0]))
    with pytest.raises(RejectedMessageError, match="does not say"):
        analysis.handle(step_for({}, {"file": str(path)}, 2))


def test_geometry_of_the_site_is_used_for_files_without(tmp_path: Path, thaumatin: Path) -> None:
    pixels, _ = decode_cbf((thaumatin / "thau_3_2_0011.cbf").read_bytes())
    (tmp_path / "bare.cbf").write_bytes(encode_cbf(pixels))
    (tmp_path / "geometry.poni").write_text(
        "poni_version: 2.1\nDetector: Detector\n"
        'Detector_config: {"pixel1": 0.000172, "pixel2": 0.000172, "max_shape": [2527, 2463], "orientation": 3}\n'
        "Distance: 0.351\nPoni1: 0.22\nPoni2: 0.21\nRot1: 0\nRot2: 0\nRot3: 0\nWavelength: 9.686e-11\n"
    )
    made = service(tmp_path, poni=str(tmp_path / "geometry.poni"))
    step = step_for({}, {"file": str(tmp_path / "bare.cbf")}, 2)
    made.handle(step)
    assert payloads(step)[0]["n_spots_total"] > 300


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, None),
        ({}, []),
        ({}, "text"),
        ({}, {}),
        ({}, {"file": 5}),
        ({}, {"file": None}),
        ({}, {"file": "relative.cbf"}),
        ({}, {"file": "/a", "parameters": [1]}),
        ({}, {"file": "/a", "hdf5-index": -1}),
        ({}, {"file": "/a", "hdf5-index": "x"}),
        ({}, {"filename": "/a"}),
        ({}, {"filename": "/a", "number_of_frames": 0}),
        ({}, {"filename": "/a", "number_of_frames": 3, "start_frame_index": -1}),
        ({}, {"filename": ["/a"], "number_of_frames": 3}),
        *(({"scan_range": text}, {"file": "/a"}) for text in ("0,1", "2,1", "1", "a,b", "1,2,3", "-1,2", [0, 1])),
        ({"scan_range": "9" * 30}, {"file": "/a"}),
        ({"d_min": "many"}, {"file": "/a"}),
        ({"d_max": []}, {"file": "/a"}),
        ({"threshold_algorithm": "radial_profile"}, {"file": "/a"}),
        ({"filter_ice": "perhaps"}, {"file": "/a"}),
    ],
)  # fmt: skip
def test_messages_that_make_no_sense_are_rejected(
    parameters: dict[str, Any], message: Any, analysis: PerImageAnalysisService
) -> None:
    with pytest.raises(RejectedMessageError):
        analysis.handle(step_for(parameters, message, 2))


@pytest.mark.parametrize(
    "parameters",
    [{"d_min": "nan"}, {"d_min": 50}, {"ice_rings_width": -1}, {"ice_rings_width": "nan"}, {"ice_rings_width": 0}],
)
def test_limits_that_make_no_sense_are_rejected(
    parameters: dict[str, Any], series: tuple[Path, np.ndarray[Any, Any]], analysis: PerImageAnalysisService
) -> None:
    with pytest.raises(RejectedMessageError):
        analysis.handle(step_for(parameters, {"file": str(series[0]), "hdf5-index": 0}, 2))


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"open_file": 3}, "open_file"),
        ({"open_files": "3"}, "open_files"),
        ({"images_per_turn": 0}, "images_per_turn"),
        ({"retry_s": -1.0}, "retry_s"),
    ],
)
def test_configuration_that_is_wrong_names_its_table(configuration: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[services\.per_image_analysis\]") as refused:
        service(tmp_path, **configuration)
    assert told in str(refused.value)


def test_open_files_are_bounded(tmp_path: Path) -> None:
    made = service(tmp_path, open_files=2)
    before = open_below(tmp_path)
    for k in range(8):
        folder = tmp_path / str(k)
        folder.mkdir()
        master, _ = write_eiger_series(folder, [1], "uint16")
        made.handle(step_for({}, {"file": str(master)}, 2))
    assert 0 < len(open_below(tmp_path)) - len(before) <= 2 * 2
    made.close()
    assert open_below(tmp_path) == before


def test_results_are_json(series: tuple[Path, np.ndarray[Any, Any]], analysis: PerImageAnalysisService) -> None:
    step = step_for({}, {"file": str(series[0]), "hdf5-index": 0}, 2)
    analysis.handle(step)
    json.loads(step.outgoing[0].body)
