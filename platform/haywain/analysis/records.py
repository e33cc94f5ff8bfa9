"""Records: the objects that bytes hold one after the other, as msgpack, NDJSON, lines or CSV.

    msgpack   what msgpack holds; fluentd's EventTime is a numpy.datetime64[ns]
    ndjson    the JSON of each line; lines without any are passed over
    lines     each line as text, without its end
    csv       the fields of each row as texts, the header's too; a quoted field may hold line ends

An object that is cut at the end waits for its rest, and so does a line until its newline is there.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from haywain.analysis.packed import record_ends, unpacked
from haywain.errors import InvalidError
from haywain.values import MIB

FORMATS = ("msgpack", "ndjson", "lines", "csv")

STEP = 4 * MIB
"""Bytes that are decoded at a time."""

LONGEST = 64 * MIB
"""Most bytes of one object, for who reads them one by one."""

Objects = list[Any]
"""Any: what the bytes hold."""

_MARK = b"\xef\xbb\xbf"
_NOTHING = object()  # what a line without anything holds


@dataclass(frozen=True)
class RecordReader:
    """Decodes bytes of one format; `read(start, stop)` returns those of a source that has `size` of them."""

    format: str
    delimiter: str = ","

    def decode(self, read: Callable[[int, int], bytes], start: int, stop: int) -> tuple[Objects, int]:
        """Return the whole objects of [start, stop), and the offset after the last of them.

        Raises InvalidError, which names the offset, if the first is none of this format; a later one is met
        by the next call.
        """
        found, end = [], start
        try:
            for record, after in self._records(read(start, stop), start):
                end = after
                if record is not _NOTHING:
                    found.append(record)
        except InvalidError:
            if not found:
                raise
        return found, end

    def records(self, read: Callable[[int, int], bytes], start: int, stop: int) -> Iterator[Any]:
        """Yield the objects of [start, stop), also a last line without its newline; raises InvalidError.

        One that is cut at the end is left out.
        """
        step = STEP
        while start < stop:
            found, end = self.decode(read, start, min(start + step, stop))
            yield from found
            if end > start:
                start, step = end, STEP
            elif start + step >= stop:
                break
            elif step >= LONGEST:
                raise InvalidError(f"The object that begins at byte {start} is longer than {LONGEST} bytes")
            else:
                step *= 2
        if self.format != "msgpack" and start < stop:
            yield from self._last(read(start, stop), start)

    def cuts(self, read: Callable[[int, int], bytes], start: int, stop: int, step: int) -> Iterator[int]:
        """Yield where to cut [start, stop) into parts of about `step` bytes, of whole objects, as `records`.

        The last one is `stop`.  Lines are looked for where a part may end; of CSV with quotes and of msgpack
        all is looked through.  Raises InvalidError for what is no object.
        """
        last = start
        for end in self._ends(read, start, stop, max(step, 1)):
            if end - last >= step and end < stop:
                yield end
                last = end
        yield stop

    def _ends(self, read: Callable[[int, int], bytes], start: int, stop: int, step: int) -> Iterator[int]:
        """Yield where objects end, those that a part may end with among them."""
        if self.format == "msgpack":
            pieces = (read(at, min(at + STEP, stop)) for at in range(start, stop, STEP))
            yield from record_ends(pieces, start)
            return
        size = step + STEP
        while start < stop:
            data, end = read(start, min(start + size, stop)), start
            for end in self._ends_in(data, start, step):
                yield end
            if end > start:
                start, size = end, step + STEP
            elif start + size >= stop:
                return
            else:  # an object that is longer
                size *= 2

    def _ends_in(self, data: bytes, at: int, step: int) -> Iterator[int]:
        """Yield where objects of bytes that lie at an offset end, one about every `step` bytes at least."""
        if self.format == "csv" and self.delimiter != " " and b'"' in data:
            yield from (end for _, end in self._rows(data, at))
            return
        last = 0
        while (found := data.find(b"\n", last + step - 1) + 1) > 0:
            yield at + found
            last = found

    def _last(self, data: bytes, at: int) -> Objects:
        """Return what a line without its newline holds; nothing if it is a part."""
        try:
            return [record for record, _ in self._records(data + b"\n", at) if record is not _NOTHING]
        except InvalidError:
            return []

    def _records(self, data: bytes, at: int) -> Iterator[tuple[Any, int]]:  # Any: as above
        if self.format == "msgpack":
            return ((record, at + end) for record, end in unpacked(data, at, _moment))
        return self._rows(data, at) if self.format == "csv" else self._lines(data, at)

    def _lines(self, data: bytes, at: int) -> Iterator[tuple[Any, int]]:  # Any: as above
        is_json = self.format == "ndjson"
        for line, end in _lines_of(data, at):
            is_empty = is_json and not line.strip()
            yield _NOTHING if is_empty else _decoded(line, end, _json if is_json else _text), end

    def _rows(self, data: bytes, at: int) -> Iterator[tuple[Any, int]]:  # Any: as above
        """Yield rows; a quoted field may go over several lines."""
        if self.delimiter == " ":  # several make one
            for line, end in _lines_of(data, at):
                yield str(_decoded(line, end, _text)).split() or _NOTHING, end
            return
        end, begin = at, at

        def lines() -> Iterator[str]:
            nonlocal end
            for line, after in _lines_of(data, at):
                text = str(_decoded(line, after, bytes.decode))
                end = after
                yield text

        rows = csv.reader(lines(), delimiter=self.delimiter, strict=True)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                if "end of data" in str(error):  # within quotes
                    return
                raise InvalidError(f"The row that begins at byte {begin} is no CSV: {error}") from None
            yield row or _NOTHING, end
            begin = end


def _lines_of(data: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    """Yield each whole line, with its end, and the offset after it."""
    position = len(_MARK) if at == 0 and data.startswith(_MARK) else 0
    while (end := data.find(b"\n", position) + 1) > 0:
        yield data[position:end], at + end
        position = end


def _decoded(line: bytes, end: int, decode: Callable[[bytes], Any]) -> Any:  # Any: as above
    try:
        return decode(line)
    except UnicodeDecodeError as error:
        raise InvalidError(f"Byte {end - len(line) + error.start} is no UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"The line that begins at byte {end - len(line)} is no JSON: {error}") from None


def _json(line: bytes) -> Any:  # Any: as above
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):  # what Python itself writes may be NaN or Infinity
        return json.loads(line.decode())


def _moment(nanoseconds: int) -> np.datetime64:
    return np.datetime64(nanoseconds, "ns")


def _text(line: bytes) -> str:
    return line.decode().removesuffix("\n").removesuffix("\r")
