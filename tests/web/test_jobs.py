"""Jobs over HTTP: have work done in parts, see how far it is, cancel it, run again what failed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from webtest import TestApp

from haywain.activity.kept import Arrays
from haywain.activity.map_reduce import MapReduce, Part
from haywain.activity.outbox import Outbox
from haywain.portal import Site

Client = Callable[..., TestApp]


class Total(MapReduce):
    """Sum up the rows; refuse 13 until it is told otherwise."""

    name, title, portal_types = "total", "Sum up", ("Data Array",)
    refuses = True

    def map(self, part: Part) -> Arrays:
        rows = part.source.read(part.start, part.stop)  # type: ignore[attr-defined]
        if self.refuses and (rows == 13).any():
            raise ValueError("13 brings no luck")
        return {"sum": np.array([rows.sum()])}

    def reduce(self, one: Arrays, other: Arrays) -> Arrays:
        return {"sum": one["sum"] + other["sum"]}


@pytest.fixture(autouse=True)
def kind(site: Site) -> Total:
    made = site.registry.activities["total"] = Total()
    return made


def array(site: Site, rows: int) -> str:
    """Return the path of an array of the numbers from 0 on."""

    def make(portal: Any) -> str:
        made = portal.new("Data Array")
        made.create((0,), "<i8")
        made.append(np.arange(rows))
        return str(made.path)

    return site.transact(make)[0]


def run(site: Site) -> None:
    while not site.workers.run_next():
        pass


def started(client: TestApp, path: str, **content: Any) -> str:
    answer = client.post_json(f"/{path}/jobs", {"kind": "total", "step": 16} | content, status=202)
    assert answer.location.endswith(answer.json["url"]) and answer.json["url"] == f"/{answer.json['path']}"
    return str(answer.json["path"])


def told(client: TestApp, path: str) -> Any:
    return client.get(f"/{path}", headers={"Accept": "application/json"}).json


def test_job_is_made_done_and_told(site: Site, program: Client) -> None:
    client = program("analyst")
    job = started(client, array(site, 10))
    found = told(client, job)
    assert (found["work_state"], found["progress"], found["result"]) == ("queued", 0, None)
    assert (found["kind"], found["step_bytes"], found["parts"]["total"]) == ("total", 16, 0)
    run(site)
    found = told(client, job)
    assert (found["work_state"], found["progress"], found["result"]) == ("done", 1.0, {"sum": [45]})
    assert found["parts"] == {
        "total": 5, "failed": 0, "cancelled": 0, "running": 0, "queued": 0, "done": 5, "reused": 0
    }  # fmt: skip
    assert found["finished"] >= found["created"] and found["error"] is None


def test_what_failed_alone_is_done_again(site: Site, program: Client, kind: Total) -> None:
    client = program("analyst")
    job = started(client, array(site, 20))
    client.post(f"/{job}/retry", status=409)
    run(site)
    found = told(client, job)
    assert (found["work_state"], found["error"], found["result"]) == ("failed", "13 brings no luck", None)
    assert (found["parts"]["failed"], found["parts"]["done"], found["progress"]) == (1, 9, 0.9)
    kind.refuses = False
    assert client.post(f"/{job}/retry").json["work_state"] == "running"
    attempts = sum(1 for item in items(client, job) if item["method"] == "_map_part")
    run(site)
    assert told(client, job)["result"] == {"sum": [190]}
    assert attempts == sum(1 for item in items(client, job) if item["method"] == "_map_part") == 10


def items(client: TestApp, path: str) -> Any:
    return client.get(f"/api/v1/activities?path={path}&limit=100").json["items"]


def test_cancelled_job_does_no_more(site: Site, program: Client) -> None:
    client = program("analyst")
    job = started(client, array(site, 10))
    assert client.post(f"/{job}/cancel").json["work_state"] == "cancelled"
    run(site)
    found = told(client, job)
    assert (found["work_state"], found["result"], found["parts"]["done"]) == ("cancelled", None, 0)


def test_job_is_deleted_once_it_has_ended(site: Site, program: Client) -> None:
    client = program("manager")
    job = started(client, array(site, 10))
    answer = client.patch_json(f"/{job}", {"transition": "delete"}, status=400)
    assert "cancel it first" in answer.json["detail"]
    client.post(f"/{job}/cancel")
    assert client.patch_json(f"/{job}", {"transition": "delete"}).json["state"] == "deleted"


def test_kinds_that_can_be_done_in_parts_are_told(site: Site, program: Client) -> None:
    known = program("viewer").get(f"/{array(site, 1)}/jobs").json["items"]
    assert known == []
    items = {item["kind"]: item for item in program("analyst").get(f"/{array(site, 1)}/jobs").json["items"]}
    assert {"total", "statistics", "spectrum"} <= set(items) and "compact" not in items
    assert "bins" in items["statistics"]["parameters"]["properties"]
    assert items["statistics"]["makes"] is None and items["statistics"]["step_bytes"] > 0


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ({"kind": "nothing"}, 400, "nothing"),
        ({"kind": "compact"}, 400, "not done in parts"),
        ({"kind": 5}, 400, "Say {"),
        ({"kind": "total", "further": 1}, 400, "Say {"),
        ({"kind": "total", "step": "some"}, 400, "64 MiB"),
        ({"kind": "total", "step": -1}, 400, "step"),
        ({"kind": "statistics", "parameters": {"bins": "many"}}, 400, "bins"),
        ({"kind": "total", "target": "data_array_module/none"}, 404, "There is nothing at"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    site: Site, program: Client, content: dict[str, Any], status: int, said: str
) -> None:
    client, path = program("analyst"), array(site, 1)
    before = told(client, "job_module")["count"]
    assert said in client.post_json(f"/{path}/jobs", content, status=status).json["detail"]
    assert told(client, "job_module")["count"] == before


def test_who_may(site: Site, program: Client) -> None:
    path = array(site, 10)
    program("viewer").post_json(f"/{path}/jobs", {"kind": "total"}, status=403)
    job = started(program("manager"), path)
    for name in ("cancel", "retry"):
        program("viewer").post(f"/{job}/{name}", status=403)
    program("analyst").post(f"/{job}/cancel", status=404)  # another's activities do not exist for it
    with site.open() as portal:
        outbox = Outbox.of(portal.root)
        assert all(record.state == "queued" for record in map(outbox.find, ids(outbox, job)) if record)


def ids(outbox: Outbox, path: str) -> list[str]:
    return [id for shard in outbox.shards for _, _, id in shard.named("path", path)]
