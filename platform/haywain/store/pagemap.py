"""Find the pages of an address space that were written.

A page of a file that was written is a private, anonymous one, and the kernel says so: by the PAGEMAP_SCAN
ioctl (Linux 6.7; 0.5 ms for a clean GB), or in /proc/self/pagemap (23 ms).  A wrong bit would lose every
write without a sound, so METHOD is what proved itself when this module was imported; where nothing did,
arrays are read as copies and written by assignment only.

https://docs.kernel.org/admin-guide/mm/pagemap.html
"""

import ctypes
import os
import struct
import sys
from collections.abc import Callable
from contextlib import closing

import numpy as np

from haywain.store import address_space
from haywain.store.address_space import AddressSpace
from haywain.store.extents import Span, ceil, floor, united

_SYSTEM_PAGE = address_space.PAGE
_SCAN = 3 << 30 | 96 << 16 | ord("f") << 8 | 16
_FILE, _PRESENT, _SWAPPED, _ZERO = 4, 8, 16, 32
_VECTOR = 4096
_READ_BYTES = 1 << 30


def written(space: AddressSpace, shown: list[Span], is_hole: Callable[[int], bool]) -> list[Span]:
    """Return the sorted spans that were written of those that are shown, in whole pages.

    `is_hole(offset)` tells whether the page there shows nothing but zeros that lie in no file.
    """
    if not shown or METHOD == "none":
        return []
    is_scan = METHOD == "scan"  # it skips what is not mapped faster than it could be asked
    find, spans = (_scan, [(shown[0][0], shown[-1][1])]) if is_scan else (_read, shown)
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        found = [span for low, high in spans for span in find(pagemap.fileno(), space, low, high, is_hole)]
    page = address_space.PAGE
    return united((floor(low, page), ceil(high, page)) for low, high in found)


def _scan(
    pagemap: int, space: AddressSpace, start: int, stop: int, is_hole: Callable[[int], bool]
) -> list[Span]:
    """Ask the kernel for the ranges; it skips what is not mapped."""
    import fcntl  # not every system has it

    vector = (ctypes.c_uint64 * (3 * _VECTOR))()
    at, end = space.address + start, space.address + stop
    found: list[Span] = []
    skipped, wanted = _FILE | _ZERO, _PRESENT | _SWAPPED
    while at < end:
        fields = (96, 0, at, end, 0, ctypes.addressof(vector), _VECTOR, 0, skipped, skipped, wanted, wanted)
        argument = bytearray(struct.pack("12Q", *fields))
        count = fcntl.ioctl(pagemap, _SCAN, argument, True)
        found += [(vector[3 * i] - space.address, vector[3 * i + 1] - space.address) for i in range(count)]
        # Not walk_end: the kernel works in steps of 512 ranges and leaves the walk_end of an earlier step
        # there when the last one came to its end (Linux 6.18), so that ranges would come twice.
        at = int(vector[3 * count - 2]) if count == _VECTOR else end
    return found


def _read(
    pagemap: int, space: AddressSpace, start: int, stop: int, is_hole: Callable[[int], bool]
) -> list[Span]:
    """Read a number for each page: bit 63 present, 62 swapped, 61 of a file."""
    found = []
    for low in range(start, stop, _READ_BYTES):
        high = min(low + _READ_BYTES, stop)
        numbers = os.pread(
            pagemap, (high - low) // _SYSTEM_PAGE * 8, (space.address + low) // _SYSTEM_PAGE * 8
        )
        top = np.frombuffer(numbers, np.uint64) >> np.uint64(61)
        for index in np.flatnonzero((top & np.uint64(6) != 0) & (top & np.uint64(1) == 0)):
            at = low + int(index) * _SYSTEM_PAGE
            # a hole that was only read shows the kernel's page of zeros, which looks private here
            if not (is_hole(at) and not space.window(at, at + _SYSTEM_PAGE).any()):
                found.append((at, at + _SYSTEM_PAGE))
    return found


def _proves_itself(find: Callable[[int, AddressSpace, int, int, Callable[[int], bool]], list[Span]]) -> bool:
    """Write and read a hole and a file's pages, and see whether exactly the written ones are found."""
    page = _SYSTEM_PAGE
    space = AddressSpace(8 * page)
    memory = os.memfd_create("haywain-pages")
    try:
        os.truncate(memory, 4 * page)
        space.place_zeros(0, 4 * page)
        space.place_file(4 * page, 4 * page, memory, 0)
        flat = space.window(0, 8 * page)
        flat[page] = 1 + flat[3 * page]
        flat[6 * page] = flat[4 * page] + flat[7 * page]  # a zero is a write, too
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            found = united(find(pagemap.fileno(), space, 0, 8 * page, lambda at: at < 4 * page))
            space.discard(0, 8 * page)
            after = find(pagemap.fileno(), space, 0, 8 * page, lambda at: at < 4 * page)
        return found == [(page, 2 * page), (6 * page, 7 * page)] and not after
    except OSError:
        return False
    finally:
        os.close(memory)


def _method() -> str:
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return "none"
    try:
        with closing(os.fdopen(os.memfd_create("haywain-pages"))):
            pass
    except OSError:
        return "none"
    if _proves_itself(_scan):
        return "scan"
    return "pagemap" if _proves_itself(_read) else "none"


METHOD = _method()
"""How written pages are found: `scan`, `pagemap`, or `none`: then views are copies that cannot be written."""
