# SPDX-License-Identifier: Apache-2.0
"""Room files: what is written is read back, and each mistake is one named error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import RoomError
from tacit.room import Client, Limits, Party, Room, load, parse, write

PINS = [f"{k:064x}" for k in range(5)]
PARTIES = tuple(Party(name, "127.0.0.1", 7100 + k, PINS[k]) for k, name in enumerate(("a", "b", "c")))
ROOM = Room("clinic", "rep3", PARTIES, (Client("you", PINS[3], ("a",)), Client("other", PINS[4])), "lan")


def test_a_room_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write(ROOM, tmp_path / "room.toml")

    assert load(tmp_path / "room.toml") == ROOM
    assert [p.name for p in tmp_path.iterdir()] == ["room.toml"]


def test_the_digest_depends_on_contents_not_on_layout() -> None:
    text = "# a comment\n\n" + ROOM.to_toml().replace(" = ", "=")

    assert parse(text).digest == ROOM.digest
    for other in (
        replace(ROOM, network="wan"),
        replace(ROOM, limits=Limits(silence_s=5)),
        replace(ROOM, parties=PARTIES[::-1]),
    ):
        assert other.digest != ROOM.digest


@pytest.mark.parametrize(
    ("old", "new", "code", "key"),
    [
        ("format = 1", "format = 2", "ROOM-006", "format"),
        ("format = 1\n", "", "ROOM-003", "format"),
        ('name = "clinic"', "name = 3", "ROOM-004", "name"),
        ('name = "clinic"', 'name = "../x"', "ROOM-006", "name"),
        ('protocol = "rep3"', 'protocol = "magic"', "ROOM-006", "protocol"),
        ('protocol = "rep3"', 'protocol = "rep3"\nprivate_key = "x"', "ROOM-005", "private_key"),
        ('network = "lan"', 'network = "moon"', "ROOM-006", "network"),
        ("port = 7100", "port = 0", "ROOM-006", "parties[0].port"),
        ("port = 7100", "port = true", "ROOM-004", "parties[0].port"),
        ("port = 7101", "port = 7100", "ROOM-007", "host and port"),
        ('name = "b"', 'name = "a"', "ROOM-007", "name"),
        (f'pin = "{PINS[1]}"', f'pin = "{PINS[0]}"', "ROOM-007", "pin"),
        (f'pin = "{PINS[1]}"', 'pin = "AB"', "ROOM-006", "parties[1].pin"),
        ('acts_for = ["a"]', 'acts_for = ["z"]', "ROOM-006", "clients[0].acts_for"),
        ('acts_for = ["a"]', "acts_for = [1]", "ROOM-004", "clients[0].acts_for"),
        ("silence_s = 10.0", "silence_s = 0", "ROOM-006", "limits.silence_s"),
        ("silence_s = 10.0", "silence_s = nan", "ROOM-006", "limits.silence_s"),
        ("silence_s = 10.0", "silense_s = 10.0", "ROOM-005", "limits.silense_s"),
        ("session_bytes_max = 4294967296", "session_bytes_max = 0", "ROOM-006", "limits.session_bytes_max"),
        ("elements_max = 268435456", "elements_max = 1099511627777", "ROOM-006", "limits.elements_max"),
        ("refusals_max = 3", "refusals_max = 0", "ROOM-006", "limits.refusals_max"),
        ("refusals_max = 3", "refusals_max = 3.0", "ROOM-004", "limits.refusals_max"),
        ("[limits]", "[[limits]]", "ROOM-004", "limits"),
        ("format = 1", "format = = 1", "ROOM-002", ""),
    ],
)
def test_each_mistake_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, code: str, key: str) -> None:
    text = ROOM.to_toml()
    assert old in text
    (tmp_path / "room.toml").write_text(text.replace(old, new, 1))

    with pytest.raises(RoomError) as raised:
        load(tmp_path / "room.toml")

    assert raised.value.code == code
    assert "room.toml" in raised.value.what
    assert key in raised.value.what
    assert raised.value.expected


def test_rep3_needs_three_parties() -> None:
    with pytest.raises(RoomError, match="ROOM-008"):
        replace(ROOM, parties=PARTIES[:2], clients=()).check()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x = " + b"[" * 100_000])
def test_a_file_that_is_no_room_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "room.toml").write_bytes(content)

    with pytest.raises(RoomError, match=r"ROOM-00[12]"):
        load(tmp_path / "room.toml")


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_arbitrary_text_is_refused_with_a_room_error(text: str) -> None:
    with pytest.raises(RoomError):
        parse(text)


def test_a_room_is_not_written_half(tmp_path: Path) -> None:
    with pytest.raises(RoomError, match="ROOM-001"):
        write(ROOM, tmp_path / "missing" / "room.toml")

    assert list(tmp_path.iterdir()) == []
