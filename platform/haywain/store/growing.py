"""The Records at an end: their tree, and the last one, which small appends of one transaction share."""

import weakref
from collections.abc import Callable

from BTrees.LOBTree import LOBTree
from persistent import Persistent

from haywain.store.chunk import RECORD_SIZE, Record


class RecordTree(LOBTree):  # type: ignore[misc]  # BTrees has no types
    """Offset -> Record, in small leaves: each append writes the last one anew."""

    max_leaf_size = 16


class Growing:
    """The last Record of its owner, from the offset `start` on, while the transaction lasts that made it."""

    def __init__(self, owner: Persistent, start: int, data: bytes) -> None:
        """Begin a Record."""
        self.record, self.start, self.length = Record(data), start, len(data)
        self._transaction = _transaction_of(owner)

    def takes(self, owner: Persistent, offset: int, length: int) -> bool:
        """Return whether so many bytes may be added at an offset of the owner, in its transaction."""
        is_next = self.start + self.length == offset and self.length + length <= RECORD_SIZE
        return is_next and self._is_open_in(owner)

    def extend(self, data: bytes) -> None:
        """Add bytes, which `takes` allowed."""
        self.record.extend(data)
        self.length += len(data)

    def _is_open_in(self, owner: Persistent) -> bool:
        """Return whether this transaction made it; a ghost cannot tell by its serial."""
        now = _transaction_of(owner)
        if self._transaction is None or now is None:
            return self._transaction is now and self.record._p_jar is None
        return self._transaction() is now()


def _transaction_of(obj: Persistent) -> Callable[[], object] | None:
    """Return a weak reference to the transaction of an object, None if it is in no database yet."""
    return weakref.ref(obj._p_jar.transaction_manager.get()) if obj._p_jar is not None else None
