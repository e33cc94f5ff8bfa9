"""Groups: small activities that share a transaction, exactly once, and alone where one of them is bad."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from tests.activity.conftest import Make, claim, content, drain, record_of, until

import haywain
from haywain.activity import batch
from haywain.activity.agreement import outbox_flaws
from haywain.activity.batch import claim_with_group, run_of
from haywain.activity.guard import Guard, OverLimit, Stopping
from haywain.activity.job import Job
from haywain.activity.kind import Work
from haywain.activity.outbox import Outbox
from haywain.activity.runner import Run
from haywain.activity.sweeper import sweep, take_back
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.security import User
from haywain.values import GIB

Whats = dict[str, Callable[[Work], Any]]


@pytest.fixture
def ran(whats: Whats) -> list[str]:
    """The ids of those that `mark` has run, which appends a byte and returns its id."""
    found: list[str] = []

    def mark(work: Work) -> str:
        found.append(work.id)
        work.log("ran")
        work.document.append(b"x")  # type: ignore[attr-defined]
        return work.id

    whats["mark"] = mark
    return found


def queue(portal: Portal, stream: Document, count: int, what: str = "mark", **options: Any) -> list[Job]:
    portal.abort()
    jobs = [stream.activate(**{"group": "small"} | options).call(what=what) for _ in range(count)]
    portal.commit()
    return jobs


def tids(portal: Portal, jobs: list[Job]) -> set[bytes]:
    return {record_of(portal, job.id)._p_serial for job in jobs}


def claim_batch(site: Site, process: str, id: str) -> Run:
    """Claim an activity and its group as a worker of some process does, without running them."""

    def take(portal: Portal) -> dict[str, str]:
        record = Outbox.of(portal.root).find(id)
        assert record is not None
        return claim_with_group(portal, record, process)

    claims = site.transact(take)[0]
    guard = Guard(id, claims[id], 60, GIB)
    guard.claims = claims
    return run_of(site, guard)


def is_sound(portal: Portal) -> bool:
    portal.abort()
    return not list(outbox_flaws(Outbox.of(portal.root), lambda oid: None))


@pytest.mark.usefixtures("ran")
def test_a_group_shares_a_transaction_and_each_has_its_own_record(
    site: Site, portal: Portal, stream: Document
) -> None:
    jobs = queue(portal, stream, 30)
    site.workers.run_next()
    assert {job.state for job in jobs} == {"done"} and content(portal, stream) == b"x" * 30
    assert tids(portal, jobs) == {site.storage.lastTransaction()}
    assert [job.result for job in jobs] == [job.id for job in jobs] and jobs[7].log == ["ran"]
    assert {job.as_dict()["attempts"] for job in jobs} == {1} and is_sound(portal)


def test_what_differs_is_not_run_together(
    site: Site, portal: Portal, stream: Document, ran: list[str], whats: Whats
) -> None:
    whats["other"] = whats["mark"]
    one, two = queue(portal, stream, 2)
    others = [
        *queue(portal, stream, 1, group="other"),
        *queue(portal, stream, 1, priority=-1),
        *queue(portal, stream, 2, serialization_tag="s"),
        *queue(portal, stream, 1, after_tag="s", tag="t", priority=-2),
        *queue(portal, stream, 1, at="2999-01-01"),
        *queue(portal, stream, 1, group=""),
    ]
    portal.new("Person", reference="ana", roles=("Analyst",))
    portal.commit()
    site.transact(
        lambda p: p[stream.path].activate(group="small").call(what="mark"),
        User("ana", frozenset({"Analyst"})),
    )
    site.workers.run_next()
    assert ran == [one.id, two.id] and {job.state for job in others} == {"queued"}
    drain(site)
    assert [job.state for job in others].count("done") == len(others) - 1
    assert len(tids(portal, others)) == len(others)
    assert is_sound(portal)


def test_at_most_so_many_are_claimed_at_once(
    site: Site, portal: Portal, stream: Document, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MOST", 4)
    jobs = queue(portal, stream, 10)
    site.workers.run_next()
    assert ran == [job.id for job in jobs[:4]]
    drain(site)
    assert ran == [job.id for job in jobs] and len(tids(portal, jobs)) == 3


def test_after_a_while_it_commits_what_it_has(
    site: Site, portal: Portal, stream: Document, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LONGEST_S", -1.0)
    jobs = queue(portal, stream, 3)
    site.workers.run_next()
    assert [job.state for job in jobs] == ["done", "queued", "queued"]
    assert jobs[1].as_dict()["attempts"] == 0 and is_sound(portal)
    drain(site)
    assert ran == [job.id for job in jobs] and content(portal, stream) == b"xxx"


def test_one_that_fails_spoils_no_other(
    site: Site, portal: Portal, stream: Document, whats: Whats, ran: list[str]
) -> None:
    def refuse(work: Work) -> None:
        work.document.append(b"bad")  # type: ignore[attr-defined]
        raise ValueError("byte 7 is odd")

    mark = whats["mark"]
    whats["mark"] = lambda work: refuse(work) if work.id == jobs[2].id else mark(work)
    jobs = queue(portal, stream, 5)
    site.workers.run_next()
    assert {job.state for job in jobs} == {"queued"} and content(portal, stream) == b""
    assert all(record_of(portal, job.id).is_alone for job in jobs) and is_sound(portal)
    more = queue(portal, stream, 2)
    drain(site)
    assert [job.state for job in jobs] == ["done", "done", "failed", "done", "done"]
    assert jobs[2].error == "byte 7 is odd" and content(portal, stream) == b"x" * 6
    assert len(tids(portal, jobs)) == 5 and len(tids(portal, more)) == 1
    assert {job.as_dict()["attempts"] for job in jobs} == {1}
    assert not any(record_of(portal, job.id).is_alone for job in jobs) and is_sound(portal)


def test_what_goes_by_steps_runs_by_itself(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    """Whether that is known before, as of `write`, or only when it is called."""

    def steps(work: Work) -> Iterator[float]:
        def generate() -> Iterator[float]:
            work.document.append(b"y")  # type: ignore[attr-defined]
            yield 0.5

        return generate()

    known = [stream.activate(group="w").write(text="z") for _ in "ab"]
    portal.commit()
    site.workers.run_next()
    assert [job.state for job in known] == ["done", "queued"]
    whats["steps"] = steps
    jobs = queue(portal, stream, 2, "steps")
    drain(site)
    assert {job.state for job in (*known, *jobs)} == {"done"} and content(portal, stream) == b"zzyy"


def test_conflict_costs_the_batch_its_work_and_doubles_nothing(
    site: Site, portal: Portal, stream: Document, whats: Whats, ran: list[str]
) -> None:
    mark = whats["mark"]

    def disturbed(work: Work) -> Any:
        if len(ran) == 2:
            site.transact(lambda p: p[stream.path].append(b"-"))  # type: ignore[attr-defined]
        return mark(work)

    whats["mark"] = disturbed
    jobs = queue(portal, stream, 4)
    site.workers.run_next()
    assert {job.state for job in jobs} == {"done"} and content(portal, stream) == b"-xxxx"
    assert len(ran) > 4


def test_conflicts_without_end_have_each_run_by_itself(
    site: Site, portal: Portal, stream: Document, whats: Whats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haywain.activity.runner.CONFLICTS", 1)

    def work(work: Work) -> None:
        work.document.edit(title="mine")
        site.transact(lambda p: p[stream.path].edit(title="another's"))

    whats["work"] = work
    jobs = queue(portal, stream, 2, "work")
    site.workers.run_next()
    records = [record_of(portal, job.id) for job in jobs]
    assert [(r.state, r.place[0], r.is_alone, r.attempts) for r in records] == [
        ("queued", "later", True, 0)
    ] * 2


def test_cancelled_one_does_not_run_and_the_others_do(
    site: Site, portal: Portal, stream: Document, ran: list[str]
) -> None:
    jobs = queue(portal, stream, 3)
    run = claim_batch(site, site.workers.process, jobs[0].id)
    assert {job.state for job in jobs} == {"running"}
    jobs[1].cancel()
    run.run()
    assert [job.state for job in jobs] == ["done", "cancelled", "done"]
    assert ran == [jobs[0].id, jobs[2].id] and content(portal, stream) == b"xx"


def test_one_that_is_cancelled_while_another_runs_ends_at_once(make_site: Make) -> None:
    """The watchdog sees it; the rest goes on in another batch."""
    site = make_site(workers=1)
    whats: Whats = site.registry.activities["call"].whats  # type: ignore[attr-defined]
    began = threading.Event()

    def wait(work: Work) -> str:
        began.set()
        while work.portal.job(jobs[2].id).state != "cancelled":
            work.check()
            threading.Event().wait(0.005)
        return "well"

    whats["wait"] = wait
    with site.open() as portal:
        stream = portal.new("Data Stream")
        portal.commit()
        jobs = queue(portal, stream, 3, "wait")
        assert began.wait(20)
        jobs[2].cancel()
        until(lambda: jobs[2].state == "cancelled", "the cancellation")
        for job in jobs[:2]:
            assert job.wait(20).result == "well"


@pytest.mark.parametrize(
    ("why", "is_alone"), [(Stopping(), False), (OverLimit("It ran too long"), True)], ids=["stop", "limit"]
)
def test_interrupted_batch_is_given_back(
    site: Site, portal: Portal, stream: Document, ran: list[str], why: Any, is_alone: bool
) -> None:
    jobs = queue(portal, stream, 3)
    run = claim_batch(site, site.workers.process, jobs[0].id)
    run.guard.ask(why)
    run.run()
    records = [record_of(portal, job.id) for job in jobs]
    assert [(r.state, r.is_alone, r.failures) for r in records] == [("queued", is_alone, 0)] * 3
    assert not ran and is_sound(portal)


def test_each_has_the_whole_time_limit(
    site: Site, portal: Portal, stream: Document, ran: list[str], whats: Whats
) -> None:
    deadlines: list[float] = []
    mark = whats["mark"]

    def look(work: Work) -> Any:
        deadlines.append(run.guard.deadline)
        return mark(work)

    whats["mark"] = look
    jobs = queue(portal, stream, 3)
    run = claim_batch(site, site.workers.process, jobs[0].id)
    run.run()
    assert len(ran) == 3 and deadlines == sorted(set(deadlines))


def test_all_of_a_dead_worker_go_back_and_run_by_themselves(
    site: Site, portal: Portal, stream: Document, ran: list[str]
) -> None:
    jobs = queue(portal, stream, 3)
    claim_batch(site, "dead", jobs[1].id)
    sweep(site.workers)
    records = [record_of(portal, job.id) for job in jobs]
    assert [(r.state, r.deaths, r.is_alone) for r in records] == [("queued", 1, True)] * 3
    drain(site)
    assert sorted(ran) == sorted(job.id for job in jobs) and len(tids(portal, jobs)) == 3


def test_what_waits_in_a_batch_that_runs_is_not_taken_back(
    site: Site, portal: Portal, stream: Document, ran: list[str], set_clock: Any
) -> None:
    jobs = queue(portal, stream, 3)
    run = claim_batch(site, site.workers.process, jobs[0].id)
    set_clock.forward(3600)
    running = frozenset(run.guard.claims)
    site.transact(lambda p: take_back(p, site.workers.process, running, is_sole=True))
    assert {job.state for job in jobs} == {"running"}
    run.run()
    assert {job.state for job in jobs} == {"done"}


def test_one_that_another_has_taken_is_left_to_it(
    site: Site, portal: Portal, stream: Document, ran: list[str]
) -> None:
    jobs = queue(portal, stream, 3)
    run = claim_batch(site, "thought dead", jobs[0].id)
    claim(site, "another", jobs[1].id)
    run.run()
    assert [job.state for job in jobs] == ["done", "running", "done"]
    for job in (jobs[0], jobs[2]):
        claim(site, "late", job.id)
    run.run()
    assert len(ran) == 2


def test_dedupe_key_serves_no_other_once_it_is_claimed(
    site: Site, portal: Portal, stream: Document, ran: list[str]
) -> None:
    first, twin = queue(portal, stream, 2, dedupe_key="k")
    queue(portal, stream, 1)
    assert first.id == twin.id
    run = claim_batch(site, site.workers.process, first.id)
    (later,) = queue(portal, stream, 1, dedupe_key="k")
    run.run()
    assert later.id != first.id and later.state == "queued" and len(ran) == 2


def test_group_that_is_no_name_is_refused(stream: Document) -> None:
    with pytest.raises(InvalidError, match="group"):
        stream.activate(group="a\0b")


KILLER = dedent(
    """
    import os, signal
    from haywain.activity.kind import Kind, NoParameters, Work


    class Mark(Kind):
        name, title, portal_types = "mark", "Mark", ("Data Stream",)

        class parameters(NoParameters):
            number: int

        def run(self, work: Work):
            work.document.append(b"%03d " % work.parameters.number)
            if work.parameters.number == 7 and os.environ.get("KILLED_AT_7"):
                os.kill(os.getpid(), signal.SIGKILL)
            return work.parameters.number
    """
)


def test_killed_process_loses_and_doubles_nothing_of_a_batch(tmp_path: Path) -> None:
    var = tmp_path / "var"
    haywain.open(str(var)).close()
    (var / "activities").mkdir()
    (var / "activities" / "mark.py").write_text(KILLER)
    program = dedent(
        f"""
        import haywain
        with haywain.open({str(var)!r}) as portal:
            stream = portal.new("Data Stream", id="s")
            jobs = [stream.activate(group="g").mark(number=number) for number in range(20)]
            portal.commit()
            for job in jobs:
                job.wait()
        """
    )
    killed = subprocess.run(
        [sys.executable, "-c", program], env={"KILLED_AT_7": "1", "PATH": ""}, timeout=50, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr
    again = dedent(
        f"""
        import haywain
        with haywain.open({str(var)!r}) as portal:
            stream = portal["data_stream_module/s"]
            assert stream.size == 0
            while not portal.site.workers.run_next():
                pass
            portal.abort()
            print(stream.read().decode())
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", again], env={"PATH": ""}, timeout=50, capture_output=True, text=True
    )
    assert sorted(done.stdout.split()) == [f"{number:03}" for number in range(20)], done.stderr
