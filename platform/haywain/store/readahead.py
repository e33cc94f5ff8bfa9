"""How far the system reads ahead, and with that whether large pages are the better way to read a file.

A scan of memory that is mapped from a file costs a page fault for each 64 KiB, unless the file lies in the
page cache in large pages, of 2 MiB: then one for each of these.  The system makes them when it has read on in
one file for a while; in a blob not before its end.  Advised, it makes them at once, but then it reads 4 MiB
for each page that is missing: so it is advised where it would read as much in any case.
"""

import os
from functools import lru_cache

LARGE_PAGE = 2 << 20
"""Bytes of a large page of most processors."""

FAR = 2 * LARGE_PAGE
"""Bytes that the system reads around a missing page when large pages are advised."""


def reads_far(descriptor: int) -> bool:
    """Return whether the system reads FAR bytes or more around a page of this file that is missing."""
    return _readahead(os.fstat(descriptor).st_dev) >= FAR


@lru_cache(64)
def _readahead(device: int) -> int:
    """Return how many bytes are read ahead from a device, 0 if the system does not say."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for path in (
        f"/sys/class/bdi/{number}/read_ahead_kb",
        f"/sys/dev/block/{number}/queue/read_ahead_kb",
        f"/sys/dev/block/{number}/../queue/read_ahead_kb",  # of the disk of a partition
    ):
        try:
            with open(path, encoding="ascii") as file:
                return int(file.read()) * 1024
        except (OSError, ValueError):
            continue
    return 0
