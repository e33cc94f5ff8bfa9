"""Looks: each crossing and each silence is told once, whatever dies and however many look."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.activity.conftest import claim, drain
from tests.conftest import Clock
from tests.notice.servers import WebServer
from tests.portal_types.alerts.conftest import append, ask, events, look, make, make_array, shown

import haywain
from haywain import clock
from haywain.activity.outbox import Outbox
from haywain.app import open_site
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types._alert_course import Change
from haywain.portal_types._alert_look import Look
from haywain.settings import load


def test_it_says_each_crossing_once(site: Site, array: str, web: WebServer, set_clock: Clock) -> None:
    path = make(site, array, webhook=web.url, clear=70.0, title="Too hot")
    for values in ((20, 79), (85,), (90, 75, 81), (69,), (71, 80), (99, 60)):
        append(site, array, *values)
        look(site, set_clock)
    assert events(web) == ["firing", "ok", "firing", "ok"]
    found = [json.loads(post.body) for post in web.posts]
    assert [(one["value"], one["row"]) for one in found] == [(85, 2), (69, 6), (99, 9), (60, 10)]
    assert found[0]["text"] == "turbine is now above 80: 85 in row 2"
    assert len({one["id"] for one in found}) == 4
    now = shown(site, path)
    assert (now["condition"], now["value"], now["row"], now["problem"]) == ("ok", 60, 10, None)
    assert sum("webhook answered 200" in line for line in now["log"]) == 4


def test_nothing_is_queued_for_an_array_that_nobody_watches(site: Site, array: str) -> None:
    def work(portal: Portal) -> str:
        other: Any = portal.new("Data Array")
        other.create((0,), "<f8")
        return str(other.path)

    make(site, array)
    other = site.transact(work)[0]
    drain(site)
    append(site, other, 99)
    with site.open() as portal:
        assert not [r for shard in Outbox.of(portal.root).shards for r in shard.activities.values()]


def test_an_append_that_nobody_told_of_is_found(
    site: Site, array: str, web: WebServer, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the commit and what comes behind it."""
    make(site, array, webhook=web.url)
    monkeypatch.setattr("haywain.portal_types.data_array.tell_watchers", lambda document: None)
    append(site, array, 81)
    ask(site)
    assert events(web) == ["firing"]
    before = site.database.lastTransaction()
    ask(site)
    assert site.database.lastTransaction() == before


def test_two_looks_at_once_say_it_once(
    site: Site, array: str, web: WebServer, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read the rows before either commits; the second then finds that the first has."""
    both, real, found = threading.Barrier(2), Look.step, list[int]()

    def step(look: Look, most: int) -> list[Change]:
        changes = real(look, most)
        found.append(len(changes))
        if len(found) <= 2:
            both.wait(10)
        return changes

    monkeypatch.setattr(Look, "step", step)
    path = make(site, array, webhook=web.url)
    append(site, array, 81)
    with site.open() as one:
        jobs = [one[path].activate().queue("look", {}) for _ in "ab"]
        one.commit()
    runs = [claim(site, "here:1:x", job.id) for job in jobs]
    threads = [threading.Thread(target=run.run) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [1, 1, 0]
    look(site, set_clock)
    assert events(web) == ["firing"]


def test_many_alternations_in_one_append_end_in_the_last(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    make(site, array, webhook=web.url)
    append(site, array, *([90.0, 10.0] * 500))
    look(site, set_clock)
    found = [json.loads(post.body) for post in web.posts]
    assert sorted(one["row"] for one in found) == [*range(9), 999]
    assert max(one["left_out"] for one in found) == 990
    append(site, array, 90)
    look(site, set_clock)
    assert events(web)[-1] == "firing"


@pytest.mark.parametrize("step", [16, 40, 8000])
def test_any_number_of_steps_tells_the_same(
    site: Site, array: str, web: WebServer, set_clock: Clock, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr("haywain.portal_types._alert_look.STEP_BYTES", step)
    monkeypatch.setattr("haywain.portal_types._alert_look.PIECE_BYTES", 24)
    path = make(site, array, webhook=web.url, for_rows=2)
    append(site, array, 90, 10, 90, 90, 90, 20, 90, 30, 95, 95)
    look(site, set_clock)
    found = sorted((json.loads(p.body)["row"], json.loads(p.body)["event"]) for p in web.posts)
    assert found == [(3, "firing"), (5, "ok"), (9, "firing")]
    append(site, array, *([10.0, 90.0, 90.0] * 40), 10.0)
    look(site, set_clock)
    told = len(web.posts) - 3
    assert 9 <= told <= 12 and json.loads(web.posts[-1].body)
    assert shown(site, path)["condition"] == "ok"
    with site.open() as portal:
        assert portal[path].course.told is False  # type: ignore[attr-defined]


def test_it_waits_for_rows_and_for_seconds(site: Site, array: str, web: WebServer, set_clock: Clock) -> None:
    make(site, array, webhook=web.url, for_rows=3, for_s=60)
    append(site, array, 81, 82, 83, 84)
    look(site, set_clock)
    ask(site)
    assert not web.posts
    set_clock.forward(60)
    ask(site)
    assert events(web) == ["firing"]


def test_an_array_made_anew_is_looked_at_from_its_beginning(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    path = make(site, array, webhook=web.url)
    append(site, array, 1, 2, 3)
    look(site, set_clock)

    def anew(portal: Portal) -> None:
        found: Any = portal[array]
        found.create((0,), "<f4")
        found.append([85])

    site.transact(anew)
    look(site, set_clock)
    assert events(web) == ["firing"] and shown(site, path)["row"] == 0


def test_silence_is_told_once_and_its_end(site: Site, web: WebServer, set_clock: Clock) -> None:
    stream = site.transact(lambda portal: str(portal.new("Data Stream", reference="agent-7").path))[0]
    path = make(site, stream, watches="silence", silent_s=60, webhook=web.url)

    set_clock.forward(3600)
    ask(site)
    assert not web.posts  # nothing ever came
    site.transact(lambda portal: portal[stream].append(b"x"))  # type: ignore[attr-defined]
    set_clock.forward(59)
    ask(site)
    assert not web.posts
    set_clock.forward(2)
    ask(site)
    ask(site)
    assert events(web) == ["firing"] and shown(site, path)["condition"] == "firing"
    assert (
        "agent-7 is silent: nothing received for 60 s, the last came" in json.loads(web.posts[0].body)["text"]
    )
    site.transact(lambda portal: portal[stream].append(b"y"))  # type: ignore[attr-defined]
    ask(site)
    assert events(web) == ["firing", "ok"]


def test_silence_begins_no_sooner_than_those_who_send_could_come_back(
    tmp_path: Path, web: WebServer, set_clock: Clock
) -> None:
    """The portal was down for an hour; what was silent before still is."""

    def opened() -> Site:
        where = load(data=tmp_path / "var", admin_password="long enough", webhook_hosts="127.0.0.1")
        return open_site(where)[0]

    site = opened()
    stream = site.transact(lambda portal: str(portal.new("Data Stream").path))[0]
    site.transact(lambda portal: portal[stream].append(b"x"))  # type: ignore[attr-defined]
    make(site, stream, watches="silence", silent_s=1000, webhook=web.url)
    site.close()
    set_clock.forward(3600)
    site = opened()
    set_clock.forward(299)
    ask(site)
    assert events(web) == []
    set_clock.forward(2)
    ask(site)
    site.close()
    site = opened()
    ask(site)
    site.close()
    assert events(web) == ["firing"]


def test_token_is_silent_by_its_last_use(site: Site, web: WebServer, set_clock: Clock) -> None:
    def used(portal: Portal) -> str:
        token: Any = portal.new("Token", login="admin", scopes=("ingest:*",), reference="gateway")
        token.last_used = set_clock.now_s
        with pytest.raises(InvalidError, match="noted once an hour"):
            portal.new("Alert", document=token.path, watches="silence", silent_s=600)
        return str(token.path)

    make(site, site.transact(used)[0], watches="silence", silent_s=7200, webhook=web.url)
    set_clock.forward(7201)
    ask(site)
    assert events(web) == ["firing"]


def test_what_never_received_fires_if_that_is_said(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    make(site, array, watches="silence", silent_s=60, webhook=web.url, fires_if_never=True)
    set_clock.forward(61)
    ask(site)
    assert events(web) == ["firing"]


def test_snooze_sends_nothing_until_it_is_over(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    until = clock.iso(set_clock.now_s + 600)
    path = make(site, array, webhook=web.url, snoozed_until=until)
    append(site, array, 81, 1, 82)
    look(site, set_clock)
    found = shown(site, path)
    assert not web.posts and found["condition"] == "firing"
    assert "snoozed" in found["log"][-1]
    set_clock.forward(600)
    ask(site)
    assert events(web) == ["firing"]


def test_reminder_comes_while_it_fires(site: Site, array: str, web: WebServer, set_clock: Clock) -> None:
    make(site, array, webhook=web.url, reminder_hours=1)
    append(site, array, 81)
    look(site, set_clock)
    for _ in range(3):
        set_clock.forward(1800)
        ask(site)
    assert events(web) == ["firing", "reminder"]


def test_workers_say_a_crossing_once(tmp_path: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYWAIN_WEBHOOK_HOSTS", "127.0.0.1")
    arrived = threading.Event()
    web.on_post = arrived.set
    with haywain.open(str(tmp_path / "var"), workers=2) as portal:
        site = portal.site
        array: Any = site.transact(make_array)[0]
        make(site, array, webhook=web.url)
        for value in (10, 85, 86, 87):
            append(site, array, value)
        assert arrived.wait(20)
    assert events(web) == ["firing"]


def test_looks_that_went_well_leave_nothing_in_the_archive(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    make(site, array, webhook=web.url)
    for value in (10, 81, 82):
        append(site, array, value)
        look(site, set_clock)
    with site.open() as portal:
        records = [r for shard in Outbox.of(portal.root).shards for r in shard.activities.values()]
        assert [(record.method, record.state) for record in records] == [("_send_webhook", "done")]
