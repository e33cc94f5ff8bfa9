"""Runs: files of keys of the ledger in order, each with the number of its Batch, mapped, searched by halving.

A file `LANE-LAST.run` is a header, the first 8 bytes of each key as a number, in order, and the numbers
of their Batches, which are all those from one number to another.  The header tells the keys of the last
of them, by which it is known whether the file belongs to this database as it is now: it may have been
restored to an earlier day.  What does not belong, or does not follow without a gap, is removed, and made
anew from the log.
"""

import hashlib
import logging
import struct
from collections.abc import Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from haywain.ingestion.ledger import Ledger

_HEADER = struct.Struct("<8sQqq16sQ")
"""Magic, how many keys, the number before the first, the last one, the digest of its keys, a checksum."""

_MAGIC = b"HWRUN\0\0\1"
FEW, MANY = 16, 1 << 20
"""So many files of less than so many keys become one."""

Numbers = npt.NDArray[np.uint64]
_log = logging.getLogger(__name__)


class Run:
    """One file."""

    def __init__(self, path: Path) -> None:
        """Map a file; raises ValueError if it is damaged."""
        self.path = path
        data = np.memmap(path, np.uint8, "r")
        if len(data) < _HEADER.size:
            raise ValueError("it is cut short")
        magic, count, self.before, self.last, self.digest, checksum = _HEADER.unpack(
            bytes(data[: _HEADER.size])
        )
        body = data[_HEADER.size :]
        if magic != _MAGIC or len(body) != 16 * count or checksum != xxh3_64_intdigest(body.data):
            raise ValueError("its checksum does not match")
        numbers: Any = body.view("<u8")
        self.prefixes, self.places = numbers[:count], numbers[count:]

    def find(self, prefix: np.uint64) -> list[int]:
        """Return the numbers of the Batches of keys that begin so."""
        at, found = int(np.searchsorted(self.prefixes, prefix)), []
        while at < len(self.prefixes) and self.prefixes[at] == prefix:
            found.append(int(self.places[at]))
            at += 1
        return found


class Runs:
    """The files of one lane, in order."""

    def __init__(self, folder: Path, lane: str) -> None:
        """Begin without any."""
        self._folder, self._lane = folder, lane
        self.files: list[Run] = []

    @classmethod
    def load(cls, folder: Path, lane: str, ledger: "Ledger") -> "Runs":
        """Return the files of a lane that agree with the ledger and follow one another."""
        found, oldest = cls(folder, lane), ledger.oldest(lane)
        for path in folder.glob(f"{lane}-*.new"):  # of a process that was killed
            _unlink(path)
        for path in sorted(folder.glob(f"{lane}-*.run"), reverse=True):
            run = _mapped(path)
            is_next = run is not None and (not found.files or run.last == found.files[0].before)
            if run is not None and is_next and _digest(ledger.keys_of(lane, run.last)) == run.digest:
                found.files.insert(0, run)
            else:
                _unlink(path)
        if found.files and found.files[0].before >= max(oldest, 0):  # what comes before it is missing
            found.forget(found.last + 1)
        return found

    @property
    def last(self) -> int:
        """The number of the last Batch whose keys are here; -1 without any."""
        return self.files[-1].last if self.files else -1

    def find(self, key: bytes) -> list[int]:
        """Return the numbers of Batches that may hold a key."""
        prefix = np.uint64(int.from_bytes(key[:8], "big"))
        return [number for run in self.files for number in run.find(prefix)]

    def add(self, keys: Mapping[bytes, int], last: int) -> None:
        """Make a file of keys and their numbers; `last` is the largest of these; raises OSError."""
        prefixes = np.array([int.from_bytes(key[:8], "big") for key in keys], "<u8")
        places = np.fromiter(keys.values(), "<u8", len(keys))
        digest = _digest([key for key, at in keys.items() if at == last])
        self.files.append(self._written(prefixes, places, self.last, last, digest))
        few = list(takewhile(lambda run: len(run.prefixes) < MANY, reversed(self.files)))
        if len(few) >= FEW:
            self._join(few[::-1])

    def forget(self, before: int) -> None:
        """Remove files of which all Batches were before a number."""
        for run in [run for run in self.files if run.last < before]:
            self.files.remove(run)
            _unlink(run.path)

    def _join(self, runs: list[Run]) -> None:
        """Make one file of the last ones; it takes the name of the very last, the others go after that."""
        prefixes = np.concatenate([run.prefixes for run in runs])
        places = np.concatenate([run.places for run in runs])
        joined = self._written(prefixes, places, runs[0].before, runs[-1].last, runs[-1].digest)
        self.files[-len(runs) :] = [joined]
        for run in runs[:-1]:
            _unlink(run.path)

    def _written(self, prefixes: Numbers, places: Numbers, before: int, last: int, digest: bytes) -> Run:
        order = np.argsort(prefixes, kind="stable")
        body = np.concatenate([prefixes[order], places[order]]).tobytes()
        header = _HEADER.pack(_MAGIC, len(order), before, last, digest, xxh3_64_intdigest(body))
        path = self._folder / f"{self._lane}-{last:016x}.run"
        self._folder.mkdir(exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_bytes(header + body)
        beside.replace(path)
        return Run(path)


def _unlink(path: Path) -> None:
    """Remove a file; one that stays does not follow the others, so it is not used at the next start."""
    with suppress(OSError):
        path.unlink()


def _mapped(path: Path) -> Run | None:
    """Return a file, None if it is damaged."""
    try:
        return Run(path)
    except (OSError, ValueError) as error:
        _log.warning("the ledger's %s is made anew: %s", path.name, error)
        return None


def _digest(keys: list[bytes]) -> bytes:
    """Return by what the keys of a Batch are known; an empty list is like none."""
    return hashlib.blake2b(b"".join(sorted(set(keys))), digest_size=16).digest()
