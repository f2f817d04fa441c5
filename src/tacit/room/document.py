# SPDX-License-Identifier: Apache-2.0
"""The room file: the organisations that compute together, their certificates, the protocol, the limits.

    format = 1
    name = "hospitals"
    protocol = "rep3"
    network = "none"                # or an emulation: "lan", "wan"

    [[parties]]                     # computing parties, in the order of their indices
    name = "charite"
    host = "10.0.0.1"
    port = 7100
    pin = "<64 hex digits>"         # SHA-256 of its DER certificate

    [[clients]]                     # who may propose plans
    name = "analyst"
    pin = "<64 hex digits>"
    acts_for = ["charite"]          # parties whose operator it is: may hand them inputs, fetch results revealed to them

    [limits]                        # all optional
    silence_s = 10.0
    step_timeout_s = 600.0
    connect_timeout_s = 30.0
    frame_bytes_max = 1073741824
    session_bytes_max = 4294967296
    elements_max = 268435456
    refusals_max = 3

Every organisation has the same file; `Room.digest` lets them compare it. A room file holds no private key. Each
mistake in a file is one `RoomError` that names the file, the key and what was expected.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from tacit.errors import RoomError
from tacit.plan import PROTOCOLS
from tacit.plan.types import ELEMENTS_MAX

FORMAT: Final = 1
NETWORKS: Final = ("none", "lan", "wan")
"""Emulated networks: none, 1 ms and 1 Gbit/s, 40 ms and 100 Mbit/s."""
FILE_BYTES_MAX: Final = 1 << 20

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_PIN: Final = re.compile(r"[0-9a-f]{64}")
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9A-Fa-f:.]{2,45}")
_NAME_TEXT: Final = "1 to 63 letters, digits, '-', '_' or '.', starting with a letter or digit"
_PIN_TEXT: Final = "64 lower-case hex digits, as `tacit party keygen` prints"


@dataclass(frozen=True)
class Party:
    """A computing party: where it listens, and the pin (SHA-256, hex) of its certificate."""

    name: str
    host: str
    port: int
    pin: str


@dataclass(frozen=True)
class Client:
    """Someone who may propose plans. It acts for the parties whose operator it is."""

    name: str
    pin: str
    acts_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a party bears from others: times in seconds, sizes in bytes, and numbers. Beyond them there are errors.

    `session_bytes_max` bounds all arrays that a client hands over in one session, `elements_max` each value of a plan,
    `refusals_max` what a client that does not operate a party learns by checks alone about each of the party's files.
    """

    silence_s: float = 10.0
    step_timeout_s: float = 600.0
    connect_timeout_s: float = 30.0
    frame_bytes_max: int = 1 << 30
    session_bytes_max: int = 1 << 32
    elements_max: int = 1 << 28
    refusals_max: int = 3


@dataclass(frozen=True)
class Room:
    """The contents of a room file. Build it with `load` or `parse`, or directly and then call `check`."""

    name: str
    protocol: str
    parties: tuple[Party, ...]
    clients: tuple[Client, ...]
    network: str = "none"
    limits: Limits = field(default_factory=Limits)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical contents: equal exactly if two organisations hold the same room."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(b"tacit/room/1\n" + text.encode()).hexdigest()

    @property
    def party_names(self) -> tuple[str, ...]:
        """Names of the computing parties, in the order of their indices."""
        return tuple(p.name for p in self.parties)

    @property
    def pins(self) -> dict[str, str]:
        """Pin to name, for parties and clients."""
        return {pin: name for name, pin in self._entries}

    @property
    def _entries(self) -> list[tuple[str, str]]:
        return [(p.name, p.pin) for p in self.parties] + [(c.name, c.pin) for c in self.clients]

    def index(self, party: str) -> int:
        """The index of a computing party. Raises RoomError ROOM-009 if the room has none of that name."""
        if party not in self.party_names:
            raise RoomError(
                "ROOM-009",
                f"room {self.name!r} has no party named {party[:64]!r}",
                expected=f"one of {', '.join(self.party_names)}",
            )
        return self.party_names.index(party)

    def client(self, name: str) -> Client | None:
        """The client of that name, or None."""
        return next((c for c in self.clients if c.name == name), None)

    def check(self, file: str = "the room") -> Room:
        """The room itself if its parts fit together. Raises RoomError ROOM-006, ROOM-007 or ROOM-008."""
        where = _Where(file)
        if self.protocol not in PROTOCOLS:
            where.value("protocol", f"one of {', '.join(sorted(PROTOCOLS))}")
        counts = PROTOCOLS[self.protocol]
        low, high = counts[0], counts[-1]
        if len(self.parties) not in counts:
            raise RoomError(
                "ROOM-008",
                f"{file} lists {len(self.parties)} parties for protocol {self.protocol}",
                expected=f"{low} parties" if low == high else f"{low} to {high} parties",
                next="change `protocol` or the [[parties]] entries",
            )
        for key, values, advice in (
            ("name", [name for name, _ in self._entries], "rename one of them"),
            ("pin", [pin for _, pin in self._entries], "let each make its own key with `tacit party keygen`"),
            ("host and port", [(p.host, p.port) for p in self.parties], "give one of them another port"),
        ):
            if len(set(values)) != len(values):
                raise RoomError(
                    "ROOM-007",
                    f"{file} gives two entries of [[parties]] and [[clients]] the same {key}",
                    expected=f"a different {key} for each",
                    next=advice,
                )
        for i, client in enumerate(self.clients):
            unknown = [p for p in client.acts_for if p not in self.party_names]
            if unknown or len(set(client.acts_for)) != len(client.acts_for):
                where.value(f"clients[{i}].acts_for", f"different names among {', '.join(self.party_names)}")
        return self

    def to_toml(self) -> str:
        """The room as a room file; `parse` is the inverse."""
        lines = [f"format = {FORMAT}", f"name = {_quoted(self.name)}", f"protocol = {_quoted(self.protocol)}"]
        lines.append(f"network = {_quoted(self.network)}")
        for p in self.parties:
            lines += ["", "[[parties]]", f"name = {_quoted(p.name)}", f"host = {_quoted(p.host)}"]
            lines += [f"port = {p.port}", f"pin = {_quoted(p.pin)}"]
        for c in self.clients:
            acts_for = ", ".join(map(_quoted, c.acts_for))
            lines += ["", "[[clients]]", f"name = {_quoted(c.name)}", f"pin = {_quoted(c.pin)}"]
            lines += [f"acts_for = [{acts_for}]"]
        lines += ["", "[limits]", *(f"{key} = {value!r}" for key, value in asdict(self.limits).items())]
        return "\n".join(lines) + "\n"


def load(path: str | os.PathLike[str]) -> Room:
    """Read and check a room file.

    Raises RoomError: ROOM-001 unreadable, ROOM-002 not TOML, ROOM-003 a key is missing, ROOM-004 a value has the
    wrong type, ROOM-005 an unknown key, ROOM-006 a value is not allowed, ROOM-007 a name, pin or address occurs
    twice, ROOM-008 the number of parties does not fit the protocol.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise RoomError(
            "ROOM-001",
            f"the room file {os.fspath(path)} cannot be read: {error.strerror or type(error).__name__}",
            expected="a TOML file that this user may read",
            next="check the path; docs/rooms.md shows how to write one",
        ) from None
    if len(data) > FILE_BYTES_MAX:
        _not_toml(os.fspath(path), f"it is larger than {FILE_BYTES_MAX} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        _not_toml(os.fspath(path), "it is not UTF-8 text")
    return parse(text, os.fspath(path))


def parse(text: str, file: str = "the room") -> Room:
    """The room in the text of a room file; `file` is the name errors use. Raises as `load`."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        _not_toml(file, str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is nested too deeply")
    top = _Table(file, "", data)
    if top.integer("format", FORMAT, FORMAT) != FORMAT:
        top.where.value("format", str(FORMAT))
    parties = tuple(
        Party(
            t.text("name", _NAME, _NAME_TEXT),
            t.text("host", _HOST, "a host name or an IP address"),
            t.integer("port", 1, 65535),
            t.text("pin", _PIN, _PIN_TEXT),
        )
        for t in top.tables("parties")
    )
    clients = tuple(
        Client(t.text("name", _NAME, _NAME_TEXT), t.text("pin", _PIN, _PIN_TEXT), t.names("acts_for"))
        for t in top.tables("clients")
    )
    table = top.table("limits")
    defaults = Limits()
    limits = Limits(
        silence_s=table.number("silence_s", 0.5, 3600, defaults.silence_s),
        step_timeout_s=table.number("step_timeout_s", 1, 7 * 86400, defaults.step_timeout_s),
        connect_timeout_s=table.number("connect_timeout_s", 0.5, 3600, defaults.connect_timeout_s),
        frame_bytes_max=table.integer("frame_bytes_max", 1 << 16, 1 << 40, defaults.frame_bytes_max),
        session_bytes_max=table.integer("session_bytes_max", 1 << 16, 1 << 50, defaults.session_bytes_max),
        elements_max=table.integer("elements_max", 1, ELEMENTS_MAX, defaults.elements_max),
        refusals_max=table.integer("refusals_max", 1, 1_000_000, defaults.refusals_max),
    )
    network = top.text("network", re.compile("|".join(NETWORKS)), f"one of {', '.join(NETWORKS)}", "none")
    name, protocol = top.text("name", _NAME, _NAME_TEXT), top.text("protocol", _NAME, "rep3 or plain")
    top.done()
    return Room(name, protocol, parties, clients, network, limits).check(file)


def write(room: Room, path: str | os.PathLike[str]) -> None:
    """Write a room file in one step: either the whole new file is there or the old state. Raises RoomError ROOM-001."""
    target = Path(path)
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=".room-", delete=False) as file:
            temporary = file.name
            file.write(room.to_toml())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise RoomError(
            "ROOM-001",
            f"the room file {target} cannot be written: {error.strerror or type(error).__name__}",
            expected="a directory that this user may write to",
        ) from None


# --- reading checked values ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Where:
    """The place in a file that an error names."""

    file: str
    path: str = ""

    def key(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def value(self, key: str, expected: str) -> NoReturn:
        raise RoomError(
            "ROOM-006", f"`{self.key(key)}` in {self.file} has a value that is not allowed", expected=expected
        )

    def type(self, key: str, expected: str) -> NoReturn:
        raise RoomError("ROOM-004", f"`{self.key(key)}` in {self.file} has the wrong type", expected=expected)


class _Table:
    """A TOML table whose keys are taken one by one; `done` refuses what is left."""

    def __init__(self, file: str, path: str, data: dict[str, Any]) -> None:
        self.where = _Where(file, path)
        self._data = dict(data)
        self._children: list[_Table] = []

    def _take(self, key: str, kind: type | tuple[type, ...], text: str, default: Any) -> Any:
        if key not in self._data:
            if default is None:
                raise RoomError(
                    "ROOM-003",
                    f"`{self.where.key(key)}` is missing in {self.where.file}",
                    expected=text,
                    next="add it; docs/rooms.md lists all keys",
                )
            return default
        value = self._data.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            self.where.type(key, text)
        return value

    def text(self, key: str, pattern: re.Pattern[str], expected: str, default: str | None = None) -> str:
        value: str = self._take(key, str, f"text: {expected}", default)
        if not pattern.fullmatch(value):
            self.where.value(key, expected)
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        expected = f"an integer from {low} to {high}" if low < high else f"the integer {low}"
        value: int = self._take(key, int, expected, default)
        if not low <= value <= high:
            self.where.value(key, expected)
        return value

    def number(self, key: str, low: float, high: float, default: float) -> float:
        value = float(self._take(key, (int, float), f"a number from {low:g} to {high:g}", default))
        if not low <= value <= high:
            self.where.value(key, f"a number from {low:g} to {high:g}")
        return value

    def names(self, key: str) -> tuple[str, ...]:
        value: list[Any] = self._take(key, list, "a list of party names", [])
        if not all(isinstance(v, str) for v in value):
            self.where.type(key, "a list of party names")
        return tuple(value)

    def table(self, key: str) -> _Table:
        child = _Table(self.where.file, self.where.key(key), self._take(key, dict, "a table", {}))
        self._children.append(child)
        return child

    def tables(self, key: str) -> Iterable[_Table]:
        value: list[Any] = self._take(key, list, f"tables, each headed [[{key}]]", None if key == "parties" else [])
        if not all(isinstance(v, dict) for v in value):
            self.where.type(key, f"tables, each headed [[{key}]]")
        tables = [_Table(self.where.file, f"{self.where.key(key)}[{i}]", v) for i, v in enumerate(value)]
        self._children += tables
        return tables

    def done(self) -> None:
        if self._data:
            key = self.where.key(next(iter(self._data)))
            hint = " (a room file never holds a private key)" if "key" in key.lower() else ""
            raise RoomError(
                "ROOM-005",
                f"`{key[:80]}` in {self.where.file} is no key of a room file{hint}",
                expected="only the keys that docs/rooms.md lists",
                next="correct the spelling or remove it",
            )
        for child in self._children:
            child.done()


def _not_toml(file: str, why: str) -> NoReturn:
    raise RoomError("ROOM-002", f"{file} is not a room file: {why}", expected="TOML text, as in docs/rooms.md")


def _quoted(text: str) -> str:
    # JSON strings are TOML basic strings.
    return json.dumps(text, ensure_ascii=False)
