# SPDX-License-Identifier: Apache-2.0
"""Typing rules: what each operation gives, and what it refuses."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import PlanError
from tacit.plan import (
    BOOL,
    FIXED,
    FUNCTION_BOUNDS,
    INT8,
    INT32,
    INT64,
    OPS,
    UINT8,
    Attrs,
    Interval,
    Private,
    Public,
    Secret,
    TensorType,
    fixed,
    infer,
    normalise_index,
    numpy_index,
)
from tacit.plan.functions import quotient
from tacit.plan.indexing import indexed_shape
from tacit.plan.ops import defaults, keeps_low_bits, truncates

ONE = 2**18


def t(dtype=INT64, shape=(4,), lo=-10, hi=10, home=None):
    return TensorType(dtype, shape, home or Secret(), Interval(lo, hi))


def fx(shape=(4,), lo=-ONE, hi=ONE, home=None):
    return t(FIXED, shape, lo, hi, home)


BIT = t(BOOL, lo=0, hi=1)
BITS = t(BOOL, (128,), 0, 1)
EXACT = {"exact": True}
PRODUCT = {"numerator": 1, "shift": 0, **EXACT}
KEYS = {"descending": (0, 1), "strategy": "network"}
TOP = {"axis": 0, "k": 2, "largest": True, "strategy": "network"}
RANKS = {"axis": 0, "ranks": (1, 3), "strategy": "network"}
ORDER = {"axis": 0, "descending": False, "strategy": "network"}
OVER0 = {"axis": (0,), "keepdims": False}


def completed(op, attrs):
    """Attributes with the defaults of those that a row leaves out."""
    return Attrs({**(defaults(op) if op in OPS else {}), **attrs})


# (operation, operands, attributes, result's dtype, shape, lo, hi)
TABLE = [
    ("add", [t(), t(INT8, (3, 1), 0, 5)], {}, INT64, (3, 4), -10, 15),
    ("sub", [fx(), fx((1,))], {}, FIXED, (4,), -2 * ONE, 2 * ONE),
    ("neg", [t(UINT8, lo=1, hi=200)], {}, INT64, (4,), -200, -1),
    ("abs", [t(INT8, lo=-128, hi=3)], {}, INT64, (4,), 0, 128),
    ("mul", [t(), t(lo=-3, hi=2)], EXACT, INT64, (4,), -30, 30),
    ("mul", [fx(), fx(hi=3 * ONE)], EXACT, FIXED, (4,), -3 * ONE, 3 * ONE + 1),
    ("mul", [t(), fx()], EXACT, FIXED, (4,), -10 * ONE, 10 * ONE),
    ("square", [t()], EXACT, INT64, (4,), 0, 100),
    ("square", [fx()], {"exact": False}, FIXED, (4,), 0, ONE + 1),
    ("mul", [fx(), fx()], {"numerator": 3, "shift": 1, "exact": False}, FIXED, (4,), -3 * ONE // 2, 3 * ONE // 2 + 1),
    ("mul", [t(), fx()], {"numerator": 1, "shift": 4, **EXACT}, FIXED, (4,), -10 * ONE // 16, 10 * ONE // 16 + 1),
    ("matmul", [t(shape=(2, 3)), t(shape=(3, 5))], EXACT, INT64, (2, 5), -300, 300),
    ("matmul", [t(shape=(3,)), t(shape=(3,))], EXACT, INT64, (), -300, 300),
    ("matmul", [t(shape=(7, 2, 3)), t(shape=(3,))], EXACT, INT64, (7, 2), -300, 300),
    (
        "conv2d",
        [t(shape=(1, 2, 5, 6), lo=1), t(shape=(4, 2, 3, 3), lo=1, hi=1)],
        {"stride": (2, 1), "padding": (1, 0), **EXACT},
        INT64,
        (1, 4, 3, 4),
        0,
        180,
    ),
    ("scale", [fx()], {"numerator": 3, "shift": 1, **EXACT}, FIXED, (4,), -3 * ONE // 2, 3 * ONE // 2 + 1),
    ("scale", [fx()], {"numerator": -3, "shift": 0, **EXACT}, FIXED, (4,), -3 * ONE, 3 * ONE),
    ("lt", [t(INT32), t(lo=-(2**63), hi=2**63 - 1)], {}, BOOL, (4,), 0, 1),
    ("le", [fx(), fx()], {}, BOOL, (4,), 0, 1),
    ("gt", [t(), t(INT8, (1,))], {}, BOOL, (4,), 0, 1),
    ("ge", [t(), t()], {}, BOOL, (4,), 0, 1),
    ("eq", [t(), t()], {}, BOOL, (4,), 0, 1),
    ("ne", [t(), t(shape=())], {}, BOOL, (4,), 0, 1),
    ("logical_and", [BIT, BIT], {}, BOOL, (4,), 0, 1),
    ("logical_or", [BIT, BIT], {}, BOOL, (4,), 0, 1),
    ("logical_xor", [BIT, BIT], {}, BOOL, (4,), 0, 1),
    ("logical_not", [BIT], {}, BOOL, (4,), 0, 1),
    ("where", [BIT, t(INT8), t(INT32, (2, 1), 0, 99)], {}, INT32, (2, 4), -10, 99),
    ("aes128", [BITS, t(BOOL, (3, 128), 0, 1)], {}, BOOL, (3, 128), 0, 1),
    ("aes128", [t(BOOL, (2, 3, 128), 0, 1)] * 2, {}, BOOL, (2, 3, 128), 0, 1),
    ("minimum", [t(), t(lo=-20, hi=0)], {}, INT64, (4,), -20, 0),
    ("maximum", [t(), t(lo=-20, hi=0)], {}, INT64, (4,), -10, 10),
    ("clip", [t(INT8)], {"lo": 0, "hi": 3}, INT8, (4,), 0, 3),
    ("sum", [t(shape=(2, 3, 4))], {"axis": (0, 2), "keepdims": True}, INT64, (1, 3, 1), -80, 80),
    ("sum", [t(shape=(0, 3))], OVER0, INT64, (3,), 0, 0),
    ("cumsum", [t(lo=1)], {"axis": 0}, INT64, (4,), 1, 40),
    ("max", [t(INT8, (2, 3))], OVER0, INT8, (3,), -10, 10),
    ("min", [fx()], OVER0, FIXED, (), -ONE, ONE),
    ("any", [BIT], OVER0, BOOL, (), 0, 1),
    ("all", [BIT], {"axis": (), "keepdims": False}, BOOL, (4,), 0, 1),
    ("cast", [BIT], {"dtype": INT64}, INT64, (4,), 0, 1),
    ("cast", [t()], {"dtype": INT8}, INT8, (4,), -10, 10),
    ("cast", [t()], {"dtype": FIXED}, FIXED, (4,), -10 * ONE, 10 * ONE),
    ("cast", [fx(lo=-1, hi=ONE + 5)], {"dtype": INT64}, INT64, (4,), -1, 1),
    ("reshape", [t()], {"shape": (2, 2)}, INT64, (2, 2), -10, 10),
    ("broadcast_to", [t(shape=(1,))], {"shape": (3, 2)}, INT64, (3, 2), -10, 10),
    ("transpose", [t(shape=(2, 3, 4))], {"axes": (2, 0, 1)}, INT64, (4, 2, 3), -10, 10),
    ("getitem", [t(shape=(2, 3, 4))], {"index": (1, None, (2, 3, -1), (0, 4, 1))}, INT64, (1, 3, 4), -10, 10),
    ("take", [t(shape=(2, 3))], {"indices": (2, 0, 0, 1), "axis": 1}, INT64, (2, 4), -10, 10),
    ("concat", [t(INT8, (2, 3)), t(INT32, (5, 3), 0, 99)], {"axis": 0}, INT32, (7, 3), -10, 99),
    ("stack", [t(), t(lo=0, hi=99)], {"axis": 1}, INT64, (4, 2), -10, 99),
    ("flip", [t()], {"axis": 0}, INT64, (4,), -10, 10),
    ("sort", [fx()], ORDER, FIXED, (4,), -ONE, ONE),
    ("argsort", [fx()], ORDER, INT64, (4,), 0, 3),
    ("lexsort", [fx(), t()], {**KEYS, "axis": 0}, INT64, (4,), 0, 3),
    ("sort_by", [fx(), t(), BIT], {**KEYS, "keys": 2}, BOOL, (4,), 0, 1),
    ("sort_by", [t(), t(), t(INT8, (4, 2))], {**KEYS, "keys": 2}, INT8, (4, 2), -10, 10),
    ("first_by", [t(), t(), t(INT8, (4, 2))], {**KEYS, "keys": 2, "size": 3}, INT8, (3, 2), -10, 10),
    ("first_by", [fx(), t(), BIT], {**KEYS, "keys": 2, "size": 0}, BOOL, (0,), 0, 1),
    ("permute", [t(), t(INT8, (3, 4))], {"axis": 1}, INT8, (3, 4), -10, 10),
    ("topk", [fx()], TOP, FIXED, (2,), -ONE, ONE),
    ("order_statistics", [t(INT8, (3, 5))], {**RANKS, "axis": 1}, INT8, (3, 2), -10, 10),
    ("run_starts", [fx((4, 2)), BIT, t(INT8, lo=0, hi=5)], {}, BOOL, (4,), 0, 1),
    ("run_ends", [t()], {}, BOOL, (4,), 0, 1),
    ("compress", [BIT, t(INT8, (4, 2), 1, 9)], {}, INT8, (4, 2), 0, 9),
    ("compress", [BIT, BIT], {}, BOOL, (4,), 0, 1),
    ("expand", [BIT, fx((3, 2))], {}, FIXED, (4, 2), -ONE, ONE),
    ("fill_forward", [BIT, t(lo=-9, hi=-3), fx()], {}, INT64, (4,), -9, 0),
    ("run_sums", [BIT, t(INT8, (4, 2), 1, 9)], {}, INT64, (4, 2), 0, 36),
    ("run_sums", [BIT, t(lo=-10, hi=-1)], {}, INT64, (4,), -40, 0),
    ("shuffle_rows", [t(INT8, (4, 2), 1, 9), BIT], {}, INT8, (4, 2), 1, 9),
    ("match_rows", [BIT, BIT, t(), t(lo=0, hi=99), fx()], {"keys": 1, "first": 1}, BOOL, (4,), 0, 1),
    ("aggregate", [BIT, t(INT8, (4, 2), 1, 9), fx()], {"heads": 1}, INT8, (4, 2), 0, 9),
    ("aggregate", [BIT, t(INT8, (4, 2), 1, 9)], {"heads": 0}, INT64, (4, 2), 0, 36),
    ("running_sum", [BIT, t(INT8, (4, 2), 1, 9)], {}, INT64, (4, 2), 1, 36),
    ("running_max", [BIT, t(INT8, (4, 2), 1, 9)], {}, INT8, (4, 2), 1, 9),
    ("running_min", [BIT, fx()], {}, FIXED, (4,), -ONE, ONE),
    ("running_any", [BIT, BIT], {}, BOOL, (4,), 0, 1),
    ("running_all", [BIT, t(BOOL, (4, 2), 0, 1)], {}, BOOL, (4, 2), 0, 1),
    ("one_hot", [t(UINT8, (4, 2), 0, 4)], {"size": 5}, INT64, (4, 2, 5), 0, 1),
    ("assume", [t()], {"lo": -100, "hi": 3}, INT64, (4,), -10, 3),
    ("sigmoid", [fx()], EXACT, FIXED, (4,), -16, ONE + 2**12 + 16),
    ("softmax", [fx(shape=(2, 3))], EXACT, FIXED, (2, 3), -16, ONE + 2**12 + 16),
    ("tanh", [fx()], EXACT, FIXED, (4,), -ONE - 2**12 - 16, ONE + 2**12 + 16),
    ("sqrt", [fx(lo=0, hi=4 * ONE)], EXACT, FIXED, (4,), -16, 2 * ONE + 1 + 2**13 + 16),
]
OTHERS = {
    "input",
    "constant",
    "share",
    "reveal",
    "div",
    "reciprocal",
    "rsqrt",
    "exp",
    "log",
    "repeat",
    "result",
    "param",
}


@pytest.mark.parametrize(("op", "types", "attrs", "dtype", "shape", "lo", "hi"), TABLE, ids=lambda v: str(v)[:12])
def test_inference_table(op, types, attrs, dtype, shape, lo, hi):
    result = infer(op, types, completed(op, attrs))
    assert result == TensorType(dtype, shape, Secret(), Interval(lo, hi))


def test_every_operation_is_in_the_table_or_tested_by_name():
    assert {row[0] for row in TABLE} | OTHERS == set(OPS)


def test_every_operation_is_documented():
    for spec in OPS.values():
        assert spec.doc.endswith("."), spec.name
        assert spec.words, spec.name


@pytest.mark.parametrize(
    ("op", "types", "attrs", "code"),
    [
        ("teleport", [t()], {}, "PLAN-007"),
        ("add", [t()], {}, "PLAN-008"),
        ("concat", [], {"axis": 0}, "PLAN-008"),
        ("add", [t(), t()], {"axis": 0}, "PLAN-006"),
        ("sum", [t()], {"axis": (0,)}, "PLAN-006"),
        ("sum", [t()], {"axis": 0, "keepdims": False}, "PLAN-006"),
        ("sum", [t()], {"axis": (0,), "keepdims": 1}, "PLAN-006"),
        ("flip", [t()], {"axis": True}, "PLAN-006"),
        ("sort", [t()], {**ORDER, "strategy": "quick"}, "PLAN-006"),
        ("sort_by", [t(), t(), t()], {**KEYS, "keys": 2, "strategy": "quick"}, "PLAN-006"),
        ("sort_by", [t(), t(), t()], {**KEYS, "keys": 1}, "PLAN-006"),
        ("sort_by", [t(), t()], {**KEYS, "keys": 2}, "PLAN-006"),
        ("sort_by", [t(), t()], {**KEYS, "descending": (), "keys": 0}, "PLAN-006"),
        ("sort_by", [t(), t(), t()], {**KEYS, "descending": (0, 2), "keys": 2}, "PLAN-006"),
        ("sort_by", [t(), t(), t(shape=(3,))], {**KEYS, "keys": 2}, "PLAN-005"),
        ("sort_by", [t(shape=(2, 2)), t(shape=(2, 2)), t()], {**KEYS, "keys": 2}, "PLAN-005"),
        ("sort_by", [BIT, t(), t()], {**KEYS, "keys": 2}, "PLAN-004"),
        ("first_by", [t(), t(), t()], {**KEYS, "keys": 2, "size": 5}, "PLAN-006"),
        ("first_by", [t(), t(), t()], {**KEYS, "keys": 2, "size": -1}, "PLAN-006"),
        ("first_by", [t(), t()], {**KEYS, "keys": 2, "size": 1}, "PLAN-006"),
        ("first_by", [t(), t(), t(shape=(3,))], {**KEYS, "keys": 2, "size": 1}, "PLAN-005"),
        ("lexsort", [t(), t()], {**KEYS, "axis": 1}, "PLAN-005"),
        ("lexsort", [t(), t(shape=(3,))], {**KEYS, "axis": 0}, "PLAN-005"),
        ("lexsort", [t(), BIT], {**KEYS, "axis": 0}, "PLAN-004"),
        ("permute", [t(), t(shape=(3,))], {"axis": 0}, "PLAN-005"),
        ("topk", [t()], {**TOP, "k": 5}, "PLAN-006"),
        ("topk", [t()], {**TOP, "k": -1}, "PLAN-006"),
        ("topk", [BIT], TOP, "PLAN-004"),
        ("order_statistics", [t()], {**RANKS, "ranks": (1, 1)}, "PLAN-006"),
        ("order_statistics", [t()], {**RANKS, "ranks": (3, 1)}, "PLAN-006"),
        ("order_statistics", [t()], {**RANKS, "ranks": (4,)}, "PLAN-006"),
        ("order_statistics", [t()], {**RANKS, "ranks": (-1,)}, "PLAN-006"),
        ("order_statistics", [t(shape=(0,))], RANKS, "PLAN-006"),
        ("scale", [fx()], {"numerator": 1, "shift": 63, **EXACT}, "PLAN-006"),
        ("mul", [t(), t()], {"exact": False}, "PLAN-006"),
        ("mul", [fx(home=Public()), fx(home=Public())], {"exact": False}, "PLAN-006"),
        ("add", [t(), fx()], {}, "PLAN-004"),
        ("add", [fx(), t(fixed(16))], {}, "PLAN-004"),
        ("add", [BIT, t()], {}, "PLAN-004"),
        ("mul", [BIT, t()], EXACT, "PLAN-004"),
        ("mul", [fx(), t(fixed(16))], EXACT, "PLAN-004"),
        ("eq", [BIT, BIT], {}, "PLAN-004"),
        ("logical_not", [t()], {}, "PLAN-004"),
        ("where", [t(), t(), t()], {}, "PLAN-004"),
        ("aes128", [t(shape=(128,)), BITS], {}, "PLAN-004"),
        ("aes128", [BITS, t(UINT8, (128,), 0, 1)], {}, "PLAN-004"),
        ("aes128", [BIT, BITS], {}, "PLAN-005"),
        ("aes128", [BITS, t(BOOL, (3, 64), 0, 1)], {}, "PLAN-005"),
        ("aes128", [BITS, t(BOOL, (), 0, 1)], {}, "PLAN-005"),
        ("aes128", [t(BOOL, (1, 128), 0, 1), t(BOOL, (3, 128), 0, 1)], {}, "PLAN-005"),
        ("aes128", [BITS], {}, "PLAN-008"),
        ("where", [BIT, t(), fx()], {}, "PLAN-004"),
        ("sigmoid", [t()], EXACT, "PLAN-004"),
        ("div", [t(), t()], EXACT, "PLAN-004"),
        ("scale", [t()], {"numerator": 1, "shift": 0, **EXACT}, "PLAN-004"),
        ("scale", [fx()], {"numerator": 1, "shift": 62, **EXACT}, "PLAN-006"),
        ("scale", [fx()], {"numerator": 1, "shift": -1, **EXACT}, "PLAN-006"),
        ("mul", [fx(), fx()], {"shift": 44, **EXACT}, "PLAN-006"),
        ("mul", [fx(), fx()], {"shift": -1, **EXACT}, "PLAN-006"),
        ("mul", [t(), t()], {"shift": 1, **EXACT}, "PLAN-006"),
        ("mul", [fx(hi=2**31), fx(hi=2**31 - 1)], {"numerator": 2, "shift": 1, **EXACT}, "PLAN-009"),
        ("softmax", [fx(shape=(2, 0))], EXACT, "PLAN-005"),
        ("softmax", [fx(shape=())], EXACT, "PLAN-005"),
        ("softmax", [fx(lo=-(2**60), hi=2**60 + 1)], EXACT, "PLAN-009"),
        ("softmax", [t()], EXACT, "PLAN-004"),
        ("sum", [BIT], OVER0, "PLAN-004"),
        ("cast", [t()], {"dtype": BOOL}, "PLAN-004"),
        ("cast", [fx()], {"dtype": fixed(10)}, "PLAN-004"),
        ("add", [t(shape=(3,)), t(shape=(4,))], {}, "PLAN-005"),
        ("matmul", [t(shape=()), t()], EXACT, "PLAN-005"),
        ("matmul", [t(shape=(2, 3)), t(shape=(2, 3))], EXACT, "PLAN-005"),
        ("sum", [t()], {"axis": (1,), "keepdims": False}, "PLAN-005"),
        ("sum", [t(shape=(2, 2))], {"axis": (1, 0), "keepdims": False}, "PLAN-005"),
        ("sum", [t()], {"axis": (-1,), "keepdims": False}, "PLAN-005"),
        ("max", [t(shape=(0,))], OVER0, "PLAN-005"),
        ("reshape", [t()], {"shape": (3,)}, "PLAN-005"),
        ("broadcast_to", [t()], {"shape": (1,)}, "PLAN-005"),
        ("transpose", [t(shape=(2, 2))], {"axes": (0, 0)}, "PLAN-005"),
        ("take", [t()], {"indices": (4,), "axis": 0}, "PLAN-005"),
        ("concat", [t(shape=(2, 3)), t(shape=(2, 4))], {"axis": 0}, "PLAN-005"),
        ("stack", [t(), t(shape=(3,))], {"axis": 0}, "PLAN-005"),
        ("flip", [t(shape=())], {"axis": 0}, "PLAN-005"),
        ("getitem", [t()], {"index": (4,)}, "PLAN-012"),
        ("getitem", [t()], {"index": ((0, 5, 1),)}, "PLAN-012"),
        ("getitem", [t()], {"index": ((2, 1, 7),)}, "PLAN-012"),
        ("cast", [t(hi=300)], {"dtype": UINT8}, "PLAN-009"),
        ("assume", [t()], {"lo": 11, "hi": 12}, "PLAN-009"),
        ("run_starts", [t(), t(shape=(3,))], {}, "PLAN-005"),
        ("run_ends", [t(shape=())], {}, "PLAN-005"),
        ("run_ends", [t(shape=(4, 0))], {}, "PLAN-005"),
        ("compress", [BIT], {}, "PLAN-008"),
        ("compress", [t(), t()], {}, "PLAN-004"),
        ("compress", [BIT, t(shape=(3,))], {}, "PLAN-005"),
        ("compress", [BIT, t(shape=())], {}, "PLAN-005"),
        ("compress", [t(BOOL, (4, 1), 0, 1), t()], {}, "PLAN-005"),
        ("expand", [BIT, t(shape=(5,))], {}, "PLAN-005"),
        ("expand", [BIT, t(shape=(3,)), t(shape=(2,))], {}, "PLAN-005"),
        ("run_sums", [BIT, BIT], {}, "PLAN-004"),
        ("shuffle_rows", [], {}, "PLAN-008"),
        ("shuffle_rows", [t(), t(shape=(3,))], {}, "PLAN-005"),
        ("shuffle_rows", [t(shape=())], {}, "PLAN-005"),
        ("match_rows", [BIT, BIT, t()], {"keys": 1, "first": 0}, "PLAN-006"),
        ("match_rows", [BIT, BIT], {"keys": 0, "first": 0}, "PLAN-006"),
        ("match_rows", [BIT, BIT, t(), t()], {"keys": 1, "first": -1}, "PLAN-006"),
        ("match_rows", [BIT, t(), t(), t()], {"keys": 1, "first": 0}, "PLAN-004"),
        ("match_rows", [BIT, BIT, t(), fx()], {"keys": 1, "first": 0}, "PLAN-004"),
        ("match_rows", [BIT, BIT, t(), t(shape=(3,))], {"keys": 1, "first": 0}, "PLAN-005"),
        ("match_rows", [BIT, BIT, t(), t(), t(shape=(3,))], {"keys": 1, "first": 1}, "PLAN-005"),
        ("match_rows", [t(BOOL, (0,), 0, 1)] * 4, {"keys": 1, "first": 0}, "PLAN-005"),
        ("match_rows", [BIT, BIT, *[t(lo=-(2**62), hi=2**62)] * 4], {"keys": 2, "first": 0}, "PLAN-011"),
        ("aggregate", [BIT, t(), BIT], {"heads": 1}, "PLAN-004"),
        ("aggregate", [BIT, t()], {"heads": 2}, "PLAN-006"),
        ("aggregate", [BIT, t()], {"heads": -1}, "PLAN-006"),
        ("running_max", [BIT, BIT], {}, "PLAN-004"),
        ("running_any", [BIT, t()], {}, "PLAN-004"),
        ("running_any", [BIT, t(BOOL, (3,), 0, 1)], {}, "PLAN-005"),
        ("one_hot", [fx()], {"size": 5}, "PLAN-004"),
        ("one_hot", [t(lo=0)], {"size": 65}, "PLAN-006"),
        ("one_hot", [t(lo=0)], {"size": 0}, "PLAN-006"),
        ("one_hot", [t(lo=0)], {"size": 10}, "PLAN-011"),
        ("one_hot", [t(lo=-1, hi=5)], {"size": 10}, "PLAN-011"),
        ("share", [t()], {}, "PLAN-010"),
        ("reveal", [t(home=Public())], {"to": 1, "purpose": "p"}, "PLAN-010"),
        ("reveal", [t(home=Private(1))], {"to": 1, "purpose": "p"}, "PLAN-010"),
        ("reveal", [t()], {"to": None, "purpose": "  "}, "PLAN-006"),
        ("reveal", [t()], {"to": None, "purpose": "a\u202eb"}, "PLAN-006"),
        ("add", [t(), t(home=Private(0))], {}, "PLAN-010"),
        ("match_rows", [BIT, BIT, t(), t(), t(home=Private(0))], {"keys": 1, "first": 1}, "PLAN-010"),
        (
            "match_rows",
            [BIT, BIT, t(home=Private(0)), t(home=Private(1)), t(), t()],
            {"keys": 2, "first": 0},
            "PLAN-010",
        ),
        ("add", [t(home=Private(1)), t(home=Private(0))], {}, "PLAN-010"),
    ],
    ids=lambda v: str(v)[:14],
)
def test_misuse_is_refused_with_its_code(op, types, attrs, code):
    with pytest.raises(PlanError) as e:
        infer(op, types, completed(op, attrs))
    assert e.value.code == code
    assert len(str(e.value)) < 1200


@pytest.mark.parametrize(
    ("homes", "home"),
    [
        ((Public(), Public()), Public()),
        ((Public(), Private(2)), Private(2)),
        ((Private(2), Private(2)), Private(2)),
        ((Secret(), Public()), Secret()),
    ],
)
def test_home_of_a_result(homes, home):
    assert infer("add", [t(home=h) for h in homes], Attrs()).home == home


def test_reveal_and_share_change_only_the_home():
    assert infer("share", [t(home=Private(1))], Attrs()) == t()
    assert infer("reveal", [t()], Attrs({"to": None, "purpose": "p"})) == t(home=Public())
    assert infer("reveal", [t(home=Private(1))], Attrs({"to": 0, "purpose": "p"})) == t(home=Private(0))


# --- ranges --------------------------------------------------------------------------------------------------------

BIG = 2**62


@pytest.mark.parametrize(
    ("op", "types", "attrs", "reach"),
    [
        ("add", [t(hi=BIG), t(hi=BIG)], {}, "2^63"),
        ("neg", [t(lo=-(2**63))], {}, "2^63"),
        ("mul", [t(lo=-(2**32), hi=2**32), t(lo=-(2**33), hi=0)], EXACT, "2^65"),
        ("sum", [t(shape=(2**20,), hi=2**50)], OVER0, "2^70"),
        ("run_sums", [t(BOOL, (2**20,), 0, 1), t(shape=(2**20,), hi=2**50)], {}, "2^70"),
        ("running_sum", [t(BOOL, (8,), 0, 1), t(shape=(8,)), fx((8,), hi=2**59)], {}, "2^62 raw"),
        ("matmul", [t(shape=(1, 16), hi=2**30), t(shape=(16, 1), hi=2**30)], EXACT, "2^64"),
        ("add", [fx(hi=2**61), fx()], {}, "2^62 raw, that is 2^44"),
        ("mul", [fx(hi=2**31), fx(hi=2**31)], EXACT, "2^62 raw before truncation"),
        ("matmul", [fx((8,), hi=2**29), fx((8,), hi=2**30)], EXACT, "2^62 raw before truncation"),
        ("scale", [fx(hi=2**40)], {"numerator": 2**22, "shift": 22, **EXACT}, "2^62 raw before truncation"),
        ("cast", [t(hi=2**44)], {"dtype": FIXED}, "2^62 raw"),
        ("div", [fx(hi=2**50), fx()], EXACT, "2^51"),
    ],
)
def test_a_result_that_could_wrap_is_refused_with_its_size_and_what_to_do(op, types, attrs, reach):
    with pytest.raises(PlanError) as e:
        infer(op, types, completed(op, attrs))
    assert e.value.code == "PLAN-009"
    assert f"`{op}` could reach {reach}" in e.value.what
    assert "assume" in e.value.next
    assert e.value.expected


def test_a_product_just_below_the_slack_bits_is_accepted():
    assert infer("mul", [fx(hi=2**31), fx(hi=2**31 - 1)], Attrs(PRODUCT)).interval.hi <= 2**44


def test_a_divisor_kept_from_zero_makes_a_division_possible():
    one = fx((), ONE, ONE, Public())
    away = infer("maximum", [fx(), one], Attrs())
    assert infer("div", [fx(hi=2**50), away], Attrs(EXACT)).interval.hi < 2**51


@given(st.data())
@settings(max_examples=100)
def test_integer_results_lie_in_the_inferred_interval(data):
    op = data.draw(st.sampled_from(["add", "sub", "mul", "minimum", "maximum"]))
    bounds = [sorted(data.draw(st.tuples(st.integers(-99, 99), st.integers(-99, 99)))) for _ in "xy"]
    x, y = (np.array(data.draw(st.lists(st.integers(*b), min_size=3, max_size=3)), dtype=np.int64) for b in bounds)
    attrs = Attrs(PRODUCT if op == "mul" else {})
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply}.get(op) or getattr(np, op)

    interval = infer(op, [t(lo=b[0], hi=b[1], shape=(3,)) for b in bounds], attrs).interval

    result = function(x, y)
    assert interval.lo <= result.min()
    assert result.max() <= interval.hi


# --- functions -----------------------------------------------------------------------------------------------------

MP = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "reciprocal": lambda v: 1 / v,
    "rsqrt": lambda v: 1 / mpmath.sqrt(v),
    "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
    "sqrt": mpmath.sqrt,
    "tanh": mpmath.tanh,
}


@given(st.sampled_from(sorted(MP)), st.sampled_from([1, 8, 18, 29, 40]), st.data())
@settings(max_examples=300)
def test_function_bounds_hold_for_the_true_function(name, f, data):
    raw = st.one_of(st.integers(-(2**61), 2**61), st.integers(-(2 ** (f + 5)), 2 ** (f + 5)))
    lo, v, hi = sorted(data.draw(st.tuples(raw, raw, raw)))
    bound = FUNCTION_BOUNDS[name]
    domain = bound.domain(f)
    if lo > domain.hi or hi < domain.lo or (name == "reciprocal" and lo == hi == 0):
        with pytest.raises(PlanError, match="PLAN-011"):
            bound.result(name, Interval(lo, hi), f)
        return
    result = bound.result(name, Interval(lo, hi), f)
    v = min(max(v, domain.lo), domain.hi)
    if name == "reciprocal" and v == 0:
        return
    with mpmath.workprec(200):
        true = MP[name](mpmath.mpf(v) / 2**f) * 2**f
    assert result.lo <= true <= result.hi


@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.data())
@settings(max_examples=150)
def test_quotient_bounds_hold(a, b, data):
    x = Interval(min(a, b), max(a, b))
    c, d = (data.draw(st.integers(-(2**20), 2**20)) for _ in "cd")
    y = Interval(min(c, d), max(c, d))
    n = data.draw(st.integers(x.lo, x.hi))
    m = data.draw(st.integers(y.lo, y.hi))
    if m:
        bound = quotient(x, y, 18)
        assert bound.lo <= n * ONE // m <= bound.hi


@pytest.mark.parametrize("name", ["log", "rsqrt"])
def test_a_function_of_values_outside_its_domain_is_refused(name):
    with pytest.raises(PlanError, match="PLAN-011"):
        infer(name, [fx(hi=0)], Attrs(EXACT))


@pytest.mark.parametrize("name", ["exp", "log", "rsqrt", "sigmoid", "sqrt", "tanh"])
@pytest.mark.parametrize("f", [8, 18, 24])
def test_functions_of_any_value_have_results_that_fit(name, f):
    x = TensorType(fixed(f), (2,), Secret(), fixed(f).range)
    assert infer(name, [x], Attrs(EXACT)).dtype == fixed(f)


@pytest.mark.parametrize("name", ["exp", "log", "reciprocal", "rsqrt", "sigmoid", "sqrt", "tanh", "div"])
@pytest.mark.parametrize("f", [7, 25])
def test_functions_beyond_the_promised_precision_are_refused(name, f):
    x = TensorType(fixed(f), (2,), Secret(), Interval(1, 2**f))
    with pytest.raises(PlanError, match=r"PLAN-004.*8 <= f <= 24"):
        infer(name, [x, x] if name == "div" else [x], Attrs(EXACT))


def test_reciprocal_of_default_range_fits_and_of_zero_is_refused():
    assert infer("reciprocal", [fx()], Attrs(EXACT)).interval.hi >= 2**36
    with pytest.raises(PlanError, match="PLAN-011"):
        infer("reciprocal", [fx(lo=0, hi=0)], Attrs(EXACT))


# --- truncation ----------------------------------------------------------------------------------------------------


def test_only_secret_fixed_point_products_have_a_choice_of_truncation():
    exact = Attrs(PRODUCT)
    assert truncates("mul", [fx(), fx()], exact)
    assert truncates("mul", [fx(), fx(home=Public())], exact)
    assert not truncates("mul", [fx(home=Public()), fx(home=Public())], exact)
    assert not truncates("mul", [fx(), t()], exact)
    assert truncates("mul", [fx(), t()], exact.replaced(shift=1))
    assert truncates("exp", [fx()], exact)
    assert not truncates("exp", [fx(home=Private(0))], exact)
    assert not truncates("scale", [fx()], Attrs({"numerator": 3, "shift": 0, **EXACT}))
    assert not truncates("add", [fx(), fx()], Attrs())


def test_low_bits_survive_linear_operations_only():
    exact = Attrs(PRODUCT)
    assert keeps_low_bits("add", [fx(), fx()], Attrs())
    assert keeps_low_bits("mul", [fx(), fx(home=Public())], exact)
    assert keeps_low_bits("mul", [fx(), t()], exact)
    assert keeps_low_bits("mul", [fx(), t()], exact.replaced(shift=1))
    assert not keeps_low_bits("mul", [fx(), fx()], exact)
    assert not keeps_low_bits("exp", [fx()], exact)
    assert not keeps_low_bits("lt", [fx(), fx()], Attrs())


# --- indexing ------------------------------------------------------------------------------------------------------

INDICES = [
    0,
    -1,
    (slice(None, None, -1), Ellipsis),
    (Ellipsis, 2),
    (None, slice(1, 3), None, 0),
    (slice(3, 1),),
    (slice(None, None, 2), slice(-2, None), slice(4, 0, -3)),
    (slice(10, 20), 1),
    (Ellipsis,),
    (),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_normalised_index_selects_what_numpy_selects(index):
    x = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    normal = normalise_index(index, x.shape)
    np.testing.assert_array_equal(x[numpy_index(normal)], x[index])
    assert indexed_shape(normal, x.shape) == x[index].shape


def test_equal_indexing_has_one_normal_form():
    assert normalise_index(slice(2, 3, 5), (9,)) == normalise_index(slice(-7, 3), (9,)) == ((2, 1, 1),)
    assert normalise_index(slice(5, 5), (9,)) == normalise_index(slice(8, 2), (9,)) == ((0, 0, 1),)


@pytest.mark.parametrize("index", [3, -4, (0, 0, 0, 0), (Ellipsis, Ellipsis), "x", True, 1.5])
def test_unsuitable_index_is_refused(index):
    with pytest.raises(PlanError, match="PLAN-012"):
        normalise_index(index, (3, 4, 5))
