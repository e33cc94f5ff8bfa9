"""Durable appends of 8 KB by 64 threads through the store's group commit, beside raw appends.

Raw is one file, 64 appends of the same size and then one fsync, over and over: what the disk allows.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from measure import Line, in_turns, speed
from transaction import TransactionManager

from haywain.app import open_site
from haywain.portal import Portal, Site
from haywain.security import SYSTEM
from haywain.settings import load
from haywain.store.group import Group, Session
from haywain.values import Tid

WRITERS, SIZE = 64, 8192
RAW, ALONE = "raw append, fsync per 64", "one transaction each"
FILE = "the same threads, to a file"
FLOOR = 0.6
"""How fast we must be beside raw."""


def grouped(site: Site, paths: list[str], appends: int) -> None:
    """Append by 64 threads, one append in flight each, each waiting until it is durable."""
    data = os.urandom(SIZE)

    def write(path: str) -> None:
        def work(portal: Portal) -> int:
            return int(portal[path].append(data))  # type: ignore[attr-defined]

        for _ in range(appends // WRITERS):
            site.together(work, SYSTEM, f"stream:{path}", SIZE)

    _all(partial(write, paths[n % len(paths)]) for n in range(WRITERS))


def alone(site: Site, path: str, appends: int) -> None:
    """Append one after the other, each in a transaction of its own."""
    data = os.urandom(SIZE)
    for _ in range(appends):
        site.transact(lambda portal: portal[path].append(data))  # type: ignore[attr-defined]


def to_a_file(path: Path, appends: int) -> None:
    """Append by the same threads, in the same groups, to a file: what threads that wait leave of raw."""
    data = os.urandom(SIZE)
    with open(path, "ab", buffering=0) as file:

        def transact(work: Callable[[Session], list[int]]) -> tuple[list[int], Tid]:
            results = work(_NoSession())
            os.fsync(file.fileno())
            return results, Tid("")

        group: Group[Session] = Group(transact)
        lock = threading.Lock()

        def write() -> None:
            for _ in range(appends // WRITERS):
                group.run(lambda _: file.write(data), lock, SIZE)

        _all(write for _ in range(WRITERS))


class _NoSession:
    """In place of a session: nothing here needs one."""

    manager = TransactionManager()


def _all(works: Iterable[Callable[[], None]]) -> None:
    """Run works in threads."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def raw(path: Path, appends: int) -> None:
    """Append to a file; fsync after each 64."""
    data = os.urandom(SIZE)
    with open(path, "ab", buffering=0) as file:
        for _ in range(appends // WRITERS):
            for _ in range(WRITERS):
                file.write(data)
            os.fsync(file.fileno())


def measure(folder: Path, appends: int, rounds: int) -> list[Line]:
    """Compare one stream and 64 streams with raw appends, and with one transaction for each."""
    site, _ = open_site(load(data=folder / "group"))
    paths, _ = site.transact(lambda portal: [portal.new("Data Stream").path for _ in range(WRITERS)])
    some = appends // 20
    one, many = "8 KB by 64 writers, one stream", "8 KB by 64 writers, 64 streams"
    lines = {one: Line(one, {RAW: FLOOR, ALONE: 10}), many: Line(many, {RAW: FLOOR, ALONE: 10})}
    works = {
        RAW: _timed(lambda: raw(folder / "raw", appends), appends),
        FILE: _timed(lambda: to_a_file(folder / "threads", appends), appends),
        one: _timed(lambda: grouped(site, paths[:1], appends), appends),
        many: _timed(lambda: grouped(site, paths, appends), appends),
        ALONE: _timed(lambda: alone(site, paths[0], some), some),
    }
    try:
        times = in_turns(works, rounds, lines[one])
    finally:
        site.close()
    for name, line in lines.items():
        line.ratios = {peer: speed(times, name, peer) for peer in (RAW, FILE, ALONE)}
    return list(lines.values())


def _timed(work: Callable[[], None], count: int) -> Callable[[int], float]:
    """Return a work that tells its seconds for one append."""

    def timed(number: int) -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) / count

    return timed
