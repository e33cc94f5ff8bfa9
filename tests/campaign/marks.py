"""Activities that leave marks: what must be there in the end shows whether one ran twice, or not at all."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from tests.functional.program import Client

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


def expected(activities: int) -> Iterator[str]:
    """Yield the lines that there must be, each once."""
    for number in range(activities):
        yield from (f"{number}.{step}" for step in range(number % 4))
        yield f"{number}.end"
        if number % 5 == 0:
            yield f"{-1 - number}.end"
