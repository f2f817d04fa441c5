# SPDX-License-Identifier: Apache-2.0
"""What the nodes of a plan compute, in words that the owner of the data can understand.

The words follow from the graph alone: names of inputs are quoted, other text of the author does not appear. Chains of
products and sums that only scale a value are read as one exact rational multiple of it, so that a sum scaled by 1/n in
several digits reads as the mean it is; variances are recognised by their structure, index by index. Where a pattern
does not hold exactly as required, the operations are named one by one.

Factors are named to within 2^-16 of themselves. A chain of scalings is read as one only while its roundings add up to
at most 4 units in the last place: a chain that rounds and magnifies the rest, or lets all but the roundings cancel,
keeps all its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import prod
from typing import Final, Literal, NamedTuple

from tacit.plan.attributes import STR_MAX
from tacit.plan.nodes import Node, Region
from tacit.plan.ops import MOVES, OPS, constant_array, made_from, matched_sides, product_shift

WORDS_MAX: Final = 320
"""Longest description; one that would be longer says `a computed value` for its innermost parts."""
DEPTH_MAX: Final = 12
PARTS_MAX: Final = 6
NAME_MAX: Final = 60

_CLOSE: Final = Fraction(1, 2**16)
_COARSE: Final = Fraction(1, 2**12)
_ULPS: Final = 4
_FACTOR_BITS: Final = 256
_REPETITIVE: Final = 3
"""Words may be so many times too long before their repetitions are abbreviated."""
_LETTERS: Final = "ABCD"
_TOGETHER: Final = " together)"


class Base(NamedTuple):
    """A quantity that others are multiples of, element by element.

    `value`: the node itself. `product`: the product that the node multiplies and truncates. Of the node over the axes:
    `centred`: its distances from its mean; `spread`: the sum of their squares; `deviation`: the root of the spread over
    n - `less`.
    """

    kind: Literal["value", "product", "centred", "spread", "deviation"]
    node: int
    axes: tuple[int, ...] = ()
    less: int = 0


class Linear(NamedTuple):
    """factor * base, up to roundings that add up to `error`, in the value's own unit."""

    factor: Fraction
    base: Base
    error: Fraction = Fraction(0)


class Text(NamedTuple):
    """Words, and whether they need parentheses as part of others."""

    words: str
    compound: bool


_UNKNOWN: Final = Text("a computed value", False)


class Reader:
    """Puts the nodes of a plan, or of the body of a loop, in words. Linear in the size of the plan."""

    def __init__(
        self, nodes: Sequence[Node], parties: Sequence[str], outside: tuple[Reader, Node] | None = None
    ) -> None:
        self._nodes = nodes
        self._parties = parties
        self._outside = outside
        self._bodies: dict[int, Reader] = {}
        self._texts: dict[tuple[int, int], Text | None] = {}
        self._lists: set[str] = outside[0]._lists if outside else set()
        # All facts about a node are made from those of its operands, once: a hostile plan could make every look-up
        # walk a chain as long as the plan.
        self._computing: list[Node] = []
        self._flat: list[Node] = []
        self._known: list[Fraction | None] = []
        self._linear: list[Linear] = []
        for node in nodes:
            first = node.inputs[0] if node.inputs else -1
            self._computing.append(self._computing[first] if self._passes(node) else node)
            self._flat.append(self._flat[first] if node.op in _SAME_ORDER else node)
            self._known.append(self._constant(node))
            self._linear.append(self._multiple(node))

    def describe(self, node_id: int) -> str:
        """What a node computes, in about `WORDS_MAX` characters at most."""
        for depth in range(DEPTH_MAX, 0, -1):
            text = self._text(node_id, depth)
            words = None if text is None else self._abbreviated(text.words)
            if words is not None and (len(words) <= WORDS_MAX or depth == 1):
                return words
        return _UNKNOWN.words

    def _abbreviated(self, words: str) -> str:
        """The words with a letter for each list of values that they repeat."""
        ends = [k + len(_TOGETHER) for k in range(len(words)) if words.startswith(_TOGETHER, k)]
        starts = [k for k, c in enumerate(words) if c == "("]
        found = dict.fromkeys(words[i:j] for i in starts for j in ends if words[i + 1 : j - 1] in self._lists)
        meant: list[str] = []
        for listed in found:
            if words.count(listed) > 1 and len(meant) < len(_LETTERS):
                letter = _LETTERS[len(meant)]
                words = words.replace(listed, letter)
                meant.append(f"{letter} is {listed[1:-1]}")
        return ", where ".join([words, "; ".join(meant)]) if meant else words

    # --- facts about nodes -----------------------------------------------------------------------------------------

    def _passes(self, node: Node) -> bool:
        """Whether the node passes its operand's elements on, all of them and in an order that words can ignore."""
        if node.op in ("share", "reveal", "assume", "reshape", "flip"):
            return True
        if node.op not in ("cast", "transpose", "broadcast_to", "getitem"):
            return False
        x = self._nodes[node.inputs[0]].type
        if node.op == "cast":
            return not (x.dtype.is_fixed and node.type.dtype.is_int)
        if node.op == "transpose":
            long = [k for k in node.attrs["axes"] if x.shape[k] != 1]
            return long == sorted(long)
        return node.type.size == x.size

    def _constant(self, node: Node) -> Fraction | None:
        """The one value of all elements, where the plan states it."""
        if node.op == "param":
            outer = self._captured(node)
            return None if outer is None else outer[0]._known[outer[1]]
        if node.op == "constant":
            bounds = node.type.interval
            return Fraction(bounds.lo, 2**node.type.dtype.f) if bounds.lo == bounds.hi and node.type.size else None
        same = node.op in (*_SAME_ORDER, "transpose", "broadcast_to", "flip") or (
            node.op == "cast" and self._passes(node)
        )
        return self._known[node.inputs[0]] if same else None

    def _captured(self, param: Node) -> tuple[Reader, int] | None:
        """Where a parameter of a loop stands for a value from outside: the reader and the node there."""
        if self._outside is None:
            return None
        reader, loop = self._outside
        index = param.attrs["index"]
        return (reader, loop.inputs[index]) if index >= len(loop.attrs["body"].outputs) else None

    def _multiple(self, node: Node) -> Linear:
        """The node as a multiple of a simpler quantity, or of itself."""
        own, factor = Linear(Fraction(1), Base("value", node.id)), _factor(node)
        if factor != 1 and node.op != "scale":
            own = Linear(factor, Base("product", node.id), Fraction(1, 2**node.type.dtype.f))
        ids = node.inputs
        match node.op:
            case "share" | "reveal" | "assume":
                return self._linear[ids[0]]
            case "reshape" if self._linear[ids[0]].base.kind in ("spread", "deviation"):
                # These are known by their elements in order, which stays.
                return self._linear[ids[0]]
            case "cast" if self._passes(node) and self._nodes[ids[0]].type.dtype.is_int:
                return self._linear[ids[0]]
            case "neg":
                return self._scaled(node, ids[0], Fraction(-1), 0)
            case "scale":
                return self._scaled(node, ids[0], factor, 1 if node.attrs["shift"] else 0)
            case "mul" | "div":
                for x, c in ((ids[0], ids[1]), (ids[1], ids[0]))[: 2 if node.op == "mul" else 1]:
                    known = self._known[c]
                    if known is None or self._nodes[x].type.shape != node.type.shape:
                        continue
                    if node.op == "div":
                        return self._scaled(node, x, 1 / known, 2) if known else own
                    rounded = product_shift([self._nodes[i].type for i in ids], node.attrs) > 0
                    return self._scaled(node, x, known * factor, int(rounded))
                return own
            case "add" | "sub":
                return self._combined(node) or own
            case "sum" | "matmul":
                return self._squared_distances(node) or own
            case "sqrt":
                return self._deviation(self._linear[self._flat[ids[0]].id]) or own
        return own

    def _scaled(self, node: Node, operand: int, factor: Fraction, ulps: int) -> Linear:
        known = self._linear[operand]
        unit = Fraction(1, 2**node.type.dtype.f)
        whole = Linear(known.factor * factor, known.base, known.error * abs(factor) + ulps * unit)
        limit = _ULPS * unit
        if known.base.kind == "centred":
            limit = max(limit, self._coarse(whole))
        if whole.error <= limit and _short(whole.factor) and _short(whole.error):
            return whole
        return Linear(factor, Base("value", operand), ulps * unit)

    def _combined(self, node: Node) -> Linear | None:
        """A sum or difference of two multiples of one value, of a value and its mean, or of sums of squares."""
        left, right = (self._linear[i] for i in node.inputs)
        shapes = [self._nodes[i].type.shape for i in node.inputs]
        if left.base == right.base and shapes[0] == shapes[1]:
            factor = left.factor + (right.factor if node.op == "add" else -right.factor)
            whole = Linear(factor, left.base, left.error + right.error)
            # Where the values cancel and the roundings remain, the roundings are what is computed.
            limit = min(_ULPS * Fraction(1, 2**node.type.dtype.f), self._coarse(whole))
            if whole.error <= limit and _short(factor) and _short(whole.error):
                return whole
        if node.op == "add":
            return None
        return self._centred(node) or (self._exact_spread(node, left) if shapes[0] == shapes[1] else None)

    def _centred(self, node: Node) -> Linear | None:
        """a * x - a * mean(x), where the mean stands beside the elements it was taken from."""
        x, mean = self._linear[node.inputs[0]], self._linear[node.inputs[1]]
        rounded = self._nodes[node.inputs[1]]
        error = x.error + mean.error
        if rounded.op == "cast" and not self._passes(rounded):
            mean = self._linear[rounded.inputs[0]]
            error = x.error + mean.error + 1
        total = self._nodes[mean.base.node]
        if x.base.kind != "value" or mean.base.kind != "value" or total.op != "sum" or not x.factor:
            return None
        terms = self._linear[total.inputs[0]]
        values = self._nodes[x.base.node].type
        axes: tuple[int, ...] = total.attrs["axis"]
        n = prod(values.shape[k] for k in axes) if terms.base == x.base else 0
        beside = total.attrs["keepdims"] or len(axes) == len(values.shape) or axes == tuple(range(len(axes)))
        if n < 2 or not beside or not _near(mean.factor * terms.factor * n / x.factor):
            return None
        return Linear(x.factor, Base("centred", x.base.node, axes), error)

    def _exact_spread(self, node: Node, left: Linear) -> Linear | None:
        """n * sum(d^2) - sum(d)^2, which is n times the spread of d, whatever is subtracted from all of d.

        Of integers only: of other values the roundings could be all that remains.
        """
        squares = self._squares(self._flat[left.base.node]) if left.base.kind == "value" else None
        root = self._flat[node.inputs[1]]
        if squares is None or root.op != "square" or not squares[2] == _factor(root) == 1:
            return None
        total = self._flat[root.inputs[0]]
        if total.op != "sum":
            return None
        d, axes, _ = squares
        n = prod(self._nodes[d].type.shape[k] for k in axes)
        if not self._nodes[d].type.dtype.is_int:
            return None
        if n < 2 or total.inputs[0] != d or total.attrs["axis"] != axes or left.factor != n or left.error:
            return None
        shifted = self._nodes[d]
        if shifted.op in ("add", "sub") and self._known[shifted.inputs[1]] is not None:
            inner = self._nodes[shifted.inputs[0]]
            d = inner.id if inner.type.shape == shifted.type.shape else d
        return Linear(Fraction(n), Base("spread", d, axes))

    def _squared_distances(self, node: Node) -> Linear | None:
        squares = self._squares(node)
        if squares is None:
            return None
        d, axes, times = squares
        linear = self._linear[d]
        factor = linear.factor**2 * times
        if linear.base.kind != "centred" or linear.base.axes != axes or not _short(factor):
            return None
        if linear.error > self._coarse(linear):
            return None
        return Linear(factor, Base("spread", linear.base.node, axes))

    def _coarse(self, linear: Linear) -> Fraction:
        """An error that is small beside the declared range of the values."""
        values = self._nodes[linear.base.node].type
        return _COARSE * abs(linear.factor) * Fraction(values.interval.magnitude, 2**values.dtype.f)

    def _squares(self, node: Node) -> tuple[int, tuple[int, ...], Fraction] | None:
        """d, axes and a factor, where the node is so many times the sum of the squares of d over the axes."""
        if node.op == "sum":
            inner = self._nodes[node.inputs[0]]
            if inner.op == "square" or (inner.op == "mul" and inner.inputs[0] == inner.inputs[1]):
                return inner.inputs[0], node.attrs["axis"], _factor(inner)
            return None
        if node.op != "matmul":
            return None
        row, column = (self._nodes[i] for i in node.inputs)
        shape = row.type.shape
        last = len(shape) - 1
        if last == 0:
            return (row.id, (0,), _factor(node)) if row is column else None
        swapped = (*range(last - 1), last, last - 1)
        if column.op != "transpose" or column.inputs != (row.id,) or column.attrs["axes"] != swapped or shape[-2] != 1:
            return None
        before = self._nodes[row.inputs[0]] if row.op == "reshape" else row
        if before.type.shape == (*shape[:-2], shape[-1]):
            return before.id, (last - 1,), _factor(node)
        return row.id, (last,), _factor(node)

    def _deviation(self, variance: Linear) -> Linear | None:
        """The root of 4^k times a variance."""
        if variance.base.kind != "spread" or variance.factor <= 0:
            return None
        n = self._terms(variance.base)
        for less in self._nearer(n):
            ratio = variance.factor * (n - less)
            power = (ratio.numerator.bit_length() - ratio.denominator.bit_length()) // 2
            for k in (power, power + 1):
                if _near(ratio / Fraction(4) ** k):
                    return Linear(Fraction(2) ** k, variance.base._replace(kind="deviation", less=less))
        return None

    @staticmethod
    def _nearer(n: int) -> tuple[int, ...]:
        # A large n cannot be told from n - 1 by its factor: then the plain variance is meant.
        return (0, 1) if n > 1 else (0,)

    def _terms(self, base: Base) -> int:
        shape = self._nodes[base.node].type.shape
        return prod(shape[k] for k in base.axes)

    # --- words -----------------------------------------------------------------------------------------------------

    def _text(self, node_id: int, depth: int) -> Text | None:
        """The words down to `depth` operations, or None if they are too long."""
        key = (self._computing[node_id].id, depth)
        if key not in self._texts:
            text = self._compose(self._computing[node_id], depth)
            fits = text is None or len(text.words) <= _REPETITIVE * WORDS_MAX or depth <= 1
            self._texts[key] = text if fits else None
        return self._texts[key]

    def _compose(self, node: Node, depth: int) -> Text | None:
        known = self._known[node.id]
        if known is not None:
            return Text(_decimal(known, Fraction(1, 2 ** (node.type.dtype.f + 1))), False)
        if node.op == "input":
            return Text(input_name(node, self._parties), False)
        if node.op == "param":
            return self._param(node, depth)
        if node.op == "constant":
            return Text("the position" if _counts(node) else "given constants", False)
        if depth == 0:
            return _UNKNOWN
        linear = self._linear[node.id]
        if linear.base != Base("value", node.id):
            return self._multiplied(linear, depth)
        ids, template = made_from(self._nodes, node), ""
        if node.op == "result":
            source, result = self._nodes[node.inputs[0]], node
            if source.op == "repeat":
                return self._loop(result, depth)
            if source.op == "match_rows":
                return self._matched(result, depth)
            if source.op not in MOVES and source.op != "shuffle_rows":
                return self._one_of(result, depth)
            if source.op == "aggregate" and result.attrs["index"] < source.attrs["heads"]:
                template = "compress"
            node = source
        if node.op == "lexsort":
            order = self._keys(node, node.inputs, depth)
            return None if order is None else Text(f"the order {order}", True)
        if "axis" in OPS[node.op].schema and node.op not in ("concat", "stack", "take", "permute"):
            return self._reduction(node, linear, depth)
        return self._operation(node, ids, depth, template)

    def _operation(self, node: Node, ids: Sequence[int], depth: int, template: str = "") -> Text | None:
        """Words of an operation on its operands, by its template or that of the operation named."""
        parts = [self._part(i, depth - 1, self._needs_condition(node, k)) for k, i in enumerate(ids[:PARTS_MAX])]
        if None in parts:
            return None
        words = [p for p in parts if p is not None]
        unit = 2**node.type.dtype.f
        bounds = {
            name: _decimal(Fraction(node.attrs[name], unit), Fraction(1, 2 * unit))
            for name in ("lo", "hi")
            if name in node.attrs
        }
        sizes = {"size": node.type.size, "total": self._nodes[ids[0]].type.size}
        text = OPS[template or node.op].words.format(*words, all=listing(words, len(ids)), **bounds, **sizes)
        if text.endswith(_TOGETHER[:-1]):
            self._lists.add(text)
        return Text(text, True)

    def _part(self, node_id: int, depth: int, condition: bool = False) -> str | None:
        """The words of an operand, in parentheses where it would be unclear how far they reach."""
        text = self._text(node_id, depth)
        if text is None:
            return None
        words = text.words
        if condition:
            # The words of a yes/no operation start with `whether`, by its template and not by somebody's name.
            told = text.compound and OPS[self._computing[node_id].op].words.startswith("whether ")
            words = words.removeprefix("whether ") if told else f"{words} is true"
        return f"({words})" if text.compound else words

    @staticmethod
    def _needs_condition(node: Node, position: int) -> bool:
        if node.op.startswith("logical_") or node.op in ("running_any", "running_all"):
            return True
        return position == 0 and node.op in _FLAGS_FIRST

    def _param(self, node: Node, depth: int) -> Text | None:
        outer = self._captured(node)
        if outer is not None:
            return outer[0]._text(outer[1], depth)
        assert self._outside is not None
        count = len(self._outside[1].attrs["body"].outputs)
        return Text("the value so far" if count == 1 else f"value {node.attrs['index'] + 1} so far", False)

    def _loop(self, node: Node, depth: int) -> Text | None:
        loop, k = self._nodes[node.inputs[0]], node.attrs["index"]
        body: Region = loop.attrs["body"]
        if loop.id not in self._bodies:
            self._bodies[loop.id] = Reader(body.nodes, self._parties, (self, loop))
        start = self._part(loop.inputs[k], depth - 1)
        step = self._bodies[loop.id]._part(body.outputs[k], depth - 1)
        if start is None or step is None:
            return None
        count, trips = len(body.outputs), loop.attrs["trips"]
        which = "the last value" if count == 1 else f"the last value {k + 1} of {count}"
        times = "once" if trips == 1 else f"{trips} times"
        return Text(f"{which} of a loop that starts from {start} and {times} sets it to {step}", True)

    def _one_of(self, node: Node, depth: int) -> Text | None:
        """One result of a `topk`, `sort_by` or `first_by`."""
        source, k = self._nodes[node.inputs[0]], node.attrs["index"]
        if source.op == "topk":
            text = self._reduction(source, self._linear[source.id], depth)
            return text if text is None or k == 0 else Text(f"the positions of {text.words}", True)
        keys = self._keys(source, source.inputs[: source.attrs["keys"]], depth)
        rows = self._part(source.inputs[source.attrs["keys"] + k], depth - 1)
        if keys is None or rows is None:
            return None
        first = f"the first {source.attrs['size']} of " if source.op == "first_by" else ""
        return Text(f"{first}{rows} {keys}", True)

    def _matched(self, node: Node, depth: int) -> Text | None:
        """One result of a `match_rows`."""
        source, k = self._nodes[node.inputs[0]], node.attrs["index"]
        (_, left, brought), (_, right, _) = matched_sides(source.inputs, source.attrs)
        if k > len(brought):
            words = self._part(source.inputs[len(source.inputs) - len(source.types) + k], depth - 1)
            return None if words is None else Text(f"{words} in a random order", True)
        keys = [[self._part(i, depth - 1) for i in own[:PARTS_MAX]] for own in (left, right)]
        own = self._part(brought[k - 1], depth - 1) if k else ""
        if own is None or None in keys[0] + keys[1]:
            return None
        theirs, mine = (listing([w for w in side if w is not None], len(left)) for side in keys)
        if not k:
            return Text(f"whether {mine} is among {theirs}", True)
        return Text(f"{own} where {theirs} equals {mine}", True)

    def _keys(self, node: Node, keys: Sequence[int], depth: int) -> str | None:
        """How the keys of a sort order."""
        parts = []
        for key, descending in zip(keys[:PARTS_MAX], node.attrs["descending"], strict=False):
            words = self._part(key, depth - 1)
            if words is None:
                return None
            parts.append(f"{words}, descending" if descending else words)
        more = [f"{len(keys) - len(parts)} more keys"] if len(keys) > len(parts) else []
        return f"sorted by {'; then by '.join([*parts, *more])}"

    def _multiplied(self, linear: Linear, depth: int) -> Text | None:
        base = linear.base
        if base.kind == "product":
            made = self._nodes[base.node]
            product = self._operation(made, made.inputs, depth)
            return None if product is None else _times(product, linear.factor)
        if base.kind == "value":
            node = self._computing[base.node]
            inner = self._linear[node.id]
            if node.op == "sum" and inner.base == Base("value", node.id):
                text = self._reduction(node, linear, depth)
                if text is None:
                    return None
                unit = self._mean_unit(node, linear.factor)
                return _times(text, linear.factor / unit)
            words = self._part(base.node, depth - 1)
            return None if words is None else _times(Text(words, False), linear.factor, True)
        n = self._terms(base)
        over = self._over(base.node, base.axes, depth - 1)
        if over is None:
            return None
        of, along = over
        if base.kind == "centred":
            return _times(Text(f"{of} minus its mean{along}", True), linear.factor)
        if base.kind == "deviation":
            sample = "sample " if base.less else ""
            return _times(Text(f"the {sample}standard deviation of {of}{along}", True), linear.factor)
        for less in self._nearer(n):
            if _near(abs(linear.factor) * (n - less)):
                sample = "sample " if less else ""
                text = Text(f"the {sample}variance of {of}{along}", True)
                return _times(text, linear.factor * (n - less))
        return _times(Text(f"the sum of the squared distances of {of} from their mean{along}", True), linear.factor)

    def _mean_unit(self, node: Node, factor: Fraction) -> Fraction:
        """1/n if the factor makes a mean of this sum, else 1."""
        x = self._nodes[node.inputs[0]].type
        n = prod(x.shape[k] for k in node.attrs["axis"])
        return Fraction(1, n) if n > 1 and _near(abs(factor) * n) else Fraction(1)

    def _reduction(self, node: Node, linear: Linear, depth: int) -> Text | None:
        """Words of an operation along axes; of a sum with a factor, the mean where it is one."""
        axis = node.attrs["axis"]
        axes = axis if isinstance(axis, tuple) else (axis,)
        bits = self._computing[node.inputs[0]].type.dtype.kind == "bool"
        over = self._over(node.inputs[0], axes, depth - 1, bits)
        if over is None:
            return None
        of, along = over
        template = OPS[node.op].words
        if node.op == "sum":
            mean = self._mean_unit(node, linear.factor) != 1
            if bits:
                template = "the fraction of cases where {0}" if mean else "the number of cases where {0}"
            elif mean:
                template = "the mean of {0}"
        if node.op == "order_statistics":
            n = self._nodes[node.inputs[0]].type.shape[axes[0]]
            return Text(f"{_rank_words(node.attrs['ranks'], n)} of {template.format(of)}{along}", True)
        return Text(template.format(of, **_counted(node)) + along, True)

    def _over(self, node_id: int, axes: tuple[int, ...], depth: int, bits: bool = False) -> tuple[str, str] | None:
        """The words of what is reduced, and along which of its axes, or how many at a time."""
        node, told = self._nodes[node_id], axes
        shape = node.type.shape
        n = prod(shape[k] for k in axes)
        found: tuple[int, ...] | None = axes
        # A few steps at most, so that no chain is walked again and again.
        for _ in range(DEPTH_MAX):
            if node.op not in _SAME_VALUES or (node.op == "cast" and not self._passes(node)):
                break
            before = self._nodes[node.inputs[0]]
            if found is not None:
                found = _axes_before(node, before, found)
            node = before
        words = self._part(node.id, depth, bits)
        if words is None:
            return None
        if n == prod(shape) and self._computing[node.id].type.size == n:
            # Only words in parentheses start with one; at the end of all they are not needed.
            return (words[1:-1] if bits and words.startswith("(") else words), ""
        if found is None or self._computing[node.id].id != node.id:
            return words, f" over {n} values each"
        if not told:
            return words, ""
        return words, f" along {'axis' if len(found) == 1 else 'axes'} {' and '.join(map(str, sorted(found)))}"


def _rank_words(ranks: tuple[int, ...], n: int) -> str:
    """Which of n elements in rising order."""
    if not ranks:
        return "none"
    if ranks == tuple(range((n - 1) // 2, n // 2 + 1)):
        return "the median" if n % 2 else "the two middle values"
    numbers = [str(rank + 1) for rank in ranks]
    return (
        f"the value{'s' if len(ranks) > 1 else ''} number {listing(numbers[:PARTS_MAX], len(numbers))} in rising order"
    )


def _counted(node: Node) -> dict[str, str]:
    """How many elements an operation picks by their order, and which."""
    if node.op == "topk":
        return {"k": str(node.attrs["k"]), "extreme": "largest" if node.attrs["largest"] else "smallest"}
    return {}


def _counts(constant: Node) -> bool:
    """Whether a constant numbers positions along one axis: 0, 1, 2, ..."""
    t = constant.type
    n = max(t.shape, default=0)
    if t.dtype.is_fixed or t.size != n or (t.interval.lo, t.interval.hi) != (0, n - 1):
        return False
    return constant_array(constant.attrs).reshape(-1).tolist() == list(range(n))


def input_name(node: Node, parties: Sequence[str], longest: int = NAME_MAX) -> str:
    """An `input` node's quoted name and owner. Quotes within a name give way: no name can pose as more than a name.

    A name that had to be changed or cut carries its node's number, so that no two inputs read the same.
    """
    name = quoted(node.attrs["name"], longest)
    if name != node.attrs["name"]:
        name = f"{name} (%{node.id})"
    return OPS["input"].words.format(name=name, party=parties[node.attrs["party"]])


def quoted(name: str, longest: int = STR_MAX) -> str:
    """A name as it may stand in quotes."""
    safe = name.replace("`", "'")
    return safe if len(safe) <= longest else f"{safe[: longest - 1]}…"


def listing(parts: Sequence[str], total: int) -> str:
    """`a, b and c`, without repetition; `total` counts those left out too."""
    unique = list(dict.fromkeys(parts))
    if total > len(parts):
        unique.append(f"{total - len(parts)} more")
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} and {unique[-1]}"


def _axes_before(node: Node, before: Node, axes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of the operand of `node` that become its `axes`, or None if they mix with others."""
    if node.op == "transpose":
        return tuple(node.attrs["axes"][k] for k in axes)
    if node.op != "reshape":
        return axes
    # Axes of length 1 come and go without mixing others.
    long, long_before = ([k for k, d in enumerate(n.type.shape) if d != 1] for n in (node, before))
    if [node.type.shape[k] for k in long] != [before.type.shape[k] for k in long_before]:
        return None
    return tuple(long_before[long.index(k)] for k in axes if k in long) or None


def _times(text: Text, factor: Fraction, parted: bool = False) -> Text:
    """The words of a multiple. `parted`: the words have their parentheses already."""
    words = f"({text.words})" if text.compound and not parted else text.words
    size = abs(factor)
    if _near(size):
        out = text if factor > 0 else Text(f"minus {words}", True)
        return Text(out.words, True) if parted and factor < 0 else out
    if size >= 1 and _near(size / round(size)):
        out = Text(f"{words} times {round(factor)}", True)
    elif size and _near(size * round(1 / size)):
        sign = "minus " if factor < 0 else ""
        out = Text(f"{sign}{words} divided by {round(1 / size)}", True)
    else:
        out = Text(f"{words} times {_decimal(factor, size * _CLOSE)}", True)
    return out


def _factor(node: Node) -> Fraction:
    """By what the node multiplies its operand, or the product of its operands."""
    return Fraction(node.attrs["numerator"], 2 ** node.attrs["shift"]) if "shift" in node.attrs else Fraction(1)


def _near(ratio: Fraction) -> bool:
    return abs(ratio - 1) <= _CLOSE


def _short(x: Fraction) -> bool:
    return x.numerator.bit_length() <= _FACTOR_BITS and x.denominator.bit_length() <= _FACTOR_BITS


def _decimal(x: Fraction, within: Fraction) -> str:
    """The shortest decimal number that is close enough."""
    if x.denominator == 1:
        return str(x.numerator)
    for digits in range(1, 18):
        text = f"{float(x):.{digits}g}"
        if abs(Fraction(text) - x) <= within:
            break
    return text if "e-" in text and abs(x) < Fraction(1, 10**6) else format(Decimal(text), "f")


_FLAGS_FIRST: Final = MOVES | {"where", "running_max", "running_min"}
_SAME_ORDER: Final = frozenset({"share", "reveal", "assume", "reshape"})
_SAME_VALUES: Final = frozenset({"share", "reveal", "assume", "reshape", "transpose", "cast"})
