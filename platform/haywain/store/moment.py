"""Moments of the database: a transaction by its id, or the last one up to a time.

A transaction id is a time too: 64 bits that grow, the upper half minutes, the lower half the part of a minute
(persistent.timestamp).
"""

import re
from datetime import UTC, datetime
from typing import Any

from persistent.timestamp import TimeStamp

from haywain import clock
from haywain.errors import GoneError, InvalidError
from haywain.values import Tid

CLOCKS_DIFFER_S = 60

LAST_YEAR = 9900
"""The minutes of a later one do not fit into 32 bits, and would come round."""

_TID = re.compile("[0-9a-f]{16}", re.IGNORECASE)


def moment_of(when: str | datetime) -> bytes:
    """Return the transaction id, 8 bytes, of 16 hexadecimal digits or of a time; without a zone it is in UTC.

    Raises InvalidError.

    >>> moment_of("03fa1b2c3d4e5f60").hex(), moment_of("2026-11-25T03:00").hex()[:8]
    ('03fa1b2c3d4e5f60', '040d3e74')
    """
    if isinstance(when, str) and _TID.fullmatch(when):
        return bytes.fromhex(when)
    try:
        found = datetime.fromisoformat(when) if isinstance(when, str) else when
        found = found.astimezone(UTC) if found.tzinfo is not None else found
        seconds = found.second + found.microsecond / 1e6
        if found.year > LAST_YEAR:
            raise ValueError("its minutes do not fit")
        stamp = TimeStamp(found.year, found.month, found.day, found.hour, found.minute, seconds)
        return bytes(stamp.raw())
    except (ValueError, OverflowError, AttributeError, TypeError):
        raise InvalidError(
            f"{str(when)[:60]!r} is no moment: write the 16 digits of a transaction, or a time such as"
            " 2026-11-25T03:00:00Z"
        ) from None


def tid_at(seconds: float) -> Tid:
    """Return the transaction id of a time in seconds since 1970 UTC, as 16 hexadecimal digits."""
    return Tid(moment_of(datetime.fromtimestamp(seconds, UTC)).hex())


def time_of(tid: bytes) -> datetime:
    """Return the time of a transaction, in UTC."""
    return datetime.fromtimestamp(TimeStamp(tid).timeTime(), UTC)


def settled(storage: Any, when: str | datetime, packed_until: Tid) -> tuple[bytes, bool]:
    """Return a moment that can be looked at, and whether a transaction has committed at it or later.

    Any: a ZODB storage.  Raises InvalidError for the future, GoneError for what is packed away.
    """
    moment, last = moment_of(when), storage.lastTransaction()
    is_final = moment <= last
    if not is_final:
        if time_of(moment).timestamp() > clock.now_s() + CLOCKS_DIFFER_S:
            raise InvalidError(f"{str(when)[:60]} lies in the future; the last transaction is {last.hex()}")
        moment = last  # nothing has happened since
    if packed_until and moment < bytes.fromhex(packed_until):
        raise GoneError(
            f"What was before {time_of(bytes.fromhex(packed_until)):%Y-%m-%dT%H:%M:%SZ} is packed away;"
            " it may be in a backup"
        )
    return bytes(moment), is_final
