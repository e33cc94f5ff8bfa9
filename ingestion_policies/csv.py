"""CSV: records of any body as rows under one header."""

from collections.abc import Iterator
from typing import Any

from haywain.errors import DeliveryError, InvalidError
from haywain.ingestion.records import Record, format_of, has_header, records_of, rows_of
from haywain.ingestion.writing import csv_lines, with_time
from haywain.interfaces import Chunk, Route, Targets
from haywain.values import KIB, MIB, RecordLimits

_Row = list[Any]  # Any: what the records hold


class Csv:
    """Each record of the body becomes a row in the stream of the tag `sensor.product`, under one header.

    The first body decides the columns: the header of its CSV, or the fields of its records in their order.
    Later rows are sorted into these; a header that is sent again is left out, a missing field stays empty,
    and one that has no column is refused.  Without a header rows must have as many fields as the first.
    """

    name = "csv"
    title = "Records as rows of CSV"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a tag; every valid tag has one."""
        return Route.of_tag(tag, content_type="text/csv")

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Append a row for each record, under a header if they are the first."""
        format, delimiter = format_of(chunk)
        first = _first_row(targets.sink)
        if format == "csv":
            rows = list(_placed(rows_of(chunk.body, delimiter, chunk.limits), first))
        else:
            rows = list(_rows(records_of(chunk), first))
        targets.sink.append(csv_lines(rows))


def _first_row(sink: Any) -> list[str]:  # Any: a Data Stream
    """Return the first row of a stream, [] if it has none yet."""
    if not sink.size:
        return []
    if sink.start:
        raise DeliveryError(
            f"The header of {sink.path} has expired; keep a CSV stream whole, or begin another"
        )
    size = 4 * KIB
    while True:  # a quoted name may hold line ends
        head = sink.read(0, size)
        try:
            whole = head if len(head) < size else head[: head.rindex(b"\n") + 1]
            return rows_of(whole, ",", RecordLimits())[0]
        except (ValueError, IndexError, InvalidError):
            if len(head) < size or size >= MIB:
                raise DeliveryError(f"{sink.path} begins with no row of CSV") from None
            size *= 2


def _placed(rows: list[list[str]], first: list[str]) -> Iterator[_Row]:
    """Yield rows of CSV as they go under the first row there is."""
    if not rows:
        return
    own, count = rows[0], len(first or rows[0])
    names = [name.strip() for name in own]
    is_named = bool(first) and has_header([first]) and has_header([own]) and set(names) <= set(first)
    for number, row in enumerate(rows[1:] if is_named else rows, start=2 if is_named else 1):
        if len(row) != (len(own) if is_named else count):
            raise DeliveryError(f"Row {number} has {len(row)} fields, the first of the stream has {count}")
        yield _sorted(dict(zip(names, row, strict=True)), first) if is_named else row


def _rows(records: list[Record], first: list[str]) -> Iterator[_Row]:
    """Yield maps, or lists of values, as rows; the header before them if there is none."""
    values = [with_time(record) for record in records]
    columns = first or _columns(values)
    if not first and columns:
        yield columns
    for value in values:
        if isinstance(value, dict):
            yield _sorted(value, columns)
        elif isinstance(value, list) and (not columns or len(value) == len(columns)):
            yield value
        else:
            raise DeliveryError(f"A record is no row: {str(value)[:60]!r}")


def _columns(values: list[Any]) -> list[str]:  # Any: as above
    found: dict[str, None] = {}
    for value in values:
        if isinstance(value, dict):
            found |= dict.fromkeys(map(str, value))
    return list(found)


def _sorted(record: dict[Any, Any], columns: list[str]) -> _Row:  # Any: as above
    """Return the values of a record in the order of the columns; raises DeliveryError for one without."""
    named = {str(name): value for name, value in record.items()}
    lost = [name for name in named if name not in columns]
    if lost:
        raise DeliveryError(f"There is no column {lost[0]!r}; the stream has {', '.join(columns)}")
    return [named.get(name, "") for name in columns]
