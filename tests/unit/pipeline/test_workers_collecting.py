"""The reducer of the ready-made workers, the options of spots, and what sensors absorb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.app.analyse_reducer import FileReducer
from glimt.model.errors import UsageError
from glimt.model.event import ResultData
from glimt.model.parameters import WorkParameter
from glimt.model.sensor_absorption import absorption_per_mm
from glimt.pipeline.workers import CollectingReducer
from glimt.pipeline.workers.collecting import MAX_CURVE
from glimt.pipeline.workers.spot_options import SpotOptions, parse_spot_options, spot_option_names


def _result(number: int, payload: Any) -> ResultData:
    return ResultData(number, "worker", None, payload)


def test_numbers_become_curves_with_gaps() -> None:
    reducer = CollectingReducer()
    for number, value in ((1, 5), (4, 7.5), (2, True)):
        reducer.process_result(_result(number, {"n": value}))
    np.testing.assert_array_equal(reducer.publish["n"], [np.nan, 5, 1, np.nan, 7.5])


def test_curves_grow_without_losing_anything() -> None:
    reducer = CollectingReducer()
    for number in range(5000):
        reducer.process_result(_result(number, {"n": number, "half": number / 2}))
    np.testing.assert_array_equal(reducer.publish["n"], np.arange(5000))
    np.testing.assert_array_equal(reducer.publish["half"], np.arange(5000) / 2)
    reducer.process_result(_result(MAX_CURVE, {"n": 1}))
    assert len(reducer.publish["n"]) == 5000


def test_arrays_are_published_as_they_came_last() -> None:
    reducer = CollectingReducer()
    reducer.process_result(_result(1, {"intensity": np.arange(3), "q_axis": np.arange(3), "nothing": None}))
    reducer.process_result(_result(2, {"intensity": np.arange(3) + 1}))
    np.testing.assert_array_equal(reducer.publish["intensity"], [1, 2, 3])
    assert set(reducer.publish) == {"intensity", "q_axis"}


@pytest.mark.parametrize("payload", [5, [1], {"a": "text"}, {"a": {"b": 1}}])
def test_results_of_another_kind_are_refused(payload: Any) -> None:
    with pytest.raises(UsageError, match="this reducer takes"):
        CollectingReducer().process_result(_result(1, payload))


def test_results_are_in_the_file_by_event(tmp_path: Path) -> None:
    parameters = {"filename": WorkParameter("filename", b"", str(tmp_path / "out.h5"))}
    reducer = FileReducer(parameters)
    for number in (1, 3):
        payload = {"n_spots_total": 10 * number, "intensity": np.full(4, number), "q_axis": np.arange(4.0)}
        reducer.process_result(_result(number, payload), parameters)
    reducer.finish()
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["n_spots_total"][3] == 30
        assert file["intensity"].shape == (4, 4)
        assert list(file["entry/present/intensity"][:]) == [False, True, False, True]
        np.testing.assert_array_equal(file["q_axis"], np.arange(4.0))
    np.testing.assert_array_equal(reducer.publish["n_spots_total"], [np.nan, 10, np.nan, 30])


def test_without_a_name_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reducer = FileReducer({})
    reducer.process_result(_result(1, {"n": 1}), {})
    reducer.finish()
    assert list(tmp_path.iterdir()) == []


def test_spot_options_have_the_names_of_dials() -> None:
    text = "sigma_strong=4 filter.d_max=40 spotfinder.threshold.algorithm=dispersion kernel_size=2,5 gain=None"
    options = parse_spot_options(text + " ice_rings.width=0.01 ice_rings.filter=false max_separation=none")
    assert options == SpotOptions(
        sigma_strong=4.0, d_max=40.0, algorithm="dispersion", kernel_size=(2, 5), ice_width=0.01, ice_filter=False,
        max_separation=None,
    )  # fmt: skip
    assert parse_spot_options("") == SpotOptions()
    assert parse_spot_options("d_max=40 d_max=20").d_max == 20
    for name in spot_option_names():
        with pytest.raises(UsageError, match="is needed"):
            parse_spot_options(f"{name}=☂")


@pytest.mark.parametrize("text", ["d_max", "=4", "d=4", "x.d_max=4", "filter=", "d_max=4 nonsense", "a" * 20_000])
def test_spot_options_that_are_none_are_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"spot|is needed"):
        parse_spot_options(text)


def test_absorption_is_that_of_the_tables_of_dials() -> None:
    # cctbx.eltbx.attenuation_coefficient of DIALS 3.12, mu_at_kev, in 1/mm.
    for material, kev, expected in (
        ("Si", 12.658, 3.9603), ("Silicon", 8.0, 15.07044), ("Si", 25.0, 0.55718), ("CdTe", 12.0, 52.51778),
        ("cadmium telluride", 40.0, 11.966), ("CdTe", 30.0, 13.5284), ("GaAs", 15.0, 49.0504),
    ):  # fmt: skip
        assert absorption_per_mm(material, 1e3 * kev) == pytest.approx(expected, rel=2e-5)
    assert absorption_per_mm("Si", 12800.4) == pytest.approx(3.83262, rel=1e-4)  # of the PILATUS images


@pytest.mark.parametrize(
    ("material", "energy"),
    [
        ("Xe", 12e3),
        (None, 12e3),
        ("", 12e3),
        ("Si", None),
        ("Si", 1.0),
        ("Si", 1e9),
        ("CdTe", 4e3),
        ("Si", float("nan")),
    ],
)
def test_absorption_that_is_not_known_is_zero(material: str | None, energy: float | None) -> None:
    assert absorption_per_mm(material, energy) == 0.0
