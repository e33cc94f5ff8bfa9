"""Course: what has become of a Data Analysis, beside it.

Each step of an activity conflicts with any change of its document, so what a run notes is none.
"""

import json
from typing import Any

from persistent import Persistent

from haywain import clock

FIRST_S, LONGEST_S = 60.0, 3600.0
"""So long after a failure, and after the tenth, new data has it tried again."""


class Course(Persistent):  # type: ignore[misc]  # persistent has no types
    """The course of a Data Analysis."""

    ran: float = 0.0  # when the last run ended well, in seconds since 1970 UTC
    result: str = ""  # what that returned, JSON
    waits: str = ""
    """Why there is nothing to do yet."""
    problem: str = ""
    """Why the last run failed, or could not begin; "" if it went well."""
    problem_at: float = 0.0
    failures: int = 0  # in a row
    failed: str = ""  # the id of the activity that last failed
    refresh: str = ""  # the id of the activity that last did it all anew

    @property
    def not_before(self) -> float:
        """When new data may have it run, after a failure."""
        if not self.failures:
            return 0.0
        return self.problem_at + float(min(FIRST_S * 2 ** min(self.failures - 1, 10), LONGEST_S))

    def trouble(self, problem: str) -> None:
        """Note why it failed."""
        self.problem, self.problem_at, self.failures = problem[:2000], clock.now_s(), self.failures + 1

    def refuse(self, problem: str) -> None:
        """Note why it cannot begin; what comes next asks again."""
        if problem != self.problem:
            self.problem, self.problem_at = problem[:2000], clock.now_s()

    def done(self, result: dict[str, Any]) -> None:  # Any: JSON
        """Note that it went well."""
        self.ran, self.result, self.waits = clock.now_s(), json.dumps(result), ""
        self.clear()

    def clear(self) -> None:
        """Forget what went wrong."""
        if self.problem or self.failures:
            self.problem, self.failures = "", 0

    def wait(self, why: str) -> None:
        """Note why there is nothing to do yet."""
        if why != self.waits:
            self.waits = why
        self.clear()

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON sees it."""
        return {
            "last_run": clock.iso(self.ran) if self.ran else None,
            "result": json.loads(self.result) if self.result else None,
            "problem": self.problem or None,
        }
