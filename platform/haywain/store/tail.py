"""Mend the tail of a FileStorage before it is opened.

After a power cut a file system may show zeros or garbage where a transaction was being written.  ZODB
cuts an incomplete transaction off by itself, but 23 or more zero bytes, or garbage, after the last
transaction make it panic.  So walk the transaction headers from a known good place, as ZODB does, and
where they stop making sense copy the rest aside and cut it: nothing acknowledged lies behind that place,
since an acknowledged transaction was fsynced whole.  Format: ZODB/FileStorage/format.py.
"""

import logging
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ZODB.fsIndex import fsIndex

_MAGIC = b"FS30"
_HEADER = struct.Struct(">8sQcHHH")  # tid, length, status, lengths of user, description, extension
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """What was cut off: `length` bytes from `offset` on, kept in the file `aside`."""

    offset: int
    length: int
    aside: Path


def mend_tail(data_fs: Path) -> Cut | None:
    """Cut what is no transaction off the end of the file, after copying it aside.

    Returns None if there was nothing to cut.  A file that is no FileStorage at all is left for
    ZODB to refuse.
    """
    if not data_fs.exists() or data_fs.stat().st_size < len(_MAGIC):
        return None
    with open(data_fs, "r+b") as file:
        if file.read(4) != _MAGIC:
            return None
        size = data_fs.stat().st_size
        good = _end_of_transactions(file, size, _known_good(data_fs, size))
        if good == size:
            return None
        aside = data_fs.with_name(f"{data_fs.name}.tail-{good}")
        file.seek(good)
        with open(aside, "wb") as copy:
            shutil.copyfileobj(file, copy)
        file.truncate(good)
    _log.warning(
        "cut %d bytes after the last transaction of %s; they are kept in %s", size - good, data_fs, aside
    )
    return Cut(good, size - good, aside)


def _known_good(data_fs: Path, size: int) -> int:
    """Return where the saved index ends, if it can be trusted, else where the transactions begin."""
    try:
        position = fsIndex.load(str(data_fs) + ".index")["pos"]
    except (OSError, KeyError, ValueError, EOFError, TypeError):
        return len(_MAGIC)
    except Exception as error:  # a damaged pickle raises what it likes; the index is rebuildable
        _log.warning("the index of %s is not readable: %s", data_fs, error)
        return len(_MAGIC)
    return position if isinstance(position, int) and len(_MAGIC) <= position <= size else len(_MAGIC)


def _end_of_transactions(file: BinaryIO, size: int, position: int) -> int:
    """Walk transaction by transaction; return where the last whole one ends."""
    previous = b""
    while position + _HEADER.size <= size:
        file.seek(position)
        tid, length, status, user, description, extension = _HEADER.unpack(file.read(_HEADER.size))
        end = position + length
        sensible = (
            status in b" up" and tid > previous and length >= _HEADER.size + user + description + extension
        )
        if not sensible or end + 8 > size:
            break
        file.seek(end)
        if file.read(8) != length.to_bytes(8, "big"):
            break
        previous, position = tid, end + 8
    return position
