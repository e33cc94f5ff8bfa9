"""Drop files from the page cache, and see whether they are gone.  Runs on Python 3.9 too."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]


def drop(paths: Iterable[Path]) -> None:
    """Have the kernel forget files; pages that are dirty or mapped by somebody would stay."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def warm(paths: Iterable[Path]) -> None:
    """Read files into the page cache."""
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def resident(paths: Iterable[Path]) -> float:
    """Return which part of the files is in the page cache, 0 to 1."""
    found = total = 0
    for path in paths:
        size = path.stat().st_size
        if size:
            pages = -(-size // mmap.PAGESIZE)
            found, total = found + _count_resident(path, size, pages), total + pages
    return found / max(total, 1)


def _count_resident(path: Path, size: int, pages: int) -> int:
    vector = (ctypes.c_ubyte * pages)()
    # A private, writable mapping, since ctypes takes the address of nothing else.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as mapped:
        anchor = ctypes.c_char.from_buffer(mapped)
        try:
            if _libc.mincore(ctypes.addressof(anchor), size, ctypes.addressof(vector)):
                raise OSError(ctypes.get_errno(), "mincore")
        finally:
            del anchor
    return sum(page & 1 for page in vector)


def read_from_disk() -> int:
    """Return how many bytes this process has had read from disks so far."""
    with open("/proc/self/io", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("read_bytes"))
