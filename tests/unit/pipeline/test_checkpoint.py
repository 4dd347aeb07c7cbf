"""A reducer's state, saved and put back, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.model.errors import ResultError, UsageError, UserCodeError
from glimt.pipeline.checkpoint import checkpoint_hooks
from glimt.pipeline.checkpoint_policy import CheckpointPolicy


@dataclass
class Sums:
    total: np.ndarray[Any, np.dtype[np.float64]]
    seen: list[int]


class SummingReducer:
    def __init__(self) -> None:
        self.sums = Sums(np.zeros(4), [])
        self.publish: dict[str, Any] = {"n": np.int64(0), "last": (1, "text")}

    def get_state(self) -> object:
        return self.sums, self.publish

    def set_state(self, state: Any) -> None:
        self.sums, self.publish = state


def test_a_fresh_reducer_with_the_saved_state_goes_on() -> None:
    old, new = SummingReducer(), SummingReducer()
    old.sums.total += 3
    old.sums.seen.append(7)
    saved, restored = checkpoint_hooks(old), checkpoint_hooks(new)
    assert saved is not None
    assert restored is not None
    data = saved.save()
    old.sums.total += 100  # later than the checkpoint
    restored.restore(data)
    assert new.sums.seen == [7]
    assert new.publish == {"n": 0, "last": (1, "text")}
    assert type(new.publish["n"]) is np.int64
    new.sums.total += 1  # what comes back can be written to
    np.testing.assert_array_equal(new.sums.total, np.full(4, 4.0))


def test_a_state_that_only_pickle_carries_comes_back() -> None:
    class Reducer:
        def __init__(self, state: Any) -> None:
            self.state = state

        def get_state(self) -> Any:
            return self.state

        def set_state(self, state: Any) -> None:
            self.state = state

    state = {"set": {1, 2}, "complex": 1 + 2j}
    hooks, fresh = checkpoint_hooks(Reducer(state)), Reducer(None)
    assert hooks is not None
    put = checkpoint_hooks(fresh)
    assert put is not None
    put.restore(hooks.save())
    assert fresh.state == state


def test_a_reducer_with_neither_hook_has_no_checkpoints() -> None:
    class Reducer:
        def __getstate__(self) -> object:
            return {}

    assert checkpoint_hooks(Reducer()) is None


@pytest.mark.parametrize(("has", "lacks"), [("get_state", "set_state(self, state)"), ("set_state", "get_state(self)")])
def test_one_hook_without_the_other_is_refused_with_the_name_of_the_missing_one(has: str, lacks: str) -> None:
    class Reducer:
        pass

    setattr(Reducer, has, lambda self, *args: None)
    with pytest.raises(UsageError) as caught:
        checkpoint_hooks(Reducer(), what="MyReducer")
    assert str(caught.value).startswith(f"MyReducer has no method {lacks}, which belongs to its {has}; write both")


def test_a_hook_that_is_not_a_method_is_refused() -> None:
    class Reducer(SummingReducer):
        get_state = 3  # type: ignore[assignment]  # what the test is about

    with pytest.raises(UsageError, match="Reducer has a get_state that is not a method"):
        checkpoint_hooks(Reducer())


def test_a_hook_that_needs_more_is_refused() -> None:
    class Reducer(SummingReducer):
        def get_state(self, folder: str) -> object:  # type: ignore[override]  # what the test is about
            return folder

    with pytest.raises(UsageError, match=r"Reducer.get_state needs the argument 'folder'"):
        checkpoint_hooks(Reducer())


@pytest.mark.parametrize("error", [ValueError("no room\nfor it"), SystemExit("bye"), UsageError("mine")])
def test_what_the_hooks_raise_is_told_with_the_users_line(error: BaseException) -> None:
    class Reducer:
        def get_state(self) -> object:
            raise error

        def set_state(self, state: Any) -> None:
            raise error

    hooks = checkpoint_hooks(Reducer(), what="MyReducer")
    working = checkpoint_hooks(SummingReducer())
    assert hooks is not None
    assert working is not None
    with pytest.raises(UserCodeError, match=rf"^MyReducer.get_state raised {type(error).__name__}: ") as caught:
        hooks.save()
    assert "in get_state" in caught.value.trace
    with pytest.raises(UserCodeError, match=r"^MyReducer.set_state raised "):
        hooks.restore(working.save())


def test_a_state_that_cannot_be_encoded_names_its_type() -> None:
    class Reducer(SummingReducer):
        def get_state(self) -> object:
            return (number for number in range(3))

    hooks = checkpoint_hooks(Reducer())
    assert hooks is not None
    with pytest.raises(ResultError, match="generator"):
        hooks.save()


@pytest.mark.parametrize("data", [b"", b"m", b"m\xc1", b"p", b"p\x80", b"x"])
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    hooks = checkpoint_hooks(SummingReducer())
    assert hooks is not None
    with pytest.raises(ResultError):
        hooks.restore(data)


def test_a_checkpoint_is_due_after_the_time_or_the_bytes() -> None:
    policy = CheckpointPolicy(every_s=5.0, every_bytes=1000)
    assert not policy.is_due(100.0, 1)
    assert not policy.is_due(104.9, 999)
    assert policy.is_due(104.9, 1000)
    assert policy.is_due(105.0, 1)
    assert not policy.is_due(500.0, 0)  # nothing new


def test_a_slow_checkpoint_is_followed_by_a_pause_that_keeps_its_share() -> None:
    policy = CheckpointPolicy(every_s=1.0, every_bytes=10, max_share=0.05)
    assert policy.is_due(0.0, 10)
    policy.done(0.0, 2.0)
    assert not policy.is_due(39.9, 1 << 40)
    assert policy.is_due(40.0, 10)
    policy.done(40.0, 40.001)
    assert not policy.is_due(40.9, 9)
    assert policy.is_due(41.1, 9)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0.001, 2), st.integers(0, 400)), min_size=1, max_size=60),
    st.floats(0.01, 0.5),
)
def test_checkpoints_never_take_more_than_their_share(blocks: list[tuple[float, float, int]], max_share: float) -> None:
    policy = CheckpointPolicy(every_s=0.5, every_bytes=500, max_share=max_share)
    now = spent = 0.0
    n_bytes = 0
    for duration, between, size in blocks:
        now += between
        n_bytes += size
        if policy.is_due(now, n_bytes):
            assert spent <= max_share * now * (1 + 1e-9)
            policy.done(now, now + duration)
            now, spent, n_bytes = now + duration, spent + duration, 0


@pytest.mark.parametrize(
    "options",
    [{"every_s": 0.0}, {"every_s": float("nan")}, {"every_bytes": 0}, {"max_share": 0.0}, {"max_share": 1.0}],
)
def test_a_policy_of_impossible_values_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"must be positive|cannot take a share"):
        CheckpointPolicy(**options)
