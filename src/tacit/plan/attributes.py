# SPDX-License-Identifier: Apache-2.0
"""The kinds of attributes an operation may have, and the check of a node's attributes against its schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

from tacit.errors import PlanError
from tacit.plan.nodes import Attrs, Region
from tacit.plan.types import ELEMENTS_MAX, NDIM_MAX, DType, TensorType

AttrKind: TypeAlias = Literal[
    "int", "party", "bool", "str", "text", "ints", "shape", "bytes", "dtype", "type", "index", "region"
]
"""`party` is an index or None for everyone; `text` is a non-empty `str`; `type` is a `TensorType`."""

STR_MAX: Final = 500
SOURCE_MAX: Final = 64 * 1024
"""A source names a file and its columns, of which there may be many."""
INTS_MAX: Final = 2**22


def check_attrs(op: str, schema: Mapping[str, AttrKind], attrs: Attrs) -> None:
    """Raise `PlanError` PLAN-006 unless `attrs` has exactly the names and kinds of `schema`."""
    if set(attrs) != set(schema):
        wrong = sorted(set(attrs) ^ set(schema))
        raise PlanError(
            "PLAN-006",
            f"`{op}` has missing or unknown attributes: {', '.join(str(w)[:40] for w in wrong[:5])}",
            expected=", ".join(f"{name}: {kind}" for name, kind in sorted(schema.items())) or "no attributes",
        )
    for name, kind in schema.items():
        if not _CHECKS[kind](attrs[name]):
            raise PlanError("PLAN-006", f"attribute `{name}` of `{op}` is malformed", expected=_EXPECTED[kind])


def is_clean_text(text: object, longest: int = STR_MAX) -> bool:
    """Whether `text` may stand in a plan: a printable string (no control or direction characters, which could make a
    disclosure read differently from what it says) of at most `longest` characters."""
    return isinstance(text, str) and len(text) <= longest and text.isprintable()


def is_shape(value: object) -> bool:
    """Whether `value` is a tuple of at most 16 sizes, each within the limit on elements."""
    if not isinstance(value, tuple) or len(value) > NDIM_MAX:
        return False
    return all(_is_int(d) and 0 <= d <= ELEMENTS_MAX for d in value)


def _is_int(value: object) -> bool:
    return type(value) is int and abs(value) < 2**64


def _is_ints(value: object) -> bool:
    return isinstance(value, tuple) and len(value) <= INTS_MAX and all(map(_is_int, value))


def _is_index_item(item: object) -> bool:
    return item is None or _is_int(item) or (_is_ints(item) and isinstance(item, tuple) and len(item) == 3)


_CHECKS: Final[dict[AttrKind, Callable[[object], bool]]] = {
    "int": _is_int,
    "party": lambda v: v is None or _is_int(v),
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: is_clean_text(v, SOURCE_MAX),
    "text": lambda v: is_clean_text(v) and str(v).strip() != "",
    "ints": _is_ints,
    "shape": is_shape,
    "bytes": lambda v: isinstance(v, bytes),
    "dtype": lambda v: isinstance(v, DType),
    "type": lambda v: isinstance(v, TensorType),
    "index": lambda v: isinstance(v, tuple) and len(v) <= INTS_MAX and all(map(_is_index_item, v)),
    "region": lambda v: isinstance(v, Region),
}

_EXPECTED: Final[dict[AttrKind, str]] = {
    "int": "an integer of at most 64 bits",
    "party": "the index of a party, or nothing for everyone",
    "bool": "true or false",
    "str": f"printable text of at most {SOURCE_MAX} characters",
    "text": f"printable text of 1 to {STR_MAX} characters",
    "ints": "a tuple of integers of at most 64 bits",
    "shape": f"at most {NDIM_MAX} sizes from 0 to 2^40",
    "bytes": "bytes",
    "dtype": "an element type",
    "type": "a tensor type",
    "index": "a normalised index: a tuple of integers, (start, count, step) triples and None",
    "region": "a region",
}
