"""Kill -9 while activities are queued and run: each effect is there exactly once, and none is missing."""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import urllib3
from tests.functional.program import PASSWORD, Client, Program

from haywain.app import open_site
from haywain.settings import load

ACTIVITIES = int(os.environ.get("HAYWAIN_ACTIVITIES", "2000"))
KILLS = 20
STREAMS = 8
API = "/api/v1/activities"
MARK = '''
"""Mark: append a line a step, and let every fifth be followed by another activity."""

from collections.abc import Iterator

from haywain.activity.kind import Kind, NoParameters, Work


class Mark(Kind):
    """Append `number.step` lines."""

    class _Parameters(NoParameters):
        number: int
        steps: int

    name, title, portal_types, parameters = "mark", "Mark", ("Data Stream",), _Parameters

    def run(self, work: Work) -> Iterator[float]:
        number, steps = work.parameters.number, work.parameters.steps
        for step in range(work.cursor.get("step", 0), steps):
            work.document.append(f"{number}.{step}\\n".encode())
            work.cursor["step"] = step + 1
            yield (step + 1) / steps
        work.document.append(f"{number}.end\\n".encode())
        if number >= 0 and number % 5 == 0:
            work.document.activate(tag="follow-up").mark(number=-1 - number, steps=0)
        return {"number": number}
'''


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


class Queuer(threading.Thread):
    """Queues activities whatever happens to the program; asks whether one is there before it sends it."""

    def __init__(self, url: str, streams: list[str], count: int) -> None:
        super().__init__(daemon=True)
        self._client, self._streams, self._count = Client(url), streams, count

    def run(self) -> None:
        for number in range(self._count):
            while not self._is_queued(number):
                time.sleep(0.05)
        self._client.close()

    def _is_queued(self, number: int) -> bool:
        tag = f"n{number}"
        content: dict[str, Any] = {"method": "mark", "parameters": {"number": number, "steps": number % 4}}
        content["tag"] = tag
        if number % 7 == 0:
            content["serialization_tag"] = f"s{number % 3}"
        try:
            if self._client("GET", API, tag=tag).json["count"]:
                return True
            path = f"/{self._streams[number % STREAMS]}/activities"
            sent = {"Content-Type": "application/json"}
            return self._client("POST", path, json.dumps(content), sent).status == 202
        except (urllib3.exceptions.HTTPError, ValueError, KeyError):
            return False


def count(client: Client, state: str) -> int:
    return int(client("GET", API, state=state, limit=1).json["count"])


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


def expected(activities: int) -> Iterator[str]:
    """Yield the lines that there must be, each once."""
    for number in range(activities):
        yield from (f"{number}.{step}" for step in range(number % 4))
        yield f"{number}.end"
        if number % 5 == 0:
            yield f"{-1 - number}.end"
