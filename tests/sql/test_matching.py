# SPDX-License-Identifier: Apache-2.0
"""Matching by key: what comes out is what SQL would give, and nothing but the query's own result is opened."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

import tacit
from tacit.errors import InputError, SqlError

BANK = pd.DataFrame(
    {
        "mail": ["Åsa@x.se ", "bo@x.se", "c@x.se", "BO@x.se", None, " "],
        "born": ["01/02/1980", "03/04/1981", "soon", "03/04/1981", "01/01/2000", "01/01/2000"],
        "v": [1, 2, 3, 4, 5, 6],
    }
)
SHOP = pd.DataFrame(
    {
        "email": ["asa@X.se", "bo@x.se", "bo@x.se", "d@x.se", None, ""],
        "born": ["1980-02-01", "1981-04-03", "1981-04-03", "1981-04-03", None, "2000-01-01"],
        "spend": [10.5, 20.0, 30.0, 40.0, 50.0, 60.0],
    }
)
CLUB = pd.DataFrame({"email": ["ASA@x.se", "asa@x.se", "bo@x.se"], "born": ["1980-02-01", "1980-02-01", None]})
KEYS = {"bank": ["mail", "born"], "shop": ["email", "born"], "club": ["email", "born"]}
ALIKE = {"mail": ("trim", "lower", "accents"), "email": "lower", "bank.born": "%d/%m/%Y", "born": "%Y-%m-%d"}


@pytest.fixture(scope="module", params=["plain", "rep3"])
def session(request: pytest.FixtureRequest) -> Iterator[tacit.Session]:
    with tacit.local(3, request.param, transport="memory") as session:
        for party, (name, frame) in enumerate({"bank": BANK, "shop": SHOP, "club": CLUB}.items()):
            session.table(name, frame, party=party)
        yield session


def test_size_counts_different_keys_that_all_tables_have(session: tacit.Session) -> None:
    two = session.psi("bank", "shop", on=KEYS, normalise=ALIKE).size().reveal()
    three = session.psi("bank", "shop", "club", on=KEYS, normalise=ALIKE).size().reveal()

    assert two.table.to_pylist() == [{"size": 2}]
    assert three.table.to_pylist() == [{"size": 1}]


def test_sum_counts_each_row_once_however_many_partners_it_has(session: tacit.Session) -> None:
    matched = session.psi("bank", "shop", on=KEYS, normalise=ALIKE)

    assert matched.sum("shop", "spend").reveal().table.to_pylist() == [{"sum": 60.5}]
    assert matched.sum("bank", "v").reveal().table.to_pylist() == [{"sum": 7}]


def test_sum_over_nothing_is_zero(session: tacit.Session) -> None:
    matched = session.psi("bank", "shop", on={"bank": "mail", "shop": "born"})

    assert matched.sum("bank", "v").reveal().table.to_pylist() == [{"sum": 0}]


def test_rows_are_those_with_a_partner_each_as_often_as_it_is_there(session: tacit.Session) -> None:
    matched = session.psi("bank", "shop", on=KEYS, normalise=ALIKE)

    assert sorted(matched.rows("bank", ["v"]).reveal().to_pandas()["v"]) == [1, 2, 4]
    assert matched.rows("shop").names == ("email", "born", "spend")
    three = session.psi("club", "bank", "shop", on=KEYS, normalise=ALIKE).rows("club").reveal()
    assert sorted(three.to_pandas()["email"]) == ["ASA@x.se", "asa@x.se"]


def test_only_the_result_is_opened(session: tacit.Session) -> None:
    matched = session.psi("bank", "shop", "club", on=KEYS, normalise=ALIKE)

    for frame, purpose in ((matched.size(), "overlap"), (matched.sum("shop", "spend"), "turnover")):
        plan = frame.plan(to="party1", purpose=purpose)
        told = [d for d in map(str, plan.disclosures()) if "number of rows of" not in d and "random pattern" not in d]
        assert len(told) == 1
        assert "1 value" in told[0] and told[0].endswith(f"to party1, for: {purpose}")


@pytest.mark.parametrize(
    ("tables", "on", "normalise"),
    [
        (("bank",), "mail", {}),
        (("bank", "bank"), "mail", {}),
        (("bank", "shop"), {"bank": "mail"}, {}),
        (("bank", "shop"), {"bank": ["mail"], "shop": ["email", "born"]}, {}),
        (("bank", "shop"), KEYS, {"spend": "lower"}),
        (("bank", "shop"), KEYS, {"mail": "soundex"}),
    ],
)
def test_tables_and_keys_have_to_go_together(
    session: tacit.Session, tables: tuple[str, ...], on: dict[str, list[str]], normalise: dict[str, str]
) -> None:
    with pytest.raises(InputError, match="INPUT-027"):
        session.psi(*tables, on=on, normalise=normalise)


def test_names_are_names(session: tacit.Session) -> None:
    with pytest.raises(SqlError, match="SQL-002"):
        session.psi('bank" AS b, "shop', "club", on="email").size()
    with pytest.raises(SqlError, match="SQL-003"):
        session.psi("shop", "club", on="email").rows("shop", ['email" FROM "bank'])
    with pytest.raises(InputError, match="INPUT-027"):
        session.psi("shop", "club", on="email").sum("bank", "v")


@pytest.mark.parametrize(
    ("tables", "arguments"),
    [
        ((1, 2), {"on": ["email"]}),
        (("bank", "shop"), {"on": 5}),
        (("bank", "shop"), {"on": {"bank": "mail", "shop": "email"}, "normalise": 5}),
    ],
)
def test_arguments_of_another_kind_are_refused(session: tacit.Session, tables: tuple[str], arguments: dict) -> None:
    with pytest.raises(InputError, match="INPUT-027"):
        session.psi(*tables, **arguments)
