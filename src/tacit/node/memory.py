# SPDX-License-Identifier: Apache-2.0
"""How a party process keeps memory between the steps of a run.

A step of a protocol allocates and frees a few buffers of the size of its arrays. glibc gives large ones back to the
kernel with each call, and the next call has every page of them cleared: on 65 536 elements three times the price of the
arithmetic, and a third of the time of moving a million rows. A party therefore takes all memory from one heap, which
keeps what was freed, and gives back what is more than 1 GiB when a run has ended.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

KEPT_BYTES: Final = 1 << 30
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8
_CHOSEN: Final = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_ARENA_MAX",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
)


class _Figures(ctypes.Structure):
    """`struct mallinfo2`: `fordblks` are the bytes that are free in the heap."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd"))
    _fields_ += tuple((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"))


_libc: ctypes.CDLL | None = None
"""The C library once it keeps memory."""


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, for its life; whether that was done.

    Nothing is done where the C library is not glibc, or its operator has chosen by one of its environment variables.
    """
    global _libc
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _CHOSEN):
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.mallinfo2.restype = _Figures
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    # Only the main heap can grow beyond 64 MB; those of threads would map what is larger.
    options = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, KEPT_BYTES))
    _libc = libc if all(mallopt(option, value) for option, value in options) else None
    return _libc is not None


def give_back() -> None:
    """Give back what is free if that is more than is kept; nothing where this process does not keep memory."""
    if _libc is not None and _libc.mallinfo2().fordblks > KEPT_BYTES:
        _libc.malloc_trim(ctypes.c_size_t(KEPT_BYTES))
