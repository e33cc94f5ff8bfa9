"""Manifest: what one backup consists of.  It is written last, so a backup that was cut short has none.

DEST/<stamp>.json                the manifest; the stamp is the time in UTC
DEST/<stamp>.fs, <stamp>.deltafs the bytes of Data.fs, or those it grew by since the backup before (`repozo`
                                 gives its files these names, and can put them together)
DEST/blobs/                      the blobs of all backups, each once
DEST/backup.lock                 locked (flock) by the one backup that runs
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from haywain.errors import CorruptDataError, DataDirectoryError, InvalidError, NotFoundError
from haywain.store.fsync import write_durably

FORMAT = 1
LOCK = "backup.lock"
STAMP = "%Y-%m-%d-%H-%M-%S"
_STAMP = re.compile(r"\d{4}(-\d\d){5}")
DATA_FILE = re.compile(r"(\d{4}(?:-\d\d){5})\.(delta)?fs(\.part)?")


@dataclass(frozen=True)
class BlobEntry:
    """A blob: its path below `blobs`, its bytes and their xxh3-128."""

    path: str
    length: int
    checksum: str


@dataclass(frozen=True)
class Manifest:
    """One backup: the bytes [start, stop) of Data.fs and the blobs that came with them.

    `base` is the stamp of the full backup it belongs to, its own if it is one; `moment` is in seconds since
    1970 UTC; `files` are small files of the data directory, whole.
    """

    stamp: str
    base: str
    moment: float
    tid: str
    start: int
    stop: int
    checksum: str
    blobs: tuple[BlobEntry, ...]
    files: dict[str, str]
    version: str
    format: int = FORMAT

    @property
    def is_full(self) -> bool:
        """Whether it needs no other."""
        return self.stamp == self.base

    @property
    def data_file(self) -> str:
        """The name of the file with its bytes of Data.fs."""
        return f"{self.stamp}.{'fs' if self.is_full else 'deltafs'}"

    def write(self, dest: Path) -> None:
        """Write it durably: with this the backup is there."""
        write_durably(dest / f"{self.stamp}.json", json.dumps(asdict(self)).encode())


def read_manifests(dest: Path) -> list[Manifest]:
    """Return the manifests of all complete backups, oldest first.

    Raises NotFoundError without a backup directory, CorruptDataError for one that is damaged.
    """
    if not (dest / LOCK).exists():
        raise NotFoundError(f"There are no backups in {dest}")
    paths = sorted(path for path in dest.glob("*.json") if _STAMP.fullmatch(path.stem))
    return [_read(path) for path in paths]


def _read(path: Path) -> Manifest:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())  # Any: JSON
        if found["format"] > FORMAT:
            raise DataDirectoryError(
                f"{path} was written by Haywain {found['version']}: install that version"
            )
        return Manifest(**{**found, "blobs": tuple(BlobEntry(**blob) for blob in found["blobs"])})
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"The manifest {path} is damaged: {error}; restore to another moment"
        ) from error


def chain_to(manifests: list[Manifest], at: float | None) -> list[Manifest]:
    """Return the backups that make up the last one at or before a moment: a full one and what followed it.

    Raises NotFoundError if there is none so early.
    """
    before = [m for m in manifests if at is None or m.moment <= at]
    if not before:
        first = (
            f"the first one is of {iso(manifests[0].moment)}" if manifests else "there is no backup at all"
        )
        raise NotFoundError(f"There is no backup from then or before: {first}")
    last = before[-1]
    chain = [m for m in before if m.base == last.base]
    stop = 0
    for manifest in chain:
        if manifest.start != stop:
            raise CorruptDataError(
                f"The backup before {manifest.stamp} is missing; restore to another moment"
            )
        stop = manifest.stop
    return chain


def stamp_of(moment: float) -> str:
    """Return a moment as it stands in the names of files.

    >>> stamp_of(0)
    '1970-01-01-00-00-00'
    """
    return datetime.fromtimestamp(int(moment), UTC).strftime(STAMP)


def iso(moment: float) -> str:
    """Return a moment with its microseconds, so that it can be asked for again.

    >>> iso(1.5)
    '1970-01-01T00:00:01.500000Z'
    """
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_moment(text: str) -> float:
    """Return the seconds since 1970 UTC of an ISO 8601 time, in UTC if it names no zone; raises InvalidError.

    >>> parse_moment("1970-01-02"), parse_moment("1970-01-01T01:00+01:00")
    (86400.0, 0.0)
    """
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{text[:100]!r} is no time such as 2026-11-03T12:00") from error
