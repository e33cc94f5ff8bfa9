"""Delimited text (CSV): lines of numbers, parsed by `numpy.loadtxt`.

UTF-8, with or without a header; lines that are empty or begin with # are passed over; an empty field is NaN
where the column is a float, NaT where it is a time.  Without a dtype all
numbers become float64 in rows of that many columns; a column of ISO times makes the rows structured, with
datetime64[us] for the time.
"""

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from haywain.analysis.fields import (
    DATE,
    DELIMITERS,
    check_dtype,
    fields_of,
    is_time,
    is_value,
    parse,
    sniff_delimiter,
    split_all,
)
from haywain.analysis.rows import (
    COLUMNS_MAX,
    Layout,
    ReadableFile,
    Rows,
    after,
    cuts_at,
    line_starts,
    parse_dtype,
    place_of,
    read_at,
    unique,
)
from haywain.errors import InvalidError

WORDS = {"\t": "tab", " ": "space"}
"""What delimiters that cannot be seen are called."""

SAMPLE_BYTES = 1 << 20
"""What is looked at to find delimiter, header and columns, and also the longest line."""

PART_CHARACTERS = 1 << 18
"""Characters parsed in one call: numpy.loadtxt keeps the interpreter to itself meanwhile."""


@dataclass(frozen=True)
class DelimitedReader:
    """Reads lines of one layout; the first row begins at byte `start`."""

    layout: Layout
    delimiter: str
    start: int

    def step(self, file: ReadableFile, offset: int, limit: int, rows_before: int | None) -> tuple[Rows, int]:
        """Return the rows of the lines in the next `limit` bytes, with the last one if it lacks its newline.

        That line must be followed by a newline when the source grows: else it was a part, and InvalidError
        says so.
        """
        offset = max(offset, self.start)
        if offset > self.start and read_at(file, offset - 1, 1) not in (b"\n", b""):
            offset = self._after_last_line(file, offset)
        data = read_at(file, offset, max(limit, SAMPLE_BYTES))
        if len(data) >= max(limit, SAMPLE_BYTES):
            data = data[: data.rfind(b"\n") + 1]
            if not data:
                raise InvalidError(
                    f"The line that begins at byte {offset} is longer than {SAMPLE_BYTES} bytes"
                )
        found, position, rows = [self.layout.empty()], 0, rows_before
        while position < len(data):
            stop = data.rfind(b"\n", position, position + PART_CHARACTERS) + 1
            if not stop:
                stop = data.find(b"\n", position) + 1 or len(data)
            found.append(self._parse(file, data[position:stop], offset + position, rows))
            rows, position = after(rows, len(found[-1])), stop
        return np.concatenate(found), offset + len(data)

    def cuts(self, file: ReadableFile, stop: int, step: int) -> Iterator[int]:
        """Yield where lines begin."""
        yield from cuts_at(line_starts(file, stop, step), stop, 1)

    def _after_last_line(self, file: ReadableFile, offset: int) -> int:
        """Return the offset behind the newline that ends the line taken without one."""
        tail = read_at(file, offset, 2)
        if tail[:1] not in (b"", b"\n") and tail != b"\r\n":
            raise InvalidError(
                f"The last line was taken without its newline up to byte {offset}, and now it goes on there;"
                " start over to read it whole"
            )
        return offset + tail.find(b"\n") + 1 if tail else offset

    def _parse(self, file: ReadableFile, data: bytes, at: int, row: int | None) -> Rows:
        """Return the rows of whole lines, which begin at a byte; raises InvalidError."""
        lines = [line for line in _decoded(data, at).split("\n") if _is_told(line)]
        if not lines:
            return self.layout.empty()
        if b'"' not in data and self._are_plain(lines):
            with suppress(ValueError, OverflowError):
                return self._load(lines)
        try:
            return self._rows(lines)
        except (csv.Error, ValueError, OverflowError) as error:
            self._blame(file, data, at, row)
            raise InvalidError(f"The lines from byte {at} on make no rows: {error}") from error

    def _are_plain(self, lines: list[str]) -> bool:
        """Return whether `_load` gives what `_rows` does, or raises ValueError."""
        if self._plain is None:
            return False
        return not self._plain.pattern or all(map(self._plain.match, lines))

    @cached_property
    def _plain(self) -> re.Pattern[str] | None:
        """What lines begin with whose time columns all hold times; None if there are other than numbers."""
        dtype, count = self.layout.dtype, len(self.layout.names)
        kinds = "".join(dtype[n].kind for n in range(count)) if dtype.names else dtype.kind * count
        if set(kinds) - set("iufM") or ("M" in kinds and self.delimiter == " "):
            return None
        stop = re.escape(self.delimiter)
        told = kinds[: kinds.rfind("M") + 1]
        return re.compile(
            stop.join(rf"\s*{DATE.pattern}[^{stop}]*" if kind == "M" else f"[^{stop}]*" for kind in told),
            re.ASCII,
        )

    def _load(self, lines: list[str]) -> Rows:
        """Return the rows of plain lines in one go."""
        delimiter = None if self.delimiter == " " else self.delimiter
        ndmin: Literal[1, 2] = 2 if self.layout.row_shape else 1
        found: Rows = np.loadtxt(
            lines, self.layout.dtype, comments=None, delimiter=delimiter, quotechar=None, ndmin=ndmin
        )
        if found.shape != (len(lines), *self.layout.row_shape):
            raise ValueError("another number of rows or columns")
        return found

    def _rows(self, lines: list[str]) -> Rows:
        """Return the rows of lines, each field for itself: this says what a field means."""
        rows = split_all(lines, self.delimiter)
        found = np.empty((len(rows), *self.layout.row_shape), self.layout.dtype)
        names = self.layout.dtype.names
        if any(len(row) != len(self.layout.names) for row in rows):
            raise ValueError("another number of columns")
        for number, fields in enumerate(zip(*rows, strict=True)):
            target = found[:, number] if names is None else found[names[number]]
            target[:] = parse(fields, self._dtype(number))
        return found

    def _blame(self, file: ReadableFile, data: bytes, at: int, row: int | None) -> None:
        """Raise InvalidError for the first line that makes no row; it names row, byte and line."""
        for line in data.split(b"\n"):
            text = line.decode()
            if _is_told(text):
                where = place_of("Row", row, at)
                if reason := self._why_not(fields_of(text, self.delimiter, where)):
                    raise InvalidError(f"{where} in line {line_at(file, at)}{reason}")
                row = after(row, 1)
            at += len(line) + 1

    def _why_not(self, fields: list[str]) -> str:
        """Say why fields make no row, "" if they do."""
        if len(fields) != len(self.layout.names):
            return f", has {len(fields)} field{'s' * (len(fields) > 1)}, not {len(self.layout.names)}"
        for number, field in enumerate(fields):
            try:
                parse([field], self._dtype(number))
            except (ValueError, OverflowError):
                return (
                    f": {field[:40]!r} in the column {self.layout.names[number]!r} is no"
                    f" {self._dtype(number)}{self._another_delimiter(field)}"
                )
        return ""

    def _another_delimiter(self, field: str) -> str:
        """Ask for another delimiter where a field holds one."""
        if not any(other in field.strip() for other in DELIMITERS if other != self.delimiter):
            return ""
        return f"; fields were split at {WORDS.get(self.delimiter, self.delimiter)!r}: is delimiter another?"

    def _dtype(self, number: int) -> np.dtype[Any]:  # Any: of the file
        """Return the dtype of a column."""
        dtype = self.layout.dtype
        return dtype if dtype.names is None else dtype[number]


def open_delimited(
    file: ReadableFile, delimiter: str = "", header: bool | None = None, dtype: str = ""
) -> DelimitedReader:
    """Find out what is not said about delimiter, header and columns; raises InvalidError."""
    lines = _sample(file)
    if not lines:
        raise InvalidError("There is no line to tell the columns by, up to the first newline")
    delimiter = delimiter or sniff_delimiter([line for _, line in lines])
    rows = [(at, fields_of(line, delimiter, f"The line that begins at byte {at}")) for at, line in lines[:2]]
    count = len(rows[0][1])
    if count > COLUMNS_MAX:
        raise InvalidError(f"The first line has {count} fields; at most {COLUMNS_MAX} make a row")
    if header is None:
        told = [field for field in rows[0][1] if field.strip()]
        header = bool(told) and not any(is_value(field) for field in told)
    names = unique([name.strip() for name in rows[0][1]] if header else [""] * count)
    data = rows[1:] if header else rows
    if not data:
        raise InvalidError("There is no row behind the header to tell the columns by")
    return DelimitedReader(_layout(names, data[0][1], dtype), delimiter, data[0][0])


def _layout(names: tuple[str, ...], fields: list[str], dtype: str) -> Layout:
    found = check_dtype(parse_dtype(dtype)) if dtype else None
    if found is not None and found.names is not None:
        if len(found.names) != len(names):
            raise InvalidError(f"dtype: it has {len(found.names)} fields, the lines have {len(names)}")
        return Layout(np.dtype([(name, found[i]) for i, name in enumerate(names)]), (), names)
    if found is None and any(is_time(field) for field in fields):
        kinds = ["<M8[us]" if is_time(field) else "<f8" for field in fields]
        return Layout(np.dtype(list(zip(names, kinds, strict=False))), (), names)
    return Layout(np.dtype("<f8") if found is None else found, (len(names),), names)


def _sample(file: ReadableFile) -> list[tuple[int, str]]:
    """Return the first lines that hold something, each with its offset."""
    data = read_at(file, 0, SAMPLE_BYTES)
    at = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    if len(data) == SAMPLE_BYTES:
        data = data[: data.rfind(b"\n") + 1]
        if not data:
            raise InvalidError(f"The line that begins at byte 0 is longer than {SAMPLE_BYTES} bytes")
    found = []
    for line in data[at:].split(b"\n"):
        text = _decoded(line, at)
        if _is_told(text):
            found.append((at, text))
        at += len(line) + 1
        if len(found) > 20:
            break
    return found


def line_at(file: ReadableFile, offset: int) -> int:
    """Return the number of the line, from 1, that begins at a byte."""
    starts = range(0, offset, SAMPLE_BYTES)
    parts = (read_at(file, start, min(SAMPLE_BYTES, offset - start)) for start in starts)
    return 1 + sum(part.count(b"\n") for part in parts)


def _decoded(data: bytes, at: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"Byte {at + error.start} is no UTF-8: if this is a text, save it as UTF-8"
        ) from None


def _is_told(line: str) -> bool:
    """Return whether a line is neither empty nor a comment."""
    return bool(line.strip()) and line[0] != "#"
