"""Runs: steps that are kept, conflicts, failures, deaths, rights at run time, two that race for one."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.activity.conftest import Call, Make, claim, content, drain, record_of
from tests.conftest import Clock
from ZODB.POSException import ConflictError

from haywain.activity.agreement import outbox_flaws
from haywain.activity.ending import delay_s
from haywain.activity.kind import Work
from haywain.activity.outbox import Outbox
from haywain.activity.presence import Presence, beat
from haywain.activity.runner import Run
from haywain.activity.sweeper import sweep, take_back
from haywain.document import Document
from haywain.errors import DatabaseServerError, InDoubtError, InvalidError, NotSentError, TemporaryError
from haywain.portal import Portal, Site

Whats = dict[str, Callable[[Work], Any]]


def test_steps_go_on_from_the_cursor(site: Site, portal: Portal, stream: Document, whats: Whats) -> None:
    """An error in the middle leaves the steps before it, and the retry goes on behind them."""
    runs: list[dict[str, Any]] = []

    def work(work: Work) -> Iterator[float]:
        runs.append(dict(work.cursor))
        for index in range(work.cursor.get("index", 0), 4):
            work.document.append(b"%d" % index)  # type: ignore[attr-defined]
            if index == 2 and len(runs) == 1:
                raise ValueError("odd")
            work.cursor["index"] = index + 1
            yield index / 4

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    job.wait()
    assert (job.state, job.error, job.progress) == ("failed", "odd", 0.25)
    assert content(portal, stream) == b"01"
    job.retry()
    job.wait()
    assert (job.state, job.error, job.progress) == ("done", None, 1.0)
    assert content(portal, stream) == b"0123"
    assert runs == [{}, {"index": 2}]


def test_conflict_is_no_failure_and_costs_one_step(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    runs: list[dict[str, Any]] = []

    def work(work: Work) -> Iterator[float]:
        runs.append(dict(work.cursor))
        for index in range(work.cursor.get("index", 0), 3):
            work.document.edit(title=f"step {index}")
            if index == 1 and len(runs) == 1:
                site.transact(lambda p: p[stream.path].edit(title="another's"))
            work.cursor["index"] = index + 1
            yield index / 3

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    job.wait()
    assert (job.state, job.as_dict()["failures"], job.as_dict()["attempts"]) == ("done", 0, 1)
    assert runs == [{}, {"index": 1}]


def test_endless_conflicts_give_it_back_for_a_while(
    site: Site, portal: Portal, stream: Document, whats: Whats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haywain.activity.runner.CONFLICTS", 2)

    def work(work: Work) -> None:
        work.document.edit(title="mine")
        site.transact(lambda p: p[stream.path].edit(title="another's"))

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    drain(site)
    found = job.as_dict()
    assert (found["state"], found["failures"], found["error"]) == ("queued", 0, None)


@pytest.mark.parametrize(
    ("error", "retries", "tries"),
    [
        (ValueError("row 7"), None, 1),
        (InvalidError("row 7"), None, 1),
        (RuntimeError("row 7"), None, 4),
        (TemporaryError("row 7"), None, 4),
        (RuntimeError("row 7"), 0, 1),
        (ValueError("row 7"), 2, 3),
        (MemoryError("row 7"), 1, 2),
        (KeyError("row 7"), 1, 2),
    ],
    ids=lambda value: repr(value),
)
def test_failure_is_tried_again_later_as_often_as_it_may(
    site: Site,
    portal: Portal,
    stream: Document,
    whats: Whats,
    set_clock: Clock,
    error: Exception,
    retries: int | None,
    tries: int,
) -> None:
    began: list[float] = []

    def work(work: Work) -> None:
        began.append(set_clock.now_s)
        work.document.append(b"lost")  # type: ignore[attr-defined]
        raise error

    whats["work"] = work
    job = stream.activate(max_retries=retries).call(what="work")
    portal.commit()
    for _ in range(tries):
        assert job.state == "queued"
        drain(site)
        set_clock.forward(60)
    assert (job.state, len(began)) == ("failed", tries)
    found = job.as_dict()
    assert "row 7" in found["error"] and "Traceback" in found["trace"] and "raise error" in found["trace"]
    drain(site)
    assert len(began) == tries and content(portal, stream) == b""


def test_delays_double_up_to_an_hour() -> None:
    for failures, longest in ((1, 5), (2, 10), (5, 80), (11, 3600), (100, 3600)):
        assert 0.75 * longest <= delay_s(failures) <= longest


def test_two_that_run_one_activity_commit_its_effects_once(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    """The first is thought dead, so that another claims; both come to the end at one moment."""
    both = threading.Barrier(2)
    threads: list[threading.Thread] = []

    def work(work: Work) -> None:
        if not threads:
            threads.append(threading.Thread(target=claim(site, "another", work.id).run))
            threads[0].start()
        work.document.append(b"x")  # type: ignore[attr-defined]
        work.document.activate(tag="follow-up").write(text="y")
        both.wait(10)

    whats["work"] = work
    job = stream.activate(tag="t", serialization_tag="s").call(what="work")
    portal.commit()
    claim(site, "one", job.id).run()
    threads[0].join(20)
    assert not threads[0].is_alive() and job.state == "done"
    drain(site)
    assert content(portal, stream) == b"xy"


def test_second_of_two_ends_finds_the_activity_gone(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    """Whatever comes between its beginning and its commit: here another's whole run."""
    outer: list[Run] = []

    def work(work: Work) -> None:
        work.document.append(b"x")  # type: ignore[attr-defined]
        if not outer:
            outer.append(claim(site, "another", work.id))
            outer[0].run()

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    drain(site)
    assert (job.state, content(portal, stream)) == ("done", b"x")


def test_two_of_one_serialization_tag_never_both_commit(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    """Even when both were claimed: the tag's object is written by both."""
    order: list[str] = []

    def work(work: Work) -> None:
        order.append(work.id)
        if len(order) == 1:
            claim(site, "another", two.id).run()

    whats["work"] = work
    one, two = (stream.activate(serialization_tag="s").call(what="work") for _ in "ab")
    portal.commit()
    claim(site, "one", one.id).run()
    assert order == [one.id, two.id, one.id]  # the first met a conflict, and ran again after the second
    assert (one.state, two.state) == ("done", "done")


def test_claims_of_the_dead_go_back_and_count(site: Site, portal: Portal, stream: Document) -> None:
    job = stream.activate().write()
    portal.commit()
    for deaths in (1, 2):
        claim(site, f"dead {deaths}", job.id)
        assert job.state == "running"
        sweep(site.workers)
        assert (job.state, job.as_dict()["deaths"]) == ("queued", deaths)
        assert f"dead {deaths} died; it goes on from its last step" in job.log[-1]
    claim(site, "dead 3", job.id)
    sweep(site.workers)
    assert job.state == "failed" and "3 Workers died" in (job.error or "")
    job.retry()
    assert job.wait().state == "done"
    assert content(portal, stream) == b"x"


def test_step_that_is_kept_forgives_deaths(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    def work(work: Work) -> Iterator[float]:
        yield 0.5
        claim(site, "dead at once", work.id)
        yield 0.6

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    for _ in range(4):
        site.workers.run_next()
        assert job.state == "running"
        sweep(site.workers)
        assert (job.state, job.as_dict()["deaths"]) == ("queued", 1)


def test_other_processes_are_dead_after_three_missed_heartbeats(
    site: Site, portal: Portal, stream: Document, set_clock: Clock
) -> None:
    job = stream.activate().write()
    portal.commit()
    claim(site, "far away", job.id)

    def look() -> None:
        site.transact(lambda p: take_back(p, "here", frozenset(), is_sole=False))

    set_clock.forward(29)
    look()
    assert job.state == "running"
    site.transact(lambda p: beat(Outbox.of(p.root), "far away", Presence(0.0, 1, "")))
    set_clock.forward(29)
    look()
    assert job.state == "running"
    set_clock.forward(2)
    site.transact(lambda p: take_back(p, "here", frozenset(), is_sole=False, judges=False))
    assert job.state == "running"
    look()
    assert job.state == "queued"


def test_who_has_just_come_back_to_the_database_judges_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site.has_watched(30)
    monkeypatch.setattr(Site, "is_sole", False)
    for connected_at, has_watched in ((0.0, False), (time.monotonic(), False), (time.monotonic() - 31, True)):
        monkeypatch.setattr(site.storage, "connected_at", connected_at, raising=False)
        assert site.has_watched(30) == has_watched


@pytest.mark.parametrize("error", [DatabaseServerError, InDoubtError])
def test_a_database_server_that_goes_is_no_failure_of_the_work(
    site: Site, portal: Portal, stream: Document, whats: Whats, set_clock: Clock, error: type[Exception]
) -> None:
    runs: list[int] = []

    def work(work: Work) -> int:
        runs.append(1)
        if len(runs) < 6:
            raise error("gone")
        return len(runs)

    whats["work"] = work
    job = stream.activate(max_retries=0).call(what="work")
    portal.commit()
    while job.state == "queued":
        drain(site)
        set_clock.forward(10)
    assert (job.result, job.as_dict()["failures"], job.as_dict()["deaths"]) == (6, 0, 0)


def test_claim_that_this_process_lost_goes_back_without_a_death(
    site: Site, portal: Portal, stream: Document, set_clock: Clock
) -> None:
    job = stream.activate().write()
    portal.commit()
    claim(site, site.workers.process, job.id)
    sweep(site.workers)
    assert job.state == "running"
    set_clock.forward(11)
    sweep(site.workers)
    assert (job.state, job.as_dict()["deaths"]) == ("queued", 0)


def test_kind_that_is_gone_fails(site: Site, portal: Portal, stream: Document) -> None:
    job = stream.activate().write()
    portal.commit()
    del site.registry.activities["write"]
    job.wait()
    assert job.state == "failed" and "no activity on Data Stream" in (job.error or "")


def test_process_that_is_killed_is_another_one_when_it_comes_back(make_site: Make) -> None:
    first = make_site()
    with first.open() as portal:
        stream = portal.new("Data Stream")
        job = stream.activate().write(text="ab")
        portal.commit()
        claim(first, first.workers.process, job.id)
    first.workers.stop()
    first.close()
    second = make_site(workers=1)
    with second.open() as portal:
        assert portal.job(job.id).wait(20).state == "done"
        assert record_of(portal, job.id).deaths == 0  # forgiven with the first step
        assert portal[stream.path].read() == b"ab"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "error", [SystemExit("over"), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()], ids=repr
)
def test_error_that_is_no_exception_fails_the_activity_and_no_worker(
    make_site: Make, error: BaseException
) -> None:
    site = make_site(workers=1)
    call = site.registry.activities["call"]
    assert isinstance(call, Call)

    def work(work: Work) -> None:
        raise error

    call.whats |= {"work": work, "well": lambda work: "well"}
    with site.open() as portal:
        stream = portal.new("Data Stream")
        job = stream.activate(max_retries=0).call(what="work")
        after = stream.activate().call(what="well")
        portal.commit()
        assert after.wait(20).result == "well"
        assert job.state == "failed" and type(error).__name__ in (job.error or "")
    assert len([t for t in threading.enumerate() if t.name == "worker"]) == 1


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt(), "queued"), (SystemExit(3), "failed")], ids=repr
)
def test_what_ends_the_process_goes_on_from_its_own_thread(
    site: Site, portal: Portal, stream: Document, whats: Whats, error: BaseException, state: str
) -> None:
    """Ctrl-C in a notebook that waits is no failure of the activity."""

    def work(work: Work) -> None:
        raise error

    whats["work"] = work
    job = stream.activate(max_retries=0).call(what="work")
    portal.commit()
    with pytest.raises(type(error)):
        job.wait()
    assert job.state == state


@pytest.mark.parametrize("how", ["raises", "conflicts", "dies"])
def test_cancelled_run_is_cancelled_however_it_ends(
    site: Site, portal: Portal, stream: Document, whats: Whats, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haywain.activity.runner.CONFLICTS", 0)

    def work(work: Work) -> None:
        work.document.edit(title="mine")
        portal.job(job.id).cancel()
        if how == "conflicts":
            site.transact(lambda p: p[stream.path].edit(title="another's"))
        raise RuntimeError("odd") if how == "raises" else ConflictError

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    if how == "dies":
        claim(site, "dead", job.id)
        job.cancel()
        sweep(site.workers)
    else:
        site.workers.run_next()
    assert job.state == "cancelled"


@pytest.mark.parametrize("progress", [float("nan"), None, "much", 10**400], ids=lambda p: repr(p)[:8])
def test_progress_that_is_no_number_is_refused(
    site: Site, portal: Portal, stream: Document, whats: Whats, progress: Any
) -> None:
    def work(work: Work) -> Iterator[float]:
        yield progress

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    job.wait()
    assert (job.state, job.progress) == ("failed", 0) and "a number from 0 to 1, not " in (job.error or "")


def test_half_a_character_is_escaped_in_a_log_and_refused_in_a_result(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    """Neither could be sent to a browser."""

    def work(work: Work) -> Any:
        work.log("a \ud800")
        yield 0.5
        return {"name": "\ud800"}

    whats["work"] = work
    job = stream.activate().call(what="work")
    portal.commit()
    job.wait()
    assert (job.state, job.log) == ("failed", ["a \\ud800"])
    assert "The result of the activity is no JSON" in (job.error or "")


def test_one_that_is_not_kept_is_forgotten_once_it_is_done_but_not_if_it_fails(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    answers: list[Any] = [ValueError("odd"), {"a": 1}]

    def work(work: Work) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    whats["work"] = work
    options = {"is_kept": False, "tag": "t", "serialization_tag": "s", "dedupe_key": "d"}
    job = stream.activate(**options).call(what="work")
    portal.commit()
    drain(site)
    assert (record_of(portal, job.id).state, record_of(portal, job.id).error) == ("failed", "odd")
    job.retry()
    drain(site)
    portal.abort()
    assert Outbox.of(portal.root).find(job.id) is None
    assert not list(outbox_flaws(Outbox.of(portal.root), lambda oid: None))
    waiting = stream.activate(after_tag="t", serialization_tag="s").call(what="work")
    answers.append({})
    portal.commit()
    drain(site)
    assert record_of(portal, waiting.id).state == "done"


def test_final_error_is_not_tried_again(site: Site, portal: Portal, stream: Document, whats: Whats) -> None:
    def work(work: Work) -> None:
        raise NotSentError("No such address", is_final=True)

    whats["work"] = work
    job = stream.activate(max_retries=12).call(what="work")
    portal.commit()
    drain(site)
    record = record_of(portal, job.id)
    assert (record.state, record.error, record.attempts) == ("failed", "No such address", 1)
