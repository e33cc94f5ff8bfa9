"""Slow down who guesses passwords: after some failures a name and an address must wait."""

import math
import threading

from haywain import clock
from haywain.errors import ThrottledError

FREE_TRIES = 10
WINDOW_S = 300
_MOST_KEYS = 10_000


class Throttle:
    """Failures by key within the last five minutes, in this process."""

    def __init__(self) -> None:
        """Begin without failures."""
        self._failures: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def check(self, *keys: str) -> None:
        """Raise ThrottledError if one of the keys has failed too often of late."""
        now = clock.now_s()
        with self._lock:
            for key in keys:
                recent = [t for t in self._failures.get(key, []) if t > now - WINDOW_S]
                if len(recent) >= FREE_TRIES:
                    wait = math.ceil(recent[-1] + min(2 ** (len(recent) - FREE_TRIES), 60) - now)
                    if wait > 0:
                        raise ThrottledError(f"Too many failed logins; try again in {wait} seconds", wait)

    def failed(self, *keys: str) -> None:
        """Note a failure."""
        now = clock.now_s()
        with self._lock:
            for key in keys:
                if len(self._failures) >= _MOST_KEYS:
                    self._failures.pop(next(iter(self._failures)))
                recent = [t for t in self._failures.pop(key, []) if t > now - WINDOW_S]
                self._failures[key] = [*recent[-20:], now]

    def succeeded(self, *keys: str) -> None:
        """Forget the failures of these keys."""
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)
