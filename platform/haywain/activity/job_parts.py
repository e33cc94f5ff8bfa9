"""How a Job stands, and its parts: which are done, run, have failed or wait.

What is done is told by the keys of the Reduction alone, so that a page may ask each second about a Job of
100,000 parts; of the others only those that run, have failed or were cancelled are looked at.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from haywain import clock
from haywain.activity.map_reduce import MapReduce
from haywain.activity.outbox import Outbox
from haywain.activity.record import Activity
from haywain.activity.reduction import Reduction

if TYPE_CHECKING:
    from haywain.portal import Portal

MAP = "_map_part"
STATES = ("failed", "cancelled", "running", "queued", "done")
"""Of several parts together the first of these counts."""
_PHASES = {"failed": "failed", "cancelled": "cancelled", "running": "claimed"}


@dataclass(frozen=True)
class PartState:
    """One part: rows or bytes [start, stop) of the source; the activity is gone where its archive is over."""

    number: int
    start: int
    stop: int
    state: str
    activity: Activity | None


class JobParts:
    """A Job at one moment, with the parts of its present pass."""

    def __init__(self, portal: "Portal", job: Any) -> None:  # Any: a Job, of a layer above
        """Look at what is not done."""
        self._job, self._outbox = job, Outbox.of(portal.root)
        self._kind = portal.site.registry.activities.get(job.properties.kind)
        self._found: Reduction = job.reduction or Reduction()
        self.count = len(self._found.ends)
        self._ids = {id for shard in self._outbox.shards for _, _, id in shard.named("path", job.path)}
        self._records = {} if self._found.is_done else {state: self._in_state(state) for state in _PHASES}
        self._done = self._done_now()
        self._others = dict(self._not_waiting())

    # -- the whole
    @property
    def work_state(self) -> str:
        """One of queued, running, done, failed, cancelled: not the state of the document's workflow."""
        if self._found.is_done:
            return "done"
        if not self._ids:  # the archive of what was cancelled is over
            return "cancelled"
        return next(
            (state for state in _PHASES if self._records[state]), "running" if self.count else "queued"
        )

    @property
    def progress(self) -> float:
        """How much of it is done, 0 to 1."""
        if self._found.is_done:
            return 1.0
        share = sum(self._done) / self.count if self.count else 0.0
        return self._kind.share(self._found.passed + share) if isinstance(self._kind, MapReduce) else share

    @property
    def failure(self) -> Activity | None:
        """The activity that failed first, if one has."""
        return next(iter(self._records.get("failed", ())), None)

    @property
    def error(self) -> str | None:
        """Why a part of it failed, the first that did."""
        return str(self.failure.error) if self.failure is not None else None

    @property
    def reused(self) -> int:
        """How many parts were as the last time, and not done again."""
        return int(self._found.reused())

    @property
    def finished_s(self) -> float:
        """When it ended, in seconds since 1970; 0 before, and where its archive is over."""
        last = self._outbox.find(self._found.last) if self.work_state == "done" else self.failure
        return last.finished if last is not None else 0.0

    @property
    def result(self) -> Any:  # Any: JSON
        """What it came to; None before it is done."""
        return json.loads(self._found.result)

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return how the Job stands, as JSON."""
        counts = dict.fromkeys(STATES, 0) | self.counts()
        return {
            "work_state": self.work_state,
            "progress": self.progress,
            "result": self.result,
            "error": self.error,
            "parts": {"total": self.count, **counts, "reused": self.reused},
            "finished": clock.iso(self.finished_s) if self.finished_s else None,
        }

    def counts(self) -> dict[str, int]:
        """Return how many parts are in each state, those that there are."""
        counted = Counter(map(self.state, range(self.count)))
        return {state: counted[state] for state in STATES if counted[state]}

    # -- the parts
    def state(self, number: int) -> str:
        """Return the state of a part."""
        return "done" if self._done[number] else self._others.get(number, "queued")

    def cells(self, most: int) -> Iterator[tuple[range, str]]:
        """Yield the parts in order, so many at a time that `most` are yielded, and how these stand."""
        step = max(-(-self.count // most), 1)
        for first in range(0, self.count, step):
            numbers = range(first, min(first + step, self.count))
            yield numbers, min(map(self.state, numbers), key=STATES.index)

    def page(self, start: int, stop: int) -> list[PartState]:
        """Return the parts [start, stop), each with its activity."""
        stop = min(stop, self.count)
        tags = {self._found.tag(self._job, 0, number) for number in range(start, stop)}
        activities = {_number(record): record for tag in tags for record in self._tagged(tag)}
        return [
            PartState(number, *self._found.span(number), self.state(number), activities.get(number))
            for number in range(start, stop)
        ]

    def _in_state(self, state: str) -> list[Activity]:
        """Return the Job's activities in a state, the oldest first."""
        ids = {id for shard in self._outbox.shards for _, _, id in shard.places(_PHASES[state])}
        found = (self._outbox.find(id) for id in sorted(ids & self._ids))
        return [record for record in found if record is not None]

    def _done_now(self) -> bytearray:
        """Return a byte for each part, 1 where what it came to is there, by itself or merged."""
        flags = bytearray(self.count)
        for span in self._found.spans_done():
            flags[span.start : span.stop] = b"\x01" * len(span)
        return flags

    def _not_waiting(self) -> Iterator[tuple[int, str]]:
        """Yield number and state of those parts that run, have failed or were cancelled."""
        this_pass = f"{self._job.path} {self._found.passed}.0."
        for state in _PHASES:
            for record in self._records.get(state, ()):
                if record.method == MAP and record.tag.startswith(this_pass):
                    yield _number(record), record.state

    def _tagged(self, tag: str) -> Iterator[Activity]:
        ids = sorted(id for shard in self._outbox.shards for _, _, id in shard.named("tag", tag))
        records = (self._outbox.find(id) for id in ids)
        yield from (record for record in records if record is not None and record.method == MAP)


def _number(record: Activity) -> int:
    number: int = json.loads(record.parameters)["number"]
    return number
