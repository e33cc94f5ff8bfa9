"""How long to wait before trying again."""

import random
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from haywain.clock import now_s

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

LONGEST_RETRY_AFTER_S = 3600
"""A server that asks for more patience is asked again nevertheless."""


def pause_s(failures: int, least_s: float = 0.0) -> float:
    """Return how long to wait after that many earlier failures: `least_s`, then full jitter.

    The jitter is even between 0 and a bound that doubles up to LONGEST_PAUSE_S, so that senders that
    failed together do not come back together.
    """
    bound = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures, 10))
    return least_s + random.uniform(0, bound)  # noqa: S311 - jitter, not a secret


def retry_after_s(headers: Mapping[str, str]) -> int:
    """Return the seconds of `Retry-After`, given as seconds or as a date; 0 if it is missing or neither.

    >>> retry_after_s({"Retry-After": "7"}), retry_after_s({"Retry-After": "soon"})
    (7, 0)
    """
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isdecimal():
            wait_s = int(value)
        else:
            moment = parsedate_to_datetime(value)
            wait_s = round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now_s())
    except (ValueError, OverflowError):
        return 0
    return min(max(0, wait_s), LONGEST_RETRY_AFTER_S)
