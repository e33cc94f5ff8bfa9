"""Backup: the bytes of a database and its blobs into another directory, while others commit.

Data.fs grows at its end, and blobs never change, so a backup is what was added since the one before; a pack
is kept out meanwhile.  After a pack, or a restore to an earlier moment, the transaction with which the last
backup ended does not end there any more: then a full backup begins.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ZODB.blob import LAYOUTS, is_blob_record

import haywain
from haywain import clock
from haywain.errors import DataDirectoryError, DataDirectoryInUseError
from haywain.store.copying import Directories, checksum_of, copy_file, copy_range, link_file
from haywain.store.log import Log, open_log
from haywain.store.manifest import (
    DATA_FILE,
    LOCK,
    STAMP,
    BlobEntry,
    Manifest,
    iso,
    parse_moment,
    read_manifests,
    stamp_of,
)
from haywain.store.pack_lock import reading
from haywain.store.tail import HEADER, MAGIC
from haywain.store.verification import Progress, no_progress

KINDS_OF_ITS_OWN = ("portal_types", "ingestion_policies", "activities")
"""Folders of a data directory with code, without which documents of its own kinds cannot be loaded."""


@dataclass
class BackedUp:
    """What a backup did: `kind` is full, incremental or unchanged; `problems` are what could not be read."""

    kind: str
    manifest: Manifest
    copied_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        manifest = self.manifest
        return {
            "kind": self.kind,
            "name": manifest.stamp,
            "time": iso(manifest.moment),
            "tid": manifest.tid,
            "data_bytes": manifest.stop,
            "blobs": len(manifest.blobs),
            "blob_bytes": sum(blob.length for blob in manifest.blobs),
            "copied_bytes": self.copied_bytes,
            "problems": self.problems,
        }


class Backup:
    """One backup of the database whose files are in `folder`, of the data directory `data`."""

    def __init__(self, folder: Path, data: Path, dest: Path, progress: Progress = no_progress) -> None:
        """Name the directories; nothing is touched yet."""
        self._folder, self._data, self._dest, self._progress = folder, data, dest.absolute(), progress
        self._directories = Directories(self._dest)
        self._problems: list[str] = []
        self._copied = 0

    def run(self, full: bool = False) -> BackedUp:
        """Back up what is new, or all if asked or needed.

        Raises DataDirectoryError (nothing to back up, DEST holds something else), DataDirectoryInUseError
        while a pack or another backup to DEST runs, OSError of the disk.
        """
        data_fs = self._folder / "Data.fs"
        if not data_fs.exists():
            raise DataDirectoryError(f"There is no database in {self._folder}: {data_fs} is missing")
        self._prepare()
        with _alone(self._dest), reading(self._folder):
            manifests = read_manifests(self._dest)
            self._remove_incomplete({m.data_file for m in manifests})
            log = open_log(data_fs, self._complain)
            try:
                return self._back_up(log, manifests, full)
            finally:
                log.close()

    def _prepare(self) -> None:
        """Make DEST, if it is not there; refuse what is no backup directory."""
        if self._dest.is_relative_to(self._folder):
            raise DataDirectoryError(f"{self._dest} lies in the directory that is to be backed up")
        self._dest.mkdir(parents=True, exist_ok=True)
        if not (self._dest / LOCK).exists() and (found := [p.name for p in self._dest.iterdir()]):
            raise DataDirectoryError(
                f"{self._dest} holds {min(found)!r} and no backups; name a new directory"
            )
        (self._dest / LOCK).touch()

    def _remove_incomplete(self, complete: set[str]) -> None:
        """Remove what a backup that was cut short left of Data.fs; blobs are complete, and used again."""
        for path in self._dest.iterdir():
            if DATA_FILE.fullmatch(path.name) and path.name not in complete:
                path.unlink()

    def _complain(self, detail: str, position: int, oid: bytes) -> None:
        self._problems.append(f"Data.fs, byte {position}: {detail}")

    def _back_up(self, log: Log, manifests: list[Manifest], full: bool) -> BackedUp:
        last = manifests[-1] if manifests else None
        before = last if last is not None and not full and self._goes_on(log, manifests, last) else None
        if before is not None:
            log.end, log.last_tid, log.knows_all = before.stop, bytes.fromhex(before.tid), False
        wanted = list(self._blob_paths(log))
        moment = parse_moment(iso(clock.now_s()))  # as it is told, so that it can be asked for again
        if before is not None and log.end == before.stop:
            return BackedUp("unchanged", before)
        stamp = _stamp_after(last, moment)
        base, start = (stamp, 0) if before is None else (before.base, before.stop)
        known = {blob.path: blob for manifest in manifests for blob in manifest.blobs}
        checksum = self._copy_data(log, stamp + (".fs" if before is None else ".deltafs"), start)
        manifest = Manifest(
            stamp=stamp,
            base=base,
            moment=moment,
            tid=log.last_tid.hex(),
            start=start,
            stop=log.end,
            checksum=checksum,
            blobs=tuple(self._copy_blobs(wanted, known)),
            files=dict(self._small_files()),
            version=haywain.__version__,
        )
        self._directories.sync()
        manifest.write(self._dest)
        kind = "full" if before is None else "incremental"
        return BackedUp(kind, manifest, self._copied, self._problems)

    def _goes_on(self, log: Log, manifests: list[Manifest], last: Manifest) -> bool:
        """Return whether the database has what the last backup ends with, and DEST what that needs."""
        chain = [m for m in manifests if m.base == last.base]
        if any(_size(self._dest / m.data_file) != m.stop - m.start for m in chain):
            return False
        return _tid_ending_at(log, last.stop) == bytes.fromhex(last.tid)

    def _blob_paths(self, log: Log) -> Iterator[str]:
        """Yield the paths, below `blobs`, of the blobs of all transactions from `log.end` on; moves that."""
        layout, size = LAYOUTS["bushy"], log.size()
        for transaction in log.transactions():
            for record in log.records(transaction):
                if record.data is not None and is_blob_record(record.data):
                    yield layout.getBlobFilePath(record.oid, record.tid)
            self._progress("transactions", min(transaction.stop, size), size)

    def _copy_data(self, log: Log, name: str, start: int) -> str:
        target, done = self._dest / f"{name}.part", 0

        def step(size: int) -> None:
            nonlocal done
            done += size
            self._progress("Data.fs", done, log.end - start)

        with (self._folder / "Data.fs").open("rb") as source, target.open("wb") as copy:
            source.seek(start)
            checksum = copy_range(source, log.end - start, copy, step)
            copy.flush()
            os.fsync(copy.fileno())
        target.replace(self._dest / name)
        self._copied += done
        return checksum

    def _copy_blobs(self, paths: list[str], known: dict[str, BlobEntry]) -> Iterator[BlobEntry]:
        for done, path in enumerate(paths):
            self._progress("blobs", done, len(paths))
            entry = known.get(path)
            if entry is not None and _size(self._dest / "blobs" / path) == entry.length:
                yield entry
                continue
            try:
                yield self._copy_blob(path)
            except FileNotFoundError:
                self._problems.append(f"blobs/{path}: it is missing")

    def _copy_blob(self, path: str) -> BlobEntry:
        source, target = self._folder / "blobs" / path, self._dest / "blobs" / path
        length = source.stat().st_size
        if _size(target) == length and (checksum := checksum_of(source)) == checksum_of(target):
            return BlobEntry(path, length, checksum)  # of a backup that was cut short
        self._directories.make(target.parent)
        checksum = checksum_of(source) if link_file(source, target) else copy_file(source, target)
        self._copied += length
        return BlobEntry(path, length, checksum)

    def _small_files(self) -> Iterator[tuple[str, str]]:
        """Yield name and content of what belongs to the directory and is in no database."""
        folders = [path for name in KINDS_OF_ITS_OWN for path in sorted((self._data / name).rglob("*.py"))]
        for path in (self._data / "haywain.json", *folders):
            with suppress(FileNotFoundError):
                yield str(path.relative_to(self._data)), path.read_text(encoding="utf-8")


def _tid_ending_at(log: Log, stop: int) -> bytes | None:
    """Return the tid of the transaction that ends at a byte of Data.fs, if one does."""
    descriptor = log.file.fileno()
    length = int.from_bytes(os.pread(descriptor, 8, stop - 8), "big")
    begin = stop - 8 - length
    if stop > log.size() or begin < len(MAGIC):
        return None
    try:
        tid, found, *_ = HEADER.unpack(os.pread(descriptor, HEADER.size, begin))
    except struct.error:
        return None
    return bytes(tid) if found == length else None


def _stamp_after(last: Manifest | None, moment: float) -> str:
    """Return the stamp of a moment, or a later one: backups are sorted by it, and clocks are set back."""
    after = "" if last is None else last.stamp
    if stamp_of(moment) > after:
        return stamp_of(moment)
    taken = datetime.strptime(after, STAMP).replace(tzinfo=UTC)
    return stamp_of(taken.timestamp() + 1)


def _size(path: Path) -> int:
    """Return the bytes of a file, -1 if it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


@contextmanager
def _alone(dest: Path) -> Iterator[None]:
    """Be the only one that writes to DEST."""
    with (dest / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirectoryInUseError(f"Another backup to {dest} is under way; try again") from error
        yield
