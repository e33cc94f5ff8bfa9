"""Activities over HTTP: queue, list, look, cancel, retry; who may, and what is refused."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from webtest import TestApp

from haywain.activity import bulk
from haywain.activity.kind import Kind, Work
from haywain.activity.outbox import Outbox
from haywain.portal import Site

Client = Callable[..., TestApp]
API = "/api/v1/activities"


class Size(Kind):
    """Tell the size of a stream; refuse an empty one."""

    name, title, portal_types = "size", "Size", ("Data Stream",)

    def run(self, work: Work) -> Iterator[float]:
        yield 0.5
        if not work.document.size:
            raise ValueError("The stream has no byte 0")
        return {"size": work.document.size}


@pytest.fixture(autouse=True)
def kind(site: Site) -> None:
    site.registry.activities["size"] = Size()


@pytest.fixture
def stream(site: Site) -> str:
    """The path of a stream of three bytes."""

    def make(portal: Any) -> str:
        made = portal.new("Data Stream")
        made.append(b"abc")
        return str(made.path)

    return site.transact(make)[0]


def queue(client: TestApp, path: str, status: int = 202, **content: Any) -> Any:
    return client.post_json(f"/{path}/activities", {"method": "size"} | content, status=status)


def run(site: Site) -> None:
    while not site.workers.run_next():
        pass


def test_activity_is_queued_runs_and_is_found(site: Site, program: Client, stream: str) -> None:
    client = program("analyst")
    answer = queue(client, stream, tag="sizes")
    assert set(answer.json) == {"id", "url"} and answer.location.endswith(answer.json["url"])
    found = client.get(answer.json["url"]).json
    assert (found["state"], found["progress"], found["result"], found["error"]) == ("queued", 0, None, None)
    run(site)
    found = client.get(answer.json["url"]).json
    assert (found["state"], found["progress"], found["result"]) == ("done", 1.0, {"size": 3})
    assert (found["path"], found["user"], found["tag"]) == (stream, "analyst", "sizes")


def test_list_by_state_tag_and_path_page_by_page(site: Site, program: Client, stream: str) -> None:
    client = program("manager")
    ids = [queue(client, stream, tag=f"t{n % 2}").json["id"] for n in range(5)]
    assert client.get(f"{API}?path={stream}&state=queued").json["count"] == 5
    run(site)
    first = client.get(f"{API}?path=/{stream}&limit=3").json
    assert [item["id"] for item in first["items"]] == ids[:1:-1] and first["count"] == 5
    second = client.get(f"{API}?path={stream}&limit=3&cursor={first['next']}").json
    assert [item["id"] for item in second["items"]] == ids[1::-1] and second["next"] is None
    assert client.get(f"{API}?path={stream}&tag=t1&state=done").json["count"] == 2
    assert client.get(f"{API}?path={stream}&state=queued").json == {"items": [], "count": 0, "next": None}
    assert client.get(API).json["count"] >= 5


@pytest.mark.parametrize(
    "query",
    [
        "state=odd",
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=-1",
        "sort=id",
        "limit=\u0663",
        "cursor=zzz",
        "tag=a&tag=b",
    ],
)
def test_list_refuses_what_makes_no_sense(program: Client, query: str) -> None:
    assert program("manager").get(f"{API}?{query}", status=400).json["title"] == "Bad request"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": "sise"}, "did you mean size"),
        ({"method": None}, "method"),
        ({"method": ["size"]}, "method"),
        ({"parameters": [1]}, "parameters"),
        ({"parameters": {"depth": 1}}, "depth"),
        ({"priority": 1000}, "priority"),
        ({"tag": 7}, "tag"),
        ({"nonsense": 1}, "nonsense"),
        ({"after_tag": "a", "tag": "a"}, "wait for itself"),
        ({"method": "__class__"}, "no activity"),
        ({"on_error": "_plan"}, "no activity"),
        ({"on_error": "size"}, "with the parameters activity (an id) and error (a text)"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_activity_that_makes_no_sense_is_refused(
    program: Client, stream: str, content: dict[str, Any], message: str
) -> None:
    assert message in queue(program("analyst"), stream, 400, **content).json["detail"]


def test_parts_of_a_job_are_its_own(site: Site, program: Client) -> None:
    path, _ = site.transact(lambda portal: str(portal.new("Job").path))
    agent = program("manager")
    assert agent.get(f"/{path}/activities").json["items"] == []
    agent.get(f"/{path}/run?kind=_plan", status=404)
    assert "no activity" in queue(agent, path, 400, method="_plan").json["detail"]


def test_kind_of_other_documents_is_refused(site: Site, program: Client) -> None:
    answer = queue(program("manager"), "person_module/admin", 400)
    assert "works on Data Stream, not on Person" in answer.json["detail"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_body_that_is_no_object_is_refused(program: Client, stream: str, body: bytes) -> None:
    assert program("analyst").post(f"/{stream}/activities", body, status=400).json["status"] == 400


def test_unknown_activity_and_document_are_not_found(program: Client) -> None:
    client = program("manager")
    for id in ("0", "f" * 16, "g" * 16, "x" * 500, "%F0%9F%92%A9"):
        assert client.get(f"{API}/{id}", status=404).json["status"] == 404
    queue(client, "data_stream_module/none", 404)


@pytest.mark.parametrize("login", ["viewer", "agent"])
def test_who_may_not_is_refused(program: Client, stream: str, login: str) -> None:
    queue(program(login), stream, 403)


def test_nobody_is_asked_to_log_in(program: Client, stream: str) -> None:
    queue(program(), stream, 401)
    program().get(API, status=401)


def test_browser_needs_its_token(browser: Client, stream: str) -> None:
    client = browser("analyst")
    queue(client, stream, 400)
    answer = client.post_json(
        f"/{stream}/activities", {"method": "size"}, headers={"X-CSRF-Token": client.csrf}, status=202
    )
    client.post(f"{answer.json['url']}/cancel", status=400)


def test_others_activities_are_for_managers(program: Client, stream: str) -> None:
    url = queue(program("analyst"), stream, tag="own").json["url"]
    assert program("manager").get(url).json["user"] == "analyst"
    for login in ("editor", "viewer"):
        program(login).get(url, status=404)
        assert program(login).get(f"{API}?tag=own").json["count"] == 0
    program("editor").post(f"{url}/cancel", status=404)
    assert program("analyst").get(f"{API}?tag=own").json["count"] == 1


@pytest.mark.parametrize(
    ("scopes", "status"),
    [(["activity"], 202), (["admin"], 202), (["read"], 403), (["ingest:*"], 403)],
    ids=lambda value: str(value),
)
def test_token_needs_the_scope(
    site: Site, program: Client, stream: str, scopes: list[str], status: int
) -> None:
    secret = site.transact(lambda p: p.new("Token", login="analyst", scopes=scopes).shown_once()["secret"])[0]
    client = program()
    client.authorization = ("Bearer", secret)
    queue(client, stream, status)


def test_failed_activity_says_why_and_is_retried(site: Site, program: Client, stream: str) -> None:
    client = program("editor")
    client.put(f"/{stream}/data", b"")
    url = queue(client, stream).json["url"]
    run(site)
    found = client.get(url).json
    assert (found["state"], found["error"]) == ("failed", "The stream has no byte 0")
    assert "ValueError" in found["trace"]
    client.put(f"/{stream}/data", b"abcd")
    assert client.post(f"{url}/retry").json["state"] == "queued"
    run(site)
    assert client.get(url).json["result"] == {"size": 4}
    assert client.post(f"{url}/retry", status=409).json["title"] == "Conflict"


def test_queued_activity_is_cancelled(site: Site, program: Client, stream: str) -> None:
    client = program("editor")
    url = queue(client, stream).json["url"]
    assert client.post(f"{url}/cancel").json["state"] == "cancelled"
    run(site)
    assert client.get(url).json["attempts"] == 0


def test_document_tells_what_may_run_on_it(program: Client, stream: str) -> None:
    (found,) = [
        item
        for item in program("analyst").get(f"/{stream}/activities").json["items"]
        if item["method"] == "size"
    ]
    assert found["title"] == "Size" and found["parameters"]["additionalProperties"] is False
    assert program("viewer").get(f"/{stream}/activities").json["items"] == []


def test_wrong_method_is_answered_with_the_right_ones(program: Client, stream: str) -> None:
    answer = program("manager").delete(f"/{stream}/activities", status=405)
    assert answer.headers["Allow"] == "GET, HEAD, POST"


def test_list_by_method_and_user(site: Site, program: Client, stream: str) -> None:
    manager, analyst = program("manager"), program("analyst")
    mine, other = queue(analyst, stream).json["id"], queue(manager, stream).json["id"]
    systems, _ = site.transact(lambda portal: str(portal[stream].activate().size().id))
    for query, ids in (
        ("user=analyst", [mine]),
        ("user=manager", [other]),
        ("user=system", [systems]),
        ("user=nobody", []),
        ("method=size", [systems, other, mine]),
        ("method=size&user=analyst", [mine]),
        ("method=seal", []),
    ):
        found = manager.get(f"{API}?path={stream}&{query}").json["items"]
        assert [item["id"] for item in found] == ids, query
    assert analyst.get(f"{API}?path={stream}&user=manager").json["count"] == 0
    assert analyst.get(f"{API}?path={stream}&method=size").json["count"] == 1


def test_activities_of_an_older_database_are_found_by_their_methods(
    site: Site, program: Client, stream: str
) -> None:
    queue(program("manager"), stream)

    def as_before(portal: Any) -> None:
        outbox = Outbox.of(portal.root)
        outbox.lists_methods = False
        for shard in outbox.shards:
            for entry in list(shard.named("method", "size")):
                shard.names.remove(entry)

    site.transact(as_before)
    assert program("manager").get(f"{API}?path={stream}&method=size").json["count"] == 0
    for _ in "ab":
        site.transact(lambda portal: Outbox.of(portal.root).list_methods())
    assert program("manager").get(f"{API}?path={stream}&method=size").json["count"] == 1


def states(client: TestApp, ids: list[str]) -> list[str]:
    return [client.get(f"{API}/{id}").json["state"] for id in ids]


def test_many_are_cancelled_and_retried_by_their_ids(site: Site, program: Client, stream: str) -> None:
    client = program("analyst")
    ids = [queue(client, stream).json["id"] for _ in range(3)]
    done = queue(client, stream, priority=9).json["id"]
    site.workers.run_next()
    others = queue(program("manager"), stream).json["id"]
    asked = {"ids": [ids[0], ids[1], ids[1], done, others, "0" * 16, "odd"]}
    assert client.post_json(f"{API}/cancel", asked).json == {"changed": 2, "skipped": 5}
    assert states(client, [*ids, done]) == ["cancelled", "cancelled", "queued", "done"]
    assert states(program("manager"), [others]) == ["queued"]
    assert client.post_json(f"{API}/retry", asked).json == {"changed": 2, "skipped": 5}
    assert states(client, ids) == ["queued"] * 3


def test_all_that_match_are_cancelled_and_retried(
    site: Site, program: Client, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    client = program("analyst")
    ids = [queue(client, stream, tag="many").json["id"] for _ in range(5)]
    queue(program("manager"), stream, tag="many")
    other = queue(client, stream, tag="few").json["id"]
    chosen = {"filter": {"tag": "many", "path": f"/{stream}", "method": "size", "user": "analyst"}}
    assert client.post_json(f"{API}/retry", chosen).json == {"changed": 0, "skipped": 0}
    assert client.post_json(f"{API}/cancel", chosen).json == {"changed": 5, "skipped": 0}
    assert states(client, [*ids, other]) == ["cancelled"] * 5 + ["queued"]
    wrong = {"filter": chosen["filter"] | {"state": "done"}}
    assert client.post_json(f"{API}/retry", wrong).json == {"changed": 0, "skipped": 0}
    assert client.post_json(f"{API}/retry", chosen).json == {"changed": 5, "skipped": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "Say either"),
        ({"ids": "all"}, "Say either"),
        ({"ids": [1]}, "Say either"),
        ({"ids": [], "filter": {}}, "Say either"),
        ({"filter": None}, "Say either"),
        ({"filter": {"stat": "failed"}}, "did you mean state"),
        ({"filter": {"tag": 7}}, "tag is a text"),
        ({"filter": {"state": "odd"}}, "There is no state"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_many_that_make_no_sense_are_refused(program: Client, content: Any, message: str) -> None:
    assert message in program("analyst").post_json(f"{API}/retry", content, status=400).json["detail"]


def test_who_may_not_changes_none_of_many(program: Client) -> None:
    program("viewer").post_json(f"{API}/cancel", {"filter": {}}, status=403)


def test_schedule_is_run_now(program: Client, stream: str) -> None:
    client = program("analyst")
    made = {"portal_type": "Schedule", "document": stream, "method": "size", "rule": "@daily"}
    path = client.post_json("/schedule_module", made).json["path"]
    answer = client.post(f"/{path}/run", status=202)
    assert answer.location.endswith(answer.json["url"])
    assert client.get(answer.json["url"]).json["tag"] == path
    assert "is still queued" in client.post(f"/{path}/run", status=409).json["detail"]
    program("viewer").post(f"/{path}/run", status=403)
    shown = client.get(f"/{path}", headers={"Accept": "application/json"}).json
    assert (shown["last_activity"], shown["next_run"]) == (answer.json["id"], None)
    assert client.patch_json(f"/{path}", {"transition": "validate"}).json["next_run"].endswith("T00:00:00Z")
