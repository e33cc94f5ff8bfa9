"""Restore: a new data directory out of a backup."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haywain.errors import CorruptDataError, DataDirectoryError
from haywain.store.copying import Directories, copy_file, copy_range
from haywain.store.directory import FORMAT
from haywain.store.fsync import write_durably
from haywain.store.manifest import BlobEntry, Manifest, chain_to, iso, read_manifests
from haywain.store.verification import Progress, no_progress

_MARKER = "haywain.json"


@dataclass
class Restored:
    """What was restored: the state of `manifest`; `problems` are what the backup does not have any more."""

    manifest: Manifest
    blobs: int = 0
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        manifest = self.manifest
        return {
            "name": manifest.stamp,
            "time": iso(manifest.moment),
            "tid": manifest.tid,
            "data_bytes": manifest.stop,
            "blobs": self.blobs,
            "problems": self.problems,
        }


def restore(
    dest: Path, directory: Path, at: float | None = None, progress: Progress = no_progress
) -> Restored:
    """Make a data directory as the last backup at or before a moment has it, in seconds since 1970 UTC.

    What makes it a data directory is written last: one that was cut short is none.  Damaged bytes are copied
    as they are, and named.  Raises DataDirectoryError if the directory holds anything, NotFoundError if there
    is no such backup, CorruptDataError if Data.fs cannot be put together, OSError.
    """
    chain = chain_to(read_manifests(dest), at)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DataDirectoryError(f"{directory} is not empty; restore into a new directory, named with --data")
    directory.mkdir(parents=True, exist_ok=True)
    return _Restoring(dest, directory.absolute(), chain, progress).run()


class _Restoring:
    """One restore of a chain of backups."""

    def __init__(self, dest: Path, directory: Path, chain: list[Manifest], progress: Progress) -> None:
        self._dest, self._directory, self._chain, self._progress = dest, directory, chain, progress
        self._directories = Directories(directory)
        self._found = Restored(chain[-1])

    def run(self) -> Restored:
        self._join_data()
        blobs = list({blob.path: blob for manifest in self._chain for blob in manifest.blobs}.values())
        self._directories.make(self._directory / "blobs" / "tmp")
        for done, blob in enumerate(blobs):
            self._copy_blob(blob)
            self._progress("blobs", done + 1, len(blobs))
        write_durably(self._directory / "blobs" / ".layout", b"bushy")
        self._write_files()
        return self._found

    def _join_data(self) -> None:
        last, done = self._chain[-1], 0

        def step(size: int) -> None:
            nonlocal done
            done += size
            self._progress("Data.fs", done, last.stop)

        with (self._directory / "Data.fs").open("wb") as target:
            for manifest in self._chain:
                path = self._dest / manifest.data_file
                try:
                    with path.open("rb") as source:
                        found = copy_range(source, manifest.stop - manifest.start, target, step)
                except (FileNotFoundError, EOFError) as error:
                    raise CorruptDataError(
                        f"{path} is missing or too short; restore to another moment"
                    ) from error
                if found != manifest.checksum:
                    self._found.problems.append(f"{path} is not as it was written")
            target.flush()
            os.fsync(target.fileno())

    def _copy_blob(self, blob: BlobEntry) -> None:
        source, target = self._dest / "blobs" / blob.path, self._directory / "blobs" / blob.path
        self._directories.make(target.parent)
        try:
            checksum = copy_file(source, target)
        except FileNotFoundError:
            self._found.problems.append(f"{source} is missing")
            return
        target.chmod(0o444)
        self._found.blobs += 1
        if checksum != blob.checksum:
            self._found.problems.append(f"{source} is not as it was written")

    def _write_files(self) -> None:
        for name, content in self._small_files():
            self._directories.make((self._directory / name).parent)
            write_durably(self._directory / name, content.encode())
        self._directories.sync()
        marker = {"format": FORMAT, "version": self._chain[-1].version}
        content = self._chain[-1].files.get(_MARKER, json.dumps(marker))
        write_durably(self._directory / _MARKER, content.encode())

    def _small_files(self) -> Iterator[tuple[str, str]]:
        for name, content in self._chain[-1].files.items():
            if name != _MARKER and (self._directory / name).resolve().is_relative_to(self._directory):
                yield name, content
