"""Groups of rows in arrays and plans: NumPy's results, what is disclosed, what a hostile plan may not do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tacit as tc
from harness import bits, dry_cost
from plan_oracle import Oracle
from tacit.errors import InputError, PlanError, SecretError
from tacit.library import compact, groups, scan
from tacit.plan import FIXED, INT64, Interval, PlanBuilder, Region, verify

KEYS = np.array([2, 2, 5, 5, 5, 7, 2])
FLAGS = np.array([0, 1, 1, 0, 1, 0, 0], bool)
X, Y = np.arange(7.0) / 4, np.arange(14).reshape(7, 2) - 3


@pytest.fixture
def o() -> Oracle:
    return Oracle()


def secret(o: Any, values: Any, owner: int = 0) -> Any:
    """An array of all parties' making: secret before anything is done with it."""
    array = np.asarray(values)
    zero = o.input(np.zeros_like(array), (owner + 1) % 3, (0, 0)) if array.dtype != bool else o.input(~array | array, 1)
    x = o.input(array, owner) if array.dtype == bool else o.input(array, owner, (-100, 100))
    return x & zero if array.dtype == bool else x + zero


def openings(plan: Any) -> list[str]:
    return [str(d) for d in plan.disclosures() if d.kind == "opening"]


# --- results ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 0, 2, 5, 7])
def test_rows_are_compressed_to_a_public_size_with_flags_for_those_that_are_meant(o: Oracle, size: int | None) -> None:
    xp = o.program.namespace
    x, y, valid = xp.compress(secret(o, FLAGS), X, secret(o, Y), size=size)
    n = 7 if size is None else size
    assert (x.shape, y.shape, valid.shape) == ((n,), (n, 2), (n,))
    got = o.program.reveal([x, y, valid], None, "test")
    held = FLAGS.nonzero()[0][:n]
    for values, rows in zip(got, (X, Y, np.ones(7, bool)), strict=True):
        np.testing.assert_array_equal(values[: held.size], rows[held])
        assert not values[held.size :].any()


def test_one_array_gives_one_and_several_give_a_tuple(o: Oracle) -> None:
    xp = o.program.namespace
    f = secret(o, FLAGS)
    for function in (xp.expand, xp.fill_forward, xp.run_sums, xp.running_sum):
        assert function(f, Y).shape == (7, 2)
        assert [a.shape for a in function(f, Y, X)] == [(7, 2), (7,)]
    (valid,) = xp.compress(f)
    np.testing.assert_array_equal(valid.reveal(), np.arange(7) < 3)


def test_what_was_compressed_goes_back_to_its_places(o: Oracle) -> None:
    xp = o.program.namespace
    f = secret(o, FLAGS)
    x, _ = xp.compress(f, secret(o, Y), size=4)
    np.testing.assert_array_equal(xp.expand(f, x).reveal(), Y * FLAGS[:, None])


def test_sums_of_groups_of_sorted_rows_are_those_of_numpy(o: Oracle) -> None:
    xp = o.program.namespace
    order = np.argsort(KEYS, kind="stable")
    k, x = secret(o, KEYS[order]), secret(o, Y[order])
    starts = xp.run_starts(k)
    got = o.program.reveal([*xp.compress(starts, k), xp.run_sums(starts, x), xp.run_lengths(starts)], None, "test")
    different, counts = np.unique(KEYS, return_counts=True)
    g = different.size
    sums = [Y[v == KEYS].sum(axis=0) for v in different]
    for values, want in zip(got, (different, np.ones(g), sums, counts), strict=True):
        np.testing.assert_array_equal(values[:g], want)
        assert not values[g:].any()


def test_heads_and_sums_of_groups_come_together(o: Oracle) -> None:
    xp = o.program.namespace
    order = np.argsort(KEYS, kind="stable")
    k, x = secret(o, KEYS[order]), secret(o, Y[order])
    (keys, first), (sums, counts), valid = xp.aggregate(xp.run_starts(k), [k, x], [x, 1], size=5)
    different, where, number = np.unique(KEYS, return_index=True, return_counts=True)
    want = [different, Y[where], np.array([Y[v == KEYS].sum(axis=0) for v in different]), number, np.ones(3)]
    for got, values in zip(o.program.reveal([keys, first, sums, counts, valid], None, "test"), want, strict=True):
        assert len(got) == 5
        np.testing.assert_array_equal(got[:3], values)
        assert not got[3:].any()
    assert o.plan is not None and len(openings(o.plan)) == 1


def test_unique_values_and_their_counts_are_padded_with_zeros(o: Oracle) -> None:
    xp = o.program.namespace
    for strategy in ("network", "shuffle"):
        got = o.program.reveal(xp.unique_padded(secret(o, KEYS), size=5, strategy=strategy), None, "test")
        for values, want in zip(got, ([2, 5, 7, 0, 0], [3, 3, 1, 0, 0], [1, 1, 1, 0, 0]), strict=True):
            np.testing.assert_array_equal(values, want)


def test_small_public_domains_need_no_sort(o: Oracle) -> None:
    xp = o.program.namespace
    k = o.input(KEYS, 0, (0, 7)) + o.input(np.zeros(7, int), 1, (0, 0))
    np.testing.assert_array_equal(xp.bincount(k, 9).reveal(), np.bincount(KEYS, minlength=9))
    np.testing.assert_array_equal(xp.one_hot(k.reshape((7, 1)), 8).reveal(), np.eye(8)[KEYS][:, None])
    want = np.zeros((8, 2))
    np.add.at(want, KEYS, Y)
    np.testing.assert_array_equal(xp.segment_sum(secret(o, Y), k, 8).reveal(), want)
    np.testing.assert_array_equal(xp.segment_sum(secret(o, X), k, 8).reveal(), np.bincount(KEYS, X, 8))
    assert o.plan is not None and not openings(o.plan)


@pytest.mark.parametrize("protocol", ["plain", "rep3"])
def test_shuffled_rows_stay_together_and_nothing_is_opened(protocol: str) -> None:
    n = 200
    with tc.local(protocol=protocol, transport="memory") as s:
        # What one party has alone is shared before it is shuffled.
        x, y = s.input(np.arange(n), 0, range=(0, n)), s.input(np.arange(2 * n).reshape(n, 2), 0, range=(0, 2 * n))
        odd = s.input(np.arange(n) % 2 == 1, 1)
        mixed = tc.shuffle_rows(x, y, odd)
        plan = s.plan_of(*mixed)
        assert not openings(plan)
        told = [d.what for d in plan.disclosures() if d.kind == "reveal"]
        assert told[0].endswith("of party0 in a random order")
        cost = s.cost(*mixed)
        a, b, c = tc.reveal(*mixed)
        assert (cost.rounds, cost.bytes_total) == (s.last.rounds, s.last.bytes_total)
    assert sorted(a) == list(range(n)) and list(a) != list(range(n))
    np.testing.assert_array_equal(b, np.stack([2 * a, 2 * a + 1], axis=1))
    np.testing.assert_array_equal(c, a % 2 == 1)


@pytest.mark.parametrize("n", [0, 1])
def test_no_rows_and_one_row(o: Oracle, n: int) -> None:
    xp = o.program.namespace
    assert xp.segment_sum(secret(o, Y[:0]), secret(o, KEYS[:0] * 0).clip(0, 2), 3).reveal().tolist() == [[0, 0]] * 3
    k, f = secret(o, KEYS[:n]), secret(o, FLAGS[:n])
    starts = xp.run_starts(k)
    outs = [starts, *xp.compress(f, k), xp.run_sums(starts, k), xp.running_max(starts, k), *xp.unique_padded(k)]
    got = o.program.reveal(outs, None, "test")
    wants = [[1], [0], [0], [2], [2], [2], [1], [1]]
    for values, want in zip(got, wants, strict=True):
        np.testing.assert_array_equal(values, want[:n])
    assert o.plan is not None and not openings(o.plan)


rows = st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(-(2**40), 2**40)), min_size=1, max_size=12)


@settings(max_examples=15, deadline=None)
@given(rows, st.sampled_from(["plain", "rep3"]))
def test_sessions_give_what_numpy_gives(table: list[tuple[int, bool, int]], protocol: str) -> None:
    keys, flags, x = (np.array(column) for column in zip(*sorted(table), strict=True))
    with tc.local(protocol=protocol, transport="memory") as s:
        k = s.input(keys, 0, range=(-3, 3))
        f, v = s.input(flags, 1), s.input(x, 2, range=(-(2**40), 2**40))
        starts = tc.run_starts(k)
        values = [
            *tc.compress(f, v),
            tc.fill_forward(f, v),
            *tc.compress(starts, k),
            tc.run_sums(starts, v),
            tc.running_min(starts, v),
        ]
        cost = s.cost(*values)
        got = tc.reveal(*values)
        assert (cost.rounds, cost.bytes_total) == (s.last.rounds, s.last.bytes_total)
    n, count = len(x), int(flags.sum())
    different = np.unique(keys)
    latest = [x[: i + 1][flags[: i + 1]] for i in range(n)]
    want = [
        x[flags],
        np.ones(count),
        [held[-1] if held.size else 0 for held in latest],
        different,
        np.ones(different.size),
        [x[keys == d].sum() for d in different],
        [x[: i + 1][keys[: i + 1] == keys[i]].min() for i in range(n)],
    ]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, np.pad(b, (0, n - len(b))))


# --- refusals --------------------------------------------------------------------------------------------------


def test_lengths_are_public_and_fit(o: Oracle) -> None:
    xp = o.program.namespace
    f, x = secret(o, FLAGS), secret(o, Y)
    with pytest.raises(SecretError, match="SECRET-013"):
        xp.compress(f, x, size=f.sum())
    for size in (-1, 8):
        with pytest.raises(InputError, match="INPUT-106"):
            xp.compress(f, x, size=size)
    with pytest.raises(InputError, match="INPUT-106"):
        xp.run_lengths(x)
    with pytest.raises(InputError, match="INPUT-106"):
        xp.segment_sum(x, x, 3)
    with pytest.raises(PlanError, match="PLAN-005"):
        xp.fill_forward(f, x[:6])
    with pytest.raises(PlanError, match="PLAN-008"):
        xp.run_sums(f)
    with pytest.raises(PlanError, match="PLAN-011"):
        xp.bincount(x, 4)


def test_sums_that_could_leave_the_range_are_refused_when_they_are_written(o: Oracle) -> None:
    xp = o.program.namespace
    x = o.input(np.zeros(4, int), 0, (0, 2**62))
    with pytest.raises(PlanError, match="PLAN-009"):
        xp.run_sums(secret(o, FLAGS[:4]), x)
    with pytest.raises(PlanError, match="PLAN-009"):
        xp.aggregate(secret(o, FLAGS[:4]), [x], [x])
    with pytest.raises(PlanError, match="PLAN-009"):
        xp.running_sum(secret(o, FLAGS[:4]), x)


# --- plans -----------------------------------------------------------------------------------------------------


def builder() -> tuple[PlanBuilder, int, int, int]:
    """Secret flags, and two secret arrays."""
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.input(0, "x", INT64, (4,), Interval(-9, 9))
    y = b.input(1, "y", FIXED, (4, 2), Interval(-(2**20), 2**20))
    z = b.add("share", [b.input(2, "z", INT64, (4,), Interval(-9, 9))])
    return b, b.add("gt", [z, b.constant(3)]), b.add("share", [x]), b.add("share", [y])


MOVES: dict[str, dict[str, Any]] = {
    "aggregate": {"heads": 1},
    **{op: {} for op in ("compress", "expand", "fill_forward", "run_sums", "running_sum")},
}


@pytest.mark.parametrize("op", MOVES)
def test_what_moves_rows_by_a_secret_permutation_is_disclosed(op: str) -> None:
    b, flags, x, y = builder()
    for k, value in enumerate(b.add_several(op, [flags, x, y], **MOVES[op])):
        b.output(f"y{k}", b.reveal(value, "p"))
    plan = b.build()
    assert [node.type.dtype for node in plan.nodes if node.op == "result"] == [INT64, FIXED]
    node = next(n.id for n in plan.nodes if n.op == op)
    what = "opens where a random shuffle puts its rows: a random pattern that does not depend on the data"
    assert openings(plan) == [f"{op} of `x` of p0 (%{node}): {what}, to everyone"]
    assert openings(plan)[0] in plan.show()
    assert tc.Plan.from_bytes(plan.to_bytes()).digest == plan.digest


def test_words_of_each_result_name_the_array_that_it_was_made_from() -> None:
    b, flags, x, y = builder()
    for k, value in enumerate(b.add_several("run_sums", [flags, x, y])):
        b.output(f"y{k}", b.reveal(value, "p"))
    told = [d.what for d in b.build().disclosures() if d.kind == "reveal"]
    runs = "over runs that start where (`z` of p2 is greater than 3)"
    assert told == [
        f"`y0`: 4 values, the sums of `x` of p0 {runs}",
        f"`y1`: 4 x 2 values, the sums of `y` of p1 {runs}",
    ]


def test_words_of_groups_tell_heads_from_sums() -> None:
    b, flags, x, y = builder()
    for k, value in enumerate(b.add_several("aggregate", [flags, x, y], heads=1)):
        b.output(f"y{k}", b.reveal(value, "p"))
    told = [d.what.partition(", ")[2] for d in b.build().disclosures() if d.kind == "reveal"]
    where = "where (`z` of p2 is greater than 3)"
    assert told == [f"the rows of `x` of p0 {where}, then zeros", f"the sums of `y` of p1 over runs that start {where}"]


def test_words_of_runs_name_the_keys_once() -> None:
    b, flags, x, _ = builder()
    starts = b.add("run_starts", [x, flags])
    b.output("y", b.reveal(b.add("running_max", [starts, x]), "p"))
    b.output("z", b.reveal(b.add("run_ends", [x]), "p"))
    told = [d.what.partition(", ")[2] for d in b.build().disclosures() if d.kind == "reveal"]
    keys = "`x` of p0 and (`z` of p2 is greater than 3) together"
    assert told[1] == "whether `x` of p0 differs from the row after"
    assert told[0].startswith("the running maximum of `x` of p0 over runs that start where (")
    assert "differs from the row before" in told[0] and keys.split(" and ")[0] in told[0]


def test_scans_and_one_hot_codes_open_nothing(o: Oracle) -> None:
    xp = o.program.namespace
    k, f = secret(o, KEYS), secret(o, FLAGS)
    starts = xp.run_starts(k)
    xs = [starts, xp.run_ends(k), xp.running_max(starts, k), xp.running_any(starts, f), xp.running_all(starts, f)]
    o.program.reveal(xs, None, "test")
    assert o.plan is not None and not openings(o.plan)


@pytest.mark.parametrize("op", MOVES)
def test_what_a_party_does_in_the_clear_opens_nothing(op: str) -> None:
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.input(0, "x", INT64, (4,), Interval(-9, 9))
    (mine,) = b.add_several(op, [b.add("gt", [x, b.constant(3)]), x], **MOVES[op])
    b.output("y", b.reveal(b.add("add", [mine, b.input(1, "y", INT64, (4,))]), "p"))
    assert not openings(b.build())


def test_a_move_in_a_loop_is_disclosed_with_its_trips_and_runs() -> None:
    with tc.local(transport="memory") as s:
        f, x = s.input(FLAGS, 0), s.input(KEYS, 1, range=(0, 9))
        out = tc.loop(3, lambda v: tc.compress(f, v)[0], x, ranges=[(0, 9)])
        (told,) = openings(s.plan_of(out))
        np.testing.assert_array_equal(out.reveal(), [5, 0, 0, 0, 0, 0, 0])
    assert told.startswith("compress of a value in a loop (%") and ", in each of 3 trips: opens where" in told


def test_low_bits_are_followed_through_a_move() -> None:
    b, flags, _, y = builder()
    product = b.add("mul", [y, y])
    lost = b.add("mul", [y, b.add("neg", [y])])
    moved, other = b.add_several("compress", [flags, product, lost])
    b.output("y", b.reveal(moved, "p"))
    b.output("z", b.reveal(b.add("gt", [other, b.constant(0.0)]), "p"))
    assert [n.attrs["exact"] for n in b.build().nodes if n.op == "mul"] == [True, False]


def test_several_results_are_used_through_their_nodes() -> None:
    b, flags, x, _ = builder()
    node = b.add("compress", [flags, x])
    for use in (lambda: b.add("neg", [node]), lambda: b.add("result", [node], index=1), lambda: b.reveal(node, "p")):
        with pytest.raises(PlanError, match="PLAN-013"):
            use()
    with pytest.raises(PlanError, match="PLAN-013"):
        b.add("result", [x], index=0)


def test_a_plan_whose_output_or_loop_value_is_all_results_at_once_is_refused() -> None:
    b = PlanBuilder(["p0", "p1", "p2"])
    x = b.add("share", [b.input(0, "x", INT64, (4,), Interval(0, 9))])

    def body(r: Any, c: list[int]) -> list[int]:
        return r.add_several("compress", [r.add("gt", [c[0], r.constant(3)]), c[0]])

    (out,) = b.repeat(2, [x], body)
    b.output("y", b.reveal(out, "p"))
    plan = b.build()
    loop = next(n for n in plan.nodes if n.op == "repeat")
    inner = loop.attrs["body"]
    move = next(n.id for n in inner.nodes if n.op == "compress")
    region = Region(tuple(n for n in inner.nodes if n.op != "result"), (move,))
    nodes = tuple(replace(n, attrs=n.attrs.replaced(body=region)) if n is loop else n for n in plan.nodes)
    with pytest.raises(PlanError, match="PLAN-018"):
        verify(replace(plan, nodes=nodes))

    b, flags, x, _ = builder()
    b.output("y", b.reveal(b.add_several("compress", [flags, x])[0], "p"))
    plan = b.build()
    move = next(n.id for n in plan.nodes if n.op == "compress")
    with pytest.raises(PlanError, match="PLAN-019"):
        verify(replace(plan, outputs=(*plan.outputs, ("all", move))))


# --- the page --------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "groups.md"


def _flagged(program: Any) -> Any:
    async def run(box: Any, flags: Any, x: Any) -> Any:
        return await program(box, await box.b2a(flags), x)

    return run


def test_the_page_tells_what_it_costs() -> None:
    n = 10**6
    flags, x = bits(np.broadcast_to(np.uint64(0), (n,)), 1), np.broadcast_to(np.uint64(0), (n,))
    pair = np.broadcast_to(np.uint64(0), (n, 2))
    programs = {
        "`compress`, `run_sums`": (_flagged(compact.compress), _flagged(groups.run_sums)),
        "`expand`": (_flagged(compact.expand),),
        "`fill_forward`, `running_sum`": (_flagged(compact.fill_forward), _flagged(groups.running_sum)),
        "`run_starts`, `run_ends`": (_boundaries(groups.run_starts), _boundaries(groups.run_ends)),
        "`running_max`, `running_min`": (_scan(scan.maximum, wraps=False), _scan(scan.minimum, wraps=False)),
        "`running_any`, `running_all`": (_bit_scan(scan.any_), _bit_scan(scan.all_)),
    }
    lines = []
    for name, both in programs.items():
        costs = {(dry_cost(p, flags, x), dry_cost(p, flags, pair)) for p in both}
        ((one, two),) = costs
        row, more = round(one.bytes_total / n), round((two.bytes_total - one.bytes_total) / n)
        lines.append(f"| {name} | {one.rounds} | {row} | {more} |")
    code = dry_cost(lambda b, u: groups.one_hot(b, u, 32), x)
    lines.append(f"| `one_hot` with 32 places | {code.rounds} | {round(code.bytes_total / n)} | |")
    page = PAGE.read_text()
    assert "\n".join(lines) in page, "\n".join(lines)


def _boundaries(program: Any) -> Any:
    def run(box: Any, flags: Any, x: Any) -> Any:
        return program(box, *([x] if len(x.shape) == 1 else [x[:, j] for j in range(x.shape[1])]))

    return run


def _scan(program: Any, **options: Any) -> Any:
    return lambda box, flags, x: program(box, flags, x, **options)


def _bit_scan(program: Any) -> Any:
    def run(box: Any, flags: Any, x: Any) -> Any:
        shape = x.shape
        return program(
            box, flags, flags.elements(lambda p: np.broadcast_to(p.reshape(-1, *[1] * (len(shape) - 1)), shape))
        )

    return run
