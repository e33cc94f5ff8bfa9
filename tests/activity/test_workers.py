"""Threads: limits, cancelling, stopping, threads that do not react; a queue at rest costs nothing."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.activity.conftest import Call, Make, content, until

from haywain.activity import guard as guards
from haywain.activity import workers
from haywain.activity.job import Job
from haywain.activity.kind import Work
from haywain.app import open_portal
from haywain.errors import DataDirectoryError
from haywain.portal import Site
from haywain.settings import load
from haywain.values import MIB


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose patience soon."""
    monkeypatch.setattr(guards, "GRACE_S", 0.2)


def queue(site: Site, work: Callable[[Work], Any], name: str = "work", **options: Any) -> Job:
    """Queue a call of some work on a stream of its own, and commit."""
    kind = site.registry.activities["call"]
    assert isinstance(kind, Call)
    kind.whats[name] = work

    def make(portal: Any) -> Job:
        found: Job = portal.new("Data Stream").activate(**options).call(what=name)
        return found

    return Job(site.open(), site.transact(make)[0].id)


def test_many_activities_run_once_each_in_two_threads(make_site: Make) -> None:
    site = make_site(workers=2)
    with site.open() as portal:
        stream = portal.new("Data Stream")
        jobs = [portal.new("Data Stream").activate().write(text="ab") for _ in range(20)]
        jobs += [stream.activate().write(text="a") for _ in range(20)]
        portal.commit()
        for job in jobs:
            assert job.wait(30).state == "done"
        assert content(portal, stream) == b"a" * 20
        assert {job.as_dict()["failures"] for job in jobs} == {0}


def heedless(work: Work) -> Iterator[float]:
    """Run for ever in Python, and ask nobody."""
    work.document.append(b"lost")  # type: ignore[attr-defined]
    while True:
        sum(range(1000))
    yield 0.0


def careful(work: Work) -> Iterator[float]:
    """Run for ever, but ask."""
    while True:
        work.check()
        threading.Event().wait(0.001)
    yield 0.0


def stepping(work: Work) -> Iterator[float]:
    """Make steps for ever."""
    while True:
        work.document.append(b".")  # type: ignore[attr-defined]
        yield 0.5


@pytest.mark.parametrize("work", [heedless, careful, stepping])
def test_activity_that_runs_for_ever_fails_over_its_time_limit(
    make_site: Make, work: Callable[[Work], Any]
) -> None:
    site = make_site(workers=1)
    site.registry.activities["call"].time_limit_s = 0.3  # type: ignore[misc]
    job = queue(site, work)
    job.wait(30)
    assert (job.state, job.error) == ("failed", "It ran longer than its time limit")
    after = queue(site, lambda work: "well", name="after")
    assert after.wait(30).result == "well"


@pytest.mark.parametrize("work", [heedless, careful, stepping])
def test_running_activity_is_cancelled(make_site: Make, work: Callable[[Work], Any]) -> None:
    site = make_site(workers=1)
    job = queue(site, work)
    until(lambda: job.state == "running", "it to run")
    job.cancel()
    assert job.wait(30).state == "cancelled"


def test_activity_over_its_time_limit_fails_without_threads_too(make_site: Make) -> None:
    site = make_site()
    site.registry.activities["call"].time_limit_s = 0.3  # type: ignore[misc]
    assert queue(site, heedless).wait(30).error == "It ran longer than its time limit"


def test_thread_that_does_not_react_is_abandoned_and_commits_nothing(make_site: Make) -> None:
    site = make_site(workers=1)
    site.registry.activities["call"].time_limit_s = 0.3  # type: ignore[misc]
    may_end, has_ended = threading.Event(), threading.Event()

    def deaf(work: Work) -> str:
        work.document.edit(title="too late")
        try:
            may_end.wait(30)  # a wait in C, in which no error can be raised
        finally:
            has_ended.set()
        return "too late"

    job = queue(site, deaf)
    assert job.wait(30).state == "failed"
    assert queue(site, lambda work: "well", name="after").wait(30).result == "well"
    may_end.set()
    assert has_ended.wait(10)
    until(lambda: len([t for t in threading.enumerate() if t.name == "worker"]) == 1, "it to end")
    assert (job.state, job.result) == ("failed", None)
    with site.open() as portal:
        assert portal[job.as_dict()["path"]].title == ""


def test_activity_that_eats_memory_fails(make_site: Make) -> None:
    site = make_site(workers=1)
    site.registry.activities["call"].memory_limit_bytes = 64 * MIB  # type: ignore[misc]

    def greedy(work: Work) -> None:
        kept = []
        while len(kept) < 4096:
            kept.append(bytearray(b"x" * MIB))
            work.check()
            threading.Event().wait(0.001)

    job = queue(site, greedy)
    job.wait(30)
    assert job.state == "failed" and "over its memory limit" in (job.error or "")


def test_of_two_at_once_only_the_one_that_eats_memory_fails(make_site: Make) -> None:
    site = make_site(workers=2)
    site.registry.activities["call"].memory_limit_bytes = 64 * MIB  # type: ignore[misc]
    innocent_runs: list[float] = []

    def greedy(work: Work) -> None:
        kept = []
        while len(kept) < 4096:
            kept.append(bytearray(b"x" * MIB))
            work.check()
            threading.Event().wait(0.001)

    def innocent(work: Work) -> str:
        innocent_runs.append(time.monotonic())
        while len(innocent_runs) == 1:
            work.check()
            threading.Event().wait(0.001)
        return "innocent"

    slow = queue(site, innocent, name="innocent")
    until(lambda: innocent_runs, "the first to run")
    job = queue(site, greedy)
    assert job.wait(30).state == "failed"
    assert slow.wait(30).result == "innocent" and slow.as_dict()["failures"] == 0


@pytest.mark.parametrize("work", [heedless, careful, stepping])
def test_stop_leaves_what_runs_in_the_queue(make_site: Make, work: Callable[[Work], Any]) -> None:
    site = make_site(workers=2)
    job = queue(site, work)
    until(lambda: job.state == "running", "it to run")
    site.workers.stop()
    found = job.as_dict()
    assert (found["state"], found["failures"], found["deaths"]) == ("queued", 0, 0)
    assert not [t for t in threading.enumerate() if t.name in ("worker", "watchdog")]


def test_queue_at_rest_asks_seldom(make_site: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit wakes the threads; else they look once a sweep."""
    monkeypatch.setattr(workers, "SWEEP_S", 60)
    site = make_site(workers=2)
    assert queue(site, lambda work: 1).wait(30).state == "done"
    looks: list[float] = []
    claim = site.workers._claim
    monkeypatch.setattr(site.workers, "_claim", lambda *given: looks.append(0) or claim(*given))
    until(lambda: site.workers.guards() == [], "it to rest")
    threading.Event().wait(0.3)
    assert len(looks) <= 4  # each thread once more, and once for the end of the other's run
    assert queue(site, lambda work: 2).wait(30).result == 2


def test_open_with_workers_runs_by_itself(make_site: Make) -> None:
    first = make_site()
    where = str(first.path)
    first.close()
    with open_portal(where, workers=1) as portal:
        portal.site.registry.activities["call"] = Call()
        job = portal.new("Data Stream").activate().call(what="nothing")
        portal.commit()
        until(lambda: job.state == "queued" and job.as_dict()["failures"], "its first try")
    assert not [t for t in threading.enumerate() if t.name in ("worker", "watchdog")]


@pytest.mark.parametrize("name", ["workers", "activity_seconds", "activity_bytes"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(DataDirectoryError, match=name):
        load(**{name: -1})


def test_memory_that_another_one_took_is_not_blamed_on_the_last_that_runs(make_site: Make) -> None:
    """The one that took it has ended when the watchdog looks."""
    site = make_site(workers=2)
    site.registry.activities["call"].memory_limit_bytes = 64 * MIB  # type: ignore[misc]
    runs: list[float] = []
    kept: list[bytes] = []

    def innocent(work: Work) -> str:
        runs.append(time.monotonic())
        while len(runs) == 1:
            work.check()
            threading.Event().wait(0.001)
        return "innocent"

    slow = queue(site, innocent, name="innocent")
    until(lambda: runs, "the first to run")
    queue(site, lambda work: kept.append(bytes(b"x" * 128 * MIB)), name="greedy")
    assert slow.wait(30).result == "innocent" and slow.as_dict()["failures"] == 0
    assert kept
