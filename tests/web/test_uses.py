"""Uses of tokens: each request tells, the Token tells to the hour, and nothing is in the way of a request."""

from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain import clock
from haywain.portal import Portal, Site

INGEST = "/portal_ingestion_policies/default/ingest?reference=a.b"


@pytest.fixture
def token(site: Site, application: object) -> tuple[str, dict[str, str]]:
    """The path of a Token and the header by which it is used."""

    def make(portal: Portal) -> tuple[str, str]:
        made = portal.new("Token", login="editor", scopes=("read", "ingest:*"))
        return made.path, made.shown_once()["secret"]

    (path, secret), _ = site.transact(make)
    return path, {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def last_used(site: Site, token: tuple[str, dict[str, str]]) -> Callable[[], Any]:
    def last_used() -> Any:
        with site.open() as portal:
            return portal[token[0]].as_dict()["last_used"]

    return last_used


@pytest.mark.parametrize("how", ["ingest", "page", "refused"])
def test_request_is_a_use(
    site: Site,
    program: Callable[..., TestApp],
    token: tuple[str, dict[str, str]],
    last_used: Callable[[], Any],
    set_clock: Any,
    how: str,
) -> None:
    _, header = token
    if how == "ingest":
        program().post(INGEST, b"x", content_type="text/plain", headers=header, status=200)
    else:
        path = "/person_module" if how == "refused" else "/data_stream_module"
        program().get(path, headers=header | {"Accept": "application/json"}, expect_errors=True)
    assert last_used() is None
    site.keep_uses()
    assert last_used() == clock.iso(set_clock.now_s)


def test_record_is_written_once_an_hour_at_most(
    site: Site,
    program: Callable[..., TestApp],
    token: tuple[str, dict[str, str]],
    last_used: Callable[[], Any],
    set_clock: Any,
) -> None:
    path, header = token
    first, serials = set_clock.now_s, []
    for _ in range(4):
        program().post(INGEST, b"x", content_type="text/plain", headers=header, status=200)
        site.keep_uses()
        with site.open() as portal:
            portal[path]._p_activate()
            serials.append(portal[path]._p_serial)
        set_clock.forward(1800)
    assert serials[0] == serials[1] != serials[2] == serials[3]
    assert last_used() == clock.iso(first + 3600)


def test_token_that_is_gone_keeps_no_other_from_being_noted(
    site: Site,
    program: Callable[..., TestApp],
    token: tuple[str, dict[str, str]],
    last_used: Callable[[], Any],
) -> None:
    gone, _ = site.transact(lambda portal: portal.new("Token", login="editor", scopes=("read",)).path)
    with site.open() as portal:
        site.token_uses.note(portal[gone].user_of(portal.root))
    program().post(INGEST, b"x", content_type="text/plain", headers=token[1], status=200)
    site.transact(lambda portal: portal.delete(portal[gone]))
    site.keep_uses()
    assert last_used() is not None
