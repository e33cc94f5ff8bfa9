"""Activities of the running program: they run by themselves, and a stop leaves them queued."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.functional.program import PASSWORD, Client, Make, Program, until

from haywain.app import open_site
from haywain.settings import load

SLOW = '''
import threading

from haywain.activity.kind import Kind


class Slow(Kind):
    """Append a dot a step, until somebody removes the title."""

    name, title, portal_types = "slow", "Slow", ("Data Stream",)

    def run(self, work):
        while work.document.title:
            work.document.append(b".")
            threading.Event().wait(0.01)
            yield 0.5
        return {"size": work.document.size}
'''


@pytest.fixture
def slow(make: Make) -> Iterator[Program]:
    """A program that knows the kind of work above."""
    program = make()
    open_site(load(data=program.data, admin_password=PASSWORD))[0].close()
    (program.data / "activities").mkdir()
    (program.data / "activities" / "slow.py").write_text(SLOW)
    yield program.start()
    assert program.stop() == 0
    assert "Traceback" not in program.log, program.log


def post(client: Client, path: str, **content: Any) -> Any:
    answer = client("POST", path, json.dumps(content), {"Content-Type": "application/json"})
    assert answer.status in (200, 202), answer.body
    return answer.json


def test_activity_survives_a_stop_and_ends_once(slow: Program) -> None:
    client = slow.client()
    path = client.make("data_stream_module", title="go on")["path"]
    url = post(client, f"/{path}/activities", method="slow", tag="dots")["url"]
    until(lambda: client("GET", url).json["progress"] == 0.5, "a step")
    assert slow.stop() == 0
    client = slow.start().client()
    assert client("GET", url).json["state"] in ("queued", "running")
    sent = {"Content-Type": "application/json"}
    assert client("PATCH", f"/{path}", json.dumps({"title": ""}), sent).status == 200
    found = until(lambda: (f := client("GET", url).json)["state"] == "done" and f, "its end")
    assert found["result"] == {"size": len(client.data(path))} and found["deaths"] == 0
    client.close()


def test_running_activity_is_cancelled(slow: Program) -> None:
    client = slow.client()
    path = client.make("data_stream_module", title="go on")["path"]
    url = post(client, f"/{path}/activities", method="slow")["url"]
    until(lambda: client("GET", url).json["state"] == "running", "its beginning")
    post(client, f"{url}/cancel")
    until(lambda: client("GET", url).json["state"] == "cancelled", "its end")
    client.close()
