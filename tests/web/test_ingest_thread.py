"""The ingestion thread: many requests at once, each answered, and none held up by another one's lock."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from tests.functional.program import Client

from haywain.portal import Site
from haywain.web.application import make_application
from haywain.web.server import Server, ServerLimits, make_server


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    """A server of the site, in a thread."""
    limits = ServerLimits(maintenance_s=0.05, threads=4)
    made = make_server(make_application(site), host="127.0.0.1", port=0, uploads=site.uploads, limits=limits)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(10)
    made.close()


@pytest.fixture
def client(site: Site, server: Server) -> Iterator[Client]:
    """A client with a token."""
    token, _ = site.transact(
        lambda portal: portal.new("Token", login="admin", scopes=("ingest:*",)).shown_once()["secret"]
    )
    made = Client(f"http://127.0.0.1:{server.effective_port}", {"Authorization": f"Bearer {token}"})
    yield made
    made.close()


def lock_apart(site: Site, other: str) -> str:
    """Return a tag whose lock is not that of another one: they share 256."""
    names = (f"apart.{number}" for number in count())
    taken = site.locks.named(f"sink:{other}")
    return next(name for name in names if site.locks.named(f"sink:{name}") is not taken)


def test_many_at_once_are_all_stored_in_few_transactions(client: Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: client.ingest("crowd", b"%04d" % n, f"crowd-{n}"), range(320)))
    receipts = sorted(answer.receipt[2:] for answer in answers)
    assert all(answer.is_stored for answer in answers)
    assert [offset for offset, _, _ in receipts] == [4 * n for n in range(320)]
    assert len({tid for _, _, tid in receipts}) < 320


def test_request_that_waits_for_a_lock_holds_up_nobody(client: Client, site: Site) -> None:
    free = lock_apart(site, "held")
    with ThreadPoolExecutor(1) as pool:
        with site.locks.named("sink:held"):
            waiting = pool.submit(client.ingest, "held", b"x")
            for number in range(5):
                assert client.ingest(free, b"%d" % number).is_stored
            assert not waiting.done()
        assert waiting.result(10).is_stored


def test_refusals_are_those_of_the_other_threads(client: Client) -> None:
    wrong = {"Authorization": "Bearer hw_nobody"}
    assert client.ingest("refused", b"x", headers=wrong).status == 401
    assert client("POST", "/portal_ingestion_policies/none/ingest?reference=a", b"x").status == 404
    assert client.ingest("a/b", b"x").headers["Ingest-Status"] == "quarantined"
    assert client.ingest("", b"").headers["Ingest-Status"] == "quarantined"


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000], ids=str)
def test_bodies_of_any_size_are_stored(client: Client, size: int) -> None:
    assert client.ingest(f"size.{size}", b"x" * size, f"size-{size}").receipt[3] == size


def test_stop_answers_what_is_under_way(site: Site) -> None:
    limits = ServerLimits(maintenance_s=0.05, threads=4, stop_s=5)
    made = make_server(make_application(site), host="127.0.0.1", port=0, uploads=site.uploads, limits=limits)
    thread = threading.Thread(target=made.run)
    thread.start()
    token, _ = site.transact(
        lambda portal: portal.new("Token", login="admin", scopes=("ingest:*",)).shown_once()["secret"]
    )
    client = Client(f"http://127.0.0.1:{made.effective_port}", {"Authorization": f"Bearer {token}"})
    with ThreadPoolExecutor(1) as pool:
        lock = site.locks.named("sink:stopped")
        lock.acquire()
        waiting = pool.submit(client.ingest, "stopped", b"x")
        while not any(channel.is_busy for channel in list(made.active_channels.values())):
            time.sleep(0.001)
        made.stop()
        lock.release()
        assert waiting.result(10).is_stored
    thread.join(10)
    assert not thread.is_alive()
    made.close()
    client.close()
