"""Tally: what this process was sent and what became of it, by policy and by agent, since it started.

Kept in memory: it is looked at while things go on, and no request should write more for it.  What must
outlive the process is elsewhere: the numbers of producers and the quarantine in the database, each
token's last use.
"""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TypeVar

from haywain import clock
from haywain.errors import SequenceError
from haywain.ingestion.boundary import count_records
from haywain.ingestion.request import Request
from haywain.ingestion.tag import printable_tag
from haywain.values import Receipt

RATE_S = 60
"""Rates are those of so many seconds."""

MOST = 10_000
"""Agents and policies that are remembered; of more, those that were heard of last."""

K = TypeVar("K")

OUTCOMES = ("stored", "duplicate", "quarantined", "refused", "gap", "fenced")
"""`refused` is to come again; a `gap` left out numbers of its producer; `fenced` is of an older epoch."""


@dataclass
class Counts:
    """Requests by what became of them, and the records and bytes that were stored."""

    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    records: int = 0
    stored_bytes: int = 0
    seen_s: float = 0.0
    _seconds: deque[tuple[int, int, int]] = field(default_factory=deque)  # (second, records, bytes)

    def add(self, outcome: str, records: int, stored_bytes: int, now_s: float) -> None:
        """Count a request."""
        self.requests[outcome] += 1
        self.seen_s = now_s
        if not records and not stored_bytes:
            return
        self.records += records
        self.stored_bytes += stored_bytes
        second, seconds = int(now_s), self._seconds
        if seconds and seconds[-1][0] == second:
            _, *before = seconds.pop()
            records, stored_bytes = records + before[0], stored_bytes + before[1]
        seconds.append((second, records, stored_bytes))
        while len(seconds) > RATE_S:
            seconds.popleft()

    def rates(self, now_s: float) -> tuple[float, float]:
        """Return the records and the bytes stored per second, over the last minute."""
        since = int(now_s) - RATE_S
        recent = [(records, size) for second, records, size in list(self._seconds) if second > since]
        return sum(r for r, _ in recent) / RATE_S, sum(s for _, s in recent) / RATE_S


@dataclass(frozen=True)
class AgentKey:
    """Who sends what: a producer, or a program by its name for itself, with its token or login."""

    policy: str
    sender: str
    agent: str
    tag: str


class Tally:
    """Counts of policies and of agents; threads may share it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._policies: OrderedDict[str, Counts] = OrderedDict()  # on a full disk also of any name
        self._agents: OrderedDict[AgentKey, Counts] = OrderedDict()

    def note(self, request: Request, receipt: Receipt) -> None:
        """Count a request that was answered with a receipt."""
        is_new = receipt.status == "stored" and receipt.length > 0
        records = count_records(request.body) if is_new and not request.content_encoding else int(is_new)
        self._add(request, receipt.status, records, receipt.length if is_new else 0)

    def refuse(self, request: Request, error: Exception | None = None) -> None:
        """Count a request that was answered 503, or 409 if that is the error."""
        outcome = "refused"
        if isinstance(error, SequenceError):
            outcome = "fenced" if error.due is None else "gap"
        self._add(request, outcome, 0, 0)

    def _add(self, request: Request, outcome: str, records: int, stored_bytes: int) -> None:
        producer, now_s = request.producer, clock.now_s()
        name = producer.id if producer is not None else request.agent
        key = AgentKey(request.policy, request.scope, name[:255], printable_tag(request.tag)[:255])
        with self._lock:
            for each in (_counts_of(self._agents, key), _counts_of(self._policies, request.policy)):
                each.add(outcome, records, stored_bytes, now_s)

    def policies(self) -> dict[str, Counts]:
        """Return the counts by the policy's id."""
        with self._lock:
            return dict(self._policies)

    def agents(self, policy: str) -> list[tuple[AgentKey, Counts]]:
        """Return the agents of a policy, those heard of last first."""
        with self._lock:
            return [(key, counts) for key, counts in reversed(self._agents.items()) if key.policy == policy]


def _counts_of(known: OrderedDict[K, Counts], key: K) -> Counts:
    counts = known.setdefault(key, Counts())
    known.move_to_end(key)
    if len(known) > MOST:
        known.popitem(last=False)
    return counts
