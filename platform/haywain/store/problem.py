"""Problem: something in a database that is not as it was written.  Report: all that a verification found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MOST_PROBLEMS = 1000
"""Problems that a Report lists; the others are counted."""

KINDS = (
    "log",
    "record",
    "checksum",
    "blob",
    "index",
    "reference",
    "tree",
    "stream",
    "array",
    "pyramid",
    "outbox",
    "catalog",
)
"""What a Problem may be about; `docs/operating.md` says what each means."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `oid` is the object it was found in, `path` the document that this belongs to; `offset` is in bytes of
    the document's stream, or of Data.fs for the kind `log`; `rows` are those of an array, half-open.
    """

    kind: str
    detail: str
    oid: bytes = b""
    path: str = ""
    offset: int | None = None
    rows: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        place = {"path": self.path or None, "oid": self.oid.hex() or None}
        return {"kind": self.kind, **place, **self._where(), "detail": self.detail}

    def _where(self) -> dict[str, Any]:  # Any: JSON
        found: dict[str, Any] = {}
        if self.offset is not None:
            found["offset"] = self.offset
        if self.rows is not None:
            found["rows"] = list(self.rows)
        return found

    def __str__(self) -> str:
        """Return it as a line for people."""
        where = self.path or (f"object {self.oid.hex()}" if self.oid else "the database")
        if self.offset is not None:
            where += f", byte {self.offset}"
        if self.rows is not None:
            where += f", rows {self.rows[0]} to {self.rows[1]}"
        return f"{self.kind}: {where}: {self.detail}"


@dataclass
class Report:
    """What was checked, as counts and bytes; the problems; and notes on what is as it may be."""

    checked: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem_count: int = 0

    def add(self, problem: Problem) -> None:
        """Take a problem in."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    @property
    def ok(self) -> bool:
        """Whether all is as it was written."""
        return not self.problem_count

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        return {
            "ok": self.ok,
            "checked": dict(self.checked),
            "problem_count": self.problem_count,
            "problems": [problem.as_dict() for problem in self.problems],
            "notes": self.notes,
        }
