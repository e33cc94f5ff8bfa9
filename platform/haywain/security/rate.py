"""Bound how often something happens, by key: so many a minute, and as many at once."""

import math
import threading

from haywain import clock


class Rate:
    """A leaky bucket for each key, in this process; as many keys as tokens and logins are kept."""

    def __init__(self, per_minute: int) -> None:
        """Allow `per_minute` events of a key."""
        self._most, self._each_s = per_minute, 60 / per_minute
        self._levels: dict[str, tuple[float, float]] = {}  # events not yet forgotten, and when that was
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> int:
        """Return in how many seconds one more event is allowed; 0 if it is at once."""
        with self._lock:
            excess = self._level(key) + 1 - self._most
        return max(0, math.ceil(excess * self._each_s))

    def note(self, key: str) -> None:
        """Count an event."""
        with self._lock:
            self._levels[key] = (self._level(key) + 1, clock.now_s())

    def _level(self, key: str) -> float:
        level, then = self._levels.get(key, (0.0, 0.0))
        return max(0.0, level - max(0.0, clock.now_s() - then) / self._each_s)
