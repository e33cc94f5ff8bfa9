"""A portal whose Alerts may post to loopback, servers that take what they send, and what tests do with it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.activity.conftest import drain
from tests.conftest import Clock
from tests.notice.servers import Inbox, WebServer, mail_server, web_server

from haywain.app import open_site
from haywain.portal import Portal, Site
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


def make_array(portal: Portal) -> str:
    made: Any = portal.new("Data Array", reference="turbine")
    made.create((0,), "<f8")
    return str(made.path)


@pytest.fixture
def array(site: Site) -> str:
    """The path of an array of one column, without rows."""
    return site.transact(make_array)[0]


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
