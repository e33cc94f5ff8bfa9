"""Views of an Array beside each other: several at once, in threads, in a child, at the end of a process."""

import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.store.conftest import Begin
from tests.store.two import PAGE, ROWS_PER_BLOCK, Two
from ZODB.POSException import ConflictError

from haywain.errors import InvalidError
from haywain.store.array import Array, StaleViewError
from haywain.store.assignment import blocks
from haywain.store.database import Database, open_storage
from haywain.store.passing import passing

pytestmark = [pytest.mark.usefixtures("small_blocks", "finding"), pytest.mark.views]

ROWS = 4 * ROWS_PER_BLOCK


# -- several at once
def test_views_of_one_transaction_overlap(two: Two) -> None:
    whole, middle, one = two[0].view(), two[0].view(100, 3000), two[0].view(2000, 2001)
    middle[1900] = 7
    assert (whole[2000], one[0]) == (7, 7)
    one[0] += 1
    whole[101] = 5
    two.commit(0)
    assert (middle[1], middle[1900], whole[2000]) == (5, 8, 8)
    two.abort(1)
    assert (two[1].view()[101], two[1].view()[2000], two[1].view().sum()) == (5, 8, 13)


def test_views_of_two_arrays_are_committed_and_taken_back_together(two: Two) -> None:
    other = two.connection(0).root()["other"] = Array(ROWS, "i8")
    two.connection(0).add(other)
    two.commit(0)
    views = two[0].view(), other.view()
    views[0][1], views[1][2] = 1, 2
    two.abort(0)
    assert not views[0].any() and not views[1].any()
    views[0][3], views[1][4] = 3, 4
    two.commit(0)
    two.abort(1)
    found: Array = two.connection(1).root()["other"]
    assert (two[1].view()[3], found.view()[4]) == (3, 4)


def test_view_is_saved_beside_appends_to_a_record_that_ends_in_the_next_block(two: Two) -> None:
    array = two.connection(0).root()["other"] = Array(ROWS_PER_BLOCK - 10, "i8")
    two.connection(0).add(array)
    two.commit(0)
    array.append(np.ones(20, "i8"))
    array.view()[0] = 5
    array.append([2])
    two.commit(0)
    two.abort(1)
    found = two.connection(1).root()["other"].view()
    assert found[0] == 5 and found[1:].sum() == 22


def test_views_of_two_connections_are_two_memories(two: Two) -> None:
    mine, theirs = two[0].view(), two[1].view()
    mine[0], theirs[ROWS_PER_BLOCK] = 1, 2
    assert (mine[ROWS_PER_BLOCK], theirs[0]) == (0, 0)
    two.commit(0)
    two.commit(1)
    both = two[1].view()
    assert (both[0], both[ROWS_PER_BLOCK], mine[ROWS_PER_BLOCK]) == (1, 2, 0)


def test_an_older_view_beside_a_newer_one_stays_what_it_was(two: Two) -> None:
    old = two[0].view()
    two[1].view()[0] = 9
    two.commit(1)
    two.abort(0)
    new = two[0].view()
    assert (old[0], new[0]) == (0, 9)
    new[1] = 5
    two.commit(0)
    assert (old[1], two[0].view()[1]) == (0, 5)
    old[2] = 1
    with pytest.raises(StaleViewError):
        two.commit(0)


# -- threads
def run_all(works: list[Any]) -> None:
    """Run each in a thread; raise what one of them raised."""
    failed: list[BaseException] = []

    def watched(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=watched, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_threads_fill_one_view_that_one_of_them_commits(two: Two) -> None:
    view = two[0].view()

    def fill(number: int) -> None:
        view[number::8] = np.arange(number, ROWS, 8)

    run_all([lambda number=number: fill(number) for number in range(8)])
    two.commit(0)
    two.abort(1)
    assert np.array_equal(two[1].view(), np.arange(ROWS))


def test_a_view_is_read_by_threads_while_others_commit(two: Two) -> None:
    """It is the snapshot it was, in whatever thread."""
    two[0].view()[:] = 1
    two.commit(0)
    view, is_over, seen = two[0].view(), threading.Event(), []

    def read() -> None:
        while not is_over.is_set():
            seen.append((int(view.min()), int(view.max())))

    def write() -> None:
        try:
            for number in range(2, 30):
                two.abort(1)
                two[1].view()[:] = number
                two.commit(1)
        finally:
            is_over.set()

    run_all([read, read, write])
    assert set(seen) == {(1, 1)}
    two.abort(0)
    assert set(two[0].view()) == {29}


def test_connections_in_threads_write_their_blocks_and_lose_nothing(database: Database, two: Two) -> None:
    def count(block: int) -> None:
        for _ in range(20):
            while True:
                try:
                    with database.transaction() as connection:
                        view = connection.root()["array"].view()
                        view[block * ROWS_PER_BLOCK : (block + 1) * ROWS_PER_BLOCK] += 1
                        view[0] += block != 0  # which all of them want
                    break
                except ConflictError:
                    continue

    run_all([lambda block=block: count(block) for block in range(4)])
    two.abort(0)
    view = two[0].view()
    assert view[0] == 80 and set(view[1:]) == {20}


# -- fork
def in_child(work: Any) -> int:
    """Run something in a forked child; return its exit code: 0 if it returned True."""
    child = os.fork()
    if not child:
        code = 99
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_a_child_writes_reaches_neither_its_parent_nor_the_disk(two: Two, begin: Begin) -> None:
    two[0].view()[:10] = 3
    two.commit(0)
    view = two[0].view()
    view[5] = 4  # not yet stored

    def child() -> bool:
        is_same = view[5] == 4 and view[:10].sum() == 31
        view[:] = 8
        return bool(is_same and (view == 8).all())

    assert in_child(child) == 0
    assert view[:10].tolist() == [3, 3, 3, 3, 3, 4, 3, 3, 3, 3] and not view[10:].any()
    two.commit(0)
    found = begin()[0].root()["array"].view()
    assert found[:10].sum() == 31 and not found[10:].any()


@pytest.mark.parametrize("is_written", [False, True], ids=["clean", "written"])
def test_a_child_is_refused_all_but_reading_its_views(two: Two, is_written: bool) -> None:
    view = two[0].view()
    view[0] = is_written

    def child() -> bool:
        refused = 0
        works = (
            two[0].view,
            two[0].flush,
            lambda: two[0].append([1]),
            lambda: two[0].resize(1),
            lambda: passing(two[0], 0, 10),
            lambda: next(blocks(two[0], writable=False)),
        )
        for work in works:
            try:
                work()
            except InvalidError as error:
                refused += "after a fork" in str(error)
        two.manager(0).abort()  # the interpreter of a child may do so at its end
        return refused == len(works) and len(view) == ROWS

    assert in_child(child) == 0
    assert view[0] == is_written
    two.commit(0)
    two.abort(1)
    assert two[1].view()[0] == is_written


# -- the end of a process
ENDING = """
    import os, signal, sys
    import numpy as np
    from transaction import TransactionManager
    from haywain.store import pagemap
    from haywain.store.array import Array
    from haywain.store.database import Database, open_storage
    pagemap.METHOD = sys.argv[2]
    manager = TransactionManager(explicit=True)
    manager.begin()
    database = Database(open_storage("file:" + sys.argv[1]))
    connection = database.connect(manager)
    array = connection.root()["array"] = Array(3_000_000, "i8")
    connection.add(array)
    array.append(np.arange(1000))
    manager.commit()
    manager.begin()
    view, tail = array.view(), array.view(3_000_000)
    view[::1000] = 5
    array.flush()
    view[1::1000] = 6
    tail[:] = 7
    print("written", flush=True)
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("raise ValueError", 1),
        ("database.close()", 0),
        ("connection.cacheMinimize(); del array, connection, database, manager", 0),
        ("import threading; threading.Thread(target=lambda: view.sum()).start()", 0),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("os.abort()", -6),
    ],
    ids=["end", "exit", "_exit", "error", "close", "forgotten", "thread", "term", "abort"],
)
def test_a_process_that_ends_with_written_views_stores_nothing(
    tmp_path: Path, finding: str, end: str, code: int
) -> None:
    program = textwrap.dedent(ENDING).format(end=end)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), finding], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (code, "written\n"), done.stderr
    assert bool(done.stderr) == (end == "raise ValueError"), done.stderr
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        view: NDArray[Any] = connection.root()["array"].view()
        assert np.array_equal(view[3_000_000:], np.arange(1000)) and not view[:3_000_000].any()
    database.close()


# -- how they are read
def flags_at(address: int) -> set[str]:
    """Return what the kernel says of the mapping at an address: `rr` random, `sr` sequential."""
    text = Path("/proc/self/smaps").read_text()
    for low, high, rest in re.findall(
        r"^([0-9a-f]+)-([0-9a-f]+) (.*?)(?=^[0-9a-f]+-|\Z)", text, re.MULTILINE | re.DOTALL
    ):
        if int(low, 16) <= address < int(high, 16):
            return set(re.findall(r"VmFlags: (.*)", rest)[0].split())
    raise AssertionError(f"nothing is mapped at {address:x}")


@pytest.mark.parametrize(("access", "flag"), [("random", "rr"), ("sequential", "sr"), ("normal", "")])
def test_the_kernel_is_told_how_a_view_is_read(two: Two, access: str, flag: str) -> None:
    two[0].write(0, memoryview(np.arange(ROWS, dtype="i8").tobytes()))
    two.commit(0)
    view = two[0].view(access=access)
    assert flags_at(view.ctypes.data + PAGE) & {"rr", "sr"} == ({flag} if flag else set())
    assert np.array_equal(view, np.arange(ROWS))
    view[3] = 9
    two.commit(0)
    two.abort(1)
    assert two[1].view(access=access)[3] == 9


def test_the_last_access_that_was_asked_for_holds(two: Two) -> None:
    two[0].write(0, memoryview(np.ones(ROWS, "i8").tobytes()))
    for access, flag in (("random", "rr"), ("sequential", "sr"), ("normal", "sr"), ("random", "rr")):
        address = two[0].view(access=access).ctypes.data
        assert flags_at(address) & {"rr", "sr"} == {flag}
