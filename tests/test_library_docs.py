"""docs/numerics.md and docs/sorting.md say what the library promises and costs today."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def writer(page: str) -> ModuleType:
    """The module of benchmarks/ that writes a page."""
    spec = importlib.util.spec_from_file_location(page, ROOT / "benchmarks" / f"{page}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def numerics() -> ModuleType:
    return writer("numerics")


def test_the_sorting_page_has_the_costs_of_today() -> None:
    sorting = writer("sorting")
    page = sorting.PAGE.read_text()
    assert page == sorting.page(), "stale: run python benchmarks/sorting.py"


def test_the_numerics_page_has_the_promises_and_the_costs_of_today(numerics: ModuleType) -> None:
    page = numerics.PAGE.read_text()
    for part in (numerics.HEAD, numerics.promises(), numerics.costs()):
        assert part in page, "docs/numerics.md is stale: run python benchmarks/numerics.py"


def test_the_numerics_page_has_a_measurement_of_every_function_and_fraction(numerics: ModuleType) -> None:
    page = numerics.PAGE.read_text()
    assert numerics.MEASURED.format(points=numerics.POINTS) in page
    for name in numerics.CASES:
        for f in numerics.FRACTIONS:
            assert f"| `{name}` | {f} | " in page


def test_measuring_gives_a_row_within_the_promise(numerics: ModuleType) -> None:
    for row in numerics.worst("log", 18, 1000):
        assert 0 < int(row[-1].removesuffix(" %")) <= 100
