"""The one clock: tests replace it, code asks it."""

import time
from datetime import UTC, datetime


def now_s() -> float:
    """Return the seconds since 1970-01-01 UTC."""
    return time.time()


def iso(seconds: float) -> str:
    """Return a moment as ISO 8601 in UTC, to the second.

    >>> iso(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
