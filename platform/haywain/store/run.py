"""Run: bytes that are going to be stored, one after the other, in whole pages of the format."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from haywain.store import extents
from haywain.store.extents import split

Buffer = bytes | bytearray | memoryview
Read = Callable[[int, int], Iterable[Buffer]]
"""Returns the bytes [start, stop) of an array as buffers."""


class Run(NamedTuple):
    """The bytes [low, high) of an array, and what reads them."""

    low: int
    high: int
    read: Read

    def parts(self) -> Iterator["Run"]:
        """Yield the run, cut where blocks begin."""
        for _, low, high in split((self.low, self.high), extents.BLOCK_SIZE):
            yield Run(low, high, self.read)


def grouped(runs: Iterable[Run], size: int) -> Iterator[list[Run]]:
    """Yield lists of runs, cut at blocks, of at most `size` bytes each: what one blob is going to hold."""
    group: list[Run] = []
    total = 0
    for run in (part for whole in runs for part in whole.parts()):
        length = run.high - run.low
        if group and total + length > size:
            yield group
            group, total = [], 0
        group.append(run)
        total += length
    if group:
        yield group


def concatenated(start: int, buffers: list[memoryview]) -> Callable[[int, int], Iterator[memoryview]]:
    """Return the `read` of a run whose bytes are these buffers, the first of them at `start`.

    >>> read = concatenated(10, [memoryview(b"ab"), memoryview(b"cde")])
    >>> b"".join(read(11, 14))
    b'bcd'
    """

    def read(low: int, high: int) -> Iterator[memoryview]:
        at = start
        for buffer in buffers:
            piece = buffer[max(low - at, 0) : max(high - at, 0)]
            if piece:
                yield piece
            at += len(buffer)

    return read
