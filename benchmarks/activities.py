"""Measure what an empty activity costs, beside the transactions that it cannot do without.

    python benchmarks/activities.py [--count N] [--rounds N]

An activity is claimed in one durable transaction and ended in another.  So the floor is two commits of a
small object each, in the same database, and below that two appends of 4 KiB, each with an fsync.  Beside one
by one: in a group, whose members share their transactions; and so many that one Worker runs, then two.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import FailedError, Line, in_turns
from persistent.mapping import PersistentMapping

import haywain
from haywain.activity.kind import Kind, Result, Work

FLOOR, DISK = "two commits", "two appends with fsync"
ONE, TWO, GROUP = "one Worker", "two Workers", "in groups"


class Nothing(Kind):
    """Do nothing."""

    name, title, portal_types = "nothing", "Nothing", ("Data Stream",)

    def run(self, work: Work) -> Result:  # type: ignore[override]  # without steps
        """Return at once."""
        return {}


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="activities a round (default: 500)")
    parser.add_argument("--rounds", type=int, default=5, help="how often (default: 5)")
    return parser.parse_args()


def main() -> None:
    """Measure and print the table."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="haywain-bench-") as name:
        folder = Path(name)
        works: dict[str, Callable[[int], float]] = {
            ONE: _activities(folder / "one", asked.count, 1),
            TWO: _activities(folder / "two", asked.count, 2),
            GROUP: _activities(folder / "group", asked.count, 1, group="empty"),
            FLOOR: _commits(folder / "floor", asked.count),
            DISK: _appends(folder / "file", asked.count),
        }
        line = Line(f"{asked.count} empty activities")
        times = in_turns(works, asked.rounds, line)
    line.compare(times, ONE)
    print(f"| {line.title}, one Worker, beside | its speed |\n| --- | --: |")
    for peer, ratio in line.ratios.items():
        print(f"| {peer} | {ratio:.2f} |")
    print("".join(f"- {note}\n" for note in [*line.notes, *line.missed()]))


def _activities(folder: Path, count: int, workers: int, **options: str) -> Callable[[int], float]:
    """Return what has so many activities run, each on one of 16 documents."""

    def work(number: int) -> float:
        with haywain.open(str(folder)) as portal:
            portal.site.registry.activities["nothing"] = Nothing()
            portal.site.workers.start(workers)
            streams: list[Any] = [portal.new("Data Stream") for _ in range(16)]
            portal.commit()
            first = streams[0].activate(tag="all", **options).nothing()
            for index in range(1, count):
                streams[index % 16].activate(tag="all", **options).nothing()
            last = streams[0].activate(after_tag="all").nothing()
            portal.commit()
            began = time.perf_counter()
            last.wait(600)
            took = time.perf_counter() - began
            if first.state != "done":
                raise FailedError(f"the first is {first.state}: {first.error}")
            return took

    return work


def _commits(folder: Path, count: int) -> Callable[[int], float]:
    """Return what commits twice as often, a small object each time."""

    def work(number: int) -> float:
        with haywain.open(str(folder)) as portal:
            found: Any = portal.new("Data Stream")
            found.bench = [PersistentMapping() for _ in range(16)]
            portal.commit()
            began = time.perf_counter()
            for index in range(2 * count):
                found.bench[index % 16]["at"] = index
                portal.commit()
            return time.perf_counter() - began

    return work


def _appends(path: Path, count: int) -> Callable[[int], float]:
    """Return what appends 4 KiB twice as often, each with an fsync."""

    def work(number: int) -> float:
        began = time.perf_counter()
        with path.open("ab", buffering=0) as file:
            for _ in range(2 * count):
                file.write(bytes(4096))
                os.fsync(file.fileno())
        return time.perf_counter() - began

    return work


if __name__ == "__main__":
    main()
