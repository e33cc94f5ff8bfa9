"""Pausing: where one thread does the work of many, a work that would wait lets the others begin first."""

import threading
from collections.abc import Callable


class _Pause(threading.local):
    """What a work of this thread does before it waits for others."""

    run: Callable[[], object] | None = None


_pause = _Pause()


def set_pause(run: Callable[[], object] | None) -> None:
    """Have this thread's works call a function before they wait; None to have them wait at once."""
    _pause.run = run


def pause() -> None:
    """Let others begin, in a thread that does the work of many; else do nothing."""
    if _pause.run is not None:
        _pause.run()


def acquire(lock: threading.Lock) -> None:
    """Take a lock, letting others begin while it is not free."""
    if _pause.run is None:
        lock.acquire()
        return
    while not lock.acquire(blocking=False):
        _pause.run()
