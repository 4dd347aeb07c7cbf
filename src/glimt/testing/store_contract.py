"""What every result store must do, as tests: inherit from `StoreContract` and say how to make and read a store."""

# ruff: noqa: D102  a test's name is its sentence
from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.model.errors import UsageError
from glimt.model.parameters import WorkParameter
from glimt.stores.result_store import ResultStore


@dataclass(frozen=True, slots=True)
class StoreContent:
    """What a reader finds in a closed store.

    Attributes
    ----------
    rows : dict of str to ndarray
        Each ``(event, ...)``; text decoded.
    present : dict of str to ndarray
        Which events have a row, ``(event)`` bool.
    once : dict of str to object
        Values put once.
    parameters : dict of str to object
        At the start.
    parameter_changes : list of (int, dict)
        In order.
    """

    rows: dict[str, npt.NDArray[Any]]
    present: dict[str, npt.NDArray[np.bool_]]
    once: dict[str, Any]
    parameters: dict[str, Any]
    parameter_changes: list[tuple[int, dict[str, Any]]]


class StoreContract(ABC):
    """Tests of a result store."""

    @abstractmethod
    def make(
        self, folder: Path, *, parameters: Mapping[str, Any] | None = None, max_event_number: int = 1000
    ) -> ResultStore:
        """Return a new, empty store."""

    @abstractmethod
    def content(self, store: Any) -> StoreContent:
        """Return what is in a closed store."""

    def _stored(self, folder: Path, name: str, *puts: tuple[int, Any], **keywords: Any) -> StoreContent:
        with self.make(folder) as store:
            for event_number, value in puts:
                store.put(name, event_number, value, **keywords)
        return self.content(store)

    def test_rows_are_found_under_their_event_number_in_any_order(self, tmp_path: Path) -> None:
        content = self._stored(tmp_path, "I", *((n, np.full(3, n, "f4")) for n in (4, 0, 2, 1, 3)))
        assert content.rows["I"].dtype == np.float32
        np.testing.assert_array_equal(content.rows["I"], np.repeat(np.arange(5.0), 3).reshape(5, 3))
        assert content.present["I"].all()

    @pytest.mark.parametrize(
        ("value", "fill"),
        [(1.5, np.nan), (np.float32(2), np.nan), (7, 0), (np.uint8(7), 0), (True, False), ("a", ""), (1j, np.nan)],
    )
    def test_gaps_are_filled_and_are_not_present(self, tmp_path: Path, value: Any, fill: Any) -> None:
        content = self._stored(tmp_path, "x", (1, value), (3, value))
        np.testing.assert_array_equal(content.rows["x"], np.array([fill, value, fill, value]))
        assert content.rows["x"].dtype.kind == np.asarray(value).dtype.kind
        assert content.present["x"].tolist() == [False, True, False, True]

    def test_the_last_value_of_an_event_wins(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as store:
            for value in (1, 2):
                store.put("n", 5, value)
            store.flush()
            store.put("n", 5, 3)
        assert self.content(store).rows["n"][5] == 3

    def test_all_names_have_the_same_number_of_rows(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as store:
            store.put("a", 2, 1)
            store.put("b", 9, 1)
        content = self.content(store)
        assert {len(rows) for rows in content.rows.values()} == {10}
        assert {len(present) for present in content.present.values()} == {10}

    def test_a_value_may_be_changed_after_it_was_put(self, tmp_path: Path) -> None:
        value = np.zeros(4)
        with self.make(tmp_path) as store:
            store.put("v", 0, value)
            store.put_once("axis", value)
            value[:] = 9
        assert not self.content(store).rows["v"].any()
        assert not self.content(store).once["axis"].any()

    def test_text_and_arrays_of_text_come_back(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as store:
            store.put("state", 0, "größer 10 Å")
            store.put("pair", 0, np.array(["a", "bc"]))
        content = self.content(store)
        assert content.rows["state"].tolist() == ["größer 10 Å"]
        assert content.rows["pair"].tolist() == [["a", "bc"]]

    def test_masked_elements_become_nan(self, tmp_path: Path) -> None:
        content = self._stored(tmp_path, "v", (0, np.ma.masked_greater(np.array([1.0, 5.0]), 2)))
        np.testing.assert_array_equal(content.rows["v"], [[1, np.nan]])

    def test_a_declared_dtype_converts_what_fits(self, tmp_path: Path) -> None:
        content = self._stored(tmp_path, "v", (0, 3), (1, np.array(0.5)), (2, np.int64(9)), dtype="float32")
        assert content.rows["v"].dtype == np.float32
        assert content.rows["v"].tolist() == [3, 0.5, 9]

    def test_integers_that_fit_are_taken_by_value(self, tmp_path: Path) -> None:
        content = self._stored(tmp_path, "v", (0, np.uint16(1)), (1, 65535), (2, np.int64(2)))
        assert content.rows["v"].dtype == np.uint16
        assert content.rows["v"].tolist() == [1, 65535, 2]

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (np.zeros(3), np.zeros(4)),
            (np.zeros(3), 1.0),
            (np.zeros(3, "f4"), np.zeros(3)),
            (0, 9.25),
            (np.uint8(1), 256),
            (np.uint16(1), -1),
            (1.0, 1j),
            (1.0, "text"),
            ("text", 1.0),
            ("text", "x" * 257),
            (True, 2),
            (np.float32(1), 1e300),
            (1, np.ma.masked),
            (1.0, None),
        ],
    )
    def test_a_value_unlike_the_first_names_the_event_and_stores_nothing(
        self, tmp_path: Path, first: Any, second: Any
    ) -> None:
        with self.make(tmp_path) as store:
            store.put("spectrum", 1, first)
            with pytest.raises(UsageError, match=r"'spectrum', event 17") as failure:
                store.put("spectrum", 17, second)
        assert "expected" in str(failure.value) or "reserved" in str(failure.value) or "None" in str(failure.value)
        assert self.content(store).present["spectrum"].tolist() == [False, True]

    @pytest.mark.parametrize(
        "value",
        [
            None,
            object(),
            [1, [2, 3]],
            b"bytes",
            np.zeros(0),
            np.datetime64(1, "ns"),
            {},
            2**70,
            np.array([None]),
            np.ma.masked_equal([1, 2], 2),
        ],
    )
    def test_a_first_value_that_cannot_be_stored_takes_no_name(self, tmp_path: Path, value: Any) -> None:
        with self.make(tmp_path) as store:
            with pytest.raises(UsageError, match="'v'"):
                store.put("v", 0, value)
            store.put("v", 0, 1.0)
        assert self.content(store).rows["v"].tolist() == [1.0]

    @pytest.mark.parametrize(
        ("event_number", "message"),
        [(-1, "negative"), (1001, "limit of 1000"), (10**12, "limit"), (1.5, "expected an integer"), ("3", "integer")],
    )
    def test_an_absurd_event_number_is_refused(self, tmp_path: Path, event_number: Any, message: str) -> None:
        with self.make(tmp_path) as store:
            with pytest.raises(UsageError, match=message):
                store.put("I", event_number, 1.0)
            store.put("I", 1000, 1.0)
            store.put("I", np.int64(2), 1.0)
            with pytest.raises(UsageError, match=message):
                store.put("I", event_number, 1.0)
        assert np.flatnonzero(self.content(store).present["I"]).tolist() == [2, 1000]

    @pytest.mark.parametrize(
        "name", ["", "/I", "I/", "a//b", "a/../b", ".", "entry", "entry/process", "x\0", "n" * 256, 3]
    )
    def test_an_impossible_name_is_refused(self, tmp_path: Path, name: Any) -> None:
        with self.make(tmp_path) as store:
            with pytest.raises(UsageError):
                store.put(name, 0, 1.0)
            with pytest.raises(UsageError):
                store.put_once(name, 1.0)
        assert not self.content(store).rows

    def test_a_name_is_a_value_or_a_folder(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as store:
            store.put("fe/ka", 0, 1.0)
            store.put("mn", 0, 1.0)
            for name in ("fe", "mn/ka"):
                with pytest.raises(UsageError, match="folder"):
                    store.put(name, 0, 1.0)
                with pytest.raises(UsageError, match="folder"):
                    store.put_once(name, 1.0)
            with pytest.raises(UsageError, match="put_once"):
                store.put_once("mn", 1.0)
        assert sorted(self.content(store).rows) == ["fe/ka", "mn"]

    @pytest.mark.parametrize(
        "value", [1, 2.5, "text", b"a\0b", [1.0, float("nan")], ["a", "ü"], np.zeros((2, 3)), np.zeros(0)]
    )
    def test_what_is_put_once_may_be_put_again(self, tmp_path: Path, value: Any) -> None:
        with self.make(tmp_path) as store:
            for _ in range(3):
                store.put_once("radial_axis", value, unit="1/angstrom")
            store.flush()
            store.put_once("radial_axis", value)
            with pytest.raises(UsageError, match="another value"):
                store.put_once("radial_axis", 99)
            with pytest.raises(UsageError, match="put_once"):
                store.put("radial_axis", 0, 1.0)
        found = self.content(store).once["radial_axis"]
        if isinstance(value, str | bytes) or (isinstance(value, list) and isinstance(value[0], str)):
            assert found == value
        else:
            np.testing.assert_array_equal(found, value)

    def test_parameters_are_kept_as_they_were(self, tmp_path: Path) -> None:
        parameters = {
            "till_x": WorkParameter("till_x", b"3", 3),
            "poni": WorkParameter("poni", b"\0\xff", b"\0\xff"),
            "undescribed": WorkParameter("undescribed", b"raw", None),
            "threshold": 2.5,
            "name": "Ångström",
        }
        with self.make(tmp_path, parameters=parameters) as store:
            parameters["till_x"] = WorkParameter("till_x", b"9", 9)
            store.parameters_changed(7, parameters)
            store.parameters_changed(8, parameters)
            store.parameters_changed(11, {**parameters, "threshold": 3.0})
        content = self.content(store)
        assert content.parameters == {
            "till_x": 3,
            "poni": b"\0\xff",
            "undescribed": b"raw",
            "threshold": 2.5,
            "name": "Ångström",
        }
        assert [number for number, _ in content.parameter_changes] == [7, 11]
        assert [(p["till_x"], p["threshold"]) for _, p in content.parameter_changes] == [(9, 2.5), (9, 3.0)]

    def test_a_closed_store_refuses_and_closes_again(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        store.put("a", 0, 1)
        store.close()
        store.close()
        store.flush()
        for name in ("a", "b"):
            with pytest.raises(UsageError, match="closed"):
                store.put(name, 1, 1)
        with pytest.raises(UsageError, match="closed"):
            store.put_once("c", 1)
        with pytest.raises(UsageError, match="closed"):
            store.parameters_changed(1, {"a": 1})
        assert self.content(store).rows["a"].tolist() == [1]

    def test_threads_may_put_and_flush_at_once(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as store:

            def put(first: int) -> None:
                for number in range(first, 400, 4):
                    store.put("n", number, number)
                    store.put(f"of_{first}", number, float(number))
                    if number % 50 == 0:
                        store.flush()

            threads = [threading.Thread(target=put, args=(first,)) for first in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        content = self.content(store)
        assert content.rows["n"].tolist() == list(range(400))
        assert np.flatnonzero(content.present["of_3"]).tolist() == list(range(3, 400, 4))
