"""Snapshot: the bytes of a stream at one moment, for who reads them at leisure."""

from collections.abc import Iterator
from dataclasses import dataclass

from BTrees.LOBTree import LOBTree

from haywain.errors import CorruptDataError, ExpiredError, InvalidError


@dataclass(frozen=True)
class Snapshot:
    """The bytes [start, size) of a stream.

    A replace, a truncate, an append or a seal does not disturb who reads it; nor does an expiry, unless it
    commits first and the reader begins another transaction: then what is gone is said by ExpiredError.
    """

    generations: LOBTree
    start: int
    size: int

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop); raises InvalidError for a negative offset, ExpiredError, at once."""
        if start < 0 or (stop is not None and stop < 0):
            raise InvalidError("An offset is 0 or more")
        stop = self.size if stop is None else min(stop, self.size)
        if start < min(stop, self.start):
            raise ExpiredError(start, self.start)
        return self._chunks(start, stop)

    def _chunks(self, start: int, stop: int) -> Iterator[memoryview]:
        # Step by key: an iterator of a BTree breaks where the tree changes under it.
        while start < stop:
            generation = self._holding(start)
            end = min(stop, generation.stop)
            if end <= start:
                raise CorruptDataError(f"The stream lacks bytes from offset {start} on")
            yield from generation.pieces(start, end)
            start = end

    def _holding(self, offset: int):  # type: ignore[no-untyped-def]  # a Generation, of the module above
        try:
            return self.generations[self.generations.maxKey(offset)]
        except ValueError:  # it expired in a transaction that this reader sees by now
            raise ExpiredError(offset, self.generations.minKey()) from None
