"""Alert: with whose rights it acts, what is refused when it is made or changed."""

from typing import Any

import pytest
from tests.conftest import Clock
from tests.notice.servers import WebServer
from tests.portal_types.alerts.conftest import EDITOR, VALIDATION, append, ask, events, look, make, shown

from haywain.activity.care import Care
from haywain.activity.watchers import Watchers
from haywain.errors import ForbiddenError, HaywainError, InvalidError
from haywain.portal import Site
from haywain.security import User
from haywain.workflow import WORKFLOWS


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


def test_owner_who_may_no_longer_edit_is_told_of_and_nothing_is_lost(
    site: Site, array: str, web: WebServer, set_clock: Clock
) -> None:
    site.transact(lambda p: p.new("Person", reference="ann", password="long enough", roles=("Editor",)))
    path = make(site, array, User("ann", EDITOR), webhook=web.url)
    site.transact(lambda p: p["person_module/ann"].edit(roles=("Viewer",)))
    append(site, array, 81)
    look(site, set_clock)
    assert not web.posts and "ann" in shown(site, path)["problem"]
    site.transact(lambda p: p[path].edit(threshold=70.0))
    set_clock.forward(61)
    ask(site)
    assert events(web) == ["firing"] and shown(site, path)["owner"] != "ann"


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
        assert Watchers.of(portal.root).of_path(array) == {path: True}
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
        ({"clear": 90.0}, "must be at most the threshold"),
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
