"""One contiguous range of memory over pieces of immutable files (Linux).

Every piece is mapped MAP_PRIVATE: reading pages in from the file, writing makes a private anonymous copy
that the kernel can tell from a page of the file (see `pagemap`).  No signal handler, no copy.

The kernel allows a process 65,530 mappings (vm.max_map_count).  Ours are counted before they are made, up to
MOST_MAPPINGS, so that a view is refused whole and never half placed.
"""

import ctypes
import errno
import mmap
import os
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haywain.errors import TemporaryError
from haywain.store.extents import ceil

PAGE = max(mmap.PAGESIZE, 4096)
"""Bytes of a page of this system's memory."""

MOST_MAPPINGS = 32_000
"""How many pieces the views of this process may have together."""

_NONE, _READ, _WRITE = 0, 1, 2
_PRIVATE, _FIXED, _ANONYMOUS, _NORESERVE = 0x2, 0x10, 0x20, 0x4000
_DONTNEED, _HUGEPAGE, _NOHUGEPAGE = 4, 14, 15
ACCESS = {"normal": 0, "random": 1, "sequential": 2}
"""How a view is going to be read: `random` reads no pages ahead."""


def _library() -> Any:  # Any: ctypes finds its functions when they are called
    """Return the C library; None where it is not Linux's, whose calls and flags these are."""
    if sys.platform != "linux":
        return None
    found = ctypes.CDLL(None, use_errno=True)
    found.mmap.restype = ctypes.c_void_p
    found.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    found.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    found.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return found


_libc = _library()


class MappingLimitError(TemporaryError):
    """The views of this process have as many pieces as the system allows."""


class _Budget:
    """Counts the pieces that all address spaces of this process have; may be used by any thread."""

    def __init__(self) -> None:
        self.used = 0
        self._lock = threading.RLock()  # the garbage collector may free a space inside of `take`

    def take(self, count: int) -> None:
        with self._lock:
            if count > 0 and self.used + count > MOST_MAPPINGS:
                raise MappingLimitError(
                    f"The views of this process have {self.used} pieces of {MOST_MAPPINGS} possible, "
                    f"and this one needs {count} more: drop some, view less, or compact the array"
                )
            self.used += count


BUDGET = _Budget()


class _Pieces:
    """How many pieces each block of one address space has."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def set(self, counts: Mapping[int, int]) -> None:
        BUDGET.take(sum(count - self.counts.get(number, 0) for number, count in counts.items()))
        self.counts.update(counts)

    def free(self, address: int, length: int) -> None:
        _libc.munmap(address, length)
        BUDGET.take(-sum(self.counts.values()))


class AddressSpace:
    """A reserved range of addresses; offsets and lengths are in bytes, multiples of PAGE."""

    def __init__(self, length: int) -> None:
        """Reserve addresses, no memory; raises MappingLimitError."""
        self.length = ceil(length, PAGE)
        try:
            self.address = _map(None, self.length, _NONE, _ANONYMOUS)
        except OSError as error:
            raise MappingLimitError(
                f"There are no {self.length} bytes of addresses left for this view: drop others"
            ) from error
        self._pieces = _Pieces()
        free = weakref.finalize(self, self._pieces.free, self.address, self.length)
        free.atexit = False  # ndarrays may still be read while the interpreter goes down

    def announce(self, counts: Mapping[int, int]) -> None:
        """Say how many pieces blocks are going to have; raises MappingLimitError, and then none has them."""
        self._pieces.set(counts)

    def place_file(self, offset: int, length: int, descriptor: int, position: int) -> None:
        """Show bytes of a file from `position` on; private copies there are dropped."""
        _map(self.address + offset, length, _READ | _WRITE, _FIXED, descriptor, position)

    def prefer_large_pages(self, offset: int, length: int) -> None:
        """Have the system read a file's bytes in large pages; what it cannot do it leaves as it is."""
        _libc.madvise(self.address + offset, length, _HUGEPAGE)

    def place_zeros(self, offset: int, length: int) -> None:
        """Show zeros; with huge pages one written byte would make 2 MiB of changes."""
        _map(self.address + offset, length, _READ | _WRITE, _FIXED | _ANONYMOUS)
        _libc.madvise(self.address + offset, length, _NOHUGEPAGE)

    def discard(self, offset: int, length: int) -> None:
        """Drop private copies: the pages show their file, or zeros, again.  Raises OSError if locked."""
        _check(_libc.madvise(self.address + offset, length, _DONTNEED))

    def advise(self, offset: int, length: int, access: str) -> None:
        """Tell the kernel how the pages are going to be read, a key of ACCESS."""
        if length:
            _check(_libc.madvise(self.address + offset, length, ACCESS[access]))
            if access == "random":  # a large page would be read ahead
                _libc.madvise(self.address + offset, length, _NOHUGEPAGE)

    def window(self, low: int, high: int, writable: bool = True, owner: object = None) -> NDArray[np.uint8]:
        """Return the bytes [low, high), which keep the address space alive, through its owner if it has one.

        The space itself does not know the owner: a cycle would keep the memory until the garbage collector
        comes by.
        """
        return np.asarray(_Window(self.address + low, high - low, writable, owner or self))


class _Window:
    """What NumPy makes an ndarray of."""

    def __init__(self, address: int, length: int, writable: bool, owner: object) -> None:
        self.owner = owner
        self.__array_interface__: dict[str, Any] = {  # Any: as NumPy defines it
            "version": 3,
            "shape": (length,),
            "typestr": "|u1",
            "data": (address, not writable),
        }


def _map(
    address: int | None, length: int, protection: int, flags: int, descriptor: int = -1, position: int = 0
) -> int:
    got = _libc.mmap(address, length, protection, flags | _PRIVATE | _NORESERVE, descriptor, position)
    _check(-1 if got == ctypes.c_void_p(-1).value else 0)
    return int(got)


def _check(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        hint = "; too little address space or too many mappings" if code == errno.ENOMEM else ""
        raise OSError(code, os.strerror(code) + hint)
