# SPDX-License-Identifier: Apache-2.0
"""How a party process keeps memory between the steps of a run.

A step of a protocol allocates and frees a few buffers of the size of its arrays. glibc gives buffers above 128 kB back
to the kernel with each call, and the next call pays a page fault for every 4 kB of them: three times the price of the
arithmetic on 65 536 elements. A party therefore keeps up to 1 GiB of what it freed.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

KEPT_BYTES: Final = 1 << 30
_MMAP_BYTES_MAX: Final = 32 << 20
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_CHOSEN: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, for its life; whether that was done.

    Nothing is done where the C library is not glibc, or its operator has chosen by one of its environment variables.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _CHOSEN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # Some versions allow a threshold of at most 32 MiB.
    mapped = mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES) or mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES_MAX)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))
