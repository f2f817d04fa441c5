# SPDX-License-Identifier: Apache-2.0
"""Random queries over random tables agree with DuckDB; `make fuzz-sql` runs more of them."""

import pytest

from sql.fuzz import REFUSED_MAX, run

BLOCK = 100


def check(first: int, protocol: str, count: int = BLOCK) -> None:
    out = run(range(first, first + count), protocol)
    assert not out.failures
    # A session that refuses everything agrees too.
    assert out.refused < REFUSED_MAX, out.refusals


@pytest.mark.parametrize("block", range(22, 30))
def test_plain(block: int) -> None:
    """Values alone, without shares."""
    check(block * BLOCK, "plain")


@pytest.mark.parametrize("block", range(3))
def test_rep3(block: int) -> None:
    """The same on shares of three parties."""
    check(10_000 + block * BLOCK, "rep3")
