"""Several portals on one database: what one acknowledges all show, and the server may go and come back."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.functional import tus
from tests.functional.program import Client, DatabaseProgram, Program, basic, until

import haywain
from haywain.registry import load_registry
from haywain.values import MIB


class Portals:
    """A database server, and two portals on it: one shares its blobs, the other has a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.server = DatabaseProgram(folder / "db").start()
        shared = f"{self.server.url}?wait_s=1&shared={self.server.data}/blobs"
        self.one = Program(folder / "one", "--database", shared)
        self.two = Program(folder / "two", "--database", f"{self.server.url}?wait_s=1")

    def start(self) -> tuple[Client, Client]:
        for program in (self.one, self.two):
            program.launch()
        return self.one.start_launched().client(), self.two.start_launched().client()

    def kill(self) -> None:
        for program in (self.one, self.two, self.server):
            program.kill()

    @property
    def logs(self) -> str:
        return self.one.log + self.two.log + self.server.log


@pytest.fixture
def portals(folder: Path) -> Iterator[Portals]:
    """Portals that do not run yet, on an empty database whose server runs."""
    made = Portals(folder)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def running() -> Iterator[Portals]:
    """Portals that run, for all tests that leave them running; none of them has a fault at the end."""
    with TemporaryDirectory(prefix="haywain-test-") as path:
        made = Portals(Path(path))
        try:
            made.start()
            yield made
            assert made.one.stop() == made.two.stop() == made.server.stop() == 0
            assert "Traceback" not in made.logs, made.logs
        finally:
            made.kill()


@pytest.fixture
def clients(running: Portals) -> Iterator[tuple[Client, Client]]:
    """Clients of both."""
    made = running.one.client(), running.two.client()
    yield made
    for client in made:
        client.close()


def test_what_one_portal_acknowledges_the_other_has(clients: tuple[Client, Client]) -> None:
    one, two = clients
    for number, (made, other) in enumerate(((one, two), (two, one))):
        path = made.stream(f"recording {number}", b"x" * 2 * MIB)
        (found,) = other.search(reference=f"recording {number}", size=2 * MIB)["items"]
        assert found["path"] == path
        assert other.data(path) == b"x" * 2 * MIB
        assert other("POST", f"/{path}/data", b"more").receipt[2:4] == (2 * MIB, 4)
        assert made.search(path=path, size=2 * MIB + 4)["count"] == 1
    upload = tus.create(one, path, MIB)
    assert tus.patch(one, upload, 0, bytes(MIB)).status == 204
    assert two.data(path)[-MIB:] == bytes(MIB)


def test_two_portals_that_are_started_first_have_one_password_and_stop_without_the_server(
    portals: Portals,
) -> None:
    for program in (portals.one, portals.two):
        program.environment["HAYWAIN_ADMIN_PASSWORD"] = ""
    portals.start()
    kept = [p.data / "admin-password" for p in (portals.one, portals.two)]
    (password,) = [path.read_text().strip() for path in kept if path.exists()]
    assert portals.logs.count(f"password {password}") == 1 and portals.logs.count("user admin") == 1
    for program in (portals.one, portals.two):
        client = program.client(basic("admin", password))
        assert client.search(portal_type="Person")["count"] == 1
        policies = client.search(portal_type="Ingestion Policy", limit=100)["items"]
        assert sorted(one["id"] for one in policies) == sorted(load_registry().ingestion_policies)
        client.close()
    portals.server.kill()
    assert portals.one.stop() == portals.two.stop() == 0
    assert "Traceback" not in portals.logs, portals.logs


def test_appends_through_both_to_one_stream_are_all_there_once(clients: tuple[Client, Client]) -> None:
    def send(number: int) -> int:
        body = b"%04d\n" % number
        return until(lambda: clients[number % 2].ingest("both", body, f"k{number}").status == 200, "a place")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(send, range(80)))
    (found,) = clients[0].search(portal_type="Data Stream", reference="both")["items"]
    lines = clients[1].data(found["path"]).splitlines()
    assert sorted(map(int, lines)) == list(range(80))
    assert clients[0].ingest("both", b"0001\n", "k1").receipt[0] == "duplicate"


def test_one_key_through_both_at_once_is_stored_once(clients: tuple[Client, Client]) -> None:
    """Each with other tags too, so that the portals hold different locks."""

    def send(number: int) -> tuple[int, str]:
        client, key = clients[number % 2], number // 4
        body, tag = b"%04d\n" % key, f"guarded.{number % 4 // 2}"
        answer = until(
            lambda: (found := client.ingest(tag, body, f"guarded-{key}")).status == 200 and found, "a place"
        )
        return key, answer.receipt[0]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(send, range(240)))
    assert sorted(key for key, status in found if status == "stored") == list(range(60))
    items = clients[0].search(portal_type="Data Stream", reference="guarded.%")["items"]
    lines = b"".join(clients[1].data(item["path"]) for item in items).splitlines()
    assert sorted(map(int, lines)) == list(range(60))


def queue(client: Client, path: str, **content: object) -> str:
    sent = {"Content-Type": "application/json"}
    answer = client("POST", f"/{path}/activities", json.dumps(content).encode(), sent)
    assert answer.status == 202, answer.body
    return str(answer.json["url"])


def test_each_activity_runs_in_one_of_the_portals(clients: tuple[Client, Client]) -> None:
    one, two = clients
    paths = [one.stream(f"s{number}", b"%d" % number * 1000) for number in range(6)]
    urls = [queue(one if n % 2 else two, path, method="seal", tag="seal") for n, path in enumerate(paths)]
    for url in urls:
        until(lambda url=url: two("GET", url).json["state"] == "done", "an activity")  # type: ignore[misc]
        found = one("GET", url).json
        assert (found["result"], found["attempts"]) == ({"sealed": 1}, 1)


def test_a_script_works_on_the_database_too(running: Portals, clients: tuple[Client, Client]) -> None:
    data = running.server.data.with_name("script")
    with haywain.open(running.server.url, data=str(data)) as portal:
        stream = portal.new("Data Stream", reference="by a script")
        stream.append(b"abc")  # type: ignore[attr-defined]  # a Data Stream
        portal.commit()
        assert clients[0].data(stream.path) == b"abc"
        assert clients[0]("POST", f"/{stream.path}/data", b"def").status == 200
        portal.abort()
        assert portal.catalog(reference="by a script", size=6).count() == 1
    assert (data / "catalog.sqlite").exists()


def test_while_the_server_is_gone_the_answer_is_503_and_then_all_goes_on(
    running: Portals, clients: tuple[Client, Client]
) -> None:
    one, two = clients
    path = one.stream("kept", b"before")
    port = running.server.port
    running.server.kill()
    for client in (one, two):
        answers = [
            client("GET", f"/{path}/data"),
            client("POST", f"/{path}/data", b"lost"),
            client("GET", f"/{path}", None, {"Accept": "text/html"}),
            client("GET", "/api/v1/search"),
            client.ingest("tag", b"lost"),
        ]
        assert {(a.status, a.headers["Retry-After"]) for a in answers} == {(503, "5")}
        assert "does not answer" in answers[1].json["detail"] and b"does not answer" in answers[2].body
        assert client("GET", "/healthz").status == 200
        ready = client("GET", "/readyz")
        assert ready.status == 503 and ready.json["checks"]["database"] is False
    running.server.start(port)
    for client in (one, two):
        until(lambda client=client: client("GET", "/readyz").status == 200, "the portal")  # type: ignore[misc]
        assert client("POST", f"/{path}/data", b" after").status == 200
    assert one.data(path) == two.data(path) == b"before after after"
    assert one.search(portal_type="Data Stream")["count"] == two.search(portal_type="Data Stream")["count"]
