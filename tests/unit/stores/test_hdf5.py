from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.model.errors import GlimtError, StoreError, UsageError
from glimt.stores.hdf5 import Hdf5Store
from glimt.stores.hdf5_crash import lookup3, repair_after_crash
from glimt.testing.store_contract import StoreContent, StoreContract


def _value(dataset: Any) -> Any:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        found = dataset.asstr()[()]
        if dataset.chunks is not None:
            return found.astype(str)
        return found if isinstance(found, str) else found.tolist()
    return dataset[()]


def _parameter(dataset: Any) -> Any:
    value = _value(dataset)
    return value.tobytes() if isinstance(value, np.ndarray) and value.dtype == np.uint8 else value


def read(path: Path | str, **options: Any) -> StoreContent:
    with h5py.File(path, "r", **options) as file:
        found: dict[str, Any] = {}
        file.visititems(lambda name, item: found.update({name: _value(item)} if isinstance(item, h5py.Dataset) else {}))
        inside = "entry/present/"
        columns = [name.removeprefix(inside) for name in found if name.startswith(inside)]
        process = file["entry/process"]
        return StoreContent(
            rows={name: found[name] for name in columns},
            present={name: found[inside + name] for name in columns},
            once={n: v for n, v in found.items() if n not in columns and not n.startswith("entry/")},
            parameters={name: _parameter(item) for name, item in process["parameters"].items()},
            parameter_changes=[
                (int(group.attrs["event_number"]), {name: _parameter(item) for name, item in group.items()})
                for group in process["parameter_changes"].values()
            ],
        )


class TestHdf5Store(StoreContract):
    def make(
        self, folder: Path, *, parameters: Mapping[str, Any] | None = None, max_event_number: int = 1000
    ) -> Hdf5Store:
        return Hdf5Store(
            folder / "new" / "out.h5", parameters=parameters, max_event_number=max_event_number, block_rows=7
        )

    def content(self, store: Hdf5Store) -> StoreContent:
        content = read(store.path)
        once = {
            name: value.tobytes() if isinstance(value, np.ndarray) and value.dtype == np.uint8 else value
            for name, value in content.once.items()
        }
        return StoreContent(content.rows, content.present, once, content.parameters, content.parameter_changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output" / "xrd_processed.h5"


def test_an_existing_file_is_refused_and_stays_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"last year's thesis")
    with pytest.raises(UsageError, match="overwrite=True"):
        Hdf5Store(path)
    assert path.read_bytes() == b"last year's thesis"


def test_overwriting_replaces_the_old_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"rubbish")
    with Hdf5Store(path, overwrite=True) as store:
        store.put("a", 0, 1)
    assert read(path).rows["a"].tolist() == [1]


def test_a_file_that_is_being_written_is_not_overwritten(path: Path) -> None:
    with Hdf5Store(path) as store:
        with pytest.raises(UsageError, match=f"process {os.getpid()}"):
            Hdf5Store(path, overwrite=True)
        store.put("a", 0, 1)
    assert read(path).rows["a"].tolist() == [1]


def test_numbered_files_never_touch_each_other(path: Path) -> None:
    for number in range(3):
        with Hdf5Store(path, numbered=True) as store:
            store.put("a", 0, number)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "xrd_processed.h5",
        "xrd_processed_0001.h5",
        "xrd_processed_0002.h5",
    ]
    assert store.path.name == "xrd_processed_0002.h5"
    assert read(store.path).rows["a"].tolist() == [2]


@pytest.mark.parametrize("bad", ["", "."])
def test_a_folder_is_no_file(bad: str) -> None:
    with pytest.raises(UsageError, match="folder"):
        Hdf5Store(bad)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be made") as failure:
        Hdf5Store(tmp_path / "file" / "out.h5")
    assert isinstance(failure.value, GlimtError)
    assert failure.value.path.endswith("out.h5")


@pytest.mark.parametrize(
    "options",
    [{"compression": "gzip"}, {"block_rows": 0}, {"block_s": float("nan")}, {"overwrite": True, "numbered": True}],
)
def test_impossible_options_are_refused(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Hdf5Store(path, **options)
    assert not path.exists()


def test_a_relative_path_survives_a_change_of_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Hdf5Store("out.h5") as store:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        store.put("a", 0, 1)
    assert read(tmp_path / "out.h5").rows["a"].tolist() == [1]


def test_the_tutorial_reducer_needs_three_lines(path: Path) -> None:
    with Hdf5Store(path, parameters={"till_x": 3, "from_y": 7}) as store:
        store.put_once("radial_axis", np.linspace(0, 1, 100))
        for number in (2, 1, 3):
            store.put("reduced", number, float(number), dtype="float32")
            store.put("I", number, np.full(100, number), dtype="float32", axes="radial_axis", unit="counts")
    with h5py.File(path) as file:
        assert set(file) == {"entry", "I", "radial_axis", "reduced"}
        np.testing.assert_array_equal(file["reduced"], np.array([np.nan, 1, 2, 3], "f4"))
        assert file["I"].shape == (4, 100)
        assert file["I"].attrs["units"] == "counts"
        assert file["entry/process/parameters/till_x"][()] == 3


def test_viewers_find_the_default_plot(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("counter", 0, 1)
        store.put("state", 0, "ok")
        store.put("map/I", 0, np.zeros(5), axes="q")
        store.put_once("q", np.arange(5.0), unit="1/angstrom")
    with h5py.File(path) as file:
        plot = file[file.attrs["default"]][file["entry"].attrs["default"]]
        assert plot.attrs["NX_class"] == "NXdata"
        assert plot.attrs["signal"] == "map_I"
        assert list(plot.attrs["axes"]) == [".", "q"]
        assert plot["map_I"] == file["map/I"]
        assert plot["q"].shape == (5,)
        assert "state" not in plot


def test_a_plot_whose_axes_come_later_is_still_labeled(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("I", 0, np.zeros((2, 3)), axes=("y", "x"))
        store.flush()
        store.put_once("x", [1, 2, 3])
        store.put_once("y", [1, 2])
    with h5py.File(path) as file:
        assert list(file["entry/data"].attrs["axes"]) == [".", "y", "x"]
        assert file["entry/data/x"][:].tolist() == [1, 2, 3]


def test_axes_must_fit_the_row(path: Path) -> None:
    with Hdf5Store(path) as store, pytest.raises(UsageError, match="axes"):
        store.put("I", 0, np.zeros((2, 3)), axes="q")


def test_attributes_are_written_and_impossible_ones_refused(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("a", 0, 1.0, attributes={"long_name": "Ring Å", "roi": [1, 2, 3, 4], "is_raw": True})
        for attributes in ({"x": None}, {"x": object()}, {"": 1}, {"big": np.zeros(10_000)}, {3: 1}):
            with pytest.raises(UsageError):
                store.put("b", 0, 1.0, attributes=attributes)  # type: ignore[arg-type]  # 3 is no name
        with pytest.raises(UsageError, match="unit"):
            store.put("b", 0, 1.0, unit=3)  # type: ignore[arg-type]  # what is tested
    with h5py.File(path) as file:
        assert file["a"].attrs["long_name"] == "Ring Å"
        assert file["a"].attrs["roi"].tolist() == [1, 2, 3, 4]
        assert "b" not in file


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "g", "c8", "c16", "i1", "u8", "?", ">f4", ">i2", [("n", "i4"), ("at", "f8", (2,))]]
)
def test_every_dtype_comes_back(path: Path, dtype: Any) -> None:
    values = np.zeros((3, 2), dtype)
    values[1:] = np.ones((), dtype)
    with Hdf5Store(path) as store:
        for number, value in enumerate(values):
            store.put("v", number, value)
    np.testing.assert_array_equal(read(path).rows["v"], values)


@pytest.mark.parametrize("bad", [np.dtype([("o", "O")]), np.dtype([("t", "U3")]), np.dtype("V4"), "nonsense", "M8[s]"])
def test_an_impossible_dtype_is_refused(path: Path, bad: Any) -> None:
    with Hdf5Store(path) as store:
        with pytest.raises(UsageError):
            store.put("v", 0, 1.0, dtype=bad)
        if not isinstance(bad, str):
            with pytest.raises(UsageError):
                store.put("v", 0, np.zeros(2, bad))


def test_a_text_longer_than_reserved_says_what_to_pass(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("state", 0, "ok", max_length=4)
        with pytest.raises(UsageError, match="max_length"):
            store.put("state", 1, "moving")
        with pytest.raises(UsageError, match="max_length"):
            store.put("other", 1, "moving", max_length=0)
        store.put("long", 0, "x" * 300)
        store.put("long", 1, "x" * 600)


def test_long_rows_are_compressed_and_short_ones_are_not(path: Path) -> None:
    image = np.arange(4096, dtype="u4").reshape(64, 64)
    with Hdf5Store(path, compression="bslz4") as store:
        for number in range(20):
            store.put("image", number, image + number)
            store.put("sum", number, 1.0)
    with h5py.File(path) as file:
        assert "32008" in file["image"]._filters  # bitshuffle
        assert file["image"].chunks == (1, 64, 64)
        assert file["image"].id.get_storage_size() < 20 * image.nbytes / 3
        assert not file["sum"]._filters
        np.testing.assert_array_equal(file["image"][7], image + 7)


@pytest.mark.parametrize(("shape", "chunk"), [((), 4096), ((1000,), 262), ((1000, 1000), 1)])
def test_chunks_hold_about_a_mebibyte(path: Path, shape: tuple[int, ...], chunk: int) -> None:
    with Hdf5Store(path) as store:
        store.put("v", 0, np.zeros(shape, "f4"))
    with h5py.File(path) as file:
        assert file["v"].chunks == (chunk, *shape)


def test_rows_are_written_after_the_block_time_without_another_put(path: Path) -> None:
    with Hdf5Store(path, block_s=0.01) as store:
        store.put("a", 0, 1.0)
        deadline = time.monotonic() + 20
        content = StoreContent({}, {"a": np.zeros(1, np.bool_)}, {}, {}, [])
        while not content.present.get("a", np.zeros(0)).any() and time.monotonic() < deadline:
            try:
                content = read(path, swmr=True, locking=False)
            except (OSError, KeyError):
                continue  # the name is being made
        assert content.rows["a"].tolist() == [1.0]


def test_a_reader_in_the_same_process_does_no_harm(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("a", 0, 1.0)
        store.flush()
        with h5py.File(path, "r", swmr=True, locking=False) as reader:
            store.put("b", 0, 2.0)
            store.flush()
            store.put("a", 1, 1.0)
            store.flush()
            reader["a"].refresh()
            assert reader["a"].shape == (2,)
        store.put("c", 0, 2.0)
    assert sorted(read(path).rows) == ["a", "b", "c"]


def test_a_reader_in_the_way_makes_rows_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.stores.swmr_file._PATIENCE_S", 0.0)
    with Hdf5Store(path, block_s=1e6) as store:
        with h5py.File(path, "r", swmr=True, locking=False) as reader:
            store._writer._file._file.close()  # as in the moment when the file is opened anew
            store._writer._file._file = None
            store.put("a", 0, 1.0)
            assert reader.id.valid
        with h5py.File(path, "r", locking=False), pytest.raises(StoreError, match=r"busy.* 1 rows wait"):
            store.flush()
        assert store.n_lost == 0
    assert read(path).rows["a"].tolist() == [1.0]


def test_a_file_that_was_deleted_is_told_at_the_end(path: Path) -> None:
    store = Hdf5Store(path)
    path.unlink()
    store.put("a", 0, 1.0)
    with pytest.raises(StoreError, match="1 rows are lost"):
        store.close()
    assert not path.exists()


def test_a_full_block_is_written_at_once(path: Path) -> None:
    with Hdf5Store(path, block_rows=4, block_s=1e6) as store:
        for number in range(7):
            store.put("a", number, number)
        assert read(path, swmr=True, locking=False).rows["a"].tolist() == [0, 1, 2, 3]
        store.flush()
        assert read(path, swmr=True, locking=False).rows["a"].tolist() == list(range(7))


def test_memory_is_bounded_in_bytes(path: Path) -> None:
    with Hdf5Store(path, block_bytes=100_000, block_s=1e6) as store:
        for number in range(3):
            for name in ("a", "b", "c"):
                store.put(name, number, np.zeros(5000))
        present = read(path, swmr=True, locking=False).present
        assert sum(int(rows.sum()) for rows in present.values()) >= 6


def test_new_names_and_values_may_come_at_any_time(path: Path) -> None:
    with Hdf5Store(path, block_rows=2) as store:
        for number in range(30):
            store.put("n", number, number)
            store.put(f"group_{number % 3}/late_{number}", number, float(number))
            store.put_once(f"axis_{number}", np.arange(number + 1))
    content = read(path)
    assert content.rows["n"].tolist() == list(range(30))
    assert content.rows["group_2/late_29"][29] == 29
    assert content.once["axis_29"].shape == (30,)


def test_far_events_cost_no_space(path: Path) -> None:
    with Hdf5Store(path, max_event_number=10**9) as store:
        store.put("I", 0, np.zeros(1000, "f4"))
        store.put("I", 10**9, np.ones(1000, "f4"))
        with pytest.raises(UsageError, match="max_event_number"):
            store.put("I", 10**12, np.ones(1000, "f4"))
    assert path.stat().st_size < 4 << 20
    with h5py.File(path) as file:
        assert file["I"].shape == (10**9 + 1, 1000)
        assert file["I"][10**9, 5] == 1
        assert np.isnan(file["I"][10**8, 5])


def test_too_many_names_hint_at_the_event_number(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.stores.schema.MAX_NAMES", 5)
    with Hdf5Store(path) as store:
        for number in range(5):
            store.put(f"I_{number}", 0, 1.0)
        with pytest.raises(UsageError, match="event number is the row"):
            store.put("I_5", 0, 1.0)


def test_the_file_ends_where_its_content_ends(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("a", 0, 1.0)
        store.flush()
        assert path.stat().st_size > 1 << 20  # room is reserved while it is open
    assert path.stat().st_size < 200_000


def test_who_wrote_it_is_in_the_file(path: Path) -> None:
    before = time.time_ns()
    with Hdf5Store(path, worker=StoreContract, reducer="src.reducer:TestReducer", parameters_hash="abc") as store:
        store.put("a", 0, 1.0)
    with h5py.File(path) as file:
        process = file["entry/process"]
        assert process["complete"][()]
        assert before <= process["start_time_ns"][()] <= process["end_time_ns"][()] <= time.time_ns()
        assert process["n_rows"][()] == 1
        assert process["n_rows_lost"][()] == 0
        assert process["process_id"][()] == os.getpid()
        assert process["worker"].asstr()[()] == "glimt.testing.store_contract:StoreContract"
        assert process["reducer"].asstr()[()] == "src.reducer:TestReducer"
        assert process["versions/h5py"].asstr()[()] == h5py.__version__
        assert process["parameters"].attrs["parameters_hash"] == "abc"


def test_odd_parameter_names_and_values_do_no_harm(path: Path) -> None:
    odd: dict[str, Any] = {"a/b": 1, "..": 2, "": 3, "50%": 4, "å\0": "x\0y", "big": 2**80, "list": [1, {"a": None}]}
    with Hdf5Store(path, parameters={**odd, "object": object(), "array": np.arange(3), "empty": b""}) as store:
        store.put("a", 0, 1.0)
    found = read(path).parameters
    assert found["a%2Fb"], found["%2E%2E"] == (1, 2)
    assert found["%"], found["50%25"] == (3, 4)
    assert found["big"] == str(2**80)
    assert found["list"] == '[1,{"a":null}]'
    assert found["array"].tolist() == [0, 1, 2]
    assert found["empty"] == b""


def test_a_store_stays_in_its_process(path: Path) -> None:
    with Hdf5Store(path) as store, pytest.raises(TypeError, match="process that made it"):
        pickle.dumps(store)


def test_a_forked_process_leaves_the_file_alone(path: Path) -> None:
    with Hdf5Store(path, block_s=1e6) as store:
        store.put("a", 0, 1.0)
        own = store._process_id
        store._process_id = -1  # what a fork sees: its number is another one
        with pytest.raises(UsageError, match="fork"):
            store.flush()
        store.close()
        store._process_id = own
        store.put("a", 1, 2.0)
    assert read(path).rows["a"].tolist() == [1.0, 2.0]


def test_an_error_of_the_user_is_not_hidden(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Hdf5Store(path) as store:
        store.put("a", 0, 1 / 0)
    assert repr(store).endswith("closed, 0 rows, 0 lost)")


def test_a_program_that_forgets_to_close_loses_nothing(path: Path) -> None:
    program = (
        "import sys; from glimt.stores.hdf5 import Hdf5Store; s = Hdf5Store(sys.argv[1], block_s=99); s.put('a', 2, 5)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=60)
    assert read(path).rows["a"].tolist() == [0, 0, 5]


def test_the_checksum_is_that_of_hdf5(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("a", 0, 1.0)
    superblock = path.read_bytes()[:48]
    assert lookup3(superblock[:44]) == int.from_bytes(superblock[44:], "little")
    # From Bob Jenkins's lookup3.c.
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


def test_a_closed_file_needs_no_repair(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("a", 0, 1.0)
        with pytest.raises(UsageError, match="being written"):
            repair_after_crash(path)
    before = path.read_bytes()
    assert not repair_after_crash(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no HDF5 file at all" * 10, b"\x89HDF\r\n\x1a\n" + bytes(60)])
def test_repair_refuses_what_it_does_not_know(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.h5").write_bytes(content)
    with pytest.raises(UsageError):
        repair_after_crash(tmp_path / "x.h5")
    assert (tmp_path / "x.h5").read_bytes() == content


def test_repair_refuses_a_damaged_superblock(path: Path) -> None:
    with Hdf5Store(path) as store:
        store.put("a", 0, 1.0)
    damaged = bytearray(path.read_bytes())
    damaged[30] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match="checksum"):
        repair_after_crash(path)


def test_repair_of_nothing_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be repaired"):
        repair_after_crash(tmp_path / "none.h5")
