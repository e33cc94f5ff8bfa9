"""Workers, Redis and the database server are killed while activities run: each effect is there once."""

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.campaign.marks import MARK, STREAMS, Queuer, count, expected
from tests.functional.cluster import Cluster, WorkerProgram
from tests.functional.program import Program, until

ACTIVITIES = int(os.environ.get("HAYWAIN_ACTIVITIES", "20000"))
CONCURRENCY = 2
PAUSE_S = 0.5
"""To count them all costs the portal something too."""


class Victims:
    """A cluster of one portal and two workers, all of which may be killed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.cluster = Cluster(folder, {"mark": MARK}).start()
        self.portal: Program = self.cluster.portal("portal").start()
        self.workers = [
            self.cluster.worker("sharing", concurrency=CONCURRENCY),
            self.cluster.worker("caching", concurrency=CONCURRENCY, is_shared=False),
        ]
        for worker in self.workers:
            worker.launch()
        for worker in self.workers:
            worker.start_launched()
        self._chance, self._down = random.Random(seed), list[WorkerProgram]()

    def kill(self, what: str) -> None:
        """Kill or wipe one thing, and see to it that it comes back."""
        worker = self._chance.choice(self.workers)
        if what == "child":
            if worker.process is not None and worker.children:
                worker.kill_child(self._chance.randrange(len(worker.children)))
        elif what == "parent":
            self.recover()
            worker.kill()
            worker.launch()
            self._down.append(worker)
        elif what == "redis wiped":
            self.cluster.redis.flush()
        elif what == "redis":
            self.cluster.redis.kill()
            self.cluster.redis.start()
        else:
            self.recover()  # a worker that starts and finds no server ends
            port = self.cluster.server.port
            self.cluster.server.kill()
            self.cluster.server.start(port)

    def recover(self) -> None:
        """Wait until all workers are there again."""
        for worker in self._down:
            worker.start_launched()
        self._down.clear()

    @property
    def logs(self) -> str:
        return "".join(each.log for each in (self.cluster.server, self.portal, *self.workers))


@pytest.fixture
def victims(request: pytest.FixtureRequest) -> Iterator[Victims]:
    """What runs, in a folder of its own."""
    with TemporaryDirectory(prefix="haywain-campaign-") as path:
        made = Victims(Path(path), seed=20)
        yield made
        made.cluster.close()


@pytest.mark.parametrize(
    ("activities", "kills"),
    [
        pytest.param(
            2000,
            {"child": 4, "parent": 1, "redis wiped": 1, "redis": 1, "server": 1},
            marks=pytest.mark.timeout(480),
            id="some",
        ),
        pytest.param(
            ACTIVITIES,
            {"child": 40, "parent": 10, "redis wiped": 5, "redis": 5, "server": 10},
            marks=[pytest.mark.campaign, pytest.mark.timeout(900 + ACTIVITIES)],
            id="all",
        ),
    ],
)
def test_kills_of_everything_lose_no_activity_and_double_none(
    victims: Victims, report: Callable[..., None], activities: int, kills: dict[str, int]
) -> None:
    client, began = victims.portal.client(), time.monotonic()
    streams = [client.stream(f"s{number}") for number in range(STREAMS)]
    queuer = Queuer(victims.portal.url, streams, activities)
    queuer.start()
    total = activities + len(range(0, activities, 5))
    order = [what for what, times in kills.items() for _ in range(times)]
    random.Random(len(order)).shuffle(order)
    for number, what in enumerate(order):
        until(
            lambda n=number: count(client, "done") >= total * n / len(order) * 0.9, "progress", 300, PAUSE_S
        )  # type: ignore[misc]
        victims.kill(what)
        until(lambda: client("GET", "/readyz").status == 200, "the database", 60)
    victims.recover()
    queuer.join()
    until(
        lambda: count(client, "done") >= total or count(client, "failed"), "the end", 60 + activities, PAUSE_S
    )
    states = {state: count(client, state) for state in ("queued", "running", "done", "failed", "cancelled")}
    assert states == {"queued": 0, "running": 0, "done": total, "failed": 0, "cancelled": 0}
    found = sorted(line for path in streams for line in client.data(path).decode().splitlines())
    assert found == sorted(expected(activities))
    client.close()
    assert [worker.stop() for worker in victims.workers] == [0, 0] and victims.portal.stop() == 0
    assert "Traceback" not in victims.logs, victims.logs
    report(kills=kills, activities=total, seconds=round(time.monotonic() - began))
