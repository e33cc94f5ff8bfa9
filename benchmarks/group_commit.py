"""Durable appends of 8 KB by 64 threads through the store's group commit, beside raw appends.

    python benchmarks/group_commit.py [APPENDS] [ROUNDS]

Raw is one file, 64 appends of the same size and then one fsync, over and over: what the disk allows.  Each
round does both, in rotating order; the figures are ratios of the medians as speeds.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from haywain.app import open_site
from haywain.portal import Portal, Site
from haywain.security import SYSTEM
from haywain.settings import load

WRITERS, SIZE = 64, 8192


def grouped(site: Site, paths: list[str], appends: int) -> None:
    """Append by 64 threads, one append in flight each, each waiting until it is durable."""
    data = os.urandom(SIZE)

    def write(path: str) -> None:
        def work(portal: Portal) -> int:
            return int(portal[path].append(data))  # type: ignore[attr-defined]

        for _ in range(appends // WRITERS):
            site.together(work, SYSTEM, f"stream:{path}", SIZE)

    threads = [threading.Thread(target=write, args=(paths[n % len(paths)],)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def alone(site: Site, path: str, appends: int) -> None:
    """Append one after the other, each in a transaction of its own."""
    data = os.urandom(SIZE)
    for _ in range(appends):
        site.transact(lambda portal: portal[path].append(data))  # type: ignore[attr-defined]


def raw(path: Path, appends: int) -> None:
    """Append to a file; fsync after each 64."""
    data = os.urandom(SIZE)
    with open(path, "ab", buffering=0) as file:
        for _ in range(appends // WRITERS):
            for _ in range(WRITERS):
                file.write(data)
            os.fsync(file.fileno())


def main(appends: int = 12_800, rounds: int = 5) -> None:
    """Compare one stream and 64 streams with raw appends and with one transaction each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site, _ = open_site(load(data=folder / "var"))
        paths, _ = site.transact(lambda portal: [portal.new("Data Stream").path for _ in range(WRITERS)])
        each = appends // 20
        runs: dict[str, tuple[Callable[[], None], int]] = {
            "raw": (lambda: raw(folder / "raw", appends), appends),
            "one stream": (lambda: grouped(site, paths[:1], appends), appends),
            "64 streams": (lambda: grouped(site, paths, appends), appends),
            "one by one": (lambda: alone(site, paths[0], each), each),
        }
        speeds: dict[str, list[float]] = {run: [] for run in runs}
        for number in range(rounds + 1):
            order = list(runs)[number % len(runs) :] + list(runs)[: number % len(runs)]
            for run in order:
                work, count = runs[run]
                began = time.perf_counter()
                work()
                if number:
                    speeds[run].append(count / (time.perf_counter() - began))
        site.close()
    medians = {run: statistics.median(found) for run, found in speeds.items()}
    for run in ("one stream", "64 streams"):
        print(
            f"{run:12} {medians[run] / medians['raw']:5.2f}x of raw append and fsync per 64, "
            f"{medians[run] / medians['one by one']:5.1f}x of one transaction each   ({medians[run]:,.0f}/s)"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
