"""Schedules that come due: once, whoever looks; after a pause; and what keeps them from running."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.activity.conftest import Make, claim, content, drain, until
from tests.conftest import Clock
from ZODB.POSException import ConflictError

from haywain.activity import timetable
from haywain.activity.outbox import Outbox
from haywain.activity.timetable import Timetable, queue_due
from haywain.document import Document
from haywain.portal import Portal, Site
from haywain.workflow import WORKFLOWS

VALIDATION = WORKFLOWS["validation"]


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def now(set_clock: Clock) -> Clock:
    set_clock.now_s = at("2026-06-01T00:00:30")
    return set_clock


def make(site: Site, stream: Document, login: str = "", **properties: Any) -> str:
    """Return the path of a Schedule that is validated, made by a person or the portal itself."""

    def work(portal: Portal) -> str:
        if login:
            portal.user = portal[f"person_module/{login}"].user()  # type: ignore[attr-defined]
        given = {"document": stream.path, "method": "write", "rule": "@hourly"} | properties
        schedule = portal.new("Schedule", **given)
        VALIDATION.apply(schedule, "validate", login)
        return str(schedule.path)

    return site.transact(work)[0]


def shown(site: Site, path: str) -> dict[str, Any]:
    with site.open() as portal:
        return portal[path].as_dict()


def queued(site: Site) -> int:
    with site.open() as portal:
        return sum(len(shard.activities) for shard in Outbox.of(portal.root).shards)


def last_tid(site: Site) -> bytes:
    return bytes(site.storage.lastTransaction())


def test_it_runs_each_time_it_is_due(site: Site, portal: Portal, stream: Document, now: Clock) -> None:
    path = make(site, stream, parameters='{"text": "y"}')
    assert (shown(site, path)["next_run"], shown(site, path)["last_run"]) == ("2026-06-01T01:00:00Z", None)
    queue_due(site)
    assert queued(site) == 0
    for hour in (1, 2):
        now.now_s = at(f"2026-06-01T0{hour}:00:01")
        queue_due(site)
        drain(site)
        found = shown(site, path)
        assert found["next_run"] == f"2026-06-01T0{hour + 1}:00:00Z"
        assert found["last_run"] == f"2026-06-01T0{hour}:00:01Z" and found["problem"] is None
        assert found["log"][-1] == f"2026-06-01T0{hour}:00:01Z queued {found['last_activity']}"
        job = portal.job(found["last_activity"]).as_dict()
        assert (job["state"], job["parameters"], job["tag"]) == ("done", {"text": "y"}, path)
    assert content(portal, stream) == b"yy"


def test_where_nothing_is_due_nothing_is_written(site: Site, stream: Document, now: Clock) -> None:
    make(site, stream)
    before = last_tid(site)
    queue_due(site)
    assert last_tid(site) == before


def test_time_that_was_missed_is_made_up_for_once(site: Site, stream: Document, now: Clock) -> None:
    path = make(site, stream, rule="*/5 * * * *")
    now.now_s = at("2026-06-09T12:01:00")
    for _ in range(3):
        queue_due(site)
    assert queued(site) == 1 and shown(site, path)["next_run"] == "2026-06-09T12:05:00Z"


def test_two_processes_that_find_it_due_queue_it_once(
    site: Site, stream: Document, now: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found it in the timetable before either commits."""
    path = make(site, stream)
    now.forward(3600)
    both, real, tries = threading.Barrier(2), timetable._queue, list[int]()

    def queue(portal: Portal, entry: timetable.Entry) -> None:
        tries.append(1)
        real(portal, entry)
        if len(tries) <= 2:
            both.wait(10)

    monkeypatch.setattr(timetable, "_queue", queue)
    threads = [threading.Thread(target=queue_due, args=(site,)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(tries) == 3 and queued(site) == 1
    assert len(shown(site, path)["log"]) == 1


def test_one_that_still_runs_is_not_queued_again(site: Site, stream: Document, now: Clock) -> None:
    path = make(site, stream)
    now.forward(3600)
    queue_due(site)
    first = shown(site, path)["last_activity"]
    for state in ("queued", "running"):
        now.forward(3600)
        queue_due(site)
        assert f"not queued: {first}, the one before, is still {state}" in shown(site, path)["log"][-1]
        if state == "queued":
            run = claim(site, site.workers.process, first)
    run.run()
    now.forward(3600)
    queue_due(site)
    assert queued(site) == 2 and shown(site, path)["last_activity"] != first


def test_log_keeps_its_last_lines(site: Site, stream: Document, now: Clock) -> None:
    path = make(site, stream)
    for _ in range(60):
        now.forward(3600)
        queue_due(site)
    assert len(shown(site, path)["log"]) == 50 and queued(site) == 1


@pytest.fixture
def ann(site: Site) -> str:
    site.transact(lambda p: p.new("Person", reference="ann", password="long enough", roles=("Analyst",)))
    return "ann"


def test_it_runs_as_its_owner_with_the_rights_of_that_time(
    site: Site, portal: Portal, stream: Document, now: Clock, ann: str
) -> None:
    path = make(site, stream, ann)
    now.forward(3600)
    queue_due(site)
    job = portal.job(shown(site, path)["last_activity"]).wait()
    assert (job.state, job.as_dict()["user"]) == ("done", "ann")
    site.transact(lambda p: p["person_module/ann"].edit(roles=("Viewer",)))
    now.forward(3600)
    queue_due(site)
    found = shown(site, path)
    assert "ann may not activity" in found["problem"] and found["problem"] in found["log"][-1]
    assert found["next_run"] == "2026-06-01T03:00:00Z" and found["last_activity"] == job.id
    site.transact(lambda p: p["person_module/ann"].edit(roles=("Analyst",)))
    now.forward(3600)
    queue_due(site)
    assert shown(site, path)["problem"] is None and shown(site, path)["last_activity"] != job.id


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda portal, stream: portal.delete(portal[stream.path]), "There is nothing at"),
        (lambda portal, stream: portal.delete(portal["person_module/ann"]), "'ann', who asked for it"),
        (lambda portal, stream: portal.site.registry.activities.pop("write"), "no activity on Data Stream"),
    ],
    ids=["no document", "no owner", "no method"],
)
def test_what_is_gone_is_shown_and_it_goes_on(
    site: Site,
    stream: Document,
    now: Clock,
    ann: str,
    change: Callable[[Portal, Document], Any],
    problem: str,
) -> None:
    path = make(site, stream, ann)
    site.transact(lambda portal: change(portal, stream) and None)
    now.forward(3600)
    queue_due(site)
    found = shown(site, path)
    assert problem in found["problem"] and found["next_run"] == "2026-06-01T02:00:00Z"
    assert queued(site) == 0


def test_invalidated_and_deleted_ones_are_not_due(site: Site, stream: Document, now: Clock) -> None:
    one, two = make(site, stream), make(site, stream)
    site.transact(lambda p: VALIDATION.apply(p[one], "invalidate", "admin"))
    site.transact(lambda p: p.delete(p[two]))
    assert shown(site, one)["next_run"] is None
    now.forward(3600)
    queue_due(site)
    with site.open() as portal:
        assert not Timetable.of(portal.root).entries and queued(site) == 0


def test_change_of_the_rule_moves_the_next_time(site: Site, stream: Document, now: Clock) -> None:
    path = make(site, stream)
    site.transact(lambda p: p[path].edit(rule="30 2 * * *", time_zone="Europe/Berlin"))
    assert shown(site, path)["next_run"] == "2026-06-01T00:30:00Z"
    with site.open() as portal:
        assert list(Timetable.of(portal.root).entries) == [(at("2026-06-01T00:30:00"), path)]


def test_times_go_with_the_clocks_of_the_zone(site: Site, stream: Document, set_clock: Clock) -> None:
    set_clock.now_s = at("2026-03-28T00:00:00")
    path, found = make(site, stream, rule="30 2 * * *", time_zone="Europe/Berlin"), []
    for _ in range(3):
        with site.open() as portal:
            set_clock.now_s = portal[path].next_run  # type: ignore[attr-defined]
        found.append(shown(site, path)["next_run"])
        queue_due(site)
        drain(site)
    assert found == ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]


def test_one_that_cannot_be_looked_at_keeps_no_other_from_running(
    site: Site,
    stream: Document,
    now: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, well = make(site, stream, rule="1 * * * *"), make(site, stream, rule="2 * * * *")
    now.forward(3600)
    real = timetable._at

    def look(portal: Portal, path: str) -> Any:
        if path == broken:
            raise RuntimeError("odd")
        return real(portal, path)

    monkeypatch.setattr(timetable, "_at", look)
    with caplog.at_level(logging.ERROR):
        queue_due(site)
    assert f"{broken} could not be looked at" in caplog.text
    assert shown(site, well)["last_activity"]


def test_workers_look_by_themselves(make_site: Make, now: Clock) -> None:
    site = make_site(workers=1)
    with site.open() as portal:
        stream = portal.new("Data Stream")
        portal.commit()
        path = make(site, stream)
        now.forward(3600)
        site.workers._swept = 0.0
        site.workers.bell.ring()
        until(lambda: content(portal, stream) == b"x", "the Schedule's work")
    assert shown(site, path)["last_activity"]


def test_a_conflict_leaves_nothing_half_done(
    site: Site, stream: Document, now: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tries = make(site, stream), list[int]()
    now.forward(3600)
    real = timetable._queue

    def queue(portal: Portal, entry: timetable.Entry) -> None:
        real(portal, entry)
        tries.append(1)
        if len(tries) == 1:
            raise ConflictError

    monkeypatch.setattr(timetable, "_queue", queue)
    queue_due(site)
    assert (len(tries), queued(site), len(shown(site, path)["log"])) == (2, 1, 1)
