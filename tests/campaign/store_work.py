"""What a process does to a database until it is killed, and what must be there afterwards.

`python -m tests.campaign.store_work DIR WORK` opens the database, prints `open`, waits for a line on stdin,
does the work and prints `done N`, N being the number of the last commit; the work `mix` goes on for ever.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from transaction import TransactionManager

from haywain.settings import load
from haywain.soundness import verify
from haywain.store.array import Array
from haywain.store.database import Database, open_storage
from haywain.store.stream import Stream

WORKS = ("append", "seal", "array", "pack")
PIECE = 3000


class Work:
    """A database with a stream and an array, whose bytes tell how many commits there were."""

    def __init__(self, directory: Path) -> None:
        """Open it; it is made at the first time."""
        directory.mkdir(exist_ok=True)
        self.database = Database(open_storage(f"file:{directory}"))
        self.manager = TransactionManager(explicit=True)
        self.manager.begin()
        self.connection = self.database.connect(self.manager)
        self.root = self.connection.root()
        if "stream" not in self.root:
            self.root["stream"], self.root["array"] = Stream(), Array((20_000,), "i8")
            self._commit()

    @property
    def number(self) -> int:
        """How many commits changed bytes."""
        return int(self.root["stream"].size // PIECE + self.root["array"].view()[0])

    def append(self) -> None:
        self.root["stream"].append(piece(self.root["stream"].size // PIECE))
        self._commit()

    def seal(self) -> None:
        """Close the tail, then seal all that is closed."""
        self.root["stream"].close_tail()
        self._commit()
        for start in self.root["stream"].unsealed():
            self.root["stream"].seal(start)
        self._commit()

    def array(self) -> None:
        """Write every page through a view, and append."""
        array = self.root["array"]
        number = int(array.view()[0]) + 1
        array.view()[::256] = number
        array.append(np.full(7000, number))
        self._commit()

    def pack(self) -> None:
        self.manager.abort()
        self.database.pack()
        self.manager.begin()

    def _commit(self) -> None:
        self.manager.commit()
        self.manager.begin()

    def close(self) -> None:
        self.manager.abort()
        self.connection.close()
        self.database.close()


def piece(number: int) -> bytes:
    """Return the bytes of an append, by its number."""
    return (b"%09d" % number * (PIECE // 9 + 1))[:PIECE]


def check(directory: Path, acknowledged: int) -> int:
    """Fail if an acknowledged commit is lost or something cannot be read; return how many there are."""
    work = Work(directory)
    stream, array = work.root["stream"], work.root["array"]
    found: bytes = stream.read()
    assert len(found) % PIECE == 0
    assert found == b"".join(piece(number) for number in range(len(found) // PIECE))
    rows, number = array.view(), int(array.view()[0])
    assert len(rows) == 20_000 + 7000 * number
    assert (rows[:20_000:256] == number).all()
    for one in range(1, number + 1):
        start = 20_000 + 7000 * (one - 1)
        inside = rows[start : start + 7000]
        assert set(np.unique(inside)) <= {one, number}
    total = work.number
    work.close()
    assert total >= acknowledged, f"{acknowledged} commits were acknowledged, {total} are there"
    report = verify(load(data=directory))
    assert report.ok, report.problems
    return total


def main(directory: str, name: str) -> None:
    work: Any = Work(Path(directory))
    print("open", work.number, flush=True)
    sys.stdin.readline()
    if name in WORKS:
        getattr(work, name)()
        print(f"done {work.number}", flush=True)
        sys.stdin.readline()
        return
    step = 0
    while True:
        step += 1
        work.append()
        work.array()
        if step % 3 == 0:
            work.seal()
        if step % 5 == 0:
            work.pack()
        print(f"done {work.number}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
