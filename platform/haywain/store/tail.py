"""Mend the tail of a FileStorage before it is opened.

After a power cut a file system may show zeros or garbage where a transaction was being written.  ZODB
cuts an incomplete transaction off by itself, but 23 or more zero bytes, or garbage, after the last
transaction make it panic; and a flipped bit in the length of a transaction in the middle makes it cut off
everything from there on.  So walk the transaction headers from a known good place, as ZODB does, and where
they stop making sense decide:

- Nothing after that place is a whole committed transaction: it is what a crash left.  It is copied aside and
  cut.  Nothing acknowledged lies there, since an acknowledged transaction was fsynced whole.
- There is one, or the bad place itself is one with damage that no crash makes: bytes that were acknowledged
  would be lost.  The file is left as it is and not opened.

A data record names the offset of its transaction, so a transaction is recognised where it lies, and a copy
of one inside of somebody's bytes is not taken for one.  Format: ZODB/FileStorage/format.py.
"""

import logging
import os
import re
import shutil
import struct
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from ZODB.FileStorage import FileStorage
from ZODB.FileStorage.format import FileStorageFormatter
from ZODB.fsIndex import fsIndex

from haywain.errors import DataDirectoryError
from haywain.store.chunk import is_intact
from haywain.store.fsync import fsync_path
from haywain.values import MIB

MAGIC = b"FS30"
HEADER = struct.Struct(">8sQcHHH")  # tid, length, status, lengths of user, description, extension
RECORD = struct.Struct(">8s8sQQHQ")  # oid, tid, previous, offset of its transaction, 0, length or 0
_LENGTH_AND_STATUS = re.compile(rb"\0\0\0.{5}[ up]", re.DOTALL)  # of a transaction below 1 TiB
_SCANNED = MIB
_SECTOR = 512
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """What was cut off: `length` bytes from `offset` on, kept in the file `aside`."""

    offset: int
    length: int
    aside: Path


@dataclass(frozen=True)
class Fault:
    """A transaction that makes no sense: where it begins, and whether a crash alone explains it."""

    offset: int
    is_torn: bool


def mend_tail(data_fs: Path) -> Cut | None:
    """Cut what is no transaction off the end of the file, after copying it aside.

    Call it while no other process has the storage open.  Returns None if there was nothing to cut; a file
    that is no FileStorage at all is left for ZODB to refuse.  Raises DataDirectoryError if a cut would
    lose committed transactions.
    """
    if not data_fs.exists() or data_fs.stat().st_size <= len(MAGIC):
        return None
    with open(data_fs, "r+b") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return None
        size = file.seek(0, os.SEEK_END)
        fault = find_fault(file, size, _known_good(file, data_fs))
        if fault is None:
            return None
        _refuse_loss(file, size, fault, data_fs)
        aside = _copy_aside(file, fault.offset, data_fs)
        file.truncate(fault.offset)
        os.fsync(file.fileno())
    length = size - fault.offset
    _log.warning("cut %d bytes after the last transaction of %s; they are kept in %s", length, data_fs, aside)
    return Cut(fault.offset, length, aside)


def _known_good(file: BinaryIO, data_fs: Path) -> int:
    """Return where the saved index ends if ZODB will trust it, else where the transactions begin.

    An index that ZODB will not trust is removed: it makes a new one.
    """
    saved = Path(f"{data_fs}.index")
    if not saved.exists():
        return len(MAGIC)
    probe = FileStorageFormatter()
    probe._file = file
    try:
        found = fsIndex.load(str(saved))
        position = int(found["pos"])
        if FileStorage._check_sanity(probe, found["index"], position):
            return position
    except Exception as error:  # a damaged pickle raises what it likes; the index is rebuildable
        _log.warning("the index of %s is not readable: %s", data_fs, error)
    saved.unlink()
    return len(MAGIC)


def find_fault(file: BinaryIO, size: int, position: int) -> Fault | None:
    """Walk transaction by transaction to the end; return the first that makes no sense."""
    last = None
    while position < size:
        file.seek(position)
        header = file.read(HEADER.size)
        if len(header) < HEADER.size:
            return Fault(position, is_torn=True)
        tid, length, status, *strings = HEADER.unpack(header)
        end, records = position + length, position + HEADER.size + sum(strings)
        if status not in b" up" or records > end or end + 8 > size:
            is_lost = tid[0] == 0 or status in b"\0c"
            return Fault(position, is_lost or not _ends_with_length(file, size, position))
        file.seek(end)
        trailer = file.read(8)
        if trailer != length.to_bytes(8, "big"):
            is_whole = end + 8 == size and any(trailer)
            return Fault(position, not is_whole and not _ends_with_length(file, size, position))
        last, position = (position, records, end), end + 8
    return _find_fault_inside(file, *last) if last and status != b"u" else None


def _find_fault_inside(file: BinaryIO, start: int, position: int, end: int) -> Fault | None:
    """Check the records of the last transaction: only that one can have been written in part.

    Bytes that were lost inside of a Record leave the structure whole; its checksum tells.
    """
    while position < end:
        file.seek(position)
        record = file.read(RECORD.size)
        _, _, _, transaction, version, length = RECORD.unpack(record.ljust(RECORD.size, b"\xff"))
        position += RECORD.size + (length or 8)
        if transaction != start or version or position > end:
            return Fault(start, is_torn=_has_empty_sector(file, start, end))
        if not is_intact(file.read(length)) and _has_empty_sector(file, position - length, position):
            return Fault(start, is_torn=True)
    return None  # a Record that is damaged otherwise was acknowledged: who reads it is told


def _ends_with_length(file: BinaryIO, size: int, position: int) -> bool:
    """Return whether the file ends with the length of a transaction that begins at the position."""
    file.seek(size - 8)
    return int.from_bytes(file.read(8), "big") == size - 8 - position


def _has_empty_sector(file: BinaryIO, start: int, end: int) -> bool:
    first = -(-start // _SECTOR) * _SECTOR
    file.seek(first)
    return any(not any(file.read(_SECTOR)) for _ in range(first, end - _SECTOR, _SECTOR))


def _refuse_loss(file: BinaryIO, size: int, fault: Fault, data_fs: Path) -> None:
    """Raise DataDirectoryError if a committed transaction lies at the fault or after it."""
    later = None if not fault.is_torn else find_transaction(file, size, fault.offset + 1)
    if fault.is_torn and later is None:
        return
    what = f"; from byte {later} on it is whole again" if later else ""
    raise DataDirectoryError(
        f"{data_fs} is damaged at byte {fault.offset}{what}. It is left as it is, since a cut would lose "
        f"what was acknowledged: restore it from a backup, or keep a copy and cut it to {fault.offset} bytes"
    )


def find_transaction(file: BinaryIO, size: int, start: int) -> int | None:
    """Return where the next whole transaction with records begins, if there is one.

    The file is read and not mapped: a server that appends to it may cut what is unfinished.
    """
    for base in range(start + 8, size, _SCANNED):
        file.seek(base)
        content = file.read(min(_SCANNED + 8, size - base))  # a match has 9 bytes
        found = _LENGTH_AND_STATUS.search(content)
        while found:
            position = base + found.start() - 8
            if _is_transaction(file, position):
                return position
            found = _LENGTH_AND_STATUS.search(content, found.start() + 1)
    return None


def _is_transaction(file: BinaryIO, position: int) -> bool:
    file.seek(position)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return False
    tid, length, _, *strings = HEADER.unpack(header)
    end, record = position + length, position + HEADER.size + sum(strings)
    if record + RECORD.size > end:
        return False
    file.seek(end)
    if file.read(8) != length.to_bytes(8, "big"):
        return False
    file.seek(record)
    content = file.read(RECORD.size)
    if len(content) < RECORD.size:
        return False
    found = RECORD.unpack(content)
    return bool(found[1] == tid and found[3] == position)


def _copy_aside(file: BinaryIO, offset: int, data_fs: Path) -> Path:
    """Copy what follows the offset into a new file, durably."""
    names = (f"{data_fs.name}.tail-{offset}{f'.{n}' if n else ''}" for n in count())
    aside = next(path for path in map(data_fs.with_name, names) if not path.exists())
    file.seek(offset)
    with open(aside, "xb") as copy:
        shutil.copyfileobj(file, copy)
    fsync_path(aside)
    fsync_path(aside.parent)
    return aside
