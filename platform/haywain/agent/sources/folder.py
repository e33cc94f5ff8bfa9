"""Whole files that are put into a folder: recordings, pictures, exports.

A file is complete once it has not changed for a while, or was renamed into place from a name that is left
out. Its bytes go out as a run of chunks under a tag of its own.
"""

import os
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from haywain.agent.source import Draft, Outlet, Pause, Seconds, SourceConfig
from haywain.agent.template import FILE_FIELDS, fields_of, item_of
from haywain.errors import InvalidError


class _Config(SourceConfig, kw_only=True):
    folder: str
    match: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = (".*", "*.part", "*.partial", "*.tmp", "*.crdownload", "*~")
    recursive: bool = False
    settle_s: Pause = 2.0
    delete: bool = False
    poll_s: Seconds = 1.0

    def anchor(self, base: Path) -> None:
        """Look for a relative folder below `base`."""
        self.folder = str(base / self.folder)


class _Look(NamedTuple):
    """What a file looks like; it is another one if any of this changes."""

    inode: int
    size: int
    modified_ns: int


class Folder:
    """Sends each file of a folder, once."""

    Config, fields, default_tag = _Config, FILE_FIELDS, "{path}"

    def __init__(self, config: _Config, outlet: Outlet) -> None:
        """Begin with what is not yet sent."""
        self._config, self._outlet = config, outlet
        self._folder = Path(config.folder)
        self._seen: dict[str, tuple[_Look, float]] = {}
        self._is_missing = False

    @staticmethod
    def describe(config: _Config) -> str:
        """Say what would be read."""
        if not Path(config.folder).is_dir():
            raise InvalidError(f"folder: {config.folder} is no folder")
        found = sum(1 for _ in files_of(config))
        then = "then deleted" if config.delete else "then left there"
        return f"whole files of {config.folder} ({', '.join(config.match)}; {found} now), {then}"

    def run(self) -> None:
        """Send files until the end is wanted; with `is_once` those that are complete, or soon are."""
        wait_s = min(self._config.poll_s, self._config.settle_s or self._config.poll_s)
        while True:
            unsettled = self._look()
            self._outlet.put()
            if self._outlet.is_once and not unsettled:
                return
            if self._outlet.wait(wait_s):
                return

    def _look(self) -> int:
        """Send what is complete; return how many files are not yet."""
        if not self._folder.is_dir():
            self._outlet.trouble(f"{self._folder} is no folder")
            self._is_missing = True
            return 0
        if self._is_missing:
            self._is_missing = False
            self._outlet.fine()
        unsettled, there = 0, set()
        for name, look in files_of(self._config):
            there.add(item_of(name))
            if self._outlet.is_stopping():
                return 0
            if not self._is_sent(name, look):
                unsettled += not self._try(name, look)
            elif self._config.delete:  # it was sent before a kill, or before it was to be deleted
                self._delete(name, look)
        if there or self._config.delete:  # else it may be a disk that is not mounted now
            self._forget(there)
        return unsettled

    def _try(self, name: str, look: _Look) -> bool:
        """Send a file if it has settled; return whether it had."""
        now_s = time.monotonic()
        seen, since_s = self._seen.get(name, (None, now_s))
        if seen != look:
            self._seen[name] = look, now_s
            since_s = now_s
        if now_s - since_s < self._config.settle_s:
            return False
        try:
            self._send(name, look)
        except OSError as error:
            self._outlet.trouble(f"{self._folder / name} cannot be read: {error.strerror or error}")
        return True

    def _delete(self, name: str, look: _Look) -> None:
        """Delete a file that was sent; not one that has taken its name meanwhile, or has grown."""
        path = self._folder / name
        try:
            if _look_of(path.stat()) == look:
                path.unlink()
        except FileNotFoundError:  # somebody else did
            return
        except OSError as error:
            self._outlet.trouble(f"{path} was sent and cannot be deleted: {error.strerror}")

    def _is_sent(self, name: str, look: _Look) -> bool:
        position = self._outlet.positions.get(item_of(name))
        return position is not None and _Look(*position[:3]) == look and position[3] == look.size

    def _send(self, name: str, look: _Look) -> None:
        path = self._folder / name
        tag = self._outlet.tag(fields_of(path, self._folder))
        with path.open("rb") as file:
            offset, crc = self._start(name, file)
            file.seek(offset)
            position: list[Any] = [*look, offset, crc]
            while (data := file.read(self._config.frame_bytes)) and not self._outlet.is_stopping():
                offset, crc = offset + len(data), crc32(data, crc)
                position = [*look, offset, crc]
                self._outlet.collect(Draft(tag, data, item_of(name), position))
            if self._outlet.is_stopping():
                return
            now = _look_of(os.fstat(file.fileno()))
        if now == look:
            self._outlet.collect(Draft("", b"", item_of(name), [*look, look.size, crc]))
            if self._config.delete:
                self._outlet.put()
                self._delete(name, look)
        else:
            self._outlet.put()  # it is looked at again, and goes on or begins anew by its bytes
            self._outlet.trouble(f"{path} changed while it was read: settle_s is too short for it")

    def _start(self, name: str, file: Any) -> tuple[int, int]:  # Any: a binary file
        """Return where to go on in a file, and the checksum of what is before; 0 if it is another file."""
        position = self._outlet.positions.get(item_of(name))
        if position is None:
            return 0, 0
        offset, crc = int(position[3]), 0
        left = offset
        while left and (data := file.read(min(left, 1 << 18))):
            crc, left = crc32(data, crc), left - len(data)
        if not left and crc == position[4]:
            return offset, crc
        if offset:
            self._outlet.trouble(
                f"{name} is another file than that which was sent; it is sent as a whole again"
            )
        return 0, 0

    def _forget(self, there: set[str]) -> None:
        for name in [name for name in self._outlet.positions if name not in there]:
            self._outlet.collect(Draft("", b"", name))
        self._seen = {name: seen for name, seen in self._seen.items() if item_of(name) in there}


def files_of(config: _Config) -> Iterator[tuple[str, _Look]]:
    """Yield name below the folder, and look, of each file that is wanted, in order."""
    base = Path(config.folder)
    walk = base.rglob("*") if config.recursive else base.iterdir()
    for path in sorted(walk):
        is_wanted = any(fnmatch(path.name, pattern) for pattern in config.match)
        if not is_wanted or any(
            fnmatch(part, p) for part in path.relative_to(base).parts for p in config.exclude
        ):
            continue
        try:
            if path.is_file():
                yield str(path.relative_to(base)), _look_of(path.stat())
        except FileNotFoundError:  # renamed meanwhile
            continue


def _look_of(found: os.stat_result) -> _Look:
    return _Look(found.st_ino, found.st_size, found.st_mtime_ns)
