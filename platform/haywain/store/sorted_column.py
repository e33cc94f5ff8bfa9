"""A column whose numbers or times never fall from row to row: which rows lie within a range of them.

A binary search looks at a page of rows at a time, about log2(pages) of them.  What it meets out of order it
refuses; it does not look at all rows, so a column that is out of order elsewhere is not found out.  NaN and
NaT stand at the end, as `numpy.sort` has them, and are in no range.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.errors import InvalidError
from haywain.store.extents import PAGE
from haywain.store.lanes import Lane, lanes_of

Bound = int | float | str | datetime | np.generic | None
"""Where a range begins or ends: a number, or a time as NumPy, Python or ISO 8601 has it; None for no end."""

Rows = Callable[[int, int], NDArray[Any]]
"""Returns the rows [start, stop).  Any: of whatever dtype."""

Key = tuple[bool, Any]
"""What rows are compared by: whether it is NaN or NaT, and a number.  Any: int or float."""

_NONE: Key = (True, 0)
"""The key of the first NaN or NaT."""

_SECONDS = {"W": Fraction(604_800), "D": Fraction(86_400), "h": Fraction(3600), "m": Fraction(60)}
_SECONDS |= {unit: Fraction(1, 1000**n) for n, unit in enumerate(("s", "ms", "us", "ns", "ps", "fs", "as"))}

_CLOCK = re.compile(
    r"[+-]?\d[^T]*T\d\d(?::?\d\d(?::?\d\d(?P<point>[.,](?P<fraction>\d+))?)?)?(?P<zone>Z|[+-][\d:.]+)?",
    re.ASCII,
)
"""A time of day in ISO 8601, behind its day."""

_MICROSECOND = timedelta(microseconds=1)


class SortedColumn:
    """A column of rows, by which rows are found."""

    def __init__(self, name: str, lane: Lane, count: int, rows: Rows) -> None:
        """Search the first `count` rows; `rows` returns some of them."""
        self.name, self._lane, self._count, self._rows = name, lane, count, rows
        none = rows(0, 0)
        self._at_once = max(PAGE // max(none.dtype.itemsize * math.prod(none.shape[1:]), 1), 2)
        self._seen: dict[int, Key] = {}

    def between(self, low: Bound, high: Bound) -> tuple[int, int]:
        """Return the rows [start, stop) with low <= number < high; raises InvalidError.

        There are none, (start, start), where `high` is not above `low`; NaN and NaT are never among them.
        """
        start = 0 if low is None else self._first((False, self._key_of(low)))
        stop = self._end() if high is None else self._first((False, self._key_of(high)))
        self._check_seen()
        return start, max(start, stop)

    def _end(self) -> int:
        """Return the row behind the last that has a number."""
        last = self._keys(self._count - 1, self._count) if self._count else []
        return self._first(_NONE) if _NONE in last else self._count

    def _first(self, key: Key) -> int:
        """Return the first row whose key is not below `key`, the number of rows if there is none."""
        low, high = 0, self._count
        while low < high:
            start = max(min((low + high - self._at_once) // 2, high - self._at_once), low)
            stop = min(start + self._at_once, high)
            keys = self._keys(start, stop)
            below = sum(bool(one < key) for one in keys)
            if below == len(keys):
                low = stop
            elif below or start == low:
                return start + below
            else:
                high = start
        return low

    def _keys(self, start: int, stop: int) -> list[Key]:
        """Return what rows are compared by; raises InvalidError if they fall."""
        keys = _comparable(self._lane.of(self._rows(start, stop))[:])
        for number, (one, following) in enumerate(pairwise(keys), start):
            if following < one:
                raise self._out_of_order(number, number + 1)
        self._seen[start], self._seen[stop - 1] = keys[0], keys[-1]
        return keys

    def _check_seen(self) -> None:
        """Refuse a column that falls from one row that was looked at to the next; the ends are among them."""
        for number in {0, self._count - 1} - set(self._seen) if self._count else ():
            self._seen[number] = _comparable(self._lane.of(self._rows(number, number + 1)))[0]
        numbers = sorted(self._seen)
        for one, following in pairwise(numbers):
            if self._seen[following] < self._seen[one]:
                raise self._out_of_order(one, following)

    def _out_of_order(self, one: int, following: int) -> InvalidError:
        return InvalidError(
            f"The column {self.name[:100]!r} is not sorted: row {following} is below row {one}; "
            "between takes a sorted one"
        )

    def _key_of(self, bound: Bound) -> Any:  # Any: int or float
        dtype = self._lane.table.dtype
        try:
            if dtype.kind in "mM":
                return _time(bound, dtype)
            found = float(bound) if isinstance(bound, str) and not _is_whole(bound) else bound
            found = int(found) if isinstance(found, str | np.integer | np.bool_) else found
            found = float(found) if isinstance(found, np.floating) else found
            if isinstance(found, int | float) and not math.isnan(found):
                return found
        except (TypeError, ValueError, OverflowError):
            pass
        wanted = "a time" if dtype.kind == "M" else "a duration" if dtype.kind == "m" else "a number"
        raise InvalidError(f"between: {wanted} is expected for {self.name[:100]!r}, not {str(bound)[:100]!r}")


def _comparable(numbers: NDArray[Any]) -> list[Key]:  # Any: numbers of whatever dtype
    """Return numbers as Python compares them without rounding; NaN and NaT are the last."""
    if numbers.dtype.kind in "mM":
        none, plain = np.isnat(numbers), numbers.astype(numbers.dtype.newbyteorder("=")).view(np.int64)
    else:
        none, plain = numbers != numbers, numbers  # only NaN is not itself
    pairs = zip(none.tolist(), plain.tolist(), strict=True)
    return [_NONE if is_none else (False, number) for is_none, number in pairs]


def _is_whole(text: str) -> bool:
    return text.strip().lstrip("+-").isdecimal()


def _time(bound: Any, dtype: np.dtype[Any]) -> int:  # Any: a Bound
    """Return a time, or a duration, in the unit of a dtype, rounded up: exact for what is not below it."""
    found, more = _moment(bound) if dtype.kind == "M" else (_duration(bound, dtype), Fraction(0))
    if np.isnat(found):
        raise ValueError("NaT is no bound")
    unit, count = np.datetime_data(dtype)
    own, own_count = np.datetime_data(found.dtype)
    if unit not in _SECONDS:  # years and months, or no unit at all
        found += np.timedelta64(math.floor(more), "s") if more else 0
        whole = found.astype(dtype.newbyteorder("="))
        return int(whole.astype(np.int64)) + bool(whole < found or more % 1)
    if own not in _SECONDS:
        found, own, own_count = found.astype(f"{dtype.kind}8[D]"), "D", 1
    seconds = Fraction(int(found.astype(np.int64)) * own_count) * _SECONDS[own] + more
    return math.ceil(seconds / (_SECONDS[unit] * count))


def _moment(bound: Any) -> tuple[Any, Fraction]:  # Any: a Bound; NumPy's times have too many types
    """Return a moment in UTC, which a time without a zone is taken to be in, and seconds to add to it."""
    if isinstance(bound, str):
        return _written(bound.strip().upper().replace(" ", "T"))
    if isinstance(bound, datetime) and bound.tzinfo is not None:
        bound = bound.astimezone(UTC).replace(tzinfo=None)
    if isinstance(bound, int | float | np.bool_ | np.number):
        raise ValueError("a number says no unit")
    return np.datetime64(bound), Fraction(0)


def _written(text: str) -> tuple[Any, Fraction]:  # Any: as above
    """Return the same for a text; what is below a second NumPy would take modulo 2**64 of its unit."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        if text[:1].isdecimal() and any(sign in text for sign in "TZ+:"):
            raise ValueError("it is no time of day")  # which NumPy would read up to what it does not know
        return np.datetime64(text or "NaT"), Fraction(0)
    digits, zone = found["fraction"] or "", found["zone"] or "Z"
    offset = datetime.fromisoformat(f"2000-01-01T00:00:00{zone}").utcoffset() or timedelta()
    more = Fraction(int(digits or 0), 10 ** len(digits)) - Fraction(offset // _MICROSECOND, 10**6)
    whole = text[: found.start("point")] if digits else text.removesuffix(found["zone"] or "")
    try:
        return np.datetime64(whole), more
    except ValueError:  # a form that only Python knows, such as 20261101T0600
        return np.datetime64(datetime.fromisoformat(whole)), more


def _duration(bound: Any, dtype: np.dtype[Any]) -> Any:  # Any: as above
    """Return a duration; a number counts units of the column."""
    if isinstance(bound, str):
        bound = int(bound)
    if isinstance(bound, np.timedelta64) and np.datetime_data(bound.dtype)[0] != "generic":
        return bound
    unit: Any = np.datetime_data(dtype)  # Any: one of many literals
    return np.timedelta64(bound, unit)


def rows_between(
    rows: Rows, shape: tuple[int, ...], names: Sequence[str], column: int | str, low: Bound, high: Bound
) -> tuple[int, int]:
    """Return the rows [start, stop) of an array in which low <= column < high.

    `rows(start, stop)` are those of the array, of this shape; `names` are those of its columns.  Raises
    InvalidError for a column that is not there, not of numbers or times, or met out of order.
    """
    lanes = lanes_of(rows(0, 0).dtype, shape[1:], names, [column])
    ((name, lane),) = lanes.items()
    return SortedColumn(name, lane, shape[0], rows).between(low, high)
