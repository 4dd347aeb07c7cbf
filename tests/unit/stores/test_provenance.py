from __future__ import annotations

import getpass
import os
import sys

import numpy as np
import pytest

from glimt.model.parameters import FloatParameter, IntParameter, StrParameter
from glimt.pipeline.parameter_set import ParameterSet
from glimt.stores.parameter_snapshot import ParameterSnapshot
from glimt.stores.provenance import Provenance, printable_command_line


def test_this_process_is_described() -> None:
    found = Provenance.of_this_process(worker="src.worker:W", reducer=ParameterSet)
    assert found.process_id == os.getpid()
    assert found.versions["python"] == sys.version.split()[0]
    assert found.versions["numpy"] == np.__version__
    assert (found.worker, found.reducer) == ("src.worker:W", "glimt.pipeline.parameter_set:ParameterSet")
    assert found.host
    assert found.user
    assert "pytest" in found.command_line or "python" in found.command_line


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert Provenance.of_this_process().user == str(os.getuid())


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["glimt", "replay", "-f", "my data.cbors"], "glimt replay -f 'my data.cbors'"),
        (["x", "--token", "s3cret", "-v"], "x --token *** -v"),
        (["x", "--api-key=s3cret"], "x --api-key=***"),
        (["x", "PASSWORD=s3cret"], "x PASSWORD=***"),
        (["x", "--token", "--verbose", "y"], "x --token --verbose y"),
        (["x", "amqp://me:s3cret@host/v"], "x 'amqp://***@host/v'"),
    ],
)
def test_secrets_are_not_written_down(arguments: list[str], shown: str) -> None:
    assert printable_command_line(arguments) == shown


def test_the_hash_is_the_one_that_results_carry() -> None:
    described = [IntParameter(name="till_x", default=2), FloatParameter(name="g", default=0.5), StrParameter(name="s")]
    parameters = ParameterSet(described, {"raw": b"\0\1"})
    assert ParameterSnapshot.of(parameters.values).content_hash == parameters.content_hash
    parameters.update({"till_x": b"3"})
    assert ParameterSnapshot.of(parameters.values).content_hash == parameters.content_hash
    plain = {"till_x": 3, "g": 0.5, "s": "", "raw": b"\0\1"}
    assert ParameterSnapshot.of(plain).content_hash == parameters.content_hash


def test_equal_content_has_an_equal_hash_whatever_the_order() -> None:
    one, other = {"a": 1, "b": np.arange(3)}, {"b": np.arange(3), "a": 1}
    assert ParameterSnapshot.of(one).content_hash == ParameterSnapshot.of(other).content_hash
    assert ParameterSnapshot.of({"a": 1, "b": np.arange(4)}).content_hash != ParameterSnapshot.of(one).content_hash
    assert ParameterSnapshot.of({"ab": "c"}).content_hash != ParameterSnapshot.of({"a": "bc"}).content_hash


def test_the_given_hash_is_kept() -> None:
    assert ParameterSnapshot.of({"a": 1}, parameters_hash="f00").content_hash == "f00"


def test_no_parameters_have_a_hash_too() -> None:
    assert ParameterSnapshot.of(None) == ParameterSnapshot.of({})
