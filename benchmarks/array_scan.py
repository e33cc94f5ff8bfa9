"""Scan an array that is in the page cache, beside `numpy.memmap` of the same bytes.

    python benchmarks/array_scan.py [MIB] [ROUNDS]

Both are read in one process, in rotating order; each row is the ratio of the best times of ours to theirs as
speeds, so 1.00 is as fast as `numpy.memmap` and more is faster.  Bare times depend on the machine.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import haywain

ROW = 8
BLOCK_ROWS = 1 << 20
Scan = Callable[[NDArray[Any]], object]
"""Any: the items may be of any type."""


def every_page(rows: NDArray[Any]) -> object:
    """Touch each page once."""
    return rows.reshape(-1)[::1024].sum()


def sums(rows: NDArray[Any]) -> object:
    """Add up all, a block at a time."""
    return [rows[start : start + BLOCK_ROWS].sum() for start in range(0, len(rows), BLOCK_ROWS)]


def column(rows: NDArray[Any]) -> object:
    """Take the maximum of one column."""
    return rows[:, 3].max()


def gather(rows: NDArray[Any]) -> object:
    """Take 100,000 rows at random."""
    return rows[np.random.default_rng(7).integers(0, len(rows), 100_000)].sum()


SCANS: dict[str, Scan] = {"every page": every_page, "sum": sums, "column": column, "random rows": gather}


def seconds(take: Callable[[], NDArray[Any]], scan: Scan) -> float:
    """Return how long it takes to take the rows anew and scan them."""
    began = time.perf_counter()
    scan(take())
    return time.perf_counter() - began


def compare(ours: Callable[[], NDArray[Any]], theirs: Callable[[], NDArray[Any]], rounds: int) -> None:
    """Print a ratio for each scan."""
    for name, scan in SCANS.items():
        best = {ours: float("inf"), theirs: float("inf")}
        for number in range(rounds + 1):
            for take in (ours, theirs) if number % 2 else (theirs, ours):
                took = seconds(take, scan)
                if number:  # the first round warms the page cache
                    best[take] = min(best[take], took)
        print(f"{name:12} {best[theirs] / best[ours]:5.2f}x of numpy.memmap   ({best[ours] * 1000:.0f} ms)")


def main(mib: int = 1024, rounds: int = 7) -> None:
    """Write an array and a file of the same bytes, and compare."""
    rows = mib * (1 << 20) // (4 * ROW)
    with tempfile.TemporaryDirectory() as folder, haywain.open(f"{folder}/var") as portal:
        array: Any = portal.new("Data Array", reference="scanned")  # Any: one kind of document
        array.create(shape=(0, ROW), dtype="<f4")
        path = Path(folder) / "rows"
        with open(path, "wb") as file:
            for start in range(0, rows, BLOCK_ROWS):
                some = np.arange(start, min(start + BLOCK_ROWS, rows), dtype="<f4")
                block = np.repeat(some[:, None], ROW, axis=1)
                array.append(block)
                file.write(block)
        portal.commit()

        def ours() -> NDArray[Any]:
            portal.abort()
            found: NDArray[Any] = array[:]
            return found

        def theirs() -> NDArray[Any]:
            return np.memmap(path, "<f4", "r", shape=(rows, ROW))

        assert np.array_equal(ours()[::997], theirs()[::997])
        compare(ours, theirs, rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
