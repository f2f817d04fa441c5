# SPDX-License-Identifier: Apache-2.0
"""What one party does with a plan: check that it fits the room, find its own inputs, run it, say who may read results.

The same code serves a party process (node/) and the parties of a session in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

from tacit.engine.execute import Observer, execute
from tacit.engine.keys import begin
from tacit.errors import InputError, RoomError, RunError
from tacit.plan import DType, Interval, Node, Plan, Private, Public, full_source
from tacit.plan.nodes import all_nodes
from tacit.protocols.shares import Arith, U64Array
from tacit.room import Room
from tacit.session.sources import rows_of
from tacit.session.values import check_raw


@dataclass(frozen=True)
class Dealt:
    """A client's message to one party about one of its inputs: shares of an array of this shape."""

    message: bytes
    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Dealt(shape={self.shape})"


@dataclass(frozen=True)
class Bound:
    """The inputs of a plan as one party holds them, by name: its own raw values, and what the client dealt."""

    own: Mapping[str, U64Array]
    dealt: Mapping[str, Dealt]

    def __repr__(self) -> str:
        return f"Bound(own={sorted(self.own)}, dealt={sorted(self.dealt)})"


class Reader(Protocol):
    """A party's data as a proposal reads it: `sources.Inputs`, or a stricter one around it."""

    def read(self, source: str, dtype: DType, interval: Interval) -> U64Array:
        """Raw values of the columns that a source names, each checked."""


def check_room(plan: Plan, room: Room) -> None:
    """Check that a plan is for this room, and within its limits, before anything is allocated for it.

    Raises RoomError ROOM-010, and RunError RUN-015 for a value with too many elements.
    """
    clients = plan.parties[plan.computing :]
    fits = (
        plan.protocol == room.protocol
        and plan.parties[: plan.computing] == room.party_names
        and all(room.client(name) is not None for name in clients)
    )
    if not fits:
        raise RoomError(
            "ROOM-010",
            f"the plan is not for room {room.name!r}: it names another protocol or other parties",
            expected=f"{room.protocol} between {', '.join(room.party_names)}, and clients of the room",
            next="build the plan in a session of this room",
        )
    limit = room.limits.elements_max
    for node, _ in all_nodes(plan.nodes):
        if any(prod(t.shape) > limit for t in node.types):
            raise RunError(
                "RUN-015",
                f"the plan has a value with too many elements, by `{node.op}`",
                expected=f"at most {limit} elements in each value of a plan",
                next="compute on smaller blocks, or raise elements_max in the room file",
            )


def bind(
    plan: Plan, me: int, client: str, datasets: Reader, put: Mapping[str, U64Array], dealt: Mapping[str, Dealt]
) -> Bound:
    """Find and check this party's inputs of a verified plan that `client` proposed.

    `put` and `dealt` are what that client handed over: raw arrays of this party, and shares of the client's own.
    Raises as `Inputs.read`, and InputError: INPUT-008 another shape than the plan says; INPUT-013 an input that nobody
    gave; INPUT-007 out of range.
    """
    own: dict[str, U64Array] = {}
    shares: dict[str, Dealt] = {}
    owner = plan.parties[me]
    for node in plan.nodes:
        if node.op != "input":
            continue
        name, party = node.attrs["name"], node.attrs["party"]
        if party == me:
            if name in own or name in shares:
                raise _twice(name, owner)
            own[name] = _own(node, full_source(plan.nodes, node), owner, datasets, put)
        elif party >= plan.computing:
            if name in own or name in shares:
                raise _twice(name, owner)
            if plan.parties[party] != client or name not in dealt:
                raise _missing(name, plan.parties[party])
            if dealt[name].shape != node.type.shape:
                raise _shape(f"input {name!r}", dealt[name].shape, node, plan.parties[party])
            shares[name] = dealt[name]
    return Bound(own, shares)


def _own(node: Node, source: str, owner: str, datasets: Reader, put: Mapping[str, U64Array]) -> U64Array:
    name, interval = node.attrs["name"], node.type.interval
    rows = rows_of(source)
    if rows is not None and (rows,) != node.type.shape:
        # Before anything of that size is made: only the shape was checked against the room's limits.
        raise _shape(f"input {name!r}", (rows,), node, owner)
    if source:
        values = datasets.read(source, node.type.dtype, interval)
    elif name in put:
        values = put[name]
        check_raw(values, interval, what=f"input {name!r}", party=owner)
    else:
        raise _missing(name, owner)
    if values.shape != node.type.shape:
        raise _shape(f"input {name!r}", values.shape, node, owner)
    return values


async def run(
    plan: Plan, me: int, session: bytes, secret: bytes, bound: Bound, observer: Observer | None = None
) -> dict[str, U64Array | None]:
    """One party's whole run: agree on plan and keys, then execute. `secret` is 32 fresh random bytes.

    The result is that of `execute`. Raises as `begin` and `execute`, and RunError RUN-011 for shares of the client
    that have the wrong length.
    """
    box = await begin(plan.protocol, me, plan.computing, bytes.fromhex(plan.digest), session, secret)
    inputs: dict[str, U64Array | Arith] = dict(bound.own)
    for name, dealt in bound.dealt.items():
        try:
            inputs[name] = box.receive(dealt.message, dealt.shape)
        except ValueError:
            raise RunError(
                "RUN-011",
                f"the client's shares of input {name!r} have the wrong length",
                expected="shares made by `deal` of the room's protocol",
                next="use the same version of tacit on both sides",
            ) from None
    return await execute(plan, box, inputs, observer)


def may_read(plan: Plan, label: str, room: Room, client: str) -> bool:
    """Whether a client of the room may be given this output of a plan (by a party that holds it)."""
    home = plan.nodes[dict(plan.outputs)[label]].type.home
    if home == Public():
        return True
    if not isinstance(home, Private):
        return False
    if home.party >= plan.computing:
        return plan.parties[home.party] == client
    entry = room.client(client)
    return entry is not None and plan.parties[home.party] in entry.acts_for


def _missing(name: str, owner: str) -> InputError:
    return InputError(
        "INPUT-013",
        f"input {name!r} was not given",
        expected="an array from its owner, in the session that proposes the plan",
        party=owner,
        next="pass it with Session.input, or name a file with Session.load",
    )


def _twice(name: str, owner: str) -> InputError:
    return InputError(
        "INPUT-014", f"two inputs are named {name!r}", expected="a different name for each input", party=owner
    )


def _shape(what: str, have: tuple[int, ...], node: Node, owner: str) -> InputError:
    return InputError(
        "INPUT-008",
        f"{what} has the shape {list(have)}",
        expected=f"the shape {list(node.type.shape)} that the plan says",
        party=owner,
        next="load the file again: it may have changed since the plan was built",
    )
