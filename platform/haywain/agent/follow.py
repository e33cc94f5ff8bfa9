"""Following one file that grows, over rotation by renaming and by copying, truncation and reused inodes.

What was read is found again by the bytes before the offset: in the file of that name, else in one beside
it, which then is where rotation has put it.  It is read to its end, then those rotated after it, then the
new file.
"""

import os
import re
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from haywain.agent.witness import Witness

PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")


class Part:
    """An open file, and how far it was read."""

    def __init__(self, path: Path, witness: Witness | None = None) -> None:
        """Open a file; raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        self.path, self.key = path, (found.st_dev, found.st_ino)
        self.witness = witness or Witness(0)

    @property
    def size(self) -> int:
        """Return the size of the file."""
        return os.fstat(self._descriptor).st_size

    @property
    def modified_ns(self) -> int:
        """Return when the file was written to last."""
        return os.fstat(self._descriptor).st_mtime_ns

    @property
    def position(self) -> list[int]:
        """Return what finds this place again."""
        return [*self.key, *self.witness]

    def is_intact(self, witness: Witness | None = None) -> bool:
        """Return whether the file still holds what was read of it."""
        return (witness or self.witness).holds_in(self._descriptor)

    def read(self, limit: int, is_whole: Callable[[bytes], int]) -> bytes | None:
        """Return the next bytes, as many as `is_whole` says; None if the file was cut or written anew."""
        data = os.pread(self._descriptor, limit, self.witness.offset)
        if not self.is_intact():  # asked after reading: then what was read follows on it
            return None
        data = data[: is_whole(data)]
        if data:
            self.witness = self.witness.after(self._descriptor, data)
        return data

    def to_end(self) -> None:
        """Take all that is there as read."""
        size = self.size
        tail = os.pread(self._descriptor, size, max(0, size - 256))
        self.witness = Witness(max(0, size - 256)).after(self._descriptor, tail) if tail else Witness(0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Follower:
    """One path: the parts that are still to be read, the file of that name last."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        """Begin with nothing."""
        self.path, self._warn = path, warn
        self.parts: list[Part] = []
        self._at_end_since_s = 0.0
        self._seen_size = -1
        self._left: dict[tuple[int, int], Witness] = {}  # read to the end, and perhaps still there

    def begin(self, saved: list[Any] | None, from_end: bool = False) -> None:
        """Open what is to be read, from a saved position on; raises OSError."""
        part = Part(self.path)
        if saved is None:
            if from_end:
                part.to_end()
            self.parts = [part]
            return
        device, inode, offset, crc = saved
        witness, key = Witness(offset, crc), (device, inode)
        if part.is_intact(witness) and (
            part.key == key or (offset and not self._is_beside(witness, key, part))
        ):
            part.witness = witness
            self.parts = [part]
        else:
            self.parts = [*self._rotated(witness, key, part), part]

    def read(
        self, limit: int, *, is_last: bool, patience_s: float, partial_s: float
    ) -> tuple[bytes, list[int]] | None:
        """Return the next whole lines and the position behind them; None if there are none now.

        With `is_last` a line without an end is taken too, else after `partial_s`.  Rotated files are left
        once they have not grown for `patience_s`.
        """
        while True:
            part = self.parts[0]
            is_over = len(self.parts) > 1 or not self.path.exists()
            rest_s = min(partial_s, patience_s) if is_over else partial_s
            take_all = is_last or self._has_rested(part, rest_s)
            data = part.read(limit, partial(whole_lines, limit=limit, take_all=take_all))
            if data is None:
                self._was_cut(part)
            elif data:
                return data, part.position
            elif len(self.parts) > 1 and (is_last or self._has_rested(part, patience_s)):
                self._leave(self.parts.pop(0))
            elif len(self.parts) > 1 or not self._was_rotated(part):
                return None

    def is_gone(self, patience_s: float) -> bool:
        """Return whether the file is no more, and all of it was read."""
        if self.path.exists() or len(self.parts) > 1:
            return False
        part = self.parts[0]
        return part.size <= part.witness.offset and self._has_rested(part, patience_s)

    def close(self) -> None:
        """Close all files."""
        for part in self.parts:
            part.close()
        self.parts = []

    def _leave(self, part: Part) -> None:
        """Be done with a file that was rotated."""
        self._left[part.key] = part.witness
        part.close()
        self._seen_size = -1

    def _has_rested(self, part: Part, seconds: float) -> bool:
        """Return whether a file has had the same size for so long."""
        size, now_s = part.size, time.monotonic()
        if size != self._seen_size:
            self._seen_size, self._at_end_since_s = size, now_s
        return now_s - self._at_end_since_s >= seconds

    def _was_rotated(self, part: Part) -> bool:
        """Go on with a new file of this name, if there is one."""
        try:
            new = Part(self.path)
        except FileNotFoundError:
            return False
        if new.key == part.key:
            new.close()
            return False
        self.parts += [*self._between(part, new), new]
        return True

    def _was_cut(self, part: Part) -> None:
        """Go on where a file was truncated, or written anew."""
        fresh = Part(part.path) if part.path.exists() else None
        if fresh is not None and fresh.key in [other.key for other in self.parts[1:]]:
            fresh.close()  # it was rotated before it was cut: the file of that name comes after it anyway
            self._leave(self.parts.pop(0))
            return
        if fresh is None:
            part.witness = Witness(0)
            return
        before = self._rotated(part.witness, part.key, fresh)
        self.parts.pop(0).close()
        self.parts = [*before, fresh, *self.parts]
        self._seen_size = -1

    def _rotated(self, witness: Witness, key: tuple[int, int], current: Part) -> list[Part]:
        """Return the file that holds what was read, and those rotated after it."""
        beside = [part for part in self._beside(current) if part.is_intact(witness)]
        found = [part for part in beside if part.key == key] or (beside if witness.offset else [])
        for part in beside:
            if part not in found[:1]:
                part.close()
        if found:
            found[0].witness = witness
            return [found[0], *self._between(found[0], current)]
        if witness.offset:
            self._warn(
                f"{self.path} was replaced or truncated; what it held behind byte {witness.offset} was"
                " not found and may be missing"
            )
        return []

    def _is_beside(self, witness: Witness, key: tuple[int, int], current: Part) -> bool:
        """Return whether the very file that was read stands under another name."""
        beside = self._beside(current)
        found = any(part.key == key and part.is_intact(witness) for part in beside)
        for part in beside:
            part.close()
        return found

    def _beside(self, current: Part) -> list[Part]:
        """Open the files beside it that rotation may have made of it."""
        real = Path(os.path.realpath(self.path))
        parts = []
        for path in sorted(real.parent.iterdir()):
            if path.name.startswith(real.stem) and path != real and path.suffix not in PACKED:
                try:
                    found = path.stat()
                    if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) != current.key:
                        parts.append(Part(path))
                except OSError:  # rotated on, or not ours to read
                    continue
        return parts

    def _between(self, old: Part, new: Part) -> list[Part]:
        """Open the files that were rotated after `old` and before `new`, in order."""
        real = Path(os.path.realpath(self.path))
        found = []
        for part in self._beside(new):
            was_left = part.key in self._left and part.is_intact(self._left[part.key])
            is_newer = part.key != old.key and part.modified_ns > old.modified_ns
            if is_newer and not was_left and is_rotated_name(part.path, real):
                found.append(part)
            else:
                part.close()
        return sorted(found, key=lambda part: part.modified_ns)


def whole_lines(data: bytes, limit: int, take_all: bool) -> int:
    r"""Return how many bytes to take: to the last end of a line, or all if there is none in so many.

    >>> whole_lines(b"a\nb", 10, False), whole_lines(b"a\nb", 10, True), whole_lines(b"abc", 3, False)
    (2, 3, 3)
    """
    end = data.rfind(b"\n") + 1
    return len(data) if take_all or (not end and len(data) >= limit) else end


def is_rotated_name(path: Path, of: Path) -> bool:
    """Return whether a name is one that rotation gives: a number or a date at its end, or before its suffix.

    >>> [is_rotated_name(Path(name), Path("a.log")) for name in ("a.log.1", "a-20260101.log", "a.log.bak")]
    [True, True, False]
    """
    number = r"[._-]\d[\d._-]*"
    pattern = f"{re.escape(of.name)}{number}|{re.escape(of.stem)}{number}{re.escape(of.suffix)}"
    return re.fullmatch(pattern, path.name) is not None
