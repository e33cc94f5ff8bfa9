"""What an Array consists of: Blocks of extents, its Size with the tail, and the count of Changes."""

from collections.abc import Iterator
from typing import Any

from BTrees.LOBTree import LOBTree
from persistent import Persistent
from ZODB.POSException import ConflictError

from haywain import clock
from haywain.store import extents
from haywain.store.chunk import Record, checked
from haywain.store.extents import Extents, Span, ceil, floor, split, united
from haywain.store.growing import Growing
from haywain.store.record_chunk import Chunk
from haywain.values import MIB

TAIL_SIZE = MIB
"""Bytes from which on an append, or the tail, becomes an extent."""

TAIL_RECORDS = 1024
"""Most Records of a tail."""


class Block(Persistent):  # type: ignore[misc]  # persistent has no types
    """The extents of one block, over chunks."""

    extents: Extents[Chunk] = ()


class Size(Persistent):  # type: ignore[misc]  # persistent has no types
    """How many rows there are, and the tail."""

    _v_last: Growing | None = None

    def __init__(self, rows: int) -> None:
        """Begin with rows of zeros."""
        self.rows = rows
        self.tail = LOBTree()
        self.tail_bytes = self.tail_count = 0

    def add(self, connection: Any, offset: int, data: bytes) -> None:  # Any: ZODB has no types
        """Lay bytes over those of the blocks; what one transaction adds side by side shares a Record."""
        last = self._v_last
        if last is not None and last.takes(self, offset, len(data)):
            last.extend(data)
        else:
            self._v_last = last = Growing(self, offset, data)
            connection.add(last.record)
            self.tail_count += 1
        self.tail[last.start] = (last.length, last.record)
        self.tail_bytes += len(data)

    def cut(self, connection: Any, edge: int) -> None:  # Any: as above
        """Take the bytes from `edge` on away."""
        for offset, (length, record) in list(self.tail.items()):
            if offset + length > edge:
                self.remove(offset)
                if offset < edge:
                    self.add(connection, offset, checked(record)[: edge - offset])

    def remove(self, offset: int) -> None:
        """Take a Record away."""
        self._v_last = None
        self.tail_bytes -= self.tail.pop(offset)[0]
        self.tail_count -= 1

    def clear(self) -> None:
        """Take all Records away."""
        self._v_last = None
        self.tail.clear()
        self.tail_bytes = self.tail_count = 0

    def has_room(self, length: int) -> bool:
        """Return whether bytes can be added to the tail without filling it."""
        return self.tail_bytes + length < TAIL_SIZE and self.tail_count < TAIL_RECORDS

    def spans(self) -> list[Span]:
        """Return the whole pages that Records lie on."""
        return united(
            (floor(offset, extents.PAGE), ceil(offset + length, extents.PAGE))
            for offset, (length, _) in self.tail.items()
        )

    def patches(self, number: int) -> tuple[tuple[int, bytes, int], ...]:
        """Return the Records over a block: (offset, oid, length), the offset from the begin of the block.

        A Record may begin before the block; what lies behind its end does not count, as it may still grow.
        """
        low, high = number * extents.BLOCK_SIZE, (number + 1) * extents.BLOCK_SIZE
        found = self._over(low, high)
        return tuple((at - low, record._p_oid, min(n, high - at)) for at, n, record in found)

    def patched(self, low: int, high: int) -> set[int]:
        """Return the numbers of those of the blocks [low, high) that Records lie over."""
        found = self._over(low * extents.BLOCK_SIZE, high * extents.BLOCK_SIZE)
        numbers = (number for at, n, _ in found for number, _, _ in split((at, at + n), extents.BLOCK_SIZE))
        return {number for number in numbers if low <= number < high}

    def _over(self, low: int, high: int) -> Iterator[tuple[int, int, Record]]:
        """Yield (offset, length, record) of the Records over the bytes [low, high)."""
        if not self.tail_count:
            return
        try:
            first = self.tail.maxKey(low)
        except ValueError:
            first = low
        for at, (length, record) in self.tail.items(first, high - 1):
            if at + length > low:
                yield at, length, record


class Changes(Persistent):  # type: ignore[misc]  # persistent has no types
    """Counts what was done to the bytes; each commit that changes any changes this or Size."""

    def __init__(self) -> None:
        """Begin untouched."""
        self.writes = self.cuts = 0
        self.modified = clock.now_s()

    def note(self, is_cut: bool = False, is_same: bool = False) -> None:
        """Count a write in place, or a shrink; one that leaves all bytes the same is no modification."""
        self.writes += not is_cut
        self.cuts += is_cut
        if not is_same:
            self.modified = clock.now_s()

    def _p_resolveConflict(
        self, old: dict[str, Any], saved: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:  # Any: the state that ZODB pickles
        """Merge two that wrote; raises ConflictError if one of them shrank the array."""
        if not old["cuts"] == saved["cuts"] == new["cuts"]:
            raise ConflictError("the array was cut beside a write")
        writes = saved["writes"] + new["writes"] - old["writes"]
        return {**saved, "writes": writes, "modified": max(saved["modified"], new["modified"])}
