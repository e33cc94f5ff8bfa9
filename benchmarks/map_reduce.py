"""Measure statistics over an array as a Job on one and two Worker processes, beside dask on two.

    python benchmarks/map_reduce.py [--mib N] [--rounds N]

The database is served by `haywain zeo`; the Workers are `haywain worker`, woken by a Redis server of their
own.  dask has the same bytes as zarr, in chunks as large as a part.  Plain processes do the same computation
over `numpy.memmap`: what the machine gives.  A figure is our speed as a multiple.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from environment import LeftOutError, peers
from measure import FailedError, Line, in_turns
from stream_http import free_port
from workload import MIB

import haywain
from haywain.analysis.moments import FINE_BINS, Moments, histogram

HERE = Path(__file__).resolve().parent
ONE, TWO, DASK = "one Worker", "two Workers", "dask, two processes"
PLAIN = {1: "one plain process", 2: "two plain processes"}
PART = 16 * MIB
COLUMNS = 2


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=4096, help="size of the array (default: 4096)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (default: 3)")
    return parser.parse_args()


def main() -> None:
    """Measure and print the table."""
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="haywain-bench-") as name:
        line, gained = measure(Path(name), asked.mib, asked.rounds)
    print(f"| {line.title} beside | our speed, two Workers |\n| --- | --: |")
    for peer, ratio in line.ratios.items():
        print(f"| {peer} | {ratio:.2f} |")
    print(f"\n- {gained}")
    print("".join(f"- {note}\n" for note in [*line.notes, *line.missed()]))


def measure(folder: Path, mib: int, rounds: int) -> tuple[Line, str]:
    """Fill all, start what serves, and let each compute in turns."""
    line = Line(f"Statistics of {mib} MiB", {DASK: 1.0})
    rows = mib * MIB // (4 * COLUMNS)
    path = _fill(folder, rows)
    with ExitStack() as started:
        works: dict[str, Callable[[int], float]] = {
            PLAIN[count]: _plain(folder / "rows", rows, count) for count in (1, 2)
        }
        server = started.enter_context(_serving(folder))
        for name, count in ((ONE, 1), (TWO, 2)):
            works[name] = _job(folder, server, path, count, rows)
        try:
            works[DASK] = started.enter_context(_dask(folder, rows))
        except LeftOutError as error:
            line.notes.append(f"{DASK}: {error}")
        times = in_turns(works, rounds, line)
    line.compare(times, TWO)
    ours, plain = (min(times[one]) / min(times[two]) for one, two in ((ONE, TWO), (PLAIN[1], PLAIN[2])))
    return line, f"two over one: our Workers gain {ours:.2f}, plain processes {plain:.2f}: {ours / plain:.2f}"


def _fill(folder: Path, rows: int) -> str:
    """Write the same rows into a file and into an array; return the array's path."""
    random = np.random.default_rng(1)
    with haywain.open(str(folder / "var")) as portal, open(folder / "rows", "wb") as file:
        array: Any = portal.new("Data Array", reference="bench")
        array.create((0, COLUMNS), "<f4")
        for start in range(0, rows, PART):
            block = random.standard_normal((min(PART, rows - start), COLUMNS), np.float32)
            array.append(block)
            file.write(block.tobytes())
            portal.commit()
        return str(array.path)


@contextmanager
def _process(command: list[str], ready: str = "", **environ: str) -> Iterator[str]:
    """Run a process until the end of the block; yield the line by which it says that it is ready."""
    process = subprocess.Popen(
        command, env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        line = next((line for line in process.stdout if ready in line), "")
        if not line:
            raise FailedError(f"{command[0]} ended at once, with {process.wait()}")
        yield line.strip()
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve the database and a broker; yield their addresses."""
    redis = shutil.which("redis-server")
    if redis is None:
        raise FailedError("there is no redis-server; apt-get install redis-server")
    port = free_port()
    broker = [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    haywain_zeo = [sys.executable, "-m", "haywain", "zeo", "--data", str(folder / "var"), "--port", "0"]
    with _process(broker, "Ready to accept"), _process(haywain_zeo, "haywain: zeo at") as line:
        yield line.split()[-1], f"redis://127.0.0.1:{port}/0"


def _job(folder: Path, server: tuple[str, str], path: str, count: int, rows: int) -> Callable[[int], float]:
    """Return what has so many Workers do the Job."""
    database, broker = server
    own = folder / f"workers-{count}"
    command = [sys.executable, "-m", "haywain", "worker", "--database", database, "--broker", broker]
    command += ["--data", str(own), "--concurrency", str(count)]

    def work(number: int) -> float:
        os.environ["HAYWAIN_BROKER"] = broker
        with _process(command, "ready"), haywain.open(database, data=str(folder / "driver")) as portal:
            given = {"bins": 65 + number}  # else nothing would be done again
            began = time.perf_counter()
            job = portal.map_reduce("statistics", portal[path], step=PART, parameters=given)
            portal.commit()
            result = job.wait(3600).result
            took = time.perf_counter() - began
            if result is None or [column["count"] for column in result["columns"]] != [rows] * COLUMNS:
                raise FailedError(f"the Job came to {result or job.error}")
            return took

    return work


def _plain(path: Path, rows: int, count: int) -> Callable[[int], float]:
    """Return what has so many processes do the same over mapped memory."""

    def work(number: int) -> float:
        began = time.perf_counter()
        step = PART // (4 * COLUMNS)
        spans = [(str(path), start, min(start + step, rows)) for start in range(0, rows, step)]
        with multiprocessing.get_context("spawn").Pool(count) as pool:
            pool.map(_warm, range(count))
            began = time.perf_counter()
            total = None
            for found in pool.imap(_moments, spans):
                total = found if total is None else total.merged(found)
            assert total is not None
            counts = 0
            for found in pool.imap(_counts, [(*span, total.low, total.high) for span in spans]):
                counts = counts + found
            took = time.perf_counter() - began
        if np.sum(counts) != rows * COLUMNS:
            raise FailedError("it counted wrongly")
        return took

    return work


def _warm(number: int) -> int:
    return number


def _rows(path: str, start: int, stop: int) -> Any:
    whole = np.memmap(path, "<f4", "r").reshape(-1, COLUMNS)
    return whole[start:stop]


def _moments(span: tuple[str, int, int]) -> Moments:
    return Moments.of(_rows(*span))


def _counts(given: tuple[str, int, int, Any, Any]) -> Any:
    return histogram(_rows(*given[:3]), given[3], given[4], FINE_BINS)


@contextmanager
def _dask(folder: Path, rows: int) -> Iterator[Callable[[int], float]]:
    """Start dask on the same rows as zarr; raises LeftOutError."""
    peers("zarr")
    peers("dask")
    python = peers("distributed")
    store = str(folder / "rows.zarr")
    subprocess.run([python, str(HERE / "zarr_of.py"), str(folder / "rows"), store, str(COLUMNS)], check=True)
    process = subprocess.Popen(
        [python, str(HERE / "dask_statistics.py"), store, "2", str(FINE_BINS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    json.loads(process.stdout.readline())

    def work(number: int) -> float:
        assert process.stdin is not None and process.stdout is not None
        print("go", file=process.stdin, flush=True)
        answer = json.loads(process.stdout.readline())
        if any(column["counts"] != rows for column in answer["columns"]):
            raise FailedError("dask counted wrongly")
        return float(answer["seconds"])

    try:
        yield work
    finally:
        process.stdin.close()
        process.wait(60)


if __name__ == "__main__":
    main()
