"""Servers that a test may start, each of which is stopped; and the application without one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.web.serving import Running
from webtest import TestApp

from haywain.portal import Portal, Site
from haywain.security.throttle import Throttle
from haywain.store.upload import Uploads
from haywain.web import identity
from haywain.web.application import make_application

ROLES = ("Manager", "Editor", "Analyst", "Viewer", "Agent")
PASSWORD = "everybody's password"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(uploads: Uploads | None = None, **limits: Any) -> Running:
        started.append(Running(tmp_path, uploads, **limits))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def running(serve: Callable[..., Running]) -> Running:
    return serve()


@pytest.fixture(scope="module")
def application(site: Site) -> Callable[..., Any]:
    """The WSGI application, with a person of each role, named after it in small letters."""

    def fill(portal: Portal) -> None:
        for role in ROLES:
            portal.new("Person", reference=role.lower(), roles=(role,), password=PASSWORD)

    site.transact(fill)
    return make_application(site)


@pytest.fixture(autouse=True)
def new_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for another's failures."""
    monkeypatch.setattr(identity, "_throttle", Throttle())


@pytest.fixture
def program(application: Callable[..., Any]) -> Callable[..., TestApp]:
    """Call it with a login for a client that sends Basic credentials, or none."""

    def program(login: str = "", password: str = PASSWORD) -> TestApp:
        client = TestApp(application)
        if login:
            client.authorization = ("Basic", (login, password))
        return client

    return program


@pytest.fixture
def browser(application: Callable[..., Any]) -> Callable[..., TestApp]:
    """Call it with a login for a client that has logged in by the form; `csrf` is its token."""

    def browser(login: str = "") -> TestApp:
        client = TestApp(application, extra_environ={"HTTP_ACCEPT": "text/html"})
        if login:
            form = client.get("/login").form
            form["login"], form["password"] = login, PASSWORD
            form.submit(status=303)
            client.csrf = client.get("/login").form["csrf_token"].value
        return client

    return browser
