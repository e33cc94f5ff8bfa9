"""Stream to array: the records of a Data Stream become rows of a Data Array."""

import json
from collections.abc import Generator, Iterator
from typing import Any, cast

import numpy as np
from pydantic import BaseModel

from haywain.activities._reading import SAID, ReadingParameters, default_of, read_as
from haywain.activity.kept import Arrays
from haywain.activity.kind import Work
from haywain.activity.map_reduce import Part
from haywain.activity.product import name_of, product_of
from haywain.activity.row_map import Following, RowMap, describe
from haywain.analysis.rows import Layout, Rows, pieces_of
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_stream import DataStream
from haywain.portal_types.progress_indicator import ProgressIndicator
from haywain.store.array import Array
from haywain.values import MIB

PIECE_BYTES = 4 * MIB
"""Bytes of a part that become rows at once."""


class StreamToArray(RowMap):
    """Read a stream record by record and append the rows to an array, in steps of about 32 MiB.

    The position lies in a Progress Indicator, which moves with the rows: run again on a stream that grew, it
    appends what came; after a kill nothing is lost or doubled.  As a Job it reads everything anew, in parts
    that end between two records, and the array is replaced at once when all is read.
    """

    name = "stream_to_array"
    title = "Make an array"
    portal_types = ("Data Stream",)
    parameters = ReadingParameters
    follows = True
    step_bytes = 32 * MIB

    def suits(self, document: Document) -> str:
        """Say that there is nothing to make rows of."""
        return "" if document.size else "The stream is empty"

    def follow(self, work: Work, start_over: bool) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Append what is new to the target, or replace its rows by all there are."""
        stream, given = cast(DataStream, work.document), cast(ReadingParameters, work.parameters)
        before = {} if start_over else self._said_before(work.indicator, stream, given)
        said, reader = read_as(stream, given, before)
        rows = Following(work, reader.layout, start_over, said)
        first = work.cursor.setdefault("first", rows.position.rows)
        while True:
            work.check()
            at = rows.position
            found, offset = reader.step(stream.open(), at.offset, self.step_bytes, at.rows)
            if offset == at.offset:
                break
            rows.append(found)
            rows.move(offset, at.rows + len(found))
            yield min(offset / max(stream.size, 1), 1.0)
        if offset < stream.size:
            work.log(f"{stream.size - offset} bytes from byte {offset} on are no whole row yet")
        now = rows.finish()
        return {"array": rows.target.path, "rows": now, "appended": now - first}

    def must_start_over(self, work: Work) -> bool:
        """Return whether bytes that were read were replaced, or cut off."""
        position = cast(ProgressIndicator, work.indicator).position
        is_other = position.edition != cast(DataStream, work.document).edition
        return bool(position.offset) and (is_other or position.offset > work.document.size)

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Append what is new; the result names the array, and tells its rows and those appended."""
        stream = cast(DataStream, work.document)
        given = cast(ReadingParameters, work.parameters)
        indicator = self._indicator(work, given)
        said, reader = read_as(stream, given, self._said_before(indicator, stream, given))
        target = self._target(work, indicator, reader.layout, given)
        first = work.cursor.setdefault("first", 0 if given.start_over else indicator.position.rows)
        while True:
            work.check()
            _check_edition(indicator, stream, given, work.id)
            if _target_of(indicator) is not target:
                raise InvalidError(f"{target.path} was deleted while rows were added to it; run it again")
            work.hold(target)
            at = indicator.draft_position if given.start_over else indicator.position
            rows, offset = reader.step(stream.open(), at.offset, self.step_bytes, at.rows)
            if offset == at.offset:
                break
            (cast(Array, indicator.draft) if given.start_over else target).append(rows)
            move = indicator.move_draft if given.start_over else indicator.move
            move(offset, at.rows + len(rows), stream.edition, said)
            yield min(offset / max(stream.size, 1), 1.0)
        if given.start_over:
            target.adopt(indicator.end_draft())
            describe(target, reader.layout)
        if offset < stream.size:
            work.log(f"{stream.size - offset} bytes from byte {offset} on are no whole row yet")
        rows_now = indicator.position.rows
        return {"array": target.path, "rows": rows_now, "appended": rows_now - first}

    # -- in parts
    def check_given(self, source: Document, given: BaseModel) -> None:
        """Refuse what is no such records at its begin."""
        read_as(cast(DataStream, source), cast(ReadingParameters, given), {})

    def cuts(self, source: Document, length: int, step_bytes: int, given: BaseModel) -> Iterator[int]:
        """Cut between two records."""
        stream = cast(DataStream, source)
        _, reader = read_as(stream, cast(ReadingParameters, given), {})
        return reader.cuts(stream.open(), length, step_bytes)

    def layout(self, source: Document, given: BaseModel) -> Layout:
        """Return what the rows look like."""
        return read_as(cast(DataStream, source), cast(ReadingParameters, given), {})[1].layout

    def rows(self, part: Part) -> Iterator[Rows]:
        """Yield the rows of the records of a part."""
        return (rows for rows, _ in self._pieces(part))

    def _pieces(self, part: Part) -> Iterator[tuple[Rows, int]]:
        stream = cast(DataStream, part.source)
        _, reader = read_as(stream, cast(ReadingParameters, part.parameters), {})
        return pieces_of(reader, stream.open(), part.start, part.stop, PIECE_BYTES)

    def map(self, part: Part) -> Arrays:
        """Append the rows of a part to its array, and tell up to which byte they go."""
        assert part.rows is not None
        end = part.start
        for rows, end in self._pieces(part):  # noqa: B007  # the last one is used
            part.check()
            part.rows.append(rows)
        return {"rows": np.array([part.rows.rows]), "ends": np.array([end])}

    def finish(self, work: Work, known: Arrays, total: Arrays) -> dict[str, Any]:  # Any: JSON
        """Replace the rows of the array, and move its indicator."""
        stream, given = cast(DataStream, work.document), cast(ReadingParameters, work.parameters)
        said, reader = read_as(stream, given, {})
        indicator = self._indicator(work, given)
        target = work.target or _target_of(indicator) or self._product(work, indicator)
        assert work.rows is not None
        rows, array = work.rows.rows, cast(DataArray, target)
        array.adopt(work.rows)
        describe(array, reader.layout)
        indicator.edit(target=array.path)
        indicator.move(int(total["ends"][-1]), rows, stream.edition, said)
        return {"array": array.path, "rows": rows, "appended": rows}

    def _product(self, work: Work, indicator: ProgressIndicator) -> Document:
        purpose = f"{self.name} {indicator.reference}"
        return product_of(work.portal, work.document, purpose, "Data Array", indicator.reference)

    def _indicator(self, work: Work, given: ReadingParameters) -> ProgressIndicator:
        """Return the indicator of this stream and this array, made at the first run."""
        reference = given.reference or name_of(work.document)
        key = f"{work.document.uid} {self.name} {reference}"
        if work.target is not None:
            reference, key = name_of(work.target), f"{work.document.uid} {self.name} to {work.target.uid}"
        found = work.portal.root.find("progress", key)
        if found is None:
            found = work.portal.new(
                "Progress Indicator", reference=reference, source=work.document.path, key=key
            )
        return cast(ProgressIndicator, found)

    def _said_before(
        self, indicator: ProgressIndicator, stream: DataStream, given: ReadingParameters
    ) -> dict[str, Any]:  # Any: JSON
        """Return how the rows there are were read; raises InvalidError if it is now to be another way."""
        if given.start_over or not indicator.position.reading or not _target_of(indicator):
            return {}
        _check_edition(indicator, stream, given, "")
        before: dict[str, Any] = json.loads(indicator.position.reading)
        for name in SAID:
            now = getattr(given, name)
            if now != default_of(name) and now != before[name]:
                raise InvalidError(
                    f"{name}: the rows so far were read with {_told(before[name], name)}, not {now!r};"
                    " set start_over to read them all in another way"
                )
        return before

    def _target(
        self, work: Work, indicator: ProgressIndicator, layout: Layout, given: ReadingParameters
    ) -> DataArray:
        """Return the array to append to; begin it, or the draft that will replace its rows."""
        target = _target_of(indicator)
        if target is None:
            target = cast(DataArray, self._product(work, indicator))
            target.create((0, *layout.row_shape), layout.dtype)
            describe(target, layout)
            indicator.edit(target=target.path, offset=0, rows=0)
            work.cursor["first"] = 0
        if given.start_over:
            if not work.cursor.get("draft"):
                indicator.begin_draft(Array((0, *layout.row_shape), layout.dtype), work.id)
                work.cursor["draft"] = True
        elif (target.dtype, target.shape[1:]) != (layout.dtype, layout.row_shape):
            raise InvalidError(
                f"{target.path} has rows of {target.dtype}, shape {target.shape[1:]}, the stream has rows of"
                f" {layout.dtype}, shape {layout.row_shape}; set start_over to make it anew"
            )
        return target


def _told(value: str, name: str) -> str:
    return repr(value) if value else f"no {name}"


def _target_of(indicator: ProgressIndicator) -> DataArray | None:
    """Return the array that an indicator belongs to; None before its first row, and if it was deleted."""
    root = indicator.__parent__.__parent__ if indicator.__parent__ else None
    module, _, id = indicator.properties.target.partition("/")
    try:
        found = root[module][id] if root is not None else None
    except KeyError:
        return None
    return found if isinstance(found, DataArray) and found.is_created else None


def _check_edition(
    indicator: ProgressIndicator, stream: DataStream, given: ReadingParameters, maker: str
) -> None:
    """Raise InvalidError if the stream's bytes are others than those that were read so far."""
    at = indicator.draft_position if given.start_over else indicator.position
    if given.start_over and indicator.maker != maker:
        raise InvalidError(
            f"Another run began to make {indicator.properties.target} anew; this one gives way"
        )
    if at.offset > stream.size or (at.offset and at.edition != stream.edition):
        raise InvalidError(
            f"The stream was replaced after its bytes up to {at.offset} were read;"
            " set start_over to make the array anew"
        )
