"""Detail: any range of rows in so many stretches, each summed up exactly: what a plot of any length shows.

Where a stretch has two buckets of the Pyramid or more, stretches begin at buckets.  So buckets are read, and
rows only at both ends of the range and where the Pyramid is behind.  How far it is changes neither the edges
nor the answer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.errors import InvalidError
from haywain.store.array import Array
from haywain.store.extents import Span
from haywain.store.lanes import Lane
from haywain.store.pyramid import PIECE_SIZE, Pyramid, rows_of
from haywain.store.summary import Numbers, Summary

Whole = NDArray[np.int64]
Rows = Callable[[int, int], Numbers]
"""Returns the rows [start, stop)."""

NEAR = 1 << 16
"""Buckets that are wanted closer together than this are read together."""


@dataclass(frozen=True)
class Detail:
    """Stretches of rows: number i has the rows [edges[i], edges[i + 1]), summed up for each column.

    `is_sampled`: only the first rows of long stretches were looked at, since all would have been too many.
    """

    edges: Whole
    columns: dict[str, Summary]
    is_sampled: bool


@dataclass
class _Spans:
    """Ranges of rows, or of buckets, each of them within one stretch."""

    low: Whole
    high: Whole
    owner: Whole

    def chosen(self, index: Any) -> "_Spans":  # Any: as NumPy has it
        return _Spans(self.low[index], self.high[index], self.owner[index])

    @classmethod
    def joined(cls, parts: "list[_Spans]") -> "_Spans":
        low, high, owner = (
            np.concatenate([getattr(p, name) for p in parts]) for name in ("low", "high", "owner")
        )
        return cls(low, high, owner).chosen(np.argsort(low, kind="stable"))


@dataclass
class _Found:
    """Summaries of parts of the stretches, in no order, for each lane."""

    lanes: list[Lane]
    owners: list[Whole] = field(default_factory=list)
    parts: list[list[Summary]] = field(default_factory=list)

    def add(self, owners: Whole, parts: list[Summary]) -> None:
        self.owners.append(owners)
        self.parts.append(parts)

    def whole(self) -> list[Summary]:
        if not self.owners:
            return [Summary.empty(lane.table.dtype) for lane in self.lanes]
        owners = np.concatenate(self.owners)
        order = np.argsort(owners, kind="stable")
        starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
        return [Summary.joined(lane).taken(order).merged(starts) for lane in zip(*self.parts, strict=True)]


def edges_of(start: int, stop: int, width: int) -> Whole:
    """Return where the stretches of [start, stop) begin, and `stop`: `width` of them, at most one a row.

    They are as even as they can be.  Where one has two buckets or more, edges are moved to the nearest
    bucket, at most a quarter of a stretch.  Raises InvalidError for a width below 1.

    >>> edges_of(0, 10, 4).tolist(), edges_of(0, 3, 4).tolist(), edges_of(5, 2000, 3).tolist()
    ([0, 2, 5, 7, 10], [0, 1, 2, 3], [5, 768, 1280, 2000])
    """
    if width < 1:
        raise InvalidError(f"A width is a number of 1 or more, not {width}")
    number = min(width, stop - start)
    if not number:
        return np.array([start], np.int64)
    edges = start + (stop - start) * np.arange(number + 1, dtype=np.int64) // number
    level = level_of(start, stop, width)
    if level >= 0:
        size = rows_of(level)
        edges[1:-1] = (edges[1:-1] + size // 2) // size * size
    return edges


def level_of(start: int, stop: int, width: int) -> int:
    """Return the highest level of which a stretch has at least two buckets; -1 if there is none."""
    stretch = (stop - start) // max(min(width, stop - start), 1)
    return sum(1 for _ in takewhile(lambda level: 2 * rows_of(level) <= stretch, count())) - 1


def detail_of(
    array: Array,
    pyramid: Pyramid,
    lanes: dict[str, Lane],
    span: Span,
    width: int,
    most_rows: int | None = None,
) -> Detail:
    """Return the rows of a span of an Array in `width` stretches, by what its Pyramid knows.

    Whatever the Pyramid has seen, it is what the rows are in this transaction, what was written through
    current views included.  With `most_rows` about so many rows are looked at, beside the buckets.
    """
    edges, level = edges_of(*span, width), level_of(*span, width)
    stale = pyramid.stale(array, *span) if level >= 0 else [span]
    cuts = np.array([*(end for part in stale for end in part), pyramid.rows], np.int64)
    spans = _split(edges, cuts)
    starts = np.array([low for low, _ in stale], np.int64)
    ends = np.array([0, *(high for _, high in stale)], np.int64)
    is_stale = spans.low < ends[np.searchsorted(starts, spans.low, side="right")]
    found, left = _Found(list(lanes.values())), [spans.chosen(is_stale)]
    spans = spans.chosen(~is_stale)
    for number in range(level, -1, -1):
        inner, spans = _inside(spans, rows_of(number))
        _add_buckets(found, pyramid, number, inner)
    spans, is_sampled = _bounded(_Spans.joined([*left, spans]), most_rows)
    _add_rows(found, array.row_bytes, _reader(array), spans)
    return Detail(edges, dict(zip(lanes, found.whole(), strict=True)), is_sampled)


def detail_of_rows(
    rows: Rows, row_bytes: int, lanes: dict[str, Lane], span: Span, width: int, most_rows: int | None = None
) -> Detail:
    """Return the same of rows that are no Array and have no Pyramid."""
    edges, found = edges_of(*span, width), _Found(list(lanes.values()))
    spans, is_sampled = _bounded(_split(edges, edges), most_rows)
    _add_rows(found, row_bytes, rows, spans)
    return Detail(edges, dict(zip(lanes, found.whole(), strict=True)), is_sampled)


def _reader(array: Array) -> Rows:
    return lambda start, stop: array.view(start, stop, writable=False)


def _split(edges: Whole, cuts: Whole) -> _Spans:
    """Return the stretches, cut where the cuts lie."""
    inside = cuts[(cuts > edges[0]) & (cuts < edges[-1])]
    ends = np.unique(np.concatenate([edges, inside]))
    return _Spans(ends[:-1], ends[1:], np.searchsorted(edges, ends[:-1], side="right") - 1)


def _inside(spans: _Spans, size: int) -> tuple[_Spans, _Spans]:
    """Return the buckets of `size` rows that lie in spans of rows, and what of the spans is left."""
    low, high = -(-spans.low // size), spans.high // size
    has = low < high
    inner = _Spans(low, high, spans.owner).chosen(has)
    before = _Spans(spans.low, low * size, spans.owner).chosen(has & (spans.low < low * size))
    after = _Spans(high * size, spans.high, spans.owner).chosen(has & (high * size < spans.high))
    return inner, _Spans.joined([before, after, spans.chosen(~has)])


def _add_buckets(found: _Found, pyramid: Pyramid, level: int, spans: _Spans) -> None:
    """Sum up buckets of a level; those that are near to each other are read together."""
    far = np.flatnonzero(spans.low[1:] - spans.high[:-1] > NEAR) + 1
    for index in np.split(np.arange(len(spans.low)), far):
        if len(index):
            some = spans.chosen(index)
            found.add(some.owner, _summed_up(found.lanes, pyramid, level, some))


def _summed_up(lanes: list[Lane], pyramid: Pyramid, level: int, spans: _Spans) -> list[Summary]:
    """Return the summary of each span of buckets; those behind the last that is stored are zeros."""
    first, last = int(spans.low[0]), min(int(spans.high[-1]), pyramid.length(level))
    stored = pyramid.levels[level].view(first, last, writable=False) if first < last else None
    lengths = spans.high - spans.low
    starts = np.cumsum(lengths) - lengths
    wanted = np.arange(int(lengths.sum())) + np.repeat(spans.low - first - starts, lengths)
    parts = []
    for lane in lanes:
        buckets: Numbers = np.zeros(len(wanted), lane.table.bucket(level))
        if stored is not None:
            is_there = wanted < len(stored)
            buckets[is_there] = lane.of(stored)[wanted[is_there]]
        parts.append(lane.table.load(buckets, rows_of(level)).merged(starts))
    return parts


def _bounded(spans: _Spans, most_rows: int | None) -> tuple[_Spans, bool]:
    """Return spans of about so many rows, cut in proportion, and whether they were cut."""
    total = int((spans.high - spans.low).sum())
    if most_rows is None or total <= most_rows:
        return spans, False
    kept = np.maximum((spans.high - spans.low) * (most_rows / total), 1).astype(np.int64)
    return _Spans(spans.low, spans.low + kept, spans.owner), True


def _add_rows(found: _Found, row_bytes: int, rows: Rows, spans: _Spans) -> None:
    """Sum up spans of rows."""
    for piece in _pieces(spans, max(PIECE_SIZE // row_bytes, 1)):
        start = int(piece.low[0])
        taken, starts = rows(start, int(piece.high[-1])), piece.low - start
        numbers = (np.ascontiguousarray(lane.of(taken), lane.table.dtype) for lane in found.lanes)
        found.add(piece.owner, [Summary.of(some, starts) for some in numbers])


def _pieces(spans: _Spans, most: int) -> Iterator[_Spans]:
    """Yield the spans in groups without gaps, of at most `most` rows each."""
    steps = -(-(spans.high - spans.low) // most)
    number = np.arange(int(steps.sum())) - np.repeat(np.cumsum(steps) - steps, steps)
    low = np.repeat(spans.low, steps) + number * most
    high = np.minimum(low + most, np.repeat(spans.high, steps))
    owner = np.repeat(spans.owner, steps)
    first = 0
    while first < len(low):
        last = first + 1
        while last < len(low) and low[last] == high[last - 1] and high[last] - low[first] <= most:
            last += 1
        yield _Spans(low[first:last], high[first:last], owner[first:last])
        first = last
