"""What waits to be sent: a queue for each stream, and whose turn it is.

One frame of a stream is under way at a time; streams take turns.  A queue holds places only, 8 bytes a
frame, so that a spool of a million frames fits into a small device.
"""

import time
from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Condition
from typing import NamedTuple

from haywain.agent.backoff import pause_s
from haywain.agent.frame import Stream

_SHIFT = 40  # a segment is shorter than 1 TiB
_TRIMMED_FROM = 4096


class Place(NamedTuple):
    """Where a frame lies."""

    segment: int
    offset: int

    @property
    def packed(self) -> int:
        """Return it as one number."""
        return self.segment << _SHIFT | self.offset


@dataclass
class Queue:
    """The places of a stream's frames, in order; `last_epoch` is that of the frame sent last, 0: unknown."""

    stream: Stream
    last_epoch: int = 0
    is_taken: bool = False
    _places: "array[int]" = field(default_factory=lambda: array("Q"))
    _head: int = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._places) - self._head

    @property
    def first(self) -> Place:
        """Return the place of the frame whose turn it is."""
        packed = self._places[self._head]
        return Place(packed >> _SHIFT, packed & (1 << _SHIFT) - 1)

    def add(self, place: Place) -> None:
        """Put a frame behind the others."""
        self._places.append(place.packed)

    def pop(self) -> None:
        """Forget the first."""
        self._head += 1
        if self._head >= _TRIMMED_FROM and self._head * 2 > len(self._places):
            del self._places[: self._head]
            self._head = 0

    def put_before(self, places: Iterable[Place]) -> None:
        """Have these sent before all others."""
        self._places = array("Q", [place.packed for place in places]) + self._places[self._head :]
        self._head = 0


@dataclass
class Gate:
    """The portal, or one policy of it: shut for a while after each failure, then open for one try."""

    failures: int = 0
    resume_s: float = 0.0
    under_way: int = 0
    _failed_s: float = 0.0

    def is_open(self, now_s: float) -> bool:
        """Return whether a request may go out."""
        return now_s >= self.resume_s and not (self.failures and self.under_way)

    def failed(self, started_s: float, least_s: float = 0.0) -> float:
        """Shut it, and return for how long; requests that failed together count as one."""
        if started_s >= self._failed_s or not self.failures:
            self._failed_s = time.monotonic()
            self.resume_s = self._failed_s + pause_s(self.failures, least_s)
            self.failures += 1
        return max(0.0, self.resume_s - time.monotonic())

    def worked(self) -> bool:
        """Open it; return whether it was not."""
        was_shut = self.failures > 0
        self.failures, self.resume_s = 0, 0.0
        return was_shut


class Backlog:
    """The queues of all streams; threads share it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._changed = Condition()
        self._queues: dict[Stream, Queue] = {}
        self._ready: deque[Queue] = deque()
        self._policies: dict[str, Gate] = {}
        self.portal = Gate()
        self._is_closed = False

    def policy(self, name: str) -> Gate:
        """Return the gate of a policy."""
        with self._changed:
            return self._policies.setdefault(name, Gate())

    def queues(self) -> list[Queue]:
        """Return the queues of all streams of which something waits."""
        with self._changed:
            return list(self._queues.values())

    def __len__(self) -> int:
        """Return how many frames wait."""
        with self._changed:
            return sum(map(len, self._queues.values()))

    def add(self, stream: Stream, place: Place) -> None:
        """Put a frame behind those of its stream."""
        with self._changed:
            queue = self._queues.get(stream)
            if queue is None:
                queue = self._queues[stream] = Queue(stream)
                self._ready.append(queue)
                self._changed.notify()
            queue.add(place)

    def take(self) -> Queue | None:
        """Wait for a stream whose turn it is, and take it; None once all is closed."""
        with self._changed:
            while not self._is_closed:
                queue, wait_s = self._next()
                if queue is not None:
                    queue.is_taken = True
                    self.portal.under_way += 1
                    self._policies[queue.stream.policy].under_way += 1
                    return queue
                self._changed.wait(wait_s)
            return None

    def give_back(self, queue: Queue) -> None:
        """Let a stream take its next turn; without frames it is forgotten."""
        with self._changed:
            queue.is_taken = False
            self.portal.under_way -= 1
            self._policies[queue.stream.policy].under_way -= 1
            if len(queue):
                self._ready.append(queue)
            else:
                del self._queues[queue.stream]
            self._changed.notify_all()

    def pop(self, queue: Queue) -> None:
        """Forget the first frame of a stream that is taken."""
        with self._changed:
            queue.pop()

    def put_before(self, queue: Queue, places: Iterable[Place]) -> None:
        """Have frames of a stream that is taken sent before its others."""
        with self._changed:
            queue.put_before(places)
            queue.last_epoch = 0

    def wait_empty(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more; return whether that came about."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queues, timeout_s)

    def hurry(self) -> None:
        """Open all gates: what was waited for may be over."""
        with self._changed:
            for gate in (self.portal, *self._policies.values()):
                gate.resume_s = 0.0
            self._changed.notify_all()

    def close(self) -> None:
        """Have `take` return None from now on."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _next(self) -> tuple[Queue | None, float | None]:
        """Return a stream that may send; else in how many seconds to look again, None: after a change."""
        now_s = time.monotonic()
        if not self._ready:
            return None, None
        if not self.portal.is_open(now_s):
            return None, max(0.0, self.portal.resume_s - now_s) or None
        least_s: float | None = None
        for _ in range(len(self._ready)):
            queue = self._ready.popleft()
            gate = self._policies.setdefault(queue.stream.policy, Gate())
            if gate.is_open(now_s):
                return queue, None
            self._ready.append(queue)
            if gate.resume_s > now_s:
                least_s = min(least_s or gate.resume_s - now_s, gate.resume_s - now_s)
        return None, least_s
