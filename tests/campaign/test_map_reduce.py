"""Two workers over gigabytes, and everything is killed: what comes of it is what NumPy says, each time."""

import json
import os
import random
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from scipy.signal import welch
from tests.functional.cluster import Cluster

import haywain
from haywain.analysis.welch import Grid
from haywain.errors import DatabaseServerError
from haywain.portal import Portal
from haywain.values import MIB

MIBS = int(os.environ.get("HAYWAIN_MIB", "4096"))
CHANNELS, RATE_HZ, TONE_HZ, NPERSEG = 8, 48_000, 1234.5, 4096
WORK_S = 900


def header(size: int) -> bytes:
    """Return the header of a WAV of so many bytes of 16-bit samples; RF64 where they do not fit RIFF."""
    form = struct.pack("<HHIIHH", 1, CHANNELS, RATE_HZ, RATE_HZ * 2 * CHANNELS, 2 * CHANNELS, 16)
    fmt = b"fmt " + struct.pack("<I", len(form)) + form
    if size < 1 << 32:
        return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + fmt + b"data" + struct.pack("<I", size)
    sizes = struct.pack("<IQQQI", 28, 72 + size, size, size // (2 * CHANNELS), 0)
    return b"RF64\xff\xff\xff\xffWAVEds64" + sizes + fmt + b"data\xff\xff\xff\xff"


def fill(portal: Portal, mib: int) -> tuple[str, str]:
    """Store an array of two columns and a recording, each of so many MiB; return their paths."""
    chance = np.random.default_rng(5)
    array: Any = portal.new("Data Array", reference="values")
    array.create((0, 2), "<f4")
    stream: Any = portal.new("Data Stream", reference="recording.wav")
    stream.append(header(mib * MIB))
    for number in range(-(-mib // 16)):
        size = min(16, mib - 16 * number) * MIB
        array.append(chance.normal([1, 50], [3, 0.5], (size // 8, 2)).astype("<f4"))
        frames = size // (2 * CHANNELS)
        time_s = (np.arange(frames) + number * 16 * MIB // (2 * CHANNELS)) / RATE_HZ
        tone = 3000 * np.sin(2 * np.pi * TONE_HZ * time_s) + chance.normal(20, 300, frames)
        stream.append(np.repeat(tone[:, None], CHANNELS, axis=1).astype("<i2").tobytes())
        portal.commit()
    return str(array.path), str(stream.path)


class Victims:
    """Two workers, their broker and their database server, of which one at a time is killed."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster, self._chance = cluster, random.Random(seed)
        self.workers = [cluster.worker(f"worker-{number}") for number in range(2)]
        for worker in self.workers:
            worker.launch()
        for worker in self.workers:
            worker.start_launched()
        self.killed = list[str]()

    def kill_one(self) -> None:
        """Kill one process at random, and have it come back."""
        what = self._chance.choice(["child", "child", "worker", "redis", "server"])
        worker = self._chance.choice(self.workers)
        self.killed.append(what)
        if what == "child" and worker.children:
            worker.kill_child()
        elif what in ("child", "worker"):
            worker.kill()
            worker.launch()
            worker.start_launched()
        elif what == "redis":
            self.cluster.redis.kill()
            self.cluster.redis.start()
        else:
            port = self.cluster.server.port
            self.cluster.server.kill()
            self.cluster.server.start(port)


@contextmanager
def killing(victims: Victims, times: int, seed: int) -> Iterator[None]:
    """Kill something now and then, at most so many times, until the end of the block."""
    stopping, chance = threading.Event(), random.Random(seed)

    def kill() -> None:
        for _ in range(times):
            if stopping.wait(chance.uniform(0.2, 3)):
                break
            victims.kill_one()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def patiently(work: Callable[[], Any]) -> Any:
    """Return what work returns, tried again while the server is away."""
    deadline = time.monotonic() + WORK_S
    while time.monotonic() < deadline:
        with suppress(DatabaseServerError):
            return work()
        time.sleep(0.1)
    raise AssertionError(f"the database server was away for {WORK_S} s")


def results(site: Any, paths: tuple[str, str]) -> dict[str, Any]:
    """Do both Jobs, and return what they came to."""

    def begin(portal: Portal) -> list[Any]:
        array, stream = (portal[path] for path in paths)
        return [
            portal.map_reduce("statistics", array).path,
            portal.map_reduce("spectrum", stream, parameters={"nperseg": NPERSEG}).path,
        ]

    jobs = patiently(lambda: site.transact(begin)[0])
    deadline = time.monotonic() + WORK_S

    def look() -> list[Any] | None:
        with site.open() as portal:
            found = [portal[path].reduction for path in jobs]
            return [json.loads(one.result) for one in found] if all(one.is_done for one in found) else None

    while (found := patiently(look)) is None:
        assert time.monotonic() < deadline, patiently(lambda: failures(site))
        time.sleep(0.1)

    def read() -> dict[str, Any]:
        with site.open() as portal:
            array: Any = portal[found[1]["array"]]
            return {"statistics": found[0], "spectrum": found[1], "density": array.read().copy()}

    def forget(portal: Portal) -> None:
        for path in jobs:
            portal[path].reduction.memory.clear()  # type: ignore[attr-defined]

    patiently(lambda: site.transact(forget))
    return dict(patiently(read))


def failures(site: Any) -> list[str]:
    """Return what has failed."""
    from haywain.activity.listing import Wanted, list_activities
    from haywain.activity.outbox import Outbox

    with site.open() as portal:
        page = list_activities(Outbox.of(portal.root), portal.user, Wanted(state="failed"))
        return [record.error for record in page.items] or ["nothing has failed, and it is not done"]


def check_by_numpy(portal: Portal, paths: tuple[str, str], found: dict[str, Any]) -> None:
    """Compare with what NumPy and SciPy say of the whole."""
    array: Any = portal[paths[0]]
    for number, told in enumerate(found["statistics"]["columns"]):
        values = array.read()[:, number].astype(np.float64)
        assert told["count"] == len(values) and told["nan_count"] == 0
        assert (told["min"], told["max"]) == (values.min(), values.max())
        assert told["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert told["variance"] == pytest.approx(values.var(), rel=1e-9)
        counts = np.histogram(values, len(told["histogram"]["counts"]))[0]
        assert np.abs(counts - told["histogram"]["counts"]).sum() <= 1e-6 * len(values)
        assert told["quantiles"]["0.5"] == pytest.approx(np.median(values), abs=np.ptp(values) / 32_768)
    stream: Any = portal[paths[1]]
    frames = np.frombuffer(stream.read(len(header(stream.size)), stream.size), "<i2")
    signal = frames.reshape(-1, CHANNELS)[:, 0].astype(np.float64)
    lines = np.fft.rfft(signal - signal.mean())
    peak = int(np.argmax(lines.real**2 + lines.imag**2))
    del lines
    assert found["spectrum"]["peak_hz"] == peak * (1 / (len(signal) / RATE_HZ))
    assert "warning" not in found["spectrum"]
    grid = Grid(len(signal), RATE_HZ, NPERSEG)
    for column in (0, grid.columns // 2, grid.columns - 1):
        start, stop = grid.span(column)
        expected = welch(signal[start:stop], RATE_HZ, "hann", NPERSEG)[1]
        np.testing.assert_allclose(found["density"][column], expected, rtol=1e-8)


@pytest.mark.parametrize(
    ("mib", "kills"),
    [
        pytest.param(64, 4, marks=pytest.mark.timeout(300), id="some"),
        pytest.param(MIBS, 20, marks=[pytest.mark.campaign, pytest.mark.timeout(7200)], id="all"),
    ],
)
def test_kills_of_everything_change_no_result(mib: int, kills: int, report: Callable[..., None]) -> None:
    with TemporaryDirectory(prefix="haywain-campaign-") as name:
        folder = Path(name)
        with haywain.open(str(folder / "db")) as portal:
            paths = fill(portal, mib)
        cluster = Cluster(folder).start()
        try:
            victims, began = Victims(cluster, seed=3), time.monotonic()
            with haywain.open(cluster.uri, data=str(folder / "driver")) as portal:
                first = results(portal.site, paths)
                undisturbed_s = time.monotonic() - began
                portal.refresh()
                check_by_numpy(portal, paths, first)
                runs = 0
                while len(victims.killed) < kills:
                    with killing(victims, kills - len(victims.killed), seed=runs):
                        found = results(portal.site, paths)
                    assert found["statistics"] == first["statistics"]
                    assert found["spectrum"] == first["spectrum"]
                    np.testing.assert_array_equal(found["density"], first["density"])
                    runs += 1
            report(mib=mib, kills=victims.killed, runs=runs, undisturbed_s=round(undisturbed_s))
        finally:
            cluster.close()
