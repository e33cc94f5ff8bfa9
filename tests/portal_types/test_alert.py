"""Alert: fires once for each crossing and silence, whatever dies; whom it tells, and with whose rights."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.activity.conftest import claim, drain
from tests.conftest import Clock
from tests.notice.servers import Inbox, WebServer, mail_server, web_server

import haywain
from haywain import clock
from haywain.activity.care import Care
from haywain.activity.outbox import Outbox
from haywain.activity.sweeper import take_back
from haywain.activity.watchers import Watchers
from haywain.app import open_site
from haywain.errors import ForbiddenError, HaywainError, InvalidError
from haywain.portal import Portal, Site
from haywain.portal_types._alert_course import Change
from haywain.portal_types._alert_look import Look
from haywain.security import User
from haywain.settings import load
from haywain.workflow import WORKFLOWS

EDITOR = frozenset({"Editor"})
VALIDATION = WORKFLOWS["validation"]


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def inbox(free_port: int) -> Iterator[Inbox]:
    with mail_server(free_port) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A portal that may post to loopback; no Workers."""
    settings = load(data=tmp_path / "var", admin_password="long enough", threads=8, webhook_hosts="127.0.0.1")
    opened, _ = open_site(settings)
    yield opened
    opened.close()


@pytest.fixture
def array(site: Site) -> str:
    def make(portal: Portal) -> str:
        made: Any = portal.new("Data Array", reference="turbine")
        made.create((0,), "<f8")
        return str(made.path)

    return site.transact(make)[0]


def make(site: Site, document: str, user: User | None = None, **properties: Any) -> str:
    """Return the path of an Alert that is validated, made by the portal itself or a person."""

    def work(portal: Portal) -> str:
        portal.user = user or portal.user
        alert = portal.new("Alert", document=document, **({"threshold": 80.0} | properties))
        VALIDATION.apply(alert, "validate", portal.user.login)
        return str(alert.path)

    return site.transact(work)[0]


def append(site: Site, path: str, *values: float) -> None:
    def work(portal: Portal) -> None:
        array: Any = portal[path]
        array.append([*values])

    site.transact(work)


def shown(site: Site, path: str) -> dict[str, Any]:
    with site.open() as portal:
        return portal[path].as_dict()


def look(site: Site, now: Clock | None = None) -> None:
    """Run what an append has queued, and what that queues."""
    if now is not None:
        now.forward(1.5)
    drain(site)


def ask(site: Site) -> None:
    """Ask what is due by now, as two processes do, and run that."""
    for _ in "ab":
        site.workers.caretaker._next.clear()
        site.workers.caretaker.look()
    drain(site)


def events(web: WebServer) -> list[str]:
    return [json.loads(post.body)["event"] for post in web.posts]


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


def test_request_is_signed_and_has_the_id_of_its_activity(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    make(site, array, webhook=web.url, webhook_secret="between us")
    append(site, array, 81)
    look(site, set_clock)
    (post,) = web.posts
    with site.open() as portal:
        job = portal.job(post.headers["Idempotency-Key"])
        assert job.as_dict()["state"] == "done" and job.result == {"status": 200}
    mac = hmac.new(b"between us", post.body, hashlib.sha256).hexdigest()
    assert post.headers["Haywain-Signature"] == f"sha256={mac}"


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


def test_a_kill_after_the_request_sends_it_again_under_the_same_key(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    path = make(site, array, webhook=web.url)
    with site.open() as portal:
        (job,) = portal[path].test()  # type: ignore[attr-defined]
        portal.commit()
    run = claim(site, "here:1:dead", job.id)

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_step", lambda *_: die())
        patch.setattr(run, "_failed", lambda error: None)
        run.run()
    assert events(web) == ["test"]
    set_clock.forward(3600)
    site.transact(lambda portal: take_back(portal, "here:2:alive", frozenset(), True))
    drain(site)
    assert [post.headers["Idempotency-Key"] for post in web.posts] == [job.id, job.id]
    assert web.posts[0].body == web.posts[1].body
    assert shown(site, path)["last_sent"]


def test_change_of_the_alert_beside_a_message_does_not_repeat_it(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    """A look that is kept while the request is under way is no change of the Alert itself."""
    path = make(site, array, webhook=web.url)
    append(site, array, 81)
    set_clock.forward(1.5)
    site.workers.run_next()

    def beside() -> None:
        append(site, array, 82)
        with site.open() as portal:
            job = portal[path].activate().queue("look", {})
            portal.commit()
        claim(site, "here:1:y", job.id).run()

    web.on_post = beside
    drain(site)
    assert events(web) == ["firing"] and shown(site, path)["row"] == 1


def test_5xx_is_tried_again_and_4xx_is_not(site: Site, array: str, web: WebServer, set_clock: Clock) -> None:
    path = make(site, array, webhook=web.url)
    web.answers = [(503, {}, b"<h1>busy</h1>\r\n"), (429, {}, b""), (200, {}, b"")]
    append(site, array, 81)
    look(site, set_clock)
    for _ in range(3):
        set_clock.forward(60)
        drain(site)
    assert len(web.posts) == 3 and len({post.headers["Idempotency-Key"] for post in web.posts}) == 1
    web.answers = [(404, {}, b"there is no hook " + b"x" * 5000)]
    append(site, array, 1)
    look(site, set_clock)
    set_clock.forward(3600)
    drain(site)
    found = shown(site, path)
    assert len(web.posts) == 4 and found["condition"] == "ok"
    assert found["problem"].startswith("127.0.0.1 answers 404: there is no hook xxx")
    assert len(found["problem"]) < 300


def test_mail_tells_what_where_and_when(tmp_path: Path, inbox: Inbox, set_clock: Clock) -> None:
    settings = load(
        data=tmp_path / "var", admin_password="long enough", smtp_url=inbox.url,
        mail_from="Haywain <haywain@example.org>", public_url="https://data.example.org/",
    )  # fmt: skip
    site, _ = open_site(settings)

    def made(portal: Portal) -> str:
        found: Any = portal.new("Data Array", reference="turbine", columns=({"name": "°C"}, {"name": "rpm"}))
        found.create((0, 2), "<f4")
        return str(found.path)

    array = site.transact(made)[0]
    path = make(site, array, column="°C", mail_to=("ann@example.org", "no-550@example.org"), title="Too hot")
    site.transact(lambda portal: portal[array].append([[81.5, 900]]))  # type: ignore[attr-defined]
    look(site, set_clock)
    found = shown(site, path)
    site.close()
    (mail,) = inbox.mails
    assert (mail["Subject"], mail["From"]) == ("Firing: Too hot", "Haywain <haywain@example.org>")
    assert mail["Message-ID"].endswith("@example.org>") and mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_payload(decode=True).decode().replace("\r\n", "\n")  # type: ignore[union-attr]
    assert text.startswith("°C of turbine is now above 80: 81.5 in row 0\n")
    assert f"Document: https://data.example.org/{array}\n" in text and "Noticed: 20" in text
    assert found["problem"] == "no-550@example.org: 550 not here"


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


def test_locked_owner_sends_nothing_and_it_goes_on_afterwards(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    site.transact(lambda p: p.new("Person", reference="ann", password="long enough", roles=("Editor",)))
    path = make(site, array, User("ann", EDITOR), webhook=web.url)

    def move(name: str) -> None:
        site.transact(lambda p: WORKFLOWS["account"].apply(p["person_module/ann"], name, "admin"))

    move("invalidate")
    append(site, array, 81)
    look(site, set_clock)
    found = shown(site, path)
    assert (
        not web.posts
        and found["condition"] == "ok"
        and "'ann', who asked for it, is locked" in found["problem"]
    )
    move("validate")
    set_clock.forward(61)
    ask(site)
    assert events(web) == ["firing"] and shown(site, path)["problem"] is None


def test_who_says_what_it_does_owns_it_but_not_who_snoozes(site: Site, array: str) -> None:
    path = make(site, array, User("ann", EDITOR))
    with site.open(User("ben", EDITOR)) as portal:
        alert: Any = portal[path]
        alert.edit(title="Hot", snoozed_until="2999-01-01T00:00:00Z")
        assert alert.owner == "ann"
        alert.edit(threshold=90.0)
        assert (alert.owner, alert.is_systems) == ("ben", False)


def test_invalidated_it_watches_nothing(site: Site, array: str) -> None:
    path = make(site, array)
    with site.open() as portal:
        assert Watchers.of(portal.root).of_path(array) == [path]
        VALIDATION.apply(portal[path], "invalidate", "admin")
        assert not Watchers.of(portal.root).pairs and not Care.of(portal.root).paths("look")
        assert portal[path].condition == "off"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"document": "data_array_module/none"}, "document: There is nothing at"),
        ({"document": "person_module/admin"}, "document: a Person has no rows"),
        ({"document": "person_module/admin", "watches": "silence"}, "document: nothing comes to a Person"),
        ({"column": "rpm"}, "no column of numbers 'rpm'"),
        ({"clear": 90.0}, "give a number that is less"),
        ({"webhook": "ftp://example.org/"}, "webhook: it is no address"),
        ({"webhook": "http://me:pw@example.org/"}, "user and password"),
        ({"webhook": "http://10.0.0.1/"}, "webhook: 10.0.0.1 is none of the hosts"),
        ({"mail_to": ("ann",)}, "'ann' is no address"),
        ({"mail_to": ("ann@example.org\nBcc: x@y.z",)}, "is no address"),
        ({"mail_to": ("ann@example.org",)}, "HAYWAIN_SMTP_URL"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_makes_no_sense_is_refused(
    site: Site, array: str, properties: dict[str, Any], message: str
) -> None:
    with site.open() as portal:
        with pytest.raises(InvalidError, match=message):
            portal.new("Alert", **({"document": array} | properties))
        alert = portal.new("Alert", document=array)
        with pytest.raises(InvalidError, match=message):
            alert.edit(**properties)


def test_nobody_watches_what_he_may_not_view(site: Site) -> None:
    token = site.transact(lambda p: str(p.new("Token", login="admin", scopes=("read",)).path))[0]
    with site.open(User("ann", EDITOR)) as portal, pytest.raises(ForbiddenError):
        portal.new("Alert", document=token, watches="silence", silent_s=7200)


def test_test_tells_why_nothing_is_sent(site: Site, array: str) -> None:
    path = make(site, array)
    with site.open() as portal:
        with pytest.raises(InvalidError, match="It tells nobody"):
            portal[path].test()  # type: ignore[attr-defined]
        portal.user = User("vera", frozenset({"Viewer"}))
        with pytest.raises(HaywainError, match="edit"):
            portal[path].test()  # type: ignore[attr-defined]


def test_workers_say_a_crossing_once(tmp_path: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYWAIN_WEBHOOK_HOSTS", "127.0.0.1")
    arrived = threading.Event()
    web.on_post = arrived.set
    with haywain.open(str(tmp_path / "var"), workers=2) as portal:
        site = portal.site
        array: Any = site.transact(_made)[0]
        make(site, array, webhook=web.url)
        for value in (10, 85, 86, 87):
            append(site, array, value)
        assert arrived.wait(20)
    assert events(web) == ["firing"]


def _made(portal: Portal) -> str:
    made: Any = portal.new("Data Array", reference="turbine")
    made.create((0,), "<f8")
    return str(made.path)


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
