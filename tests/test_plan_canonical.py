# SPDX-License-Identifier: Apache-2.0
"""Canonical bytes, the digest, and the check of received plans."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import PlanError
from tacit.plan import (
    FIXED,
    INT64,
    Interval,
    Plan,
    PlanBuilder,
    Private,
    Public,
    Secret,
    canonical,
    fixed,
    verify,
    verify_matches,
)
from tacit.plan.graph import _plan


def example(purpose="published mean"):
    """Inputs, a constant, shares, an index, a loop with an assumption, two reveals, a client."""
    b = PlanBuilder(["a", "b", "c", "client"], title="example")
    x = b.input(0, "x", FIXED, (3,), source="x.parquet")
    y = b.input(1, "y", FIXED, (3,))
    s = b.add("mul", [b.add("add", [x, y]), b.constant([0.5, 1.5, 2.0])])
    first = b.add("getitem", [s], index=((0, 2, 1),))

    def body(r, c):
        return [r.add("assume", [r.add("mul", [c[0], c[0]])], lo=-(2**18), hi=2**18)]

    start = b.add("clip", [first], lo=-(2**18), hi=2**18)
    (z,) = b.repeat(3, [start], body)
    b.output("z", b.reveal(z, "for the client", to=3))
    b.output("mean", b.reveal(b.add("sum", [s], axis=(0,), keepdims=False), purpose))
    return b.build()


PLAN = example()
DATA = PLAN.to_bytes()
DIGEST = "ea27a39b9e95e4276dc4bcb2a7ee5989c5622e2384f7669041a8be12d7ec4bf4"


def node(plan, op):
    return next(n for n in plan.nodes if n.op == op)


def with_node(plan, changed):
    return replace(plan, nodes=tuple(changed if n.id == changed.id else n for n in plan.nodes))


def code_of(call):
    with pytest.raises(PlanError) as e:
        call()
    return e.value.code


# --- bytes ---------------------------------------------------------------------------------------------------------


def test_round_trip_is_the_identity():
    assert Plan.from_bytes(DATA) == PLAN
    assert Plan.from_bytes(DATA).to_bytes() == DATA


def test_digest_is_the_one_of_the_first_release():
    # A change here means that plans signed before can no longer be checked: raise the version of the format.
    assert PLAN.digest == DIGEST


@pytest.mark.parametrize(
    ("network", "code"), [("loopback", "PLAN-017"), ("moon", "PLAN-019"), (3, "PLAN-016"), ("lan", None)]
)
def test_the_usual_network_goes_without_saying_and_others_are_known_ones(network, code):
    document = {**json.loads(DATA), "network": network}
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    if code is None:
        assert Plan.from_bytes(data) == replace(PLAN, network=network)
        assert Plan.from_bytes(data).digest != DIGEST
    else:
        assert code_of(lambda: Plan.from_bytes(data)) == code


def test_digest_covers_purpose_and_title():
    assert example("another purpose").digest != PLAN.digest
    assert replace(PLAN, title="x").digest != PLAN.digest


def test_digest_is_separated_from_a_plain_hash_of_the_bytes():
    import hashlib

    assert hashlib.sha256(DATA).hexdigest() != PLAN.digest


def leaves(value, path=()):
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        yield path
        for k, item in enumerate(value):
            yield from leaves(item, (*path, k))
    else:
        yield path


DOCUMENT = json.loads(DATA)
LEAVES = list(leaves(DOCUMENT))


def mutated(path, change):
    document = json.loads(DATA)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = change(at[path[-1]])
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def changes_of(value):
    if value is None:
        return [0, "", False]
    if isinstance(value, bool):
        return [not value, int(value), None]
    if isinstance(value, int):
        return [value + 1, value - 1, -value - 1, str(value), None, 2**64, 2**4000]
    if isinstance(value, str):
        return [value + "x", value[:-1], "", "\u202e", None, 5]
    return [value[:-1], [*value, 0], [*value, *value[-1:]], list(reversed(value)), None, {}]


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: "/".join(map(str, p)))
def test_no_altered_field_gives_the_same_digest(path):
    value = DOCUMENT
    for key in path:
        value = value[key]
    for change in changes_of(value):
        if change == value and type(change) is type(value):
            continue
        data = mutated(path, lambda _, change=change: change)
        try:
            plan = Plan.from_bytes(data)
        except PlanError:
            continue
        assert plan.digest != PLAN.digest


def test_altered_types_and_links_are_refused_outright():
    for path in LEAVES:
        if path[-1] in ("home", "dtype", "lo", "hi", "op", "id") and "attrs" not in path:
            value = DOCUMENT
            for key in path:
                value = value[key]
            for change in changes_of(value):
                code_of(lambda path=path, change=change: Plan.from_bytes(mutated(path, lambda _: change)))


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_a_flipped_byte_is_refused_or_changes_the_digest(position, flip):
    data = bytearray(DATA)
    data[position] ^= flip
    try:
        plan = Plan.from_bytes(bytes(data))
    except PlanError:
        return
    assert plan.digest != PLAN.digest


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_arbitrary_bytes_are_refused(data):
    code_of(lambda: Plan.from_bytes(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(LEAVES), JSON)
@settings(max_examples=300)
def test_any_json_in_place_of_a_field_is_refused_or_changes_the_digest(path, value):
    try:
        plan = Plan.from_bytes(mutated(path, lambda _: value))
    except PlanError:
        return
    assert plan == PLAN or plan.digest != PLAN.digest


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (DATA + b" ", "PLAN-017"),
        (DATA.replace(b'"title":"example"', b'"title": "example"'), "PLAN-017"),
        (DATA.replace(b'"title":"example"', b'"title":"ex\\u0061mple"'), "PLAN-017"),
        (DATA.replace(b'"title":"example"', b'"title":"other","title":"example"'), "PLAN-017"),
        (DATA.replace(b'"version":2', b'"version":true'), "PLAN-016"),
        (DATA.replace(b'"version":2', b'"version":3'), "PLAN-016"),
        (DATA.replace(b'"version":2', b'"version":2.0'), "PLAN-016"),
        (DATA.replace(b'"version":2', b'"version":NaN'), "PLAN-016"),
        (DATA.replace(b'"version":2', b'"version":' + b"9" * 5000), "PLAN-016"),
        (DATA.replace(b'"title":"example"', '"title":"é"'.encode()), "PLAN-016"),
        (DATA[:-1], "PLAN-016"),
        (b"", "PLAN-016"),
        (b"[]", "PLAN-016"),
        (b"[" * 100_000, "PLAN-015"),
        (b" " * (canonical.BYTES_MAX + 1), "PLAN-015"),
    ],
    ids=range(15),
)
def test_hostile_bytes_are_refused(data, code):
    assert code_of(lambda: Plan.from_bytes(data)) == code


def test_too_many_nodes_are_refused():
    document = json.loads(DATA)
    document["nodes"] = [document["nodes"][0]] * (canonical.NODES_MAX + 1)
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    assert code_of(lambda: Plan.from_bytes(data)) == "PLAN-015"


def test_base64_that_is_not_canonical_is_refused():
    payload = base64.b64encode(node(PLAN, "constant").attrs["data"])
    assert payload in DATA
    assert code_of(lambda: Plan.from_bytes(DATA.replace(payload, payload[:-2] + b"\\n=="))) in ("PLAN-016", "PLAN-017")


def test_too_deep_loops_are_refused():
    b = PlanBuilder(["a", "b", "c"])

    def body(depth):
        if depth == 0:
            return lambda r, c: c
        return lambda r, c: r.repeat(2, c, body(depth - 1))

    (y,) = b.repeat(2, [b.add("share", [b.input(0, "x", INT64, ())])], body(canonical.DEPTH_MAX))
    b.output("y", b.reveal(y, "p"))
    assert code_of(b.build) == "PLAN-019"


# --- verification --------------------------------------------------------------------------------------------------


def retyped(n, **changes):
    return replace(n, types=(replace(n.types[0], **changes),))


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (lambda p: with_node(p, retyped(node(p, "share"), home=Public())), "PLAN-021"),
        (lambda p: with_node(p, retyped(node(p, "reveal"), home=Public())), "PLAN-021"),
        (lambda p: with_node(p, retyped(node(p, "input"), home=Private(2))), "PLAN-021"),
        (lambda p: with_node(p, retyped(node(p, "mul"), interval=Interval(0, 1))), "PLAN-022"),
        (lambda p: with_node(p, retyped(node(p, "mul"), dtype=fixed(17))), "PLAN-020"),
        (lambda p: with_node(p, retyped(node(p, "sum"), shape=(1,))), "PLAN-020"),
        (lambda p: with_node(p, replace(node(p, "sum"), types=())), "PLAN-020"),
        (lambda p: with_node(p, replace(node(p, "sum"), types=node(p, "sum").types * 2)), "PLAN-020"),
        (lambda p: with_node(p, replace(node(p, "mul"), attrs=node(p, "mul").attrs.replaced(exact=False))), "PLAN-023"),
        (
            lambda p: with_node(p, replace(node(p, "reveal"), attrs=node(p, "reveal").attrs.replaced(to=None))),
            "PLAN-021",
        ),
        (lambda p: with_node(p, replace(node(p, "reveal"), attrs=node(p, "reveal").attrs.replaced(to=7))), "PLAN-019"),
        (
            lambda p: with_node(p, replace(node(p, "reveal"), attrs=node(p, "reveal").attrs.replaced(purpose=""))),
            "PLAN-006",
        ),
        (lambda p: with_node(p, replace(node(p, "add"), inputs=(0, 1))), "PLAN-010"),
        (lambda p: with_node(p, replace(node(p, "add"), inputs=(0, -1))), "PLAN-018"),
        (lambda p: with_node(p, replace(node(p, "add"), inputs=(0, node(p, "add").id))), "PLAN-018"),
        (lambda p: with_node(p, replace(node(p, "share"), op="neg")), "PLAN-021"),
        (lambda p: with_node(p, replace(node(p, "sum"), op="transmogrify")), "PLAN-007"),
        (lambda p: replace(p, nodes=p.nodes[::-1]), "PLAN-018"),
        (lambda p: replace(p, nodes=(replace(p.nodes[0], id=5), *p.nodes[1:])), "PLAN-018"),
        (lambda p: replace(p, outputs=(("s", node(p, "mul").id),)), "PLAN-019"),
        (lambda p: replace(p, outputs=()), "PLAN-019"),
        (lambda p: replace(p, outputs=p.outputs[:1]), "PLAN-018"),
        (lambda p: replace(p, outputs=(p.outputs[0], (p.outputs[0][0], p.outputs[1][1]))), "PLAN-019"),
        (lambda p: replace(p, outputs=(("", p.outputs[0][1]), p.outputs[1])), "PLAN-019"),
        (lambda p: replace(p, outputs=((p.outputs[0][0], 999), p.outputs[1])), "PLAN-019"),
        (lambda p: replace(p, protocol="none"), "PLAN-019"),
        (lambda p: replace(p, computing=2), "PLAN-019"),
        (lambda p: replace(p, parties=("a", "b", "c")), "PLAN-019"),
        (lambda p: replace(p, parties=("a", "b", "c", "c")), "PLAN-019"),
        (lambda p: replace(p, parties=("a", "b", "c", "d\x1b[2J")), "PLAN-019"),
        (lambda p: replace(p, title="a\nb"), "PLAN-019"),
    ],
    ids=range(31),
)
def test_tampering_is_caught(tamper, code):
    tampered = tamper(PLAN)
    assert code_of(lambda: verify(tampered)) == code


def in_loop(plan, change):
    loop = node(plan, "repeat")
    body = change(loop.attrs["body"])
    return with_node(plan, replace(loop, attrs=loop.attrs.replaced(body=body)))


def body_node(body, op, **changes):
    return replace(body, nodes=tuple(replace(n, **changes) if n.op == op else n for n in body.nodes))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda r: replace(r, outputs=()), "PLAN-018"),
        (lambda r: replace(r, outputs=(9,)), "PLAN-018"),
        (lambda r: replace(r, outputs=r.outputs * 2), "PLAN-013"),
        (lambda r: replace(r, nodes=r.nodes[:1], outputs=(0,)), None),
        (lambda r: body_node(r, "param", types=(replace(r.nodes[0].type, home=Public()),)), "PLAN-021"),
        (
            lambda r: body_node(r, "assume", types=(replace(r.nodes[-1].type, interval=Interval(0, 1)),)),
            "PLAN-022",
        ),
        (lambda r: replace(r, outputs=(r.nodes[-2].id,), nodes=r.nodes[:-1]), "PLAN-013"),
        (
            lambda r: replace(
                r, nodes=tuple(replace(n, attrs=n.attrs.replaced(exact=False)) if n.op == "mul" else n for n in r.nodes)
            ),
            "PLAN-023",
        ),
    ],
    ids=range(8),
)
def test_tampering_in_a_loop_is_caught(change, code):
    tampered = in_loop(PLAN, change)
    if code is None:
        verify(tampered)
        assert _plan(tampered).digest != PLAN.digest
    else:
        assert code_of(lambda: verify(tampered)) == code


def test_a_reveal_in_a_loop_is_caught():
    reveal = node(PLAN, "reveal")

    def plant(region):
        last = region.nodes[-1]
        planted = replace(reveal, id=last.id + 1, inputs=(last.id,))
        return replace(region, nodes=(*region.nodes, planted), outputs=(planted.id,))

    assert code_of(lambda: verify(in_loop(PLAN, plant))) == "PLAN-018"


def test_a_param_outside_a_loop_is_caught():
    param = node(PLAN, "repeat").attrs["body"].nodes[0]
    tampered = with_node(PLAN, replace(param, id=0))
    assert code_of(lambda: verify(tampered)) == "PLAN-018"


def test_an_idle_reveal_is_caught():
    planted = replace(node(PLAN, "reveal"), id=len(PLAN.nodes))
    tampered = replace(PLAN, nodes=(*PLAN.nodes, planted))
    assert code_of(lambda: verify(tampered)) == "PLAN-018"


# --- what was shown ------------------------------------------------------------------------------------------------


def test_the_plan_that_was_shown_matches():
    verify_matches(Plan.from_bytes(DATA), PLAN.digest, PLAN.disclosures())


def test_a_plan_with_another_recipient_is_refused():
    shown = PLAN.disclosures()
    changed = replace(PLAN, parties=("a", "b", "c", "someone else"))
    assert code_of(lambda: verify_matches(changed, PLAN.digest, shown)) == "PLAN-024"


def test_a_plan_with_another_purpose_is_refused():
    assert code_of(lambda: verify_matches(example("sold"), PLAN.digest, PLAN.disclosures())) == "PLAN-024"


def test_a_plan_with_an_undisclosed_reveal_is_refused():
    assert code_of(lambda: verify_matches(PLAN, PLAN.digest, PLAN.disclosures()[:-1])) == "PLAN-024"


def test_a_plan_with_an_undisclosed_opening_is_refused():
    def plan(strategy):
        b = PlanBuilder(["a", "b", "c"])
        x = b.add("add", [b.input(p, name, FIXED, (3,)) for p, name in enumerate("xy")])
        b.output("z", b.reveal(b.add("sort", [x], axis=0, descending=False, strategy=strategy), "p"))
        return b.build()

    opening, quiet = plan("shuffle"), plan("network")
    verify_matches(opening, opening.digest, opening.disclosures())
    assert code_of(lambda: verify_matches(opening, opening.digest, quiet.disclosures())) == "PLAN-024"
    assert code_of(lambda: verify_matches(quiet, quiet.digest, opening.disclosures())) == "PLAN-024"


def test_a_plan_with_too_many_openings_is_refused():
    b = PlanBuilder(["a", "b", "c"])
    x = b.add("add", [b.input(p, name, FIXED, (3,)) for p, name in enumerate("xy")])
    for k in range(256):
        x = b.add("sort", [x], axis=0, descending=k % 2 == 0, strategy="shuffle")
    b.output("z", b.reveal(x, "p"))
    assert code_of(b.build) == "PLAN-019"


def test_a_plan_with_other_inputs_is_refused():
    shown = [d for d in PLAN.disclosures() if d.kind == "reveal"]
    assert code_of(lambda: verify_matches(PLAN, PLAN.digest, shown)) == "PLAN-025"


def test_a_plan_with_another_digest_is_refused():
    assert code_of(lambda: verify_matches(replace(PLAN, title="x"), PLAN.digest, PLAN.disclosures())) == "PLAN-026"


def test_homes_of_the_example():
    homes = {n.op: n.type.home for n in PLAN.nodes}
    assert homes["share"] == Secret()
    assert homes["constant"] == Public()
