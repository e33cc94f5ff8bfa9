"""What an Array consists of: Blocks of extents, its Size with the tail, and the count of Changes."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from BTrees.LOBTree import LOBTree
from persistent import Persistent
from ZODB.POSException import ConflictError

from haywain import clock
from haywain.store import extents
from haywain.store.chunk import Record, checked
from haywain.store.extents import Extents, Span, ceil, floor, united
from haywain.store.record_chunk import Chunk
from haywain.values import MIB

TAIL_SIZE = MIB
"""Bytes from which on an append, or the tail, becomes an extent."""

TAIL_RECORDS = 1024
"""Most Records of a tail."""


class Block(Persistent):  # type: ignore[misc]  # persistent has no types
    """The extents of one block, over chunks."""

    extents: Extents[Chunk] = ()


@dataclass
class _Last:
    """The last Record of the tail, [start, stop), to which the transaction that made it may add."""

    record: Record
    start: int
    stop: int
    transaction: Callable[[], object]


class Size(Persistent):  # type: ignore[misc]  # persistent has no types
    """How many rows there are, and the tail."""

    _v_last: "_Last | None" = None

    def __init__(self, rows: int) -> None:
        """Begin with rows of zeros."""
        self.rows = rows
        self.tail = LOBTree()
        self.tail_bytes = self.tail_count = 0

    def add(self, connection: Any, offset: int, data: bytes) -> None:  # Any: ZODB has no types
        """Lay bytes over those of the blocks; what one transaction adds side by side shares a Record."""
        last, transaction = self._v_last, connection.transaction_manager.get()
        if last is not None and last.transaction() is transaction and last.stop == offset:
            last.record.extend(data)
        else:
            self._v_last = last = _Last(Record(data), offset, offset, weakref.ref(transaction))
            connection.add(last.record)
            self.tail_count += 1
        last.stop += len(data)
        self.tail[last.start] = (last.stop - last.start, last.record)
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
        """Return the Records over a block: (offset, oid, length); the offset is within the block."""
        if not self.tail_count:
            return ()
        low = number * extents.BLOCK_SIZE
        try:
            first = self.tail.maxKey(low)
        except ValueError:
            first = low
        found = self.tail.items(first, low + extents.BLOCK_SIZE - 1)
        return tuple((at - low, record._p_oid, n) for at, (n, record) in found if at + n > low)


class Changes(Persistent):  # type: ignore[misc]  # persistent has no types
    """Counts what was done to the bytes; each commit that changes any changes this or Size."""

    def __init__(self) -> None:
        """Begin untouched."""
        self.writes = self.cuts = 0
        self.modified = clock.now_s()

    def note(self, is_cut: bool = False) -> None:
        """Count a write in place, or a shrink."""
        self.writes += not is_cut
        self.cuts += is_cut
        self.modified = clock.now_s()

    def _p_resolveConflict(
        self, old: dict[str, Any], saved: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:  # Any: the state that ZODB pickles
        """Merge two that wrote; raises ConflictError if one of them shrank the array."""
        if not old["cuts"] == saved["cuts"] == new["cuts"]:
            raise ConflictError("the array was cut beside a write")
        writes = saved["writes"] + new["writes"] - old["writes"]
        return {**saved, "writes": writes, "modified": max(saved["modified"], new["modified"])}
