"""Expressions on arrays give what DuckDB gives."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalar_oracle import KINDS, Maker, Rows, check


@pytest.mark.parametrize("kind", list(KINDS))
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_random_expressions_agree_with_duckdb(kind: str, seed: int) -> None:
    rng = Random(f"{kind}{seed}")
    rows = Rows(rng, rng.choice([0, 1, 7, 40]))
    maker = Maker(rng, rows)
    exprs = [maker.make(kind, rng.randint(1, 3)) for _ in range(3)]
    check(rows, exprs, loose=1e-3 if kind == "double" else 1e-12)
