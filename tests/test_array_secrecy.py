"""A secret array shows its type, shape and home, and nothing else can be had from it without `reveal`."""

from __future__ import annotations

import copy
import json
import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest

from plan_oracle import Oracle
from tacit.errors import SecretError
from tacit.frontends.array import FUNCTIONS, UFUNCS, SecretArray
from tacit.frontends.namespace import FUNCTIONS as NAMES

VALUES = np.array([[3, 1, 2], [9, 7, 8]])


class Untouchable(Oracle):
    """Fails the test if anything runs."""

    def run(self, plan: Any, bindings: Any) -> Any:
        raise AssertionError("something was disclosed")


@pytest.fixture
def x() -> SecretArray:
    o = Untouchable()
    return o.input(VALUES, 0, (-16, 16)) + o.input(np.full((2, 3), 7_770_000), 1, (0, 2**23))


LOOKS = {
    "bool": bool,
    "int": int,
    "float": float,
    "complex": complex,
    "index": operator.index,
    "if": lambda x: 1 if x else 0,
    "and": lambda x: x and x,
    "chained comparison": lambda x: 0 < x < 3,
    "max of elements": lambda x: max(x[0]),
    "sorted": lambda x: sorted(x[0]),
    "in": lambda x: 3 in x,
    "list index": lambda x: [1, 2, 3][x],
    "range": range,
    "round": round,
    "math.sqrt": math.sqrt,
    "math.floor": math.floor,
    "np.asarray": np.asarray,
    "np.array of several": lambda x: np.array([x, x]),
    "np.float64": np.float64,
    "item": lambda x: x.item(),
    "tolist": lambda x: x.tolist(),
    "dlpack": lambda x: np.from_dlpack(x),
    "fill": lambda x: np.zeros(3).fill(x[0, 0]),
    "assign into numpy": lambda x: operator.setitem(np.zeros((2, 3)), ..., x),
    "numpy in place": lambda x: operator.iadd(np.zeros((2, 3)), x),
    "index numpy with it": lambda x: np.arange(5)[x],
    "assign": lambda x: operator.setitem(x, 0, 1),
    "secret index": lambda x: x[x],
    "secret slice": lambda x: x[: x[0, 0]],
    "secret axis": lambda x: x.sum(axis=x[0, 0]),
    "secret shape": lambda x: x.reshape(x[0, 0]),
    "secret positions": lambda x: np.take(x, x),
    "format": lambda x: f"{x:.3f}",
    "pickle": pickle.dumps,
    "json": json.dumps,
    "np.save": lambda x: np.save("/dev/null", x),
    "np.add.reduce": np.add.reduce,
    "np.add with out": lambda x: np.add(x, 1, out=np.zeros((2, 3))),
    "np.sin": np.sin,
    "np.linalg.norm": np.linalg.norm,
    "np.unique": np.unique,
    "np.array2string": np.array2string,
    "np.sum with where": lambda x: np.sum(x, where=VALUES > 1),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_looking_at_a_secret_raises_and_runs_nothing(x: SecretArray, look: Any) -> None:
    with pytest.raises((SecretError, TypeError, ValueError)) as caught:
        look(x)
    # Where Python or NumPy refuse by themselves the message names types only.
    assert "777000" not in str(caught.value)


def test_secret_errors_have_codes_that_say_what_was_wrong(x: SecretArray) -> None:
    for look, code in [
        (bool, "SECRET-010"),
        (np.asarray, "SECRET-010"),
        (pickle.dumps, "SECRET-011"),
        (lambda x: operator.setitem(x, 0, 1), "SECRET-012"),
        (lambda x: x[x], "SECRET-013"),
        (np.sin, "SECRET-014"),
    ]:
        with pytest.raises(SecretError) as caught:
            look(x)
        assert caught.value.code == code and caught.value.next


def test_printing_shows_type_shape_and_home_only(x: SecretArray) -> None:
    assert repr(x) == str(x) == f"{x}" == "SecretArray(int64, shape=(2, 3), secret)"
    assert repr(x[0, 0].node) == "Record(getitem: int64[] secret |x| <= 2^24)"


def test_public_facts_need_no_run(x: SecretArray) -> None:
    assert (x.shape, x.ndim, x.size, len(x), str(x.dtype), str(x.home)) == ((2, 3), 2, 6, 2, "int64", "secret")
    assert x.range == (-16, 2**23 + 16) and x.device == "parties" and x.to_device("parties") is x
    assert copy.copy(x) is x and copy.deepcopy(x) is x
    assert len({x, x + 0}) == 2 and isinstance(x == x, SecretArray)
    with pytest.raises(AttributeError, match="secret positions"):
        _ = x.__array_namespace__().searchsorted


def test_numpy_functions_on_secrets_stay_lazy_and_right() -> None:
    o = Oracle()
    x = o.input(VALUES, 0, (-16, 16))
    for got, want in [
        (np.add(x, 1), VALUES + 1),
        (np.add(VALUES, x), VALUES * 2),
        (VALUES + x, VALUES * 2),
        (np.int64(3) * x, VALUES * 3),
        (x > VALUES, VALUES < VALUES),
        (VALUES.T @ x, VALUES.T @ VALUES),
        (np.absolute(-x), VALUES),
        (np.power(x, 2), VALUES**2),
        (np.maximum(x, 4), np.maximum(VALUES, 4)),
        (np.where(x > 2, x, 0), np.where(VALUES > 2, VALUES, 0)),
        (np.sum(x, axis=0), VALUES.sum(axis=0)),
        (np.sum(x, 0), VALUES.sum(0)),
        (np.concatenate((x, x), 1), np.concatenate((VALUES, VALUES), 1)),
        (np.max(x, axis=1, keepdims=True), VALUES.max(axis=1, keepdims=True)),
        (np.clip(x, 2, 8), VALUES.clip(2, 8)),
        (np.sort(x), np.sort(VALUES)),
        (np.argsort(x, axis=0), np.argsort(VALUES, axis=0)),
        (np.concatenate([x, VALUES], axis=1), np.concatenate([VALUES, VALUES], axis=1)),
        (np.stack((x, x)), np.stack((VALUES, VALUES))),
        (np.reshape(x, (3, 2)), VALUES.reshape(3, 2)),
        (np.transpose(x), VALUES.T),
        (np.cumsum(x, axis=1), np.cumsum(VALUES, axis=1)),
        (np.take(x, [2, 0], axis=1), np.take(VALUES, [2, 0], axis=1)),
        (np.diff(x), np.diff(VALUES)),
        (np.logical_and(x > 2, VALUES < 9), (VALUES > 2) & (VALUES < 9)),
    ]:
        assert isinstance(got, SecretArray)
        np.testing.assert_array_equal(got.reveal(), want)
    np.testing.assert_allclose(np.mean(x).reveal(), VALUES.mean(), atol=2**-17)
    np.testing.assert_allclose(np.var(x, ddof=1).reveal(), VALUES.var(ddof=1), atol=2**-17)
    assert np.shape(x) == (2, 3) and np.ndim(x) == 2 and np.size(x) == 6


def test_every_numpy_name_maps_to_a_function_of_the_namespace() -> None:
    assert all(hasattr(np, name) and ours in NAMES for table in (UFUNCS, FUNCTIONS) for name, ours in table.items())
