"""`haywain worker`: activities of a served database in processes of their own, woken by Redis, or without."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.functional.cluster import Cluster, WorkerProgram, wait_for_end
from tests.functional.program import Client, run, until
from tests.functional.test_zeo import queue

from haywain.activity.record import ENDED
from haywain.activity.sweeper import SWEEP_S

STEPS = '''
"""Steps: append a line a step, and wait in between for a file."""

import time
from collections.abc import Iterator
from pathlib import Path

from haywain.activity.kind import Kind, NoParameters, Work


class Steps(Kind):
    """Append a line a step; from the second one on only while there is a file."""

    class _Parameters(NoParameters):
        gate: str

    name, title, portal_types, parameters = "steps", "Steps", ("Data Stream",), _Parameters

    def run(self, work: Work) -> Iterator[float]:
        for step in range(work.cursor.get("step", 0), 4):
            while step > 1 and not Path(work.parameters.gate).exists():
                work.check()
                time.sleep(0.01)
            work.document.append(f"{step}\\n".encode())
            work.cursor["step"] = step + 1
            yield step / 4
'''
GPU = '''
"""On GPU: work for a queue of its own."""

from haywain.activity.kind import Kind, Work


class OnGpu(Kind):
    """Append a line."""

    name, title, portal_types, queue = "on_gpu", "On a GPU", ("Data Stream",), "gpu"

    def run(self, work: Work) -> dict[str, int]:
        return {"offset": work.document.append(b"gpu\\n")}
'''


class Running(Cluster):
    """A cluster with one portal, which runs nothing itself, and one worker of two processes."""

    client: Client | None = None

    def start(self) -> "Running":
        super().start()
        self.serving = self.portal("portal")
        self.working = self.worker("worker", "--queues", "default", concurrency=2)
        for program in (self.serving, self.working):
            program.launch()
        self.client = self.serving.start_launched().client()
        self.working.start_launched()
        return self

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
        super().close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Running]:
    """A cluster for all tests that leave it running; the worker must not have logged a failure at the end."""
    with TemporaryDirectory(prefix="haywain-test-") as path:
        made = Running(Path(path), {"steps": STEPS, "on_gpu": GPU})
        try:
            yield made.start()
            assert made.working.stop() == 0
            for program in (made.working, made.serving):
                assert "Traceback" not in program.log, program.log
        finally:
            made.close()


@pytest.fixture
def client(cluster: Running) -> Client:
    """The administrator's client of its portal."""
    assert cluster.client is not None
    return cluster.client


def state(client: Client, url: str) -> Any:  # Any: JSON
    return client("GET", url).json


def wait_until_done(client: Client, *urls: str) -> None:
    for url in urls:
        until(lambda url=url: state(client, url)["state"] in ENDED, f"{url} to be done")  # type: ignore[misc]
        assert state(client, url)["state"] == "done", state(client, url)


def time_of(client: Client, path: str, **content: Any) -> float:  # Any: JSON
    """Queue an activity; return in how many seconds it was done."""
    began = time.monotonic()
    wait_until_done(client, queue(client, path, **content))
    return time.monotonic() - began


def is_quick(client: Client, path: str, method: str = "seal") -> bool:
    """Whether one of a few activities is done before a sweep is likely to have seen it."""
    return any(time_of(client, path, method=method) < SWEEP_S / 4 for _ in range(4))


def test_workers_run_what_a_portal_queues_and_are_woken_for_it(client: Client) -> None:
    path = client.stream("woken", bytes(1000))
    assert is_quick(client, path)
    urls = [queue(client, path, method="seal", tag=f"s{number}") for number in range(20)]
    urls.append(queue(client, path, method="seal", after_tag="s19"))
    wait_until_done(client, *urls)
    assert {state(client, url)["attempts"] for url in urls} == {1}


def test_without_redis_all_goes_on_and_with_it_again_they_are_woken(cluster: Running, client: Client) -> None:
    path = client.stream("without", bytes(1000))
    cluster.redis.kill()
    urls = [queue(client, path, method="seal") for _ in range(5)]
    wait_until_done(client, *urls)
    cluster.redis.start()
    until(lambda: is_quick(client, path), "a message", 30)
    assert cluster.serving.log.count("the broker does not answer") == 1


def test_what_redis_forgets_is_run_all_the_same(cluster: Running, client: Client) -> None:
    path = client.stream("forgotten", bytes(1000))
    urls = []
    for _ in range(10):
        urls.append(queue(client, path, method="seal"))
        cluster.redis.flush()
    began = time.monotonic()
    wait_until_done(client, *urls)
    assert time.monotonic() - began < 2 * SWEEP_S
    assert until(lambda: is_quick(client, path), "a message")


def test_a_killed_child_loses_nothing_and_what_it_did_is_not_done_again(
    cluster: Running, client: Client, folder: Path
) -> None:
    path, gate = client.stream("killed"), folder / "gate"
    url = queue(client, path, method="steps", parameters={"gate": str(gate)})
    until(lambda: client.data(path) == b"0\n1\n", "two steps")
    children = [child.pid for child in cluster.working.children]
    for pid in children:  # one of them has it
        os.kill(pid, signal.SIGKILL)
    wait_for_end(children)
    until(lambda: state(client, url)["attempts"] == 2, "another child to take it over")
    assert state(client, url)["deaths"] == 1
    gate.touch()
    wait_until_done(client, url)
    assert client.data(path) == b"0\n1\n2\n3\n"


def test_only_those_who_take_a_queue_run_what_is_in_it(cluster: Running, client: Client) -> None:
    path = client.stream("queues", bytes(10))
    waiting = queue(client, path, method="on_gpu")
    assert time_of(client, path, method="seal") < 2 * SWEEP_S
    assert (state(client, waiting)["state"], state(client, waiting)["queue"]) == ("queued", "gpu")
    assert client("GET", "/api/v1/activities", state="queued").json["count"] == 1
    other = cluster.worker("gpu", "--queues", "gpu").start()
    pids = [child.pid for child in other.children]
    wait_until_done(client, waiting)
    assert is_quick(client, path, "on_gpu")
    os.kill(other.pid, signal.SIGINT)
    assert other.wait() == 0
    wait_for_end(pids)


def test_sigterm_lets_a_run_end_at_its_step_and_leaves_the_rest_queued(
    cluster: Running, client: Client, folder: Path
) -> None:
    path, gate = client.stream("stopped"), folder / "gate"
    url = queue(client, path, method="steps", parameters={"gate": str(gate)})
    until(lambda: client.data(path) == b"0\n1\n", "two steps")
    pids = [child.pid for child in cluster.working.children]
    assert cluster.working.stop() == 0
    wait_for_end(pids, 1)
    found = state(client, url)
    assert (found["state"], found["deaths"], found["attempts"]) == ("queued", 0, 1)
    gate.touch()
    cluster.working.start()
    wait_until_done(client, url)
    assert client.data(path) == b"0\n1\n2\n3\n"


def test_a_signal_to_all_its_processes_at_once_is_a_clean_stop_too(
    cluster: Running, client: Client, folder: Path
) -> None:
    """As systemd sends it."""
    path, gate = client.stream("all at once"), folder / "gate"
    url = queue(client, path, method="steps", parameters={"gate": str(gate)})
    until(lambda: client.data(path) == b"0\n1\n", "two steps")
    children = cluster.working.children
    for pid in [*(child.pid for child in children), cluster.working.pid]:
        os.kill(pid, signal.SIGTERM)
    assert cluster.working.wait() == 0
    wait_for_end([child.pid for child in children], 1)
    assert (state(client, url)["state"], state(client, url)["deaths"]) == ("queued", 0)
    gate.touch()
    cluster.working.start()
    wait_until_done(client, url)


def test_what_keeps_it_from_starting_is_said_in_one_line(cluster: Running, folder: Path) -> None:
    """What only a child finds out, the parent says; it ends with the exit code."""
    uri = f"{cluster.server.url}?shared=/nowhere"
    done = run("worker", "--data", folder / "none", "--database", uri, "--broker", cluster.redis.url)
    assert done.returncode == 78 and "Traceback" not in done.stderr, done
    assert "is not the server's directory of blobs" in done.stderr.splitlines()[-1]


def test_a_killed_parent_leaves_no_child_and_one_that_celery_starts_takes_over(
    cluster: Running, client: Client, folder: Path
) -> None:
    path, gate = client.stream("orphans"), folder / "gate"
    url = queue(client, path, method="steps", parameters={"gate": str(gate)})
    until(lambda: client.data(path) == b"0\n1\n", "two steps")
    children = cluster.working.children
    cluster.working.kill()
    wait_for_end([child.pid for child in children])
    gate.touch()
    data = cluster.directory("by celery")
    settings = {"DATA": str(data), "DATABASE": cluster.uri, "BROKER": cluster.redis.url, "CONCURRENCY": "1"}
    with CeleryProgram(data, **{f"HAYWAIN_{name}": value for name, value in settings.items()}) as started:
        wait_until_done(client, url)
        assert client.data(path) == b"0\n1\n2\n3\n" and state(client, url)["attempts"] == 2
        assert time_of(client, path, method="on_gpu") < 2 * SWEEP_S  # it takes all queues
        assert started.stop() == 0


class CeleryProgram(WorkerProgram):
    """`celery -A haywain.app:celery worker`."""

    module = "celery"

    @property
    def command(self) -> list[str]:
        return ["--quiet", "--app", "haywain.app:celery", "worker", "--without-gossip", "--without-mingle"]
