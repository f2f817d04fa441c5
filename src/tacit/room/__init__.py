# SPDX-License-Identifier: Apache-2.0
"""Rooms: who computes with whom, under which protocol and limits."""

from tacit.room.document import (
    NETWORKS,
    Client,
    Limits,
    Party,
    Room,
    load,
    parse,
    write,
)

__all__ = ["NETWORKS", "Client", "Limits", "Party", "Room", "load", "parse", "write"]
