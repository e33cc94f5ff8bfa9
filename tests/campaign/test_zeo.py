"""Kill -9 of the database server while two portals append and work: nothing is lost or doubled."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.campaign.conftest import Agents
from tests.campaign.marks import MARK, STREAMS, Queuer, count, expected
from tests.functional.program import DatabaseProgram, Program, until

KILLS = int(os.environ.get("HAYWAIN_KILLS", "100"))
WAIT_S = 2


@dataclass
class Cluster:
    """A database server and two portals on it, which know the kind of work `mark`."""

    server: DatabaseProgram
    portals: list[Program]

    @property
    def logs(self) -> str:
        return "".join(each.log for each in (self.server, *self.portals))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that runs: one portal shares the server's blobs, the other has a cache."""
    with TemporaryDirectory(prefix="haywain-campaign-") as folder, ExitStack() as running:
        server = running.enter_context(DatabaseProgram(Path(folder) / "db"))
        uri = f"{server.url}?wait_s={WAIT_S}"
        portals = []
        for name, options in (("one", f"&shared={server.data}/blobs"), ("two", "")):
            program = Program(Path(folder) / name, "--database", uri + options)
            running.enter_context(program.start()).stop()  # which makes the directory
            (program.data / "activities").mkdir()
            (program.data / "activities" / "mark.py").write_text(MARK)
            portals.append(program.start())
        yield Cluster(server, portals)


@pytest.mark.parametrize(
    ("kills", "activities"),
    [
        pytest.param(3, 60, marks=pytest.mark.timeout(180)),
        pytest.param(KILLS, 20 * KILLS, marks=[pytest.mark.campaign, pytest.mark.timeout(600 + 30 * KILLS)]),
    ],
)
def test_kills_of_the_server_lose_nothing_and_double_nothing(
    cluster: Cluster, report: Callable[..., None], kills: int, activities: int
) -> None:
    moments, began = random.Random(kills), time.monotonic()
    agents = Agents(*cluster.portals, data=cluster.server.data)
    client = cluster.portals[1].client()
    streams = [client.stream(f"s{number}") for number in range(STREAMS)]
    queuer = Queuer(cluster.portals[0].url, streams, activities)
    agents.start()
    queuer.start()
    port = cluster.server.port
    for _ in range(kills):
        time.sleep(moments.uniform(0.5, 3))
        cluster.server.kill()
        time.sleep(moments.uniform(0, 1.5 * WAIT_S))
        cluster.server.start(port)
    queuer.join()
    agents.finish()
    wanted = activities + len(range(0, activities, 5))
    until(lambda: count(client, "done") + count(client, "failed") == wanted, "the activities", 300)
    assert count(client, "done") == wanted
    lines = sorted(line for path in streams for line in client.data(path).decode().splitlines())
    client.close()
    assert [portal.stop() for portal in cluster.portals] == [0, 0] and cluster.server.stop() == 0
    assert lines == sorted(expected(activities))
    records = agents.check()
    assert "Traceback" not in cluster.logs, cluster.logs
    report(
        kills=kills,
        records=records,
        activities=wanted,
        retries=sum(agent.retries for agent in agents.all),
        cut_off=cluster.logs.count("a commit that was cut off was kept"),
        seconds=round(time.monotonic() - began),
    )
