# SPDX-License-Identifier: Apache-2.0
"""Control messages between a client and a party: JSON for what is said, binary parts for arrays, in one frame.

    4 bytes   length of the JSON, little endian
    ...       JSON object: `kind`, the fields of that kind, and `parts`, the lengths of the binary parts
    ...       the parts, one after the other

Each side answers every request with one message, or with one `error`; `run` may be preceded by `progress`. Bytes come
from the network: every size is bounded, and whatever does not fit is a `RunError` RUN-020 to RUN-022.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from tacit.errors import RunError, TacitError
from tacit.plan.types import ELEMENTS_MAX, NDIM_MAX

VERSION: Final = 1
"""Of this protocol; both sides compare it in `open`."""
JSON_BYTES_MAX: Final = 1 << 24
PARTS_MAX: Final = 4096

Buffer = bytes | bytearray | memoryview
T = TypeVar("T")


@dataclass(frozen=True)
class Message:
    """One control message. Field readers check types and raise RunError RUN-022, so a reader needs no other check."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Buffer] = ()

    def encode(self) -> bytes:
        """The bytes of one frame's payload."""
        document = {**self.fields, "kind": self.kind, "parts": [len(p) for p in self.parts]}
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        return b"".join([len(text).to_bytes(4, "little"), text, *self.parts])

    @staticmethod
    def decode(data: Buffer) -> Message:
        """The message in a payload; parts are views of it. Raises RunError RUN-020."""
        view = memoryview(data).cast("B")
        size = int.from_bytes(view[:4], "little")
        if len(view) < 4 or size > min(len(view) - 4, JSON_BYTES_MAX):
            _malformed("its lengths do not fit")
        try:
            document = json.loads(bytes(view[4 : 4 + size]), parse_constant=_malformed)
        except (ValueError, RecursionError):
            _malformed("its header is no JSON")
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            _malformed("its header is no object with a `kind`")
        lengths = document.pop("parts", None)
        if (
            not isinstance(lengths, list)
            or len(lengths) > PARTS_MAX
            or not all(type(n) is int and n >= 0 for n in lengths)
            or sum(lengths) != len(view) - 4 - size
        ):
            _malformed("its parts do not fit")
        parts, at = [], 4 + size
        for length in lengths:
            parts.append(view[at : at + length])
            at += length
        return Message(document.pop("kind"), document, parts)

    def _get(self, name: str, kind: type[T], expected: str) -> T:
        value = self.fields.get(name)
        if type(value) is not kind:
            _field(self.kind, name, expected)
        return value

    def text(self, name: str, length_max: int = 4096) -> str:
        """A text field."""
        value = self._get(name, str, "text")
        if len(value) > length_max:
            _field(self.kind, name, f"text of at most {length_max} characters")
        return value

    def integer(self, name: str) -> int:
        """An integer field."""
        return self._get(name, int, "an integer")

    def flag(self, name: str) -> bool:
        """A Boolean field."""
        return self._get(name, bool, "true or false")

    def number(self, name: str) -> float:
        """A numeric field."""
        value = self.fields.get(name)
        if type(value) not in (int, float):
            _field(self.kind, name, "a number")
        return float(value)  # type: ignore[arg-type]

    def items(self, name: str) -> list[Any]:
        """A list field; the caller checks the elements."""
        return self._get(name, list, "a list")

    def object(self, name: str) -> dict[str, Any]:
        """An object field; the caller checks the contents."""
        return self._get(name, dict, "an object")

    def hex(self, name: str, size: int) -> bytes:
        """A field of `size` bytes in hexadecimal."""
        value = self._get(name, str, f"{size} bytes in hexadecimal")
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = b""
        if len(data) != size or data.hex() != value:
            _field(self.kind, name, f"{size} bytes in lower-case hexadecimal")
        return data

    def shape(self, name: str = "shape") -> tuple[int, ...]:
        """A field with the shape of an array."""
        return checked_shape(self._get(name, list, _SHAPE), self.kind, name)

    def part(self, index: int = 0) -> memoryview:
        """A binary part."""
        if index >= len(self.parts):
            _field(self.kind, "parts", f"at least {index + 1} binary parts")
        return memoryview(self.parts[index])

    def array(self, index: int, shape: tuple[int, ...]) -> NDArray[np.uint64]:
        """A binary part as u64 words in this shape."""
        data = self.part(index)
        if len(data) != 8 * prod(shape):
            _field(self.kind, "parts", "8 bytes for each element of the shape")
        # A copy: parts of a frame need not be aligned, and a view would keep the whole frame alive.
        return np.frombuffer(bytes(data), dtype="<u8").reshape(shape)


def checked_shape(value: Any, kind: str, name: str) -> tuple[int, ...]:
    """A decoded JSON value as a shape. Raises RunError RUN-022."""
    if (
        not isinstance(value, list)
        or len(value) > NDIM_MAX
        or not all(type(n) is int and 0 <= n <= ELEMENTS_MAX for n in value)
        or prod(value) > ELEMENTS_MAX
    ):
        _field(kind, name, _SHAPE)
    return tuple(value)


def answer(message: Message, kind: str) -> Message:
    """The message if it is of this kind. Raises the error that it carries, or RunError RUN-021."""
    if message.kind == "error":
        raise TacitError.from_dict(message.object("error"))
    if message.kind != kind:
        raise unknown(message.kind, kind)
    return message


def error_message(error: TacitError) -> Message:
    """The message that carries an error."""
    return Message("error", {"error": error.to_dict()})


def unknown(kind: str, expected: str) -> RunError:
    """The error for a message of a kind that has no place here."""
    return RunError(
        "RUN-021",
        f"a control message of kind {kind[:40]!r} came",
        expected=expected,
        next="use the same version of tacit on both sides",
    )


_SHAPE: Final = "a list of sizes"


def _malformed(what: str) -> NoReturn:
    raise RunError(
        "RUN-020",
        f"a control message is malformed: {what}",
        expected="a message as session/messages.py describes",
        next="use the same version of tacit on both sides",
    )


def _field(kind: str, name: str, expected: str) -> NoReturn:
    raise RunError(
        "RUN-022",
        f"field `{name}` of a control message `{kind[:40]}` does not fit",
        expected=expected,
        next="use the same version of tacit on both sides",
    )
