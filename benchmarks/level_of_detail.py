"""Ask an array's level of detail for 1,000 stretches, beside NumPy over a `numpy.memmap` of the same bytes.

    python benchmarks/level_of_detail.py [--small] [ROWS]

A random walk with a peak in it, float32: 1,000,000,000 rows (4 GB, twice on the disk), or 50,000,000 with
`--small`.  Each line is a ratio of two things done in one run; more than 1 is in favour of the level of
detail.  Bare times depend on the machine.  Every answer is compared with NumPy's.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import haywain
from haywain.store.detail import edges_of
from haywain.values import MIB

WIDTH, ROUNDS = 1000, 5
STEP = 16 * MIB
Numbers = NDArray[Any]
"""Any: numbers of whatever dtype."""


def walk(rows: int) -> Iterable[Numbers]:
    """Yield rows that look like a measurement, with a peak of one row."""
    random, level = np.random.default_rng(11), 0.0
    for start in range(0, rows, STEP):
        steps = random.standard_normal(min(STEP, rows - start), np.float32)
        piece = np.cumsum(steps, dtype=np.float32) + np.float32(level)
        level = float(piece[-1])
        if start <= rows // 3 < start + len(piece):
            piece[rows // 3 - start] = 1e9
        yield piece


def seconds(
    work: Callable[[], object], rounds: int = ROUNDS, before: Callable[[], None] | None = None
) -> float:
    """Return the median time of some rounds."""
    took = []
    for _ in range(rounds):
        if before is not None:
            before()
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return sorted(took)[rounds // 2]


def forget(folder: Path) -> None:
    """Have the system forget what it keeps of the files in a folder."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def say(what: str, ratio: float, ours: float, theirs: float) -> None:
    """Print a ratio, and the two times it is of."""
    print(f"{what:58} {ratio:9.1f}x   ({ours * 1000:.1f} ms, {theirs * 1000:.1f} ms)", flush=True)


def update(portal: Any, array: Any) -> int:  # Any: the one kind of document
    """Bring the level of detail up to date, a transaction a step; return how many rows were looked at."""
    looked_at, following = 0, 0
    while following is not None:
        rows, following = array.update_level_of_detail(following)
        looked_at += rows
        portal.commit()
    return looked_at


def bytes_of(array: Any) -> int:  # Any: as above
    """Return the bytes of all levels."""
    return sum(level.nbytes for level in array._pyramid.levels)


def compare(folder: Path, portal: Any, array: Any, file: Path) -> None:  # Any: as above
    """Ask for the whole, for a tenth, and for the whole when nothing of it is in memory."""
    rows = len(array)

    def ours(start: int, stop: int) -> Any:  # Any: what it answers
        portal.abort()
        return array.level_of_detail(start, stop, WIDTH).columns["0"]

    def theirs(start: int, stop: int) -> tuple[Numbers, Numbers]:
        piece, starts = np.memmap(file, "<f4", "r")[start:stop], edges_of(start, stop, WIDTH)[:-1] - start
        return np.minimum.reduceat(piece, starts), np.maximum.reduceat(piece, starts)

    for name, start, stop in (("all rows", 0, rows), ("a tenth", rows // 3 - 7, rows // 3 + rows // 10)):
        low, high = theirs(start, stop)
        found = ours(start, stop)
        assert np.array_equal(found.min, low) and np.array_equal(found.max, high) and high.max() == 1e9
        mine = seconds(lambda start=start, stop=stop: ours(start, stop))
        other = seconds(lambda start=start, stop=stop: theirs(start, stop), 3)
        say(f"{WIDTH} stretches of {name}, beside numpy.memmap", other / mine, mine, other)

    def cold() -> None:
        portal.connection.cacheMinimize()
        forget(folder)

    mine = seconds(lambda: ours(0, rows), 3, cold)
    other = seconds(lambda: theirs(0, rows), 3, cold)
    say("the same of all rows, of which none is in memory", other / mine, mine, other)


def main(rows: int) -> None:
    """Write the rows twice, and compare."""
    with tempfile.TemporaryDirectory() as name, haywain.open(f"{name}/var") as portal:
        folder, file = Path(name), Path(name) / "rows"
        array: Any = portal.new("Data Array", reference="walk")  # Any: as above
        array.create(shape=(0,), dtype="<f4")
        with open(file, "wb") as out:
            for piece in walk(rows):
                array.append(piece)
                portal.commit()
                out.write(piece)
        read = seconds(lambda: (np.memmap(file, "<f4", "r").min(), np.memmap(file, "<f4", "r").max()), 3)
        built = seconds(lambda: update(portal, array), 1)
        say("made the first time, beside min() and max() of numpy.memmap", read / built, built, read)
        print(f"{'bytes of the data for each of its own':58} {array.nbytes / bytes_of(array):9.1f}x")
        compare(folder, portal, array, file)
        array.append(np.arange(rows // 100, dtype="<f4"))
        portal.commit()
        looked_at: list[int] = []
        appended = seconds(lambda: looked_at.append(update(portal, array)), 1)
        say("1 % appended: brought up to date, beside made anew", built / appended, appended, built)
        print(f"{'  rows looked at for each one appended':58} {looked_at[0] / (rows // 100):9.2f}")


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--small"]
    main(int(given[0]) if given else 50_000_000 if "--small" in sys.argv else 1_000_000_000)
