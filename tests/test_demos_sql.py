# SPDX-License-Identifier: Apache-2.0
"""The demos in SQL: what they find, that it is what DuckDB finds in pooled tables, and that no more is opened."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tacit.demos import banks, card, merchant, report, trial
from tacit.demos.outcome import Outcome, Question
from tacit.demos.queries import Pool, asked
from tacit.demos.settings import Settings
from tacit.demos.stages import Stages
from tacit.engine import execute
from tacit.plan import Node, Plan
from tacit.protocols.rep3 import Rep3

QUIET = Console(file=io.StringIO())
PAYMENTS = 250
"""Of each bank, in tests that look at every message."""


def in_memory(run: Callable[[Settings, Stages], Outcome], protocol: str) -> Outcome:
    return run(Settings(protocol, transport="memory"), Stages(QUIET))


@pytest.fixture(scope="module")
def shop_and_bank() -> Outcome:
    return in_memory(merchant.run, "plain")


def few_payments(root: Path) -> tuple[Question, ...]:
    """The questions of the banks to a few payments of each, between few accounts."""
    homes = {}
    for bank in banks.BANKS:
        payments = pq.read_table(banks.DATA / bank / banks.FILE)
        some = payments.take(np.random.default_rng(1).permutation(len(payments))[:PAYMENTS])
        for end in ("sender", "receiver"):
            k = some.column_names.index(end)
            some = some.set_column(k, some.field(k), [some[end].to_numpy() % 40])
        homes[bank] = root / bank
        homes[bank].mkdir()
        pq.write_table(some, homes[bank] / banks.FILE)
    return asked(Settings(transport="memory"), Stages(QUIET), homes, [banks.PAYMENTS], banks.QUERIES)[0]


# --- what leaves -----------------------------------------------------------------------------------------------------


class RevealLog:
    """Every opening and every input of a run, by the node of the plan in which it happens, as party 0 sees them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.plans: dict[str, Plan] = {}
        self.shown: dict[str, list[tuple[int, int | None, tuple[int, ...]]]] = defaultdict(list)
        self.opened: dict[str, set[int]] = defaultdict(set)
        self.owners: dict[str, set[int]] = defaultdict(set)
        opened, less, give, give_bits = Rep3._opened, Rep3.open_less, Rep3.input, Rep3.input_bits

        async def revealed(box: Rep3, x: Any, to: int | None = None) -> Any:
            plan, node = self.here(box)
            if box.me == 0 and node.op == "reveal":
                self.shown[plan].append((node.id, to, x.shape))
            elif box.me == 0:
                self.opened[plan].add(node.id)
            return await opened(box, x, to)

        async def opened_less(box: Rep3, x: Any, left: Any, right: Any) -> Any:
            plan, node = self.here(box)
            self.opened[plan].add(node.id)
            return await less(box, x, left, right)

        async def given(box: Rep3, owner: int, values: Any, shape: tuple[int, ...]) -> Any:
            self.owners[self.here(box)[0]].add(owner)
            return await give(box, owner, values, shape)

        async def given_bits(box: Rep3, owner: int, values: Any, shape: tuple[int, ...], width: int) -> Any:
            self.owners[self.here(box)[0]].add(owner)
            return await give_bits(box, owner, values, shape, width)

        # All that opens a value ends in one of these two.
        patch.setattr(Rep3, "_opened", revealed)
        patch.setattr(Rep3, "open_less", opened_less)
        patch.setattr(Rep3, "input", given)
        patch.setattr(Rep3, "input_bits", given_bits)

    def here(self, box: Rep3) -> tuple[str, Node]:
        """The plan that runs and the node of it that does what is going on."""
        frame, node = sys._getframe(2), None
        while frame.f_code is not execute._Execution.block.__code__:
            if node is None and frame.f_code.co_qualname.startswith("_Execution.block."):
                node = frame.f_locals["block"].nodes[frame.f_locals["key"]]
            assert frame.f_back is not None, "something is opened outside a plan"
            frame = frame.f_back
        plan: Plan = frame.f_locals["self"]._plan
        self.plans.setdefault(plan.digest, plan)
        assert node is not None
        return plan.digest, node


@pytest.mark.parametrize("demo", ["banks", "merchant-bank", "trial"])
def test_the_reveal_log_of_each_query_has_exactly_the_entries_of_its_disclosure_list(
    demo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RevealLog(monkeypatch)
    if demo == "banks":
        questions = few_payments(tmp_path)
    else:
        questions = in_memory({"merchant-bank": merchant.run, "trial": trial.run}[demo], "rep3").questions

    assert [q.facts.digest for q in questions] == list(log.plans)
    for question in questions:
        plan = log.plans[question.facts.digest]
        entries = plan.disclosures()
        assert question.facts.disclosures == tuple(map(str, entries))
        listed = [(d.node, d.to, d.type.shape) for d in entries if d.kind == "reveal"]
        assert sorted(log.shown[plan.digest]) == sorted(listed)
        assert log.opened[plan.digest] == {d.node for d in entries if d.kind == "opening"}
        sizes = {plan.nodes[d.node].attrs["party"] for d in entries if d.kind == "size"}
        assert log.owners[plan.digest] == sizes
        assert question.agrees


def test_few_words_about_a_query_leave_out_no_disclosure_of_its_plan() -> None:
    outcome = in_memory(trial.run, "plain")
    for question in outcome.questions:
        told = "\n".join(question.facts.learned)
        for hospital, rows in zip(trial.HOSPITALS, trial.ROWS, strict=True):
            assert f"numbers of rows that {hospital} brings: {rows:,}, to everyone" in told
        assert "random patterns that do not depend on the data" in told
        assert "how many groups have fewer than 11 rows, to everyone" in told
        assert len(question.facts.learned) == len(trial.HOSPITALS) + 3
    registered = outcome.facts.learned[0]
    assert registered.startswith("registering patients: the number of rows of coast_hospital")
    assert all(f"column {name}: " in registered for name in trial.tables()[0].column_names)


# --- what they find --------------------------------------------------------------------------------------------------


def test_banks_find_patterns_of_flagged_accounts_as_one_database_would() -> None:
    outcome = in_memory(banks.run, "plain")
    assert outcome.agrees
    assert [len(q.joint) for q in outcome.questions] == [41, 39, 22]
    flagged = [note for note in outcome.notes if "accounts are flagged" in note]
    assert [note.rpartition(": ")[2].split()[:3:2] for note in flagged] == [["41", "41"], ["66", "74"], ["45", "48"]]


def test_a_circle_of_three_payments_touches_three_banks_and_no_bank_holds_two_of_them() -> None:
    pool = Pool({"payments": [banks.DATA / bank / banks.FILE for bank in banks.BANKS]})
    bank_of: dict[int, str] = dict(pool.rows("SELECT DISTINCT sender, bank FROM payments"))
    circles = pool.rows(banks.ROUND_TRIP.text)
    assert circles
    assert all({bank_of[account] for account in circle[:3]} == set(banks.BANKS) for circle in circles)


def test_every_payment_lies_with_the_bank_of_its_sender_by_the_rule_that_is_written_down() -> None:
    for bank in banks.BANKS:
        payments = pq.read_table(banks.DATA / bank / banks.FILE)
        assert set(payments["bank"].to_pylist()) == {bank}
        for end, owner in (("sender", "bank"), ("receiver", "to_bank")):
            accounts = payments[end].to_numpy().astype(np.int64)
            placed = np.array(banks.BANKS)[(accounts * 2_654_435_761 % 2**32) * 3 // 2**32]
            assert np.array_equal(placed, np.array(payments[owner].to_pylist()))
    assert "Apache License 2.0" in (banks.DATA.parent / "SOURCES.md").read_text()


@pytest.mark.parametrize("make", [merchant.tables, trial.tables])
def test_synthetic_tables_are_the_same_each_time(make: Callable[[], Any]) -> None:
    assert all(a.equals(b) for a, b in zip(make(), make(), strict=True))


def test_groups_that_are_too_small_are_hidden_and_counted(shop_and_bank: Outcome) -> None:
    whole, segments, travel = shop_and_bank.questions
    assert shop_and_bank.agrees
    assert (whole.hidden, segments.hidden, travel.hidden) == (0, 4, 3)
    assert min(row[2] for q in (segments, travel) for row in q.joint) >= merchant.MIN_GROUP
    assert "private banking" not in {row[0] for row in segments.joint}


def test_trial_runs_in_three_processes_over_tls() -> None:
    outcome = trial.run(Settings(), Stages(QUIET))
    assert outcome.agrees
    assert len({pid for _, pid in outcome.facts.processes}) == 3
    assert "TLS 1.3" in outcome.facts.tls


# --- how they are shown ----------------------------------------------------------------------------------------------


def shown(outcome: Outcome) -> tuple[str, str]:
    console = Console(file=io.StringIO(), width=118)
    card.show(outcome, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue(), report.html(outcome)


def test_card_and_report_show_queries_results_and_what_is_hidden(shop_and_bank: Outcome) -> None:
    for text in shown(shop_and_bank):
        assert "FROM purchases JOIN customers USING (person)" in text
        assert "16 rows, 4 groups of fewer than 20 hidden" in text
        assert "professional" in text
        assert shop_and_bank.questions[2].facts.digest in text
        assert "agrees with the pooled data" in text
    assert len(shop_and_bank.to_dict()["questions"][1]["rows"]) == 16


def test_an_answer_that_is_not_that_of_the_pooled_tables_is_shown_and_does_not_agree(
    shop_and_bank: Outcome,
) -> None:
    first, *others = shop_and_bank.questions
    for wrong in (
        dataclasses.replace(first, pooled=((first.joint[0][0] + 1, first.joint[0][1]),)),
        dataclasses.replace(first, pooled_hidden=1),
    ):
        changed = dataclasses.replace(shop_and_bank, questions=(wrong, *others))
        assert not changed.agrees
        on_terminal, page = shown(changed)
        assert "DOES NOT AGREE" in on_terminal and "NOT as in the pooled tables" in on_terminal
        assert "does not agree with the pooled data" in page and "in the pooled tables it is another" in page
