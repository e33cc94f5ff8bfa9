"""Reduction: what a Job keeps of its parts, and the tree in which they are put together.

    level 0      map_part 0 .. 15      map_part 16 .. 31     ...      each puts what it found
    level 1          merge 0                merge 1          ...      after its 16, which it replaces
    ...
    the top                     turn                                  after the last merge

Each is an activity on the Job that waits for a tag of those below it, so nothing but the outbox knows who is
next; what it found lies under (pass, level, number), so that to do it twice is to do it once.  It lies beside
the Job's own record: parts that end at once do not conflict there.

A part that comes to rows has an array of its own in `drafts`; behind the last turn they are copied into
`whole`, Block by Block.  `memory` keeps what the parts came to for the next Job that does the same, with what
that rested on: it takes those again whose bytes are as they were.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from BTrees.Length import Length
from BTrees.OOBTree import OOBTree
from persistent import Persistent

from haywain.activity.kept import Arrays, Kept
from haywain.activity.row_map import begin_whole
from haywain.errors import InvalidError
from haywain.store.array import Array

if TYPE_CHECKING:
    from haywain.activity.map_reduce import MapReduce
    from haywain.document import Document
    from haywain.store.database import PortalConnection

FAN = 16
"""So many parts, or merges, are put together by one merge."""

GROUPS_AT_ONCE = 16
"""So many of these one transaction queues."""

Node = tuple[int, int, int]
"""Pass, level and number."""


class Reduction(Persistent):  # type: ignore[misc]  # persistent has no types
    """The parts of a Job, and what they have come to."""

    length = edition = passed = planned = 0
    tid = ""  # of the last transaction that was seen when the source was cut
    ends: tuple[int, ...] = ()
    last = ""  # id of the activity that ends this pass
    result = "null"
    is_done = False
    whole: Array | None = None
    starts: tuple[int, ...] = ()  # at which byte of it the rows of each part begin
    before: OOBTree | None = None  # the memory of the Job before

    def __init__(self) -> None:
        """Begin before the first part."""
        self.known = Kept()
        self.found = OOBTree()  # (pass, level, number) -> Kept
        self.drafts = OOBTree()  # number -> Array
        self.memory = OOBTree()  # (pass, number) -> (what it rested on, Kept)
        self.reused = Length()

    @property
    def levels(self) -> int:
        """How many levels of merges there are; at least 1."""
        count, levels = len(self.ends), 0
        while count > 1 or not levels:
            count, levels = -(-count // FAN), levels + 1
        return levels

    def count(self, level: int) -> int:
        """Return how many nodes a level has."""
        size: int = FAN**level
        return -(-len(self.ends) // size)

    def span(self, number: int) -> tuple[int, int]:
        """Return where a part begins and ends."""
        return (self.ends[number - 1] if number else 0), self.ends[number]

    def tag(self, job: "Document", level: int, number: int) -> str:
        """Return the tag of a node of this pass, which it shares with those it is merged with."""
        return f"{job.path} {self.passed}.{level}.{number // FAN}"

    def remembered(self, number: int, rests_on: bytes) -> Kept | None:
        """Return what a part came to the last time, if it rested on the same."""
        found = None if self.before is None else self.before.get((self.passed, number))
        return found[1] if found is not None and found[0] == rests_on else None

    def keep(self, number: int, rests_on: bytes, kept: Kept, is_reused: bool) -> None:
        """Have what a part came to, and remember it."""
        self.found[self.passed, 0, number] = kept
        if rests_on:
            self.memory[self.passed, number] = (rests_on, kept)
        if is_reused:
            self.reused.change(1)

    def merge(self, connection: "PortalConnection", kind: "MapReduce", node: Node) -> None:
        """Put together what lies below a node, in its order; raises InvalidError if something is missing."""
        passed, level, number = node
        below = range(number * FAN, min((number + 1) * FAN, self.count(level - 1)))
        total: Arrays = {}
        for other in below:
            found = self._take((passed, level - 1, other))
            total = kind.reduce(total, found) if total else found
        self.found[node] = kept_of(connection, total)

    def put_together(self, connection: "PortalConnection", counts: list[int]) -> None:
        """Begin the array that the rows of all parts go to; those of a single part are it already."""
        self.planned = 0
        if len(counts) == 1:
            self.whole = self.drafts[0]
            return
        self.whole, self.starts = begin_whole(connection, counts, self.drafts[0])

    def end(self, result: str) -> None:
        """Have the result, and forget what it was made of."""
        self.result, self.is_done = result, True
        self.known, self.whole, self.starts, self.before = Kept(), None, (), None
        self.drafts.clear()

    def total(self) -> Arrays:
        """Return what all parts of this pass have come to, and forget it."""
        return self._take((self.passed, self.levels, 0))

    def _take(self, node: Node) -> Arrays:
        kept = cast("Kept | None", self.found.pop(node, None))
        if kept is None:
            raise InvalidError(f"Part {node[2]} of level {node[1]} was cancelled: run it all again")
        return kept.load()

    def groups(self) -> Iterator[range]:
        """Yield the parts that are merged at once, of those that are not planned yet."""
        for first in range(self.planned, len(self.ends), FAN):
            yield range(first, min(first + FAN, len(self.ends)))

    def spans_done(self) -> Iterator[range]:
        """Yield the numbers of the parts of this pass that are done."""
        if self.is_done or self.whole is not None:
            yield range(len(self.ends))
            return
        for _, level, number in self.found.keys((self.passed,), (self.passed + 1,)):
            size = FAN**level
            yield range(number * size, min((number + 1) * size, len(self.ends)))


def kept_of(connection: "PortalConnection", arrays: Arrays) -> Kept:
    """Return arrays as they are kept, in the database."""
    kept = Kept()
    connection.add(kept)
    kept.store(connection, arrays)
    return kept
