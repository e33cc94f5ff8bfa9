"""Crossing: where a column of numbers goes over a limit, and where it comes back behind another one.

All of it is arithmetic on whole columns: a row that goes over and comes back costs no more than any other.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
"""Any: real numbers of whatever dtype."""


class Limit(NamedTuple):
    """What is over: more than `threshold`, or less; and what is clear again."""

    is_above: bool
    threshold: float
    clear: float
    for_rows: int = 1
    """So many rows in a row have to be over."""

    def over(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Return which numbers are over; NaN is not."""
        level = _as_their_kind(self.threshold, numbers)
        return np.asarray(numbers > level if self.is_above else numbers < level)

    def is_clear(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Return which numbers are clear: not over, and at or behind `clear`; NaN is not."""
        level = _as_their_kind(self.clear, numbers)
        return np.asarray(numbers <= level if self.is_above else numbers >= level)


class Course(NamedTuple):
    """How far a column has come: whether it counts as over, and how many rows at its end are, in a row."""

    is_firing: bool = False
    run: int = 0


class Crossing(NamedTuple):
    """A row in which that changes; its number counts from the first one looked at."""

    row: int
    is_firing: bool


class Crossings(NamedTuple):
    """What rows bring: all changes, in their order, and where the column is at their end."""

    rows: NDArray[np.int64]
    is_first_firing: bool
    """What the first change leads to; from one to the next it alternates."""
    course: Course
    is_unbroken: bool
    """Whether the run at the end is the one from before."""

    def at(self, number: int) -> Crossing:
        """Return one of the changes."""
        return Crossing(int(self.rows[number]), self.is_first_firing == (number % 2 == 0))


def crossings(numbers: Numbers, limit: Limit, course: Course, is_ripe: bool | None = None) -> Crossings:
    """Return the changes in numbers that come after those of a course; NaN counts as not there.

    Where a run also has to last for some time, `is_ripe` says whether the one at the end of the course has:
    only that one may fire then.

    >>> hot = Limit(is_above=True, threshold=80, clear=75)
    >>> found = crossings(np.array([70, 81, 79, 82, 75, 90]), hot, Course())
    >>> found.rows.tolist(), found.is_first_firing, found.course
    ([1, 4, 5], True, Course(is_firing=True, run=1))
    """
    there = np.flatnonzero(~np.isnan(numbers)) if numbers.dtype.kind == "f" else None
    if there is not None and len(there) < len(numbers):
        numbers = numbers[there]
    else:
        there = None
    if not len(numbers):
        return Crossings(np.zeros(0, np.int64), not course.is_firing, course, True)
    over = limit.over(numbers)
    runs = _runs(over, course.run)
    fires = over & (runs >= limit.for_rows)
    is_old = runs == np.arange(1, len(runs) + 1) + course.run if course.run else np.zeros(len(runs), np.bool_)
    if is_ripe is not None:
        fires &= is_old & is_ripe
    turns = fires.astype(np.int8) - limit.is_clear(numbers)
    at = np.flatnonzero(turns)
    kinds = turns[at] > 0
    before = np.concatenate(([course.is_firing], kinds[:-1]))
    is_change = kinds != before if len(at) else np.zeros(0, np.bool_)
    rows = at[is_change]
    is_firing = bool(kinds[-1]) if len(at) else course.is_firing
    return Crossings(
        (rows if there is None else there[rows]).astype(np.int64),
        not course.is_firing,
        Course(is_firing, int(runs[-1])),
        bool(is_old[-1]),
    )


def _runs(over: NDArray[np.bool_], before: int) -> NDArray[np.int64]:
    """Return, for each row, how many rows up to it are over without a break."""
    numbers = np.arange(1, len(over) + 1)
    breaks = np.maximum.accumulate(np.where(over, 0, numbers))
    return np.where(breaks == 0, numbers + before, numbers - breaks)


def _as_their_kind(level: float, numbers: Numbers) -> Any:  # Any: a number of NumPy's
    """Return a level as floats of that width have it; whole numbers are compared as float64."""
    if numbers.dtype.kind != "f":
        return np.float64(level)
    with np.errstate(over="ignore"):
        return np.float64(level).astype(numbers.dtype)
