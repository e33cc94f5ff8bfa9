"""How full the disk is, and what must stay free of it."""

import os
from pathlib import Path

from haywain.values import GIB


def free_bytes(path: Path) -> tuple[int, int]:
    """Return the free and the total bytes of the disk under a path; raises OSError."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def reserved_bytes(total: int) -> int:
    """Return how many bytes of a disk of `total` bytes stay free: 5 % or 2 GiB, whichever is less."""
    return min(total // 20, 2 * GIB)


def has_room(path: Path, length: int = 0) -> bool:
    """Return whether `length` more bytes leave free what must stay free; raises OSError."""
    free, total = free_bytes(path)
    return free - length >= reserved_bytes(total)
