# SPDX-License-Identifier: Apache-2.0
"""Abort agreement: total over (state, event), and the same record everywhere whatever the order of messages."""

import json
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import InputError, TransportError
from tacit.transport.abort import (
    NOBODY,
    RECORD_BYTES_MAX,
    Agreed,
    Agreeing,
    Failed,
    GraceOver,
    Heard,
    Lost,
    Message,
    Record,
    Running,
    step,
)


def record(at=5, code="TRANSPORT-001", culprit=1, reporter=0):
    error = TransportError(code, f"seen by {reporter}", party=f"party {culprit}", next="look")
    return Record(at, code, culprit, reporter, error.to_dict())


def message(of=None, heard=(1,), lost=()):
    return Message(of or record(reporter=1), frozenset(heard), frozenset(lost))


STATES = {
    "running": Running(0, 3),
    "running, one lost": Running(0, 3, frozenset({2})),
    "agreeing": Agreeing(0, 3, message(record(), heard=(0,)), {}),
    "agreeing, one heard": Agreeing(0, 3, message(record(), heard=(0, 1)), {1: frozenset()}),
    "agreed": Agreed(record()),
}
EVENTS = {
    "failed": Failed(record(at=4)),
    "heard, earlier": Heard(1, message(record(at=3, reporter=1))),
    "heard, later": Heard(1, message(record(at=9, reporter=1))),
    "lost": Lost(2),
    "grace over": GraceOver(),
}
AFTER = {
    ("running", "failed"): Agreeing,
    ("running", "heard, earlier"): Agreeing,
    ("running", "heard, later"): Agreeing,
    ("running", "lost"): Running,
    ("running", "grace over"): Running,
    ("running, one lost", "failed"): Agreeing,
    ("running, one lost", "heard, earlier"): Agreeing,
    ("running, one lost", "heard, later"): Agreeing,
    ("running, one lost", "lost"): Running,
    ("running, one lost", "grace over"): Running,
    ("agreeing", "failed"): Agreeing,
    ("agreeing", "heard, earlier"): Agreeing,
    ("agreeing", "heard, later"): Agreeing,
    ("agreeing", "lost"): Agreeing,
    ("agreeing", "grace over"): Agreed,
    ("agreeing, one heard", "failed"): Agreeing,
    ("agreeing, one heard", "heard, earlier"): Agreeing,
    ("agreeing, one heard", "heard, later"): Agreeing,
    ("agreeing, one heard", "lost"): Agreeing,
    ("agreeing, one heard", "grace over"): Agreed,
    ("agreed", "failed"): Agreed,
    ("agreed", "heard, earlier"): Agreed,
    ("agreed", "heard, later"): Agreed,
    ("agreed", "lost"): Agreed,
    ("agreed", "grace over"): Agreed,
}


@pytest.mark.parametrize(("state", "event"), list(product(STATES, EVENTS)))
def test_every_event_in_every_state_leads_to_the_stated_state(state, event):
    after, messages = step(STATES[state], EVENTS[event])

    assert type(after) is AFTER[state, event]
    told = getattr(after, "told", None)
    assert all(m == told for m in messages) or isinstance(after, Agreed)


def test_only_news_is_told():
    state, first = step(Running(0, 3), Failed(record()))
    state, again = step(state, Heard(1, message(record(at=7, reporter=1), heard=(1,))))
    state, silent = step(state, Heard(1, message(record(at=7, reporter=1), heard=(1,))))

    assert [m.record for m in first] == [record()]
    assert [m.heard for m in again] == [frozenset({0, 1})]
    assert silent == []


def test_a_failure_after_hearing_of_another_is_a_consequence_and_not_told():
    state, _ = step(Running(0, 3), Heard(1, message(record(at=6, reporter=1))))

    after, messages = step(state, Failed(record(at=5)))

    assert after == state
    assert messages == []


def test_a_lost_party_is_awaited_until_every_peer_that_is_heard_has_lost_it_too():
    state, _ = step(Running(0, 3), Lost(1))
    state, _ = step(state, Failed(record()))
    state, _ = step(state, Heard(2, message(heard=(2,), lost=())))
    assert isinstance(state, Agreeing)

    state, _ = step(state, Heard(2, message(heard=(2,), lost=(1,))))

    assert state == Agreed(record())


def ranks(parties):
    return st.builds(
        record,
        at=st.integers(0, 3),
        code=st.sampled_from(["INPUT-003", "TRANSPORT-001", "TRANSPORT-002"]),
        culprit=st.integers(NOBODY, parties - 1),
    )


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_all_live_parties_agree_on_the_least_record_in_any_order_of_messages(data):
    parties = data.draw(st.integers(2, 5))
    crashed = data.draw(st.sampled_from([None, *range(parties)])) if parties > 2 else None
    live = [p for p in range(parties) if p != crashed]
    cut = set()
    if crashed is None and parties > 2 and data.draw(st.booleans()):
        a, b = data.draw(st.permutations(live))[:2]
        cut = {(a, b), (b, a)}
    states = {p: Running(p, parties) for p in live}
    links = {(a, b): [] for a in live for b in live if a != b and (a, b) not in cut}

    def feed(party, event):
        states[party], messages = step(states[party], event)
        for peer in live:
            if (party, peer) in links:
                links[party, peer].extend(messages)

    failing = data.draw(st.sets(st.sampled_from(live), min_size=1))
    own = {p: Record(**{**vars(data.draw(ranks(parties))), "reporter": p}) for p in sorted(failing)}
    losses = [(p, crashed) for p in live if crashed is not None] + sorted(cut)
    for p, of in own.items():
        feed(p, Failed(of))
    while losses or any(links.values()):
        choices = [("lost", loss) for loss in losses] + [("heard", link) for link in sorted(links) if links[link]]
        kind, (a, b) = data.draw(st.sampled_from(choices))
        if kind == "lost":
            losses.remove((a, b))
            feed(a, Lost(b))
        else:
            feed(b, Heard(a, Message.decode(links[a, b].pop(0).encode(), parties)))

    least = min(own.values(), key=lambda r: r.rank)
    assert {p: s.record for p, s in states.items() if isinstance(s, Agreed)} == dict.fromkeys(live, least)
    assert {s.record.to_error().what for s in states.values()} == {least.to_error().what}


def test_a_message_survives_its_encoding():
    original = message(record(culprit=NOBODY), heard=(0, 2), lost=(1,))

    decoded = Message.decode(original.encode(), 3)

    assert decoded == original
    assert decoded.record.error == original.record.error


def test_the_longest_texts_still_fit_into_a_frame():
    error = InputError("INPUT-001", "\u20ac" * 10**6, expected="x" * 10**6, party="p" * 10**6, next="n" * 10**6)
    long = Message(Record(0, error.code, 0, 0, error.to_dict()), frozenset({0}), frozenset())

    assert len(long.encode()) <= RECORD_BYTES_MAX
    assert Message.decode(long.encode(), 3).record.code == "INPUT-001"


def test_control_characters_of_a_peer_do_not_reach_the_terminal():
    error = InputError("INPUT-001", "a\x1b[2Jb\nc")

    decoded = Message.decode(
        Message(Record(0, "INPUT-001", 0, 0, error.to_dict()), frozenset(), frozenset()).encode(), 3
    )

    assert decoded.record.to_error().what == "a [2Jb c"


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": 2**64},
        {"step": True},
        {"step": "1"},
        {"culprit": 3},
        {"culprit": -2},
        {"reporter": -1},
        {"heard": [3]},
        {"heard": 1},
        {"lost": ["x"]},
        {"error": None},
        {"error": {}},
        {"code": "x"},
        {"code": "TRANSPORT-1; rm"},
    ],
)
def test_an_unreadable_abort_is_refused_by_name(change):
    fields = json.loads(message().encode())
    if "code" in change:
        fields["error"]["code"] = change["code"]
    else:
        fields.update(change)

    with pytest.raises(TransportError, match="TRANSPORT-011"):
        Message.decode(json.dumps(fields).encode(), 3)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"null", b"[" * 60000])
def test_bytes_that_are_no_abort_are_refused_by_name(data):
    with pytest.raises(TransportError, match="TRANSPORT-011"):
        Message.decode(data, 3)
