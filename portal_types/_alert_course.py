"""What has become of an Alert: how far it has looked, whether it fires, what was sent.

An object of its own, so that a look, which writes it, is no change of the Alert: a message that is on its way
would meet a conflict with each, and be sent once more.
"""

import logging
from typing import Any, NamedTuple

from persistent import Persistent

from haywain import clock

LOG_LINES = 50
"""Lines of its log that an Alert keeps, the last ones."""

_log = logging.getLogger(__name__)


class Change(NamedTuple):
    """That it begins to fire, or ends; or that it does so still, when people are reminded."""

    event: str  # firing, ok, reminder, test
    value: float | None = None
    row: int | None = None
    row_time: str = ""
    left_out: int = 0
    """So many changes came just before it, of which nobody is told."""


class Course(Persistent):  # type: ignore[misc]  # persistent has no types
    """The course of an Alert since it was last validated; its log is older."""

    is_firing: bool = False
    since: float = 0.0  # when that began, in seconds since 1970 UTC
    began: float = 0.0  # when it was last validated

    edition: int = 0  # of the array that it has looked at
    position: int = 0  # the first row it has not looked at
    run: int = 0  # rows that are over, in a row, before that
    over_since: float = 0.0  # when the first of them was looked at
    value: float | None = None  # of the last row that has one
    row: int | None = None

    told: bool = False  # whether those who get its messages were last told that it fires
    told_at: float = 0.0
    last_sent: float = 0.0
    problem: str = ""
    """Why it cannot look."""
    problem_at: float = 0.0
    not_sent: str = ""
    """Why the last message was not sent."""
    log: tuple[str, ...] = ()

    def begin(self) -> None:
        """Begin anew, of whatever it was told before."""
        self.is_firing = self.told = False
        self.since = self.began = clock.now_s()
        self.problem = self.not_sent = ""
        self.look_from(0, 0)

    def look_from(self, edition: int, position: int) -> None:
        """Have looked at no row from a position on, in rows that may be others than before."""
        self.edition, self.position = edition, position
        self.run, self.over_since = 0, 0.0
        self.value = self.row = None

    def turn(self, change: Change, text: str, how: str = "") -> None:
        """Begin to fire, or end; note that."""
        self.is_firing = change.event == "firing"
        self.since = clock.now_s()
        self.note(f"{change.event}: {text}{how}")

    def trouble(self, problem: str) -> None:
        """Note why it cannot look, "" if it can; the same one twice is noted once."""
        if problem and problem != self.problem:
            self.note(f"cannot look: {problem}")
        if problem:
            self.problem, self.problem_at = problem, clock.now_s()
        elif self.problem:
            self.problem = ""
            self.note("looks again")

    def sent(self, text: str) -> None:
        """Note that a message was sent."""
        self.last_sent, self.not_sent = clock.now_s(), ""
        self.note(text)

    def failed(self, text: str) -> None:
        """Note that a message was not sent, and will not be."""
        self.not_sent = text
        self.note(f"not sent: {text}")

    def note(self, text: str) -> None:
        """Add a line to the log, of which the last stay."""
        _log.info("alert: %s", text)
        self.log = (*self.log, f"{clock.iso(clock.now_s())} {text}"[:500])[-LOG_LINES:]

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return what the Alert's JSON says of it."""
        return {
            "condition": "firing" if self.is_firing else "ok",
            "since": clock.iso(self.since) if self.since else None,
            "value": self.value,
            "row": self.row,
            "last_sent": clock.iso(self.last_sent) if self.last_sent else None,
            "problem": self.problem or self.not_sent or None,
            "log": list(self.log),
        }
