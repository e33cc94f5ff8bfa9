"""A look of an Alert: reads the rows that are new, or the clock, and says what that changes."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from haywain import clock
from haywain.analysis import crossing
from haywain.errors import InvalidError, UnknownNameError
from haywain.portal_types._alert_course import Change, Course
from haywain.store.lanes import Lane, lanes_of
from haywain.values import MIB

if TYPE_CHECKING:
    from haywain.portal_types.alert import AlertProperties

STEP_BYTES, PIECE_BYTES = 64 * MIB, 4 * MIB
"""Rows that one step looks at, and that are looked at together."""

GRACE_S = 300.0
"""For so long after a process has started it finds nobody silent anew."""

MOST = 10
"""Changes of one look that are told each; of more only the last one is."""


def lane_of(array: Any, column: str) -> Lane:  # Any: a Data Array, whose kind this one is not built on
    """Return the column that is watched; raises UnknownNameError or InvalidError."""
    names = [one.name for one in array.columns]
    lanes = lanes_of(array.dtype, array.shape[1:], names)
    found = {name: lane for name, lane in lanes.items() if lane.table.dtype.kind in "biuf"}
    if column in found:
        return found[column]
    if not column and len(found) == 1:
        return next(iter(found.values()))
    if not column:
        raise InvalidError(
            f"column: must be given; there are {', '.join(list(found)[:20]) or 'none of numbers'}"
        )
    if column.isdecimal() and int(column) < len(lanes):
        name = list(lanes)[int(column)]
        if name in found:
            return found[name]
    raise UnknownNameError("column of numbers", column, found)


class Look:
    """What an Alert watches, and how far it has come."""

    AGAIN_S = 60.0
    """After so long it is tried again where it could not look."""

    def __init__(
        self, given: "AlertProperties", course: Course, document: Any, is_snoozed: bool, opened_s: float
    ) -> None:
        """Have a Data Array or something else that receives; nothing is changed yet."""
        self._given, self._course, self.document = given, course, document
        self._is_snoozed, self._opened_s = is_snoozed, opened_s
        self._now_s = clock.now_s()

    @property
    def unsaid(self) -> str:
        """What those who get messages are to hear: firing, ok, reminder, or nothing."""
        course = self._course
        if self._is_snoozed:
            return ""
        if course.told != course.is_firing:
            return "firing" if course.is_firing else "ok"
        every_s = self._given.reminder_hours * 3600
        is_late = course.is_firing and every_s and self._now_s - course.told_at >= every_s
        return "reminder" if is_late else ""

    @property
    def is_behind(self) -> bool:
        """Whether there are rows that were not looked at, or other ones than before."""
        if self._given.watches == "silence":
            return False
        course, array = self._course, self.document
        rows = len(array) if array.is_created else 0
        return bool((course.edition, course.position) != (array.edition, rows))

    @property
    def progress(self) -> float:
        """The share of the rows that was looked at."""
        rows = len(self.document) if self.document.is_created else 0
        return min(self._course.position / rows, 1.0) if rows else 1.0

    def is_due(self) -> bool:
        """Return whether a step would change anything, or something is to be said."""
        if self._given.watches == "silence":
            return self._is_silent != self._course.is_firing or bool(self.unsaid)
        return self.is_behind or self._has_lasted or bool(self.unsaid)

    def step(self, most: int) -> list[Change]:
        """Look at what is new, 64 MiB of rows at most; return the changes, of more than `most` the last."""
        if self._given.watches == "silence":
            is_silent = self._is_silent
            return [Change("firing" if is_silent else "ok")] if is_silent != self._course.is_firing else []
        self._turn_to()
        found = _Changes(most)
        for start, stop in self._pieces():
            self._look_at(start, stop, found)
        if not self.is_behind and self._has_lasted and not found.is_firing(self._course.is_firing):
            found.add(Change("firing", self._course.value, self._course.row))
            found.count += 1
        return found.told

    @property
    def _is_silent(self) -> bool:
        last_s = self.document.received
        if not last_s and self._given.fires_if_never:
            last_s = self._course.began
        silent_s, is_firing = self._given.silent_s, self._course.is_firing
        if not is_firing and self._now_s - self._opened_s < min(silent_s, GRACE_S):
            return False  # who sends may have waited for this portal to start
        return bool(last_s) and self._now_s - last_s > silent_s

    @property
    def _is_ripe(self) -> bool:
        """Whether the run of rows at the end has lasted for long enough."""
        return self._course.run > 0 and self._now_s - self._course.over_since >= self._given.for_s

    @property
    def _has_lasted(self) -> bool:
        """Whether it is to fire though nothing is new, since time has gone by."""
        given, course = self._given, self._course
        is_enough = given.for_s > 0 and course.run >= given.for_rows
        return is_enough and self._is_ripe and not course.is_firing

    def _turn_to(self) -> None:
        """Begin with the first row of an array that was made anew, go on at the end of one that was cut."""
        array, course = self.document, self._course
        if course.edition != array.edition:
            course.look_from(array.edition, 0)
        rows = len(array) if array.is_created else 0
        if course.position > rows:
            course.look_from(array.edition, rows)

    def _pieces(self) -> Iterator[tuple[int, int]]:
        array, first = self.document, self._course.position
        if not array.is_created:
            return
        row_bytes = max(array.row_bytes, 1)
        end = min(first + max(STEP_BYTES // row_bytes, 1), len(array))
        step = max(PIECE_BYTES // row_bytes, 1)
        for start in range(first, end, step):
            yield start, min(start + step, end)

    def _look_at(self, start: int, stop: int, changes: "_Changes") -> None:
        course, given = self._course, self._given
        rows = self.document.read(start, stop)
        numbers = np.asarray(lane_of(self.document, given.column).of(rows))
        is_firing = changes.is_firing(course.is_firing)
        is_ripe = self._is_ripe if given.for_s else None
        found = crossing.crossings(numbers, given.limit, crossing.Course(is_firing, course.run), is_ripe)
        for one in changes.wanted(found):
            event = "firing" if one.is_firing else "ok"
            value = float(numbers[one.row])
            changes.add(Change(event, value, start + one.row, _time_of(rows, one.row)))
        changes.count += len(found.rows)
        if not found.is_unbroken:
            course.over_since = self._now_s if found.course.run else 0.0
        course.run, course.position = found.course.run, stop
        if len(numbers) and math.isfinite(last := float(numbers[-1])):
            course.value, course.row = last, stop - 1


class _Changes:
    """The first changes of a step, and the last one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: list[Change] = []
        self.count = 0

    def is_firing(self, before: bool) -> bool:
        return self._found[-1].event == "firing" if self._found else before

    def wanted(self, found: crossing.Crossings) -> Iterator[crossing.Crossing]:
        """Yield those that may be told: the first ones, as many as have room, and the last."""
        total, room = len(found.rows), max(self._most - len(self._found), 0)
        for number in [*range(min(room, total)), *([total - 1] if total > room else [])]:
            yield found.at(number)

    def add(self, change: Change) -> None:
        del self._found[self._most :]
        self._found.append(change)

    @property
    def told(self) -> list[Change]:
        if len(self._found) <= self._most and self.count <= self._most:
            return self._found
        last = self._found[-1]._replace(left_out=self.count - self._most)
        return [*self._found[: self._most - 1], last]


def _time_of(rows: Any, number: int) -> str:  # Any: rows of whatever dtype
    """Return the first time that a row names, ISO 8601; "" where it names none."""
    names = rows.dtype.names or ()
    name = next((one for one in names if rows.dtype[one].kind == "M"), None)
    return "" if name is None else str(rows[name][number])
