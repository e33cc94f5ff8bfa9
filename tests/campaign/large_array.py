"""A program that sums an array larger than its memory, and changes every page of it, in two ways.

    python -m tests.campaign.large_array DIRECTORY MIB [CGROUP_PROCS]

It prints the most private memory that it had while it worked, in MiB.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

import haywain

ROW_BYTES = 4096


def private_mib() -> int:
    """Return the memory that cannot be taken from this process."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def work(directory: str, mib: int) -> int:
    """Do it all; return the most private memory, in MiB."""
    rows, most = mib * (1 << 20) // ROW_BYTES, 0
    with haywain.open(directory) as portal:
        array: Any = portal.new("Data Array", reference="large")  # Any: one kind of document
        array.create(shape=(rows, ROW_BYTES // 8), dtype="<i8")
        for view in array.blocks(writable=True):
            view += 1
            most = max(most, private_mib())
        portal.commit()
        total = sum(int(view.sum()) for view in array.blocks())
        assert total == array[:].sum() == mib * (1 << 17)
        for view in array.blocks(writable=True):
            view[:, 0] += 1  # each page
            most = max(most, private_mib())
        portal.commit()
        assert array[:, 0].sum() == 2 * rows
        array[:] = 7
        most = max(most, private_mib())
        portal.commit()
        array[:, 1] = np.arange(rows)
        most = max(most, private_mib())
        portal.commit()
        assert array[:].sum() == 7 * (mib * (1 << 17) - rows) + rows * (rows - 1) // 2
        array.verify()
    return max(most, private_mib())


if __name__ == "__main__":
    if sys.argv[3:]:
        Path(sys.argv[3]).write_text(str(os.getpid()))
    print(work(sys.argv[1], int(sys.argv[2])))
