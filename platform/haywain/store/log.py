"""Log: the transactions in the file of a FileStorage, read without trusting any of them.

ZODB's own iterator stops, with a line in a log, where something is wrong.  This one says what is wrong and
goes on at the next whole transaction.  It may read a file to which a server is appending: what is unfinished
at the end is the end.  Where a transaction makes no sense and a whole one follows, it is read once more
before it counts as damaged, since a server writes them in order and may have finished it meanwhile.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ZODB.fsIndex import fsIndex
from ZODB.utils import z64

from haywain.store.tail import HEADER, MAGIC, RECORD, Fault, find_fault, find_transaction

_LARGEST_FILE = 1 << 63

Complain = Callable[[str, int, bytes], object]
"""Called with what is wrong, at which byte of the file, and in which object, if that is known."""


class LogRecord(NamedTuple):
    """A state of an object; `data` is None where it ends to exist, `position` is in bytes of the file."""

    oid: bytes
    tid: bytes
    position: int
    data: bytes | None


@dataclass(frozen=True)
class LogTransaction:
    """A transaction that is whole: where it begins, where its records do, and where the next one does."""

    tid: bytes
    status: bytes
    position: int
    records: int
    stop: int
    extension: bytes


@dataclass
class Log:
    """The transactions from the first on; `index`, `end` and `last_tid` are as of what was read so far."""

    file: BinaryIO
    complain: Complain = lambda detail, position, oid: None
    index: fsIndex = field(default_factory=fsIndex)
    end: int = len(MAGIC)
    last_tid: bytes = z64
    knows_all: bool = True
    """Whether all transactions before `end` were read: then the index tells what a record must name."""

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def size(self) -> int:
        """Return how many bytes the file has now."""
        return os.fstat(self.file.fileno()).st_size

    def transactions(self) -> Iterator[LogTransaction]:
        """Yield the transactions that are whole, from `end` on."""
        if self._read(0, len(MAGIC)) != MAGIC:
            self.complain("the file does not begin as a FileStorage does", 0, b"")
        while self.end < self.size():
            found = self._transaction(self.end)
            if found is None:
                found = self._after_fault(find_fault(self.file, self.size(), self.end))
            if found is None:
                return
            if found.tid <= self.last_tid:
                self.complain("a transaction is older than the one before it", found.position, b"")
            yield found
            self.end, self.last_tid = found.stop, found.tid

    def _transaction(self, position: int) -> LogTransaction | None:
        head = self._read(position, HEADER.size)
        if len(head) < HEADER.size:
            return None
        tid, length, status, *strings = HEADER.unpack(head)
        records, end = position + HEADER.size + sum(strings), position + length
        if status not in (b" ", b"u", b"p") or records > end:
            return None
        if self._read(end, 8) != length.to_bytes(8, "big"):
            return None
        extension = self._read(records - strings[2], strings[2])
        return LogTransaction(tid, status, position, records, end + 8, extension)

    def _after_fault(self, fault: Fault | None) -> LogTransaction | None:
        """Return the transaction at `end`, read again, or the next whole one; None if there is none."""
        later = find_transaction(self.file, self.size(), self.end + 1)
        again = self._transaction(self.end)
        if again is not None:
            return again
        if later is not None:
            self.complain(f"no transaction can be read up to byte {later}", self.end, b"")
            self.knows_all = False
            return self._transaction(later)
        if fault is not None and not fault.is_torn:
            self.complain("the last transaction cannot be read", self.end, b"")
        return None

    def records(self, transaction: LogTransaction) -> Iterator[LogRecord]:
        """Yield the records of a transaction, which enter the index; an undone one has none."""
        if transaction.status == b"u":
            return
        position, end, seen = transaction.records, transaction.stop - 8, []
        while position < end:
            found = self._record(transaction, position, end)
            if found is None:
                break
            record, position = found
            seen.append((record.oid, record.position))
            yield record
        for oid, at in seen:
            self.index[oid] = at

    def _record(self, transaction: LogTransaction, position: int, end: int) -> tuple[LogRecord, int] | None:
        """Return the record there and where the next one begins; None if it makes no sense."""
        head = self._read(position, RECORD.size)
        if position + RECORD.size > end or len(head) < RECORD.size:
            self.complain("a record does not fit into its transaction", position, b"")
            return None
        oid, tid, previous, begin, version, length = RECORD.unpack(head)
        stop = position + RECORD.size + (length or 8)
        if tid != transaction.tid or begin != transaction.position or version or stop > end:
            self.complain("the head of a record is damaged", position, b"")
            return None
        if self.knows_all and previous != (0 if transaction.status == b"p" else self.index.get(oid, 0)):
            self.complain("a record names a wrong place of the object's state before it", position, oid)
        if length:
            data: bytes | None = self._read(position + RECORD.size, length)
        else:
            data = self._earlier(oid, int.from_bytes(self._read(position + RECORD.size, 8), "big"), position)
        return LogRecord(oid, tid, position, data), stop

    def state(self, oid: bytes) -> tuple[bytes, bytes] | None:
        """Return the last state of an object that was read, and its tid; None if it has none."""
        position = self.index.get(oid)
        if position is None:
            return None
        head = self._read(position, RECORD.size)
        tid, length = head[8:16], int.from_bytes(head[-8:], "big")
        if length:
            return self._read(position + RECORD.size, length), tid
        back = int.from_bytes(self._read(position + RECORD.size, 8), "big")
        data = self._earlier(oid, back, position)
        return None if data is None else (data, tid)

    def _earlier(self, oid: bytes, back: int, position: int) -> bytes | None:
        """Return the data that a record shares with an earlier one of its object."""
        place = position
        while back:
            head = self._read(back, RECORD.size)
            if back >= place or len(head) < RECORD.size or head[:8] != oid:
                self.complain("a record names a wrong place of the state it repeats", position, oid)
                return None
            length = RECORD.unpack(head)[5]
            if length and back + RECORD.size + length > place:
                self.complain("the head of a record is damaged", back, oid)
                return None
            if length:
                return self._read(back + RECORD.size, length)
            place, back = back, int.from_bytes(self._read(back + RECORD.size, 8), "big")
        return None

    def _read(self, position: int, length: int) -> bytes:
        """Return bytes, as far as they are there; a damaged length may point beyond what a file can have."""
        return os.pread(self.file.fileno(), length, position) if position < _LARGEST_FILE else b""


def open_log(data_fs: Path, complain: Complain) -> Log:
    """Open a Data.fs to read it; raises OSError."""
    return Log(open(data_fs, "rb", buffering=0), complain)
