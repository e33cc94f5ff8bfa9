"""Placed: which blocks of an array a mapping shows, and in which layouts.

Blocks that show nothing but zeros are kept as ranges: of a sparse array there may be hundreds of thousands.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from haywain.store.extents import Span, without
from haywain.store.layout import Layout

ZEROS = Layout()
"""The layout of a block in which nothing is stored."""


class Ranges:
    """Half-open ranges of numbers, sorted, of which none touches another.

    >>> found = Ranges(); found.add(3, 5); found.add(9, 12); found.add(5, 6); list(found)
    [(3, 6), (9, 12)]
    >>> 5 in found, 6 in found, found.missing(0, 10), found.within(4, 10)
    (True, False, [(0, 3), (6, 9)], [(4, 6), (9, 10)])
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __iter__(self) -> Iterator[Span]:
        """Yield the ranges."""
        return zip(self._starts, self._stops, strict=True)

    def __len__(self) -> int:
        """Return how many ranges there are."""
        return len(self._starts)

    def __contains__(self, number: int) -> bool:
        """Return whether a number lies in one of them."""
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._stops[at]

    def add(self, low: int, high: int) -> None:
        """Add a range, which may overlap others."""
        if low >= high:
            return
        first, last = bisect_left(self._stops, low), bisect_right(self._starts, high)
        if first < last:
            low, high = min(low, self._starts[first]), max(high, self._stops[last - 1])
        self._starts[first:last], self._stops[first:last] = [low], [high]

    def within(self, low: int, high: int) -> list[Span]:
        """Return what of [low, high) they cover."""
        first, last = bisect_right(self._stops, low), bisect_left(self._starts, high)
        found = zip(self._starts[first:last], self._stops[first:last], strict=True)
        return [(max(start, low), min(stop, high)) for start, stop in found]

    def missing(self, low: int, high: int) -> list[Span]:
        """Return what of [low, high) they do not cover."""
        return without([(low, high)], self.within(low, high))

    def clear(self) -> None:
        """Forget them all."""
        self._starts.clear()
        self._stops.clear()


class Placed:
    """The layouts of the blocks that are shown, by number."""

    def __init__(self) -> None:
        """Begin with none."""
        self.shown = Ranges()
        self.filled: dict[int, Layout] = {}
        """Those in which something is stored."""

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the blocks that are shown, of which there may be very many."""
        return (number for low, high in self.shown for number in range(low, high))

    def __contains__(self, number: object) -> bool:
        """Return whether a block is shown."""
        return isinstance(number, int) and number in self.shown

    def __getitem__(self, number: int) -> Layout:
        """Return the layout of a block that is shown."""
        return self.filled.get(number, ZEROS)

    def __setitem__(self, number: int, layout: Layout) -> None:
        """Note how a block is shown."""
        self.shown.add(number, number + 1)
        if layout == ZEROS:
            self.filled.pop(number, None)
        else:
            self.filled[number] = layout

    def add_zeros(self, low: int, high: int) -> None:
        """Note that the blocks [low, high), in which nothing is stored, are shown."""
        self.shown.add(low, high)

    def filled_within(self, low: int, high: int) -> list[int]:
        """Return the numbers of the blocks of [low, high) in which something is stored, in no order."""
        if high - low < len(self.filled):
            return [number for number in range(low, high) if number in self.filled]
        return [number for number in self.filled if low <= number < high]
