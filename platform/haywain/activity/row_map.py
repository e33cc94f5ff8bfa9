"""Row map: a map-reduce whose parts come to rows, which together are one array, of any size.

    class Double(RowMap):
        name, title, portal_types = "double", "Double it", ("Data Array",)

        def layout(self, source, given):
            return Layout(source.dtype, source.shape[1:])

        def rows(self, part):
            yield 2 * part.source.read(part.start, part.stop)

One after the other, the parts append to one array.  As a Job each part has an array of its own, as none knows
how many rows those before it come to; when all do, they are put together Block by Block, on all Workers: two
that write the same Block would conflict.  Nobody sees an array until it is whole and a document adopts it.
"""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from typing import Any, cast

import numpy as np
from pydantic import BaseModel

from haywain.activity.kept import Arrays
from haywain.activity.kind import Result, Work
from haywain.activity.map_reduce import MapReduce, Part
from haywain.activity.product import edition_of, name_of, product_of
from haywain.analysis.rows import Layout, Rows
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.store import extents
from haywain.store.array import Array
from haywain.values import Column, Path

NAMES_MAX = 10_000
"""Columns that are named."""


class RowMap(MapReduce):
    """One kind of work that makes an array, part by part."""

    makes = "Data Array"

    def rests_on_too(self, source: Document, given: BaseModel) -> str:
        """Return what its rows rest on beside those of the source: if that changes, all are made anew."""
        return ""

    def note(self, target: Any, source: Document, given: BaseModel) -> None:  # Any: a Data Array
        """Note on a target what else its rows come of, once they are appended."""

    def must_start_over(self, work: Work) -> bool:
        """Return whether it rests on something else now."""
        at, said = work.indicator.position, self.rests_on_too(work.document, work.parameters)
        return super().must_start_over(work) or bool(at.offset and at.reading != said)

    def follow(self, work: Work, start_over: bool) -> Generator[float, None, Result]:
        """Append what comes of the rows that are new; for kinds whose rows each come of one row only."""
        source, given = work.document, work.parameters
        layout, said = self.layout(source, given), self.rests_on_too(source, given)
        rows = Following(work, layout, start_over, said)
        first = work.cursor.setdefault("first", rows.position.rows)
        while True:
            work.check()
            at, length = rows.position, self.length(source, given)
            stop = min(at.offset + self.step_of(source, self.step_bytes), length)
            if stop <= at.offset:
                break
            part = Part(source, at.offset, stop, length, given, check=work.check)
            count = sum(map(rows.append, self.rows(part)))
            rows.move(stop, at.rows + count)
            yield min(stop / max(length, 1), 1.0)
        now = rows.finish()
        if rows.target.path:
            self.note(rows.target, source, given)
        return {"array": cast(Path, rows.target.path), "rows": now, "appended": now - first}

    @abstractmethod
    def layout(self, source: Document, given: BaseModel) -> Layout:
        """Return what the rows look like; raises InvalidError."""

    @abstractmethod
    def rows(self, part: Part) -> Iterator[Rows]:
        """Yield the rows of a part, in pieces of some MiB."""

    def map(self, part: Part) -> Arrays:
        """Append the rows of a part to its array."""
        assert part.rows is not None
        before = part.rows.rows
        for rows in self.rows(part):
            part.check()
            part.rows.append(rows)
        return {"rows": np.array([part.rows.rows - before], np.int64)}

    def run(self, work: Work) -> Generator[float, None, Result]:
        """Do all parts here, one after the other."""
        if work.rows is None:
            self.check_given(work.document, work.parameters)
            work.rows = self.begin(work.portal.connection, work.document, work.parameters)
        return (yield from super().run(work))

    def rests_on(self, source: Document, start: int, stop: int, given: BaseModel) -> bytes:
        """Remember nothing: the rows would be there twice."""
        return b""

    def begin(self, connection: Any, source: Document, given: BaseModel) -> Array:  # Any: ZODB has no types
        """Return an array without rows, in the database."""
        layout = self.layout(source, given)
        found = Array((0, *layout.row_shape), layout.dtype)
        connection.add(found)
        return found

    def finish(self, work: Work, known: Arrays, total: Arrays) -> Result:
        """Have the target adopt the rows: what the user named, else the array that was made before."""
        target = self.target(work, self.name, f"{name_of(work.document)} {self.name}")
        assert work.rows is not None
        target.adopt(work.rows)
        describe(target, self.layout(work.document, work.parameters))
        return {"array": cast(Path, target.path), "rows": work.rows.rows}

    def target(self, work: Work, purpose: str, reference: str) -> Any:  # Any: a Data Array, of a layer above
        """Return the document that the rows are for."""
        if work.target is not None:
            return work.target
        return product_of(work.portal, work.document, purpose, self.makes, reference)


class Following:
    """Rows that are appended to a target while a Progress Indicator moves, or to the draft of new ones."""

    def __init__(self, work: Work, layout: Layout, start_over: bool, said: str) -> None:
        """Begin the array, or the draft, where there is none; raises InvalidError for rows of another shape.

        Raises InvalidError too if another run began to make it anew.
        """
        self.source = work.document
        self.target, self._indicator = cast(Any, work.target), work.indicator
        self._edition, self._layout, self._said = edition_of(work.document), layout, said
        self._is_draft = start_over
        if hasattr(self.target, "take"):  # who hands rows on is told what they look like
            self.target.take(work, layout, start_over)
        if not self.target.is_created:
            self.target.create((0, *layout.row_shape), layout.dtype)
            describe(self.target, layout)
            self._indicator.move(0, 0, self._edition, said)
        if start_over and not work.cursor.get("draft"):
            self._indicator.begin_draft(Array((0, *layout.row_shape), layout.dtype), work.id)
            work.cursor["draft"] = True
        if start_over and self._indicator.maker != work.id:
            raise InvalidError(f"Another run began to make {self.target.path} anew; this one gives way")
        if not start_over:
            self._check()

    @property
    def position(self) -> Any:  # Any: that of a Progress Indicator
        """How far it is."""
        return self._indicator.draft_position if self._is_draft else self._indicator.position

    def _check(self) -> None:
        at, layout = self.position, self._layout
        if at.offset and (at.edition, at.reading) != (self._edition, self._said):
            raise InvalidError("What was read so far was replaced; all of it is to be made anew")
        if hasattr(self.target, "take"):
            return
        if (self.target.dtype, self.target.shape[1:]) != (layout.dtype, layout.row_shape):
            raise InvalidError(
                f"{self.target.path} has rows of {self.target.dtype}, shape {self.target.shape[1:]}, the new"
                f" ones are of {layout.dtype}, shape {layout.row_shape}; refresh it to make all anew"
            )

    def append(self, rows: Rows) -> int:
        """Add rows; return how many."""
        is_hidden = self._is_draft and not hasattr(self.target, "take")
        (self._indicator.draft if is_hidden else self.target).append(rows)
        return len(rows)

    def move(self, offset: int, rows: int) -> None:
        """Note how far it is now."""
        move = self._indicator.move_draft if self._is_draft else self._indicator.move
        move(offset, rows, self._edition, self._said)

    def finish(self) -> int:
        """Have the target adopt the draft, if there is one; return how many rows there are."""
        if self._is_draft:
            self.move(self.position.offset, self.position.rows)
            self.target.adopt(self._indicator.end_draft())
            describe(self.target, self._layout)
        return int(self._indicator.position.rows)


def describe(target: Any, layout: Layout) -> None:  # Any: as above
    """Name the columns of a Data Array, and tell its rate."""
    names = layout.names if len(layout.names) <= NAMES_MAX else ()
    target.edit(columns=tuple(Column(name)._asdict() for name in names), rate_hz=layout.rate_hz)


def begin_whole(connection: Any, counts: Sequence[int], first: Array) -> tuple[Array, tuple[int, ...]]:
    """Return the array that all parts go to, and at which byte of it each begins; `first` is one of them."""
    whole = Array((sum(counts), *first.row), first.dtype)
    connection.add(whole)
    starts = np.cumsum([0, *counts[:-1]]) * first.row_bytes
    return whole, tuple(starts.tolist())


def blocks_in(array: Array) -> int:
    """Return the number of Blocks that an array has."""
    return -(-array.nbytes // extents.BLOCK_SIZE)


def fill_block(whole: Array, number: int, starts: Sequence[int], part: Any) -> None:  # Any: number -> Array
    """Copy one Block of an array out of the arrays of the parts, each of which begins at one of `starts`."""
    low, high = number * extents.BLOCK_SIZE, min((number + 1) * extents.BLOCK_SIZE, whole.nbytes)
    data, at = bytearray(high - low), low
    index = bisect_right(starts, low) - 1
    while at < high:
        rows: Array = part(index)
        stop = min(starts[index] + rows.nbytes, high)
        if stop > at:
            data[at - low : stop - low] = rows.read(at - starts[index], stop - starts[index])
            at = stop
        index += 1
    whole.write(low, memoryview(data))
