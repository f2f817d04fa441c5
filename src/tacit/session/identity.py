# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates on disk: a directory with `cert.pem` and `key.pem`, the key readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tacit.errors import RoomError
from tacit.transport import Identity, make_identity

CERT: Final = "cert.pem"
KEY: Final = "key.pem"


def create_identity(name: str, directory: str | os.PathLike[str]) -> Identity:
    """Make a key and a self-signed certificate and write them to a directory, which is created if need be.

    Raises RoomError ROOM-017 if there is an identity already, or the directory cannot be written; nothing half-written
    stays.
    """
    target = Path(directory)
    identity = make_identity(name)
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (target / CERT).exists() or (target / KEY).exists():
            raise FileExistsError
        identity.save(target / CERT, target / KEY)
    except FileExistsError:
        raise RoomError(
            "ROOM-017",
            f"{target} holds an identity already",
            expected="a directory without cert.pem and key.pem",
            next="choose another --out; a lost key cannot be made again",
        ) from None
    except OSError as error:
        for name_of in (CERT, KEY):
            (target / name_of).unlink(missing_ok=True)
        raise RoomError(
            "ROOM-017",
            f"{target} cannot be written: {error.strerror or type(error).__name__}",
            expected="a directory that this user may write to",
        ) from None
    return identity


def load_identity(directory: str | os.PathLike[str]) -> Identity:
    """The identity in a directory. Raises RoomError ROOM-090 or -091 as `Identity.load`."""
    return Identity.load(Path(directory) / CERT, Path(directory) / KEY)
