# SPDX-License-Identifier: Apache-2.0
"""The program of a session: what was recorded so far, and the plan that discloses some of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from numpy.typing import NDArray

from tacit.errors import InputError
from tacit.frontends.array import SecretArray
from tacit.frontends.encoding import as_dtype, decode
from tacit.frontends.graph import Record, needed, record, write
from tacit.frontends.loop import loop, repeat_body
from tacit.frontends.namespace import Namespace
from tacit.frontends.operands import Operand, arrays, owner_of, public
from tacit.plan import OPS, DType, Interval, Plan, PlanBuilder, Private, Public, default_interval

Binding = TypeVar("Binding")
"""What the session attaches to an input, for its own use: where the data is."""

Results: TypeAlias = Mapping[str, NDArray[Any] | None]
"""Of each output the raw u64 elements (bool as 0 and 1), None where they are for a party that is not served here."""


class Program(Generic[Binding]):
    """Records what a user computes on the data of some parties, and writes the plans for it.

    `parties` are names, the `computing` ones first; plans are written for `network`. `reveal` calls
    `run(plan, bindings)`, which has the parties agree on the plan and execute it, with the bindings of the plan's
    inputs by name.
    """

    def __init__(
        self,
        parties: Sequence[str],
        computing: int,
        protocol: str,
        run: Callable[[Plan, Mapping[str, Binding]], Results],
        network: str = "loopback",
    ) -> None:
        self.parties = tuple(parties)
        self.computing = computing
        self.protocol = protocol
        self.network = network
        self._run = run
        self._names: set[str] = set()
        # Data that no array depends on any more is freed with its record.
        self._bindings: WeakKeyDictionary[Record, Binding] = WeakKeyDictionary()
        self._namespace = Namespace(self)

    @property
    def namespace(self) -> Namespace:
        """The functions on this program's arrays, and creation of public ones."""
        return self._namespace

    def input(
        self,
        shape: tuple[int, ...],
        dtype: DType | str,
        party: int | str,
        binding: Binding,
        *,
        interval: Interval | None = None,
        name: str | None = None,
        source: str = "",
    ) -> SecretArray:
        """An array that a party brings, private to it until it meets another party's.

        `interval` bounds the raw values, by default `default_interval(dtype)`; `source` tells the owner where its data
        is. `binding` is kept and handed to `run`. Raises `InputError` INPUT-110 for a name that is taken, ROOM and PLAN
        errors as `party_index` and the plan do.
        """
        label = name or f"input{len(self._names)}"
        if label in self._names:
            raise InputError(
                "INPUT-110",
                f"there is an input named {label[:40]!r} already",
                expected="a different name=",
                next="rename",
            )
        element = as_dtype(dtype)
        bounds = interval or default_interval(element)
        node = record(
            "input",
            party=self.party_index(party),
            name=label,
            source=source,
            dtype=element,
            shape=tuple(shape),
            lo=bounds.lo,
            hi=bounds.hi,
        )
        self._names.add(label)
        self._bindings[node] = binding
        return SecretArray(self, node)

    def constant(self, values: object, dtype: object = None) -> SecretArray:
        """A public array, written into the plan. Raises `InputError` INPUT-101 to -103."""
        return public(self, values, None if dtype is None else as_dtype(dtype))

    def loop(
        self,
        trips: int,
        body: Callable[..., Any],
        *carried: Operand,
        ranges: Sequence[tuple[float, float] | None] | None = None,
    ) -> Any:
        """As the function `loop`, also where all carried values start public."""
        return repeat_body(self, trips, body, carried, ranges)

    def party_index(self, party: int | str) -> int:
        """The index of a party given by index or name. Raises `InputError` INPUT-111."""
        if isinstance(party, str) and party in self.parties:
            return self.parties.index(party)
        if isinstance(party, int) and not isinstance(party, bool) and 0 <= party < len(self.parties):
            return party
        raise InputError(
            "INPUT-111",
            f"there is no party {str(party)[:40]!r}",
            expected=f"0 to {len(self.parties) - 1}, or one of {', '.join(self.parties)}",
        )

    def plan(
        self,
        arrays: Sequence[SecretArray],
        to: int | str | None = None,
        purpose: str = "result",
        title: str = "",
        labels: Sequence[str] | None = None,
        places: dict[Record, int] | None = None,
    ) -> Plan:
        """The plan that discloses these arrays to everyone, or to one party, under `labels`, by default `result0`,
        `result1`, ... `places` gets the id of the node that each record became.

        Equal programs give equal plans. Raises `PlanError` as the builder does, `InputError` INPUT-104 for arrays of
        another program, SECRET-015 for none.
        """
        if owner_of(arrays) is not self:
            raise InputError("INPUT-104", "these arrays belong to another session", expected="arrays of this session")
        target = None if to is None else self.party_index(to)
        builder = PlanBuilder(self.parties, self.computing, self.protocol, title, self.network)
        ids: dict[Record, list[int]] = {}
        for k, value in enumerate(write(builder, [a.node for a in arrays], ids)):
            readers = (Public(),) if target is None else (Public(), Private(target))
            shown = value if builder.type(value).home in readers else builder.reveal(value, purpose, target)
            builder.output(f"result{k}" if labels is None else labels[k], shown)
        plan = builder.build()
        if places is not None:
            written = [(r, builder.numbering[i]) for r, (i, *_) in ids.items() if i in builder.numbering]
            # What has several results is what these are picked from.
            several = {r for r, _ in written if OPS[r.op].several}
            places.update((r, plan.nodes[node].inputs[0] if r in several else node) for r, node in written)
        return plan

    def bindings(self, arrays: Sequence[SecretArray]) -> dict[str, Binding]:
        """The bindings of the inputs that these arrays depend on, by name."""
        inputs = [r for r in needed(a.node for a in arrays) if r.op == "input"]
        return {r.attrs["name"]: self._bindings[r] for r in inputs}

    def run(self, plan: Plan, arrays: Sequence[SecretArray]) -> Results:
        """Run the plan that discloses these arrays; the raw values of its outputs by label."""
        return self._run(plan, self.bindings(arrays))

    def reveal(self, arrays: Sequence[SecretArray], to: int | str | None = None, purpose: str = "result") -> list[Any]:
        """Run one plan that discloses these arrays; their NumPy values, or None where they are not for this session."""
        results = self.run(self.plan(arrays, to, purpose), arrays)
        raws = [results[f"result{k}"] for k in range(len(arrays))]
        return [None if raw is None else decode(raw, a.dtype) for raw, a in zip(raws, arrays, strict=True)]


def reveal(*operands: SecretArray, to: int | str | None = None, purpose: str = "result") -> Any:
    """Disclose several arrays of one session in one plan and so in one run; see `SecretArray.reveal`.

    One array gives its value, several give a tuple.
    """
    owner = owner_of(operands)
    values = owner.reveal(arrays(*operands), to, purpose)
    return values[0] if len(values) == 1 else tuple(values)


__all__ = ["Program", "Results", "loop", "reveal"]
