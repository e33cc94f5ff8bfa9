"""Copying: files into a backup and out of it, durably, each with its checksum."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from xxhash import xxh3_128

from haywain.store.fsync import fsync_path
from haywain.values import MIB

Step = Callable[[int], object]
"""Called with the number of bytes that were read."""


def checksum_of(path: Path, step: Step = lambda size: None) -> str:
    """Return the xxh3-128 of a file; raises OSError."""
    digest = xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            digest.update(piece)
            step(len(piece))
    return digest.hexdigest()


def copy_range(source: BinaryIO, length: int, target: BinaryIO, step: Step = lambda size: None) -> str:
    """Copy bytes from one open file to another; return their xxh3-128.

    Raises EOFError if there are fewer.
    """
    digest, left = xxh3_128(), length
    while left:
        piece = source.read(min(left, MIB))
        if not piece:
            raise EOFError(f"{left} bytes are missing")
        digest.update(piece)
        target.write(piece)
        left -= len(piece)
        step(len(piece))
    return digest.hexdigest()


def copy_file(source: Path, target: Path, step: Step = lambda size: None) -> str:
    """Copy a file, durably and whole or not at all; return its xxh3-128.

    Its directory must be there, and is not synced.
    """
    beside = target.with_name(f"{target.name}.part")
    with source.open("rb") as file, beside.open("wb") as copy:
        checksum = copy_range(file, os.fstat(file.fileno()).st_size, copy, step)
        copy.flush()
        os.fsync(copy.fileno())
    beside.replace(target)
    return checksum


def link_file(source: Path, target: Path) -> bool:
    """Make a hard link where the file system can; return whether it could.  `target` is replaced."""
    beside = target.with_name(f"{target.name}.part")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        return False
    beside.replace(target)
    return True


class Directories:
    """Directories in which files were made, to be synced at the end."""

    def __init__(self, top: Path) -> None:
        """Begin with `top`, which is there, and what lies below."""
        self._top = top
        self._touched = {top}

    def make(self, directory: Path) -> None:
        """Make a directory below the top, if it is not there."""
        directory.mkdir(parents=True, exist_ok=True)
        while directory not in self._touched and directory != self._top:
            self._touched.add(directory)
            directory = directory.parent

    def sync(self) -> None:
        """Flush all of them to the disk; raises OSError."""
        for directory in sorted(self._touched, reverse=True):
            fsync_path(directory)
