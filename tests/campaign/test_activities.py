"""Kill -9 while activities are queued and run: each effect is there exactly once, and none is missing."""

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.campaign.marks import MARK, STREAMS, Queuer, count, expected
from tests.functional.program import PASSWORD, Program

from haywain.app import open_site
from haywain.settings import load

ACTIVITIES = int(os.environ.get("HAYWAIN_ACTIVITIES", "2000"))
KILLS = 20


@pytest.fixture
def program() -> Iterator[Program]:
    """A program that knows the kind of work above."""
    with TemporaryDirectory(prefix="haywain-campaign-") as path:
        data = Path(path) / "var"
        open_site(load(data=data, admin_password=PASSWORD))[0].close()
        (data / "activities").mkdir()
        (data / "activities" / "mark.py").write_text(MARK)
        with Program(data) as running:
            yield running


@pytest.mark.parametrize(
    ("activities", "kills"),
    [
        pytest.param(100, 3, marks=pytest.mark.timeout(120)),
        pytest.param(ACTIVITIES, KILLS, marks=[pytest.mark.campaign, pytest.mark.timeout(300 + ACTIVITIES)]),
    ],
)
def test_kills_lose_no_activity_and_double_none(
    program: Program, report: Callable[..., None], activities: int, kills: int
) -> None:
    client, moments, began = program.client(), random.Random(kills), time.monotonic()
    streams = [client.stream(f"s{number}") for number in range(STREAMS)]
    queuer = Queuer(program.url, streams, activities)
    queuer.start()
    follow_ups = len(range(0, activities, 5))
    for kill in range(kills):
        while count(client, "done") < (activities + follow_ups) * (kill + 0.5) / (kills + 1):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        program.kill()
        client.close()
        client = program.start(program.port).client()
    queuer.join()
    while count(client, "done") < activities + follow_ups and not count(client, "failed"):
        time.sleep(0.05)
    states = {state: count(client, state) for state in ("queued", "running", "done", "failed", "cancelled")}
    assert states == {"queued": 0, "running": 0, "done": activities + follow_ups, "failed": 0, "cancelled": 0}
    found = sorted(line for path in streams for line in client.data(path).decode().splitlines())
    assert found == sorted(expected(activities))
    client.close()
    assert program.stop() == 0
    assert "Traceback" not in program.log, program.log
    report(kills=kills, activities=activities + follow_ups, seconds=round(time.monotonic() - began))
