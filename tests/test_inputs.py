# SPDX-License-Identifier: Apache-2.0
"""A party's own files and a client's arrays: what is accepted becomes exact raw values, the rest is a named error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import tacit as tc
from tacit.errors import InputError, PlanError, RunError
from tacit.frontends.encoding import decode
from tacit.plan import BOOL, FIXED, INT8, INT64, DType, Interval, default_interval, fixed
from tacit.session.datasets import Datasets, parse_source, redacted, source_of
from tacit.session.values import encode, interval_of

SECRET = "987654"
"""A value that no error may repeat."""


@pytest.fixture
def data(tmp_path: Path) -> Datasets:
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "outside.csv").write_text("x\n1\n")
    (root / "link.csv").symlink_to(tmp_path / "outside.csv")
    rows = [f"{k},{k / 4},{str(k % 2 == 0).lower()},name{k}" for k in range(1, 11)]
    (root / "good.csv").write_text("\n".join(["n,x,b,s", *rows]) + "\n")
    table = pa.table(
        {
            "n": pa.array(range(1, 11), pa.int32()),
            "x": [k / 4 for k in range(1, 11)],
            "b": [k % 2 == 0 for k in range(1, 11)],
        }
    )
    pyarrow.parquet.write_table(table, root / "good.parquet")
    pyarrow.feather.write_feather(table, root / "good.arrow")
    return Datasets(root, "clinic")


def write(data: Datasets, name: str, text: str) -> None:
    root = data._root
    assert root is not None
    (root / name).write_text(text)


def read(data: Datasets, file: str, columns: list[str], dtype: DType = INT64, **interval: int) -> Any:
    bounds = Interval(**interval) if interval else default_interval(dtype)
    return decode(data.read(source_of(file, columns, len(columns) > 1), dtype, bounds), dtype)


@pytest.mark.parametrize("file", ["good.csv", "good.parquet", "good.arrow"])
def test_each_format_gives_the_same_values(data: Datasets, file: str) -> None:
    assert read(data, file, ["n"]).tolist() == list(range(1, 11))
    assert read(data, file, ["x"], FIXED).tolist() == [k / 4 for k in range(1, 11)]
    assert read(data, file, ["b"], BOOL).tolist() == [k % 2 == 0 for k in range(1, 11)]
    assert read(data, file, ["n", "x"], FIXED).tolist() == [[k, k / 4] for k in range(1, 11)]


def test_a_description_has_rows_names_and_types(data: Datasets) -> None:
    found = data.describe("good.csv")

    assert found.rows == 10
    assert [(c.name, c.dtype) for c in found.columns] == [("n", INT64), ("x", FIXED), ("b", BOOL), ("s", None)]


@pytest.mark.parametrize(
    "path", ["../outside.csv", "link.csv", "/etc/passwd", "", "a\0b.csv", "a\nb.csv", "x/../../outside.csv"]
)
def test_no_path_leads_out_of_the_data_directory(data: Datasets, path: str) -> None:
    with pytest.raises(InputError, match="INPUT-003"):
        data.describe(path)


def test_a_party_without_a_directory_reads_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="INPUT-012"):
        Datasets(None, "clinic").describe("good.csv")


@pytest.mark.parametrize(
    ("file", "code"), [("none.csv", "INPUT-001"), ("good.xlsx", "INPUT-002"), ("broken.parquet", "INPUT-002")]
)
def test_a_missing_or_unreadable_file_is_named(data: Datasets, file: str, code: str) -> None:
    write(data, "broken.parquet", "no parquet")

    with pytest.raises(InputError, match=code) as raised:
        data.describe(file)

    assert file in raised.value.what
    assert raised.value.party == "clinic"


@pytest.mark.parametrize("length", [300, 5000])
def test_a_file_name_longer_than_a_file_system_allows_is_absent(data: Datasets, length: int) -> None:
    with pytest.raises(InputError, match="INPUT-001") as raised:
        data.describe("x" * length + ".csv")

    assert len(raised.value.what) < 300


@pytest.mark.parametrize(
    ("header", "column"),
    [
        (f"id,{SECRET}", 2),
        (f"id,-{SECRET}.5", 2),
        (f'id,"{SECRET},5"', 2),
        (f"id,{SECRET}e5", 2),
        ("1987-06-05,id", 1),
        ("id,1987-06-05T04:03:02", 2),
        ("id,5.6.1987", 2),
        ("id,5 June 1987", 2),
        ("id,Jun 5, 1987", 3),
        ("id,true", 2),
        ("id,NA", 2),
        ("id,", 2),
        ("id,v,id", 3),
    ],
)
def test_a_first_row_of_values_is_not_published_as_names(data: Datasets, header: str, column: int) -> None:
    write(data, "bare.csv", f"{header}\n" + ",".join("1" * (1 + len(re.sub('"[^"]*"', "", header).split(",")[1:]))))

    for ask in (lambda: data.describe("bare.csv"), lambda: read(data, "bare.csv", ["id"])):
        with pytest.raises(InputError, match=rf"INPUT-017.*column {column} ") as raised:
            ask()
        assert SECRET not in str(raised.value) and "198" not in str(raised.value)
        assert "column" not in redacted(raised.value).what


@pytest.mark.parametrize("header", ["id,Größe,x_1,2nd visit,Q1 2020,march,年齢", "e,inf_rate,May,nano"])
def test_names_with_letters_are_names(data: Datasets, header: str) -> None:
    write(data, "named.csv", f"{header}\n" + ",".join("1" * (1 + header.count(","))))

    assert [c.name for c in data.describe("named.csv").columns] == header.split(",")


def test_a_missing_column_lists_those_there_are(data: Datasets) -> None:
    with pytest.raises(InputError, match="INPUT-004") as raised:
        read(data, "good.csv", ["age"])

    assert "'n', 'x', 'b', 's'" in raised.value.expected


@pytest.mark.parametrize("bad_row", [1, 2, 7, 10])
@pytest.mark.parametrize(
    ("value", "dtype", "code"),
    [
        (f"abc{SECRET}", INT64, "INPUT-005"),
        (f"{SECRET}.5", INT64, "INPUT-005"),
        (f"abc{SECRET}", FIXED, "INPUT-005"),
        ("", INT64, "INPUT-006"),
        ("NULL", FIXED, "INPUT-006"),
        ("nan", FIXED, "INPUT-006"),
        ("inf", FIXED, "INPUT-006"),
        ("-inf", FIXED, "INPUT-006"),
        (SECRET, FIXED, "INPUT-007"),
        (SECRET, INT8, "INPUT-007"),
        (f"{SECRET}123456789012345", INT64, "INPUT-005"),
    ],
)
def test_a_bad_value_in_a_csv_is_found_by_row_and_never_repeated(
    data: Datasets, bad_row: int, value: str, dtype: DType, code: str
) -> None:
    rows = [f"{k},{value if k == bad_row else k}" for k in range(1, 11)]
    write(data, "bad.csv", "\n".join(["k,v", *rows]) + "\n")

    with pytest.raises(InputError, match=code) as raised:
        read(data, "bad.csv", ["v"], dtype)

    assert f"row {bad_row}" in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.next


def test_a_csv_row_with_too_many_values_is_named(data: Datasets) -> None:
    rows = [f"{k},{k}" + (",1" if k == 7 else "") for k in range(1, 11)]
    write(data, "ragged.csv", "\n".join(["k,v", *rows]))

    with pytest.raises(InputError, match=r"INPUT-002.*row 7"):
        read(data, "ragged.csv", ["v"])


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_what_separates_the_names_separates_the_values(data: Datasets, mark: str) -> None:
    write(data, "cells.CSV", f'"a, b; c"{mark}d\n1{mark}"2"\n3{mark}4')

    assert [c.name for c in data.describe("cells.CSV").columns] == ["a, b; c", "d"]
    assert data.read(source_of("cells.CSV", ["d"], False), INT64, Interval(0, 9)).tolist() == [2, 4]
    write(data, "ragged.csv", f"a{mark}b\n1{mark}2\n3")
    with pytest.raises(InputError, match=r"INPUT-002.*row 2"):
        data.describe("ragged.csv")


def test_an_empty_line_in_a_one_column_csv_is_a_missing_value(data: Datasets) -> None:
    write(data, "one.csv", "v\n1\n\n3\n")

    with pytest.raises(InputError, match=r"INPUT-006.*row 2"):
        read(data, "one.csv", ["v"])


def test_a_wrong_value_further_down_does_not_turn_a_column_into_text(data: Datasets) -> None:
    write(data, "late.csv", "v\n1\n2\nabc\n")

    assert data.describe("late.csv").columns[0].dtype is not None


def test_parquet_columns_with_nulls_or_of_another_type_are_refused(data: Datasets) -> None:
    root = data._root
    assert root is not None
    table = pa.table({"gaps": [1, None, 3], "x": [0.5, 1.5, 2.5], "b": [True, False, True]})
    pyarrow.parquet.write_table(table, root / "t.parquet")

    for column, dtype, code in (("gaps", INT64, "INPUT-006"), ("x", INT64, "INPUT-005"), ("b", FIXED, "INPUT-005")):
        with pytest.raises(InputError, match=code):
            read(data, "t.parquet", [column], dtype)
    with pytest.raises(InputError, match=r"INPUT-006.*row 2"):
        read(data, "t.parquet", ["gaps"])


def test_others_than_the_owner_are_told_the_code_but_not_the_row(data: Datasets) -> None:
    write(data, "bad.csv", "v\n1\nabc\n")
    with pytest.raises(InputError) as raised:
        read(data, "bad.csv", ["v"])

    told = redacted(raised.value)

    assert told.code == raised.value.code
    assert told.party == "clinic"
    assert not any(word in str(told) for word in ("row", "bad.csv", "'v'"))


@settings(max_examples=50)
@given(st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1, max_size=4), st.booleans())
def test_a_source_text_is_read_back(file: str, columns: list[str], matrix: bool) -> None:
    matrix = matrix or len(columns) > 1
    if any(0xD800 <= ord(c) <= 0xDFFF for c in file + "".join(columns)) or file.startswith("//"):
        return

    assert parse_source(source_of(file, columns, matrix)) == (file, tuple(columns), matrix)


@pytest.mark.parametrize(
    "source", ["", "x", "http://h/x?column=a", "file:x", "file:x?row=1", "file:x?column=a&column=b"]
)
def test_any_other_source_is_refused(source: str) -> None:
    with pytest.raises(InputError, match="INPUT-011"):
        parse_source(source)


@settings(max_examples=50)
@given(arrays(np.int64, (7,), elements=st.integers(-(2**31), 2**31)))
def test_integers_are_exact(values: Any) -> None:
    assert np.array_equal(decode(encode(values, INT64, default_interval(INT64)), INT64), values)


@settings(max_examples=50)
@given(arrays(np.float64, (5, 2), elements=st.floats(-4096, 4096)), st.sampled_from([8, 18, 40]))
def test_floats_are_rounded_to_the_nearest_multiple(values: Any, f: int) -> None:
    dtype = fixed(f)

    back = decode(encode(values, dtype, default_interval(dtype)), dtype)

    assert np.max(np.abs(back - values)) <= 2.0 ** -(f + 1)


@pytest.mark.parametrize(
    ("values", "dtype", "code"),
    [
        ([1.0, np.nan], FIXED, "INPUT-006"),
        ([1.0, -np.inf], FIXED, "INPUT-006"),
        ([1.0, 1e300], FIXED, "INPUT-007"),
        ([1.0, 4096.5], FIXED, "INPUT-007.*from -4096 to 4096"),
        ([1, 2**31 + 1], INT64, "INPUT-007"),
        (np.array([1, 2**63], dtype=np.uint64), INT64, "INPUT-007"),
        (np.array([1, 2**64 - 1], dtype=np.uint64), INT64, "INPUT-007"),
        ([1.5, 2.0], INT64, "INPUT-005"),
        ([1, 2], BOOL, "INPUT-005"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(values: Any, dtype: DType, code: str) -> None:
    with pytest.raises(InputError, match=code):
        encode(np.asarray(values), dtype, default_interval(dtype))


def test_a_range_is_rounded_outwards_and_exact_for_integers() -> None:
    assert interval_of(INT64, (-(2**63), 2**63 - 1)) == Interval(-(2**63), 2**63 - 1)
    assert interval_of(INT64, (0.5, 1.5)) == Interval(0, 2)
    assert interval_of(fixed(1), (-0.3, 0.3)) == Interval(-1, 1)


@pytest.mark.parametrize("bad", [(1, 0), (0, float("nan")), (0, float("inf")), (1,), "ab", (0, 2**63)])
def test_an_impossible_range_is_refused(bad: Any) -> None:
    with pytest.raises(InputError, match="INPUT-010"):
        interval_of(INT64, bad)


# --- shapes and layouts of arrays, for every family of operations -------------------------------------------------

FAMILIES: dict[str, tuple[Any, Any]] = {
    "add": (lambda x: x + x, lambda x: x + x),
    "mul": (lambda x: x * x, lambda x: x * x),
    "fixed": (lambda x: tc.astype(x, tc.fixed(18)) * 0.5, lambda x: x * 0.5),
    "less": (lambda x: x < 3, lambda x: x < 3),
    "equal": (lambda x: x == 3, lambda x: x == 3),
    "where": (lambda x: tc.where(x < 3, x, -x), lambda x: np.where(x < 3, x, -x)),
    "maximum": (lambda x: tc.maximum(x, 2), lambda x: np.maximum(x, 2)),
    "abs": (abs, abs),
    "sum": (tc.sum, np.sum),
    "square of a matrix": (lambda x: x.reshape((-1, 1)) @ x.reshape((1, -1)), lambda x: np.outer(x, x)),
}
LAYOUTS: dict[str, Any] = {
    "no element": np.empty((0,), np.int64),
    "no row": np.empty((0, 3), np.int64),
    "no column": np.empty((3, 0), np.int64),
    "0-d": np.array(-5),
    "one": np.array([7]),
    "one in three dimensions": np.array([[[2]]]),
    "every other": np.arange(-9, 9)[::2],
    "backwards": np.arange(-9, 9)[::-1],
    "transposed": np.arange(12).reshape(3, 4).T,
    "broadcast": np.broadcast_to(np.arange(4), (3, 4)),
    "big-endian": np.arange(5).astype(">i8"),
    "read-only": np.frombuffer(np.arange(5).tobytes(), np.int64),
}


@pytest.fixture(scope="module", params=["plain", "rep3"])
def session(request: pytest.FixtureRequest) -> Iterator[tc.Session]:
    with tc.local(protocol=request.param, transport="memory") as session:
        yield session


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_operation_takes_every_shape_and_layout(session: tc.Session, layout: str) -> None:
    values = LAYOUTS[layout]
    for owner in (0, None):
        x = session.input(values, party=owner, range=(-20, 20))
        results = tc.reveal(*(secure(x) for secure, _ in FAMILIES.values()))
        for family, (_, plain), found in zip(FAMILIES, FAMILIES.values(), results, strict=True):
            expected = np.asarray(plain(values))
            assert np.shape(found) == expected.shape, family
            np.testing.assert_array_equal(found, expected, err_msg=family)


@pytest.mark.parametrize("strategy", ["network", "shuffle"])
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_short_arrays_are_sorted(session: tc.Session, strategy: str, n: int) -> None:
    values = np.arange(2 * n)[::-2]

    x = session.input(values, party=1, range=(-20, 20))

    assert tc.sort(x, strategy=strategy).reveal().tolist() == sorted(values.tolist())
    assert tc.argsort(x, strategy=strategy).reveal().tolist() == list(range(n))[::-1]


class SentError(Exception):
    """A message was about to be sent."""


@pytest.fixture
def silent(session: tc.Session, monkeypatch: pytest.MonkeyPatch) -> tc.Session:
    """A session that may not run anything."""

    def run(*_: object) -> None:
        raise SentError

    monkeypatch.setattr(session._backend, "run", run)
    return session


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("owner", [0, None])
def test_a_value_out_of_its_interval_is_refused_before_anything_is_sent(
    silent: tc.Session, family: str, owner: int | None
) -> None:
    with pytest.raises(InputError, match="INPUT-007") as raised:
        FAMILIES[family][0](silent.input(np.array([1, int(SECRET)]), party=owner, range=(-20, 20))).reveal()

    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("shape", [(2**32, 2**32), (2**62, 4), (2**31, 2**31, 2**31)])
def test_a_shape_that_no_machine_holds_is_refused_before_anything_is_sent(
    silent: tc.Session, shape: tuple[int, ...]
) -> None:
    x = silent.input(np.array([1]), party=0)

    with pytest.raises((PlanError, RunError, InputError)):
        tc.broadcast_to(x, shape).reveal()


@pytest.mark.parametrize("n", [2**28 + 1, 2**40])
def test_more_elements_than_the_room_allows_are_refused_before_any_round(session: tc.Session, n: int) -> None:
    x = session.input(np.array([1]), party=0)

    with pytest.raises(RunError, match="RUN-015"):
        tc.broadcast_to(x, (n,)).reveal()


@pytest.mark.parametrize("threads", [0, -1, 1025, 2.0, True, "two"])
def test_an_impossible_number_of_threads_is_refused(threads: Any) -> None:
    with pytest.raises(InputError, match="INPUT-018"):
        tc.local(transport="memory", threads=threads)
