"""Sending: what is sent, again under the same key, and what becomes of what is not taken."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from tests.activity.conftest import claim, drain
from tests.conftest import Clock
from tests.notice.servers import Inbox, WebServer
from tests.portal_types.alerts.conftest import append, events, look, make, shown

from haywain.activity.sweeper import take_back
from haywain.app import open_site
from haywain.errors import InvalidError
from haywain.portal import Portal, Site
from haywain.settings import load


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


@pytest.mark.parametrize(
    ("url", "sender", "message"),
    [
        ("", "haywain@example.org", "until HAYWAIN_SMTP_URL and HAYWAIN_MAIL_FROM are set"),
        ("smtp://127.0.0.1", "nobody", "HAYWAIN_MAIL_FROM is no address"),
        ("imap://127.0.0.1", "haywain@example.org", "HAYWAIN_SMTP_URL is smtp://"),
    ],
    ids=["no server", "no sender", "no mail server"],
)
def test_mail_that_no_worker_could_send_is_refused(
    tmp_path: Path, url: str, sender: str, message: str
) -> None:
    site, _ = open_site(load(data=tmp_path / "var", smtp_url=url, mail_from=sender))
    with site.open() as portal, pytest.raises(InvalidError, match=message):
        portal.new("Alert", mail_to=("ann@example.org",))
    site.close()
