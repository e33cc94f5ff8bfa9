"""Kill -9 while an array is changed: what was committed is there, all of it, and nothing else."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.elsewhere import METHODS

from haywain.store.array import Array
from haywain.store.database import Database, open_storage
from haywain.store.upkeep import verify

KILLS = int(os.environ.get("HAYWAIN_KILLS", "100"))

WRITER = """
    import sys
    import numpy as np
    from transaction import TransactionManager
    from haywain.store import pagemap
    from haywain.store.array import Array
    from haywain.store.assignment import assign
    from haywain.store.database import Database, open_storage
    pagemap.METHOD = sys.argv[2]
    def put(index, value):
        if pagemap.METHOD == "none":
            assign(array, index, value)
        else:
            array.view()[index] = value
    manager = TransactionManager(explicit=True)
    manager.begin()
    connection = Database(open_storage("file:" + sys.argv[1])).connect(manager)
    root = connection.root()
    if "array" not in root:
        root["array"] = Array((50_000, 2), "i8")
        manager.commit()
        manager.begin()
    array = root["array"]
    number = int(array.view()[0, 0]) if array.rows else 0
    print("open", flush=True)
    while True:
        number += 1
        put(slice(None, None, 7), number)
        if number % 3 == 0:
            array.flush()
        array.append(np.full((number % 5 * 20_000 + 1, 2), number))
        if number % 4 == 0:
            array.resize(50_000)
        put(-1, number)
        manager.commit()
        print(number, flush=True)
        manager.begin()
"""


def check(path: Path, acknowledged: int) -> int:
    """Return the number of the last commit that is there; all of it must be."""
    database = Database(open_storage(f"file:{path}"))
    try:
        with database.transaction() as connection:
            array = connection.root()["array"]
            assert isinstance(array, Array)
            rows = array.view()
            number = int(rows[0, 0])
            assert number >= acknowledged
            assert (rows[:50_000:7] == number).all() and (rows[-1] == number).all()
            since = number - number % 4
            expected = 50_000 + sum(n % 5 * 20_000 + 1 for n in range(since + 1, number + 1))
            assert len(rows) == expected
            verify(array, 0, array.rows)
            return number
    finally:
        database.close()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, id="small"),
        pytest.param(KILLS, marks=[pytest.mark.campaign, pytest.mark.timeout(120 + 20 * KILLS)], id="many"),
    ],
)
def test_after_a_kill_all_that_was_committed_is_there(tmp_path: Path, kills: int) -> None:
    moments, acknowledged = random.Random(kills), 0
    for kill in range(kills):
        method = METHODS[kill % len(METHODS)]  # also each on what the other left
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), method]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            time.sleep(moments.uniform(0.02, 0.4))
            process.send_signal(signal.SIGKILL)
            told = [int(line) for line in process.stdout.read().split("\n")[:-1]]
        acknowledged = max([acknowledged, *told])
        acknowledged = check(tmp_path, acknowledged)
    assert acknowledged
