"""Outcome: what a kind yields and returns, checked, as an activity's record keeps it."""

import json
import math
from typing import Any

from haywain.errors import InvalidError
from haywain.values import KIB, MIB

RESULT_BYTES, CURSOR_BYTES = MIB, 64 * KIB


def share(progress: Any) -> float:  # Any: what was yielded
    """Return a progress between 0 and 1; raises InvalidError for what is no number."""
    try:
        found = float(progress)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if math.isnan(found):
        raise InvalidError(f"A step yields its progress, a number from 0 to 1, not {progress!r:.40}")
    return min(max(found, 0.0), 1.0)


def as_json(what: str, content: Any, most_bytes: int) -> str:  # Any: what a kind made
    """Return content as JSON; raises InvalidError if it is none, or too large."""
    try:
        text = json.dumps(content, allow_nan=False)
        json.dumps(content, ensure_ascii=False).encode()  # half a character is none that can be sent
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"The {what} of the activity is no JSON: {error}") from error
    if len(text) > most_bytes:
        raise InvalidError(f"The {what} of the activity is longer than {most_bytes} bytes")
    return text


def plain(text: str) -> str:
    """Return a text that can be sent: lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
