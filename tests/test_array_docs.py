"""docs/arrays.md lists exactly what the namespace offers and leaves out.

`python tests/test_array_docs.py` rewrites its tables.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from plan_oracle import Oracle
from tacit.frontends.array import FUNCTIONS as NUMPY_FUNCTIONS
from tacit.frontends.array import UFUNCS
from tacit.frontends.creation import Creation
from tacit.frontends.namespace import CREATION, EXTRA, FUNCTIONS, MISSING

PAGE = Path(__file__).parent.parent / "docs" / "arrays.md"
BEGIN, END = "<!-- generated: functions -->", "<!-- end -->"

# The names of the standard, version 2024.12, without its optional extensions (linalg, fft).
STANDARD = """
    abs acos acosh add all any arange argmax argmin argsort asarray asin asinh astype atan atan2 atanh
    bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor bool
    broadcast_arrays broadcast_to can_cast ceil clip complex128 complex64 concat conj copysign cos cosh
    count_nonzero cumulative_prod cumulative_sum diff divide e empty empty_like equal exp expand_dims expm1 eye
    finfo flip float32 float64 floor floor_divide from_dlpack full full_like greater greater_equal hypot iinfo
    imag inf int16 int32 int64 int8 isdtype isfinite isinf isnan less less_equal linspace log log10 log1p log2
    logaddexp logical_and logical_not logical_or logical_xor matmul matrix_transpose max maximum mean meshgrid
    min minimum moveaxis multiply nan negative newaxis nextafter nonzero not_equal ones ones_like permute_dims
    pi positive pow prod real reciprocal remainder repeat reshape result_type roll round searchsorted sign
    signbit sin sinh sort sqrt square squeeze stack std subtract sum take take_along_axis tan tanh tensordot
    tile tril triu trunc uint16 uint32 uint64 uint8 unique_all unique_counts unique_inverse unique_values
    unstack var vecdot where zeros zeros_like
"""


def first_sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split()).rstrip(".")


def tables() -> str:
    numpy: dict[str, list[str]] = {}
    for name, ours in (UFUNCS | NUMPY_FUNCTIONS).items():
        numpy.setdefault(ours, []).append(f"`np.{name}`")
    lines = ["| Function | What it gives | From NumPy |", "|---|---|---|"]
    functions = FUNCTIONS | {name: getattr(Creation, name) for name in CREATION}
    for name, function in sorted(functions.items()):
        mark = " (beyond the standard)" if name in EXTRA else ""
        what = first_sentence(function.__doc__).replace("|", "\\|")
        lines.append(f"| `{name}` | {what}{mark} | {', '.join(numpy.get(name, []))} |")
    lines += ["", "Left out of the standard:", "", "| Name | Why |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in sorted(MISSING.items())]
    return "\n".join(lines)


def rendered(page: str) -> str:
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def test_the_page_is_what_the_code_says() -> None:
    page = PAGE.read_text()
    assert rendered(page) == page, "stale: run `python tests/test_array_docs.py`"


def test_every_name_of_the_standard_is_offered_or_explained() -> None:
    offered = dir(Oracle().program.namespace)
    assert set(STANDARD.split()) - set(offered) == set(MISSING)
    assert not set(MISSING) & set(offered)
    assert set(offered) - set(STANDARD.split()) == set(EXTRA)


@pytest.mark.parametrize("name", sorted(dir(Oracle().program.namespace)))
def test_every_name_in_the_namespace_can_be_had(name: str) -> None:
    getattr(Oracle().program.namespace, name)


def test_the_examples_of_the_page_run() -> None:
    source = PAGE.read_text()
    blocks = [b.split("```")[0] for b in source.split("```python\n")[1:]]
    assert blocks
    o = Oracle()
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {"s": Page(o)})


class Page:
    """The session of the examples."""

    def __init__(self, o: Oracle) -> None:
        self.input, self.constant, self.loop = o.input, o.program.constant, o.program.loop


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
