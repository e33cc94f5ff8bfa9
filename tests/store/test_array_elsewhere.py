"""Array on a system that is not Linux: rows are copies, and all else is the same.

A child process stands for it, in which the calls are missing before anything is imported.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ELSEWHERE = """
    import ctypes, os, shutil, subprocess, sys, tempfile  # of Python itself, which knows where it runs
    sys.platform = {platform!r}
    def missing(*_, **__):
        raise OSError("there is no such library here")
    ctypes.CDLL = missing
    for name in ("memfd_create", "preadv", "pwrite"):
        delattr(os, name)
    if {platform!r} == "win32":
        sys.modules["fcntl"] = None
"""

PROGRAM = """
    import numpy as np
    from transaction import TransactionManager
    from haywain.store import address_space, array, assignment, indexing, mapping, pagemap, upkeep, views
    assert pagemap.METHOD == "none" and address_space._libc is None
    if sys.platform == "win32":
        del sys.modules["fcntl"]  # the lock file of ZODB has a way of its own there
    from ZODB import DB
    from ZODB.FileStorage import FileStorage
    manager = TransactionManager(explicit=True)
    manager.begin()
    connection = DB(FileStorage("data.fs", blob_dir="blobs")).open(manager)
    rows = connection.root()["rows"] = array.Array((0, 2), ">i4")
    connection.add(rows)
    for start in range(0, 300_000, 100_000):
        rows.append(np.arange(start, start + 100_000).reshape(-1, 2))
    rows.append([7, 8])
    manager.commit()
    manager.begin()
    assignment.assign(rows, slice(None, None, 1000), -1)
    assignment.assign(rows, ([5, 6], 1), 9)
    for block in assignment.blocks(rows, True):
        block[3] = 4
    manager.savepoint()
    manager.commit()
    manager.begin()
    rows.resize(150_000)
    manager.abort()
    manager.begin()
    expected = np.append(np.arange(300_000), [7, 8]).reshape(-1, 2)
    expected[::1000], expected[[5, 6], 1], expected[3] = -1, 9, 4
    view = rows.view()
    assert np.array_equal(view, expected) and not view.flags.writeable and view.dtype == ">i4"
    assert [block.sum() for block in assignment.blocks(rows, False)] == [expected.sum()]
    for number in upkeep.fragmented(rows):
        rows.compact_block(number)
    manager.commit()
    manager.begin()
    upkeep.verify(rows, 0, rows.rows)
    assert np.array_equal(rows.view(), expected) and not rows.flush()
    print("the same")
"""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_rows_are_kept_where_the_calls_of_linux_are_missing(tmp_path: Path, platform: str) -> None:
    program = textwrap.dedent(ELSEWHERE.format(platform=platform)) + textwrap.dedent(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr
