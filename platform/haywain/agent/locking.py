"""One agent a spool: a lock that ends with the process."""

import fcntl
import os
import time
from pathlib import Path

from haywain.errors import SpoolInUseError

FILE = "lock"
TRIES, PAUSE_S = 5, 0.05


def lock(folder: Path) -> int:
    """Lock a spool for this process, and return the descriptor that does; raises SpoolInUseError.

    Whoever asks `is_locked` holds it for a moment too, so it is tried more than once.
    """
    descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(PAUSE_S)
    os.close(descriptor)
    raise SpoolInUseError(
        f"Another agent runs on the spool {folder}: stop it, or give this one a folder of its own"
    )


def is_locked(folder: Path) -> bool:
    """Return whether an agent runs on a spool."""
    with (folder / FILE).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
