"""Fast input: all of it or nothing, and streams of its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from haywain.errors import DuplicateError, ForbiddenError, InvalidError
from haywain.ingestion import Request, deliver
from haywain.ingestion.fast_input import add_policy, arrivals
from haywain.portal import Portal, Site
from haywain.security import User
from haywain.security.accounts import by_token

ADMIN = User("admin", frozenset({"Manager"}))


def add(site: Site, *arguments: str) -> Any:
    """Make a policy; return its path, and those of what belongs to it, and the secret."""

    def work(portal: Portal) -> tuple[str, str, str, str, str]:
        made = add_policy(portal, *arguments)
        return made.policy.path, made.product.path, made.supply.path, made.token.path, made.secret

    return site.transact(work, ADMIN)[0]


def count(site: Site) -> int:
    with site.open() as portal:
        return portal.catalog().count()


def test_policy_is_ready_with_all_it_needs(site: Site) -> None:
    policy_path, product_path, supply_path, token_path, secret = add(site, "weather", "Weather", "ndjson")
    with site.open() as portal:
        policy, product, supply = (portal[path] for path in (policy_path, product_path, supply_path))
        assert (policy.id, policy.title, policy.state) == ("weather", "Weather", "validated")
        assert [product.state, supply.state] == ["validated"] * 2
        assert policy.linked("specialise") == [supply_path] and policy.linked("resource") == [product_path]
        lines = [portal[path] for path in supply.linked("line")]
        resources = [portal[line.linked("resource")[0]] for line in lines]
        assert [one.portal_type for one in resources] == ["Data Operation", "Data Product"]
        assert resources[0].properties.script_id == "ndjson"  # type: ignore[attr-defined]
        user = by_token(portal.root, secret)
        assert user.token == token_path and user.scopes == {"ingest:weather"}


def test_streams_of_a_policy_are_its_own(site: Site) -> None:
    add(site, "own")
    mine, theirs = (deliver(site, Request(id, b"shared.tag", b"x", user=ADMIN)) for id in ("own", "default"))
    assert mine.path != theirs.path and mine.status == "stored"
    again = deliver(site, Request("own", b"shared.tag", b"y", user=ADMIN))
    assert (again.path, again.offset) == (mine.path, 1)
    assert deliver(site, Request("own", b"shared.tag", b"", user=ADMIN)).path == mine.path
    with site.open() as portal:
        policy, stream = portal["portal_ingestion_policies/own"], portal[mine.path]
        assert stream.reference == "shared.tag"
        assert stream.linked("specialise") == policy.linked("specialise")
        assert stream.linked("resource") == policy.linked("resource")
        found = arrivals(portal, policy)
        assert [sink.path for sink in found.sinks] == [mine.path] and (found.size, found.is_any) == (2, True)


def test_nothing_has_come_to_a_new_policy(site: Site) -> None:
    path = add(site, "silent")[0]
    with site.open() as portal:
        assert not arrivals(portal, portal[path]).is_any
        assert not arrivals(portal, portal["portal_ingestion_policies/default"]).sinks
    deliver(site, Request("silent", b"../bad", b"x", user=ADMIN))
    with site.open() as portal:
        assert arrivals(portal, portal[path]).quarantined == 1


def test_bytes_go_through_the_rule_that_was_chosen(site: Site) -> None:
    add(site, "photos", "", "bucket")
    receipt = deliver(site, Request("photos", b"photos", b'{"key":"k","value":"v"}', user=ADMIN))
    with site.open() as portal:
        assert portal[receipt.path].read("k") == b"v"  # type: ignore[attr-defined]  # buckets


def test_rule_that_is_edited_is_what_is_done(site: Site) -> None:
    path = add(site, "edited", "", "ndjson")[0]
    deliver(site, Request("edited", b"edited", b'{"a": 1}', user=ADMIN))
    site.transact(lambda portal: portal[path].edit(rule="append_as_is"))
    receipt = deliver(site, Request("edited", b"edited", b"any bytes", user=ADMIN))
    with site.open() as portal:
        assert portal[receipt.path].read() == b'{"a":1}\nany bytes'  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "reference",
    ["", " ", "a/b", "..", "_a", "@a", ".a", "data", "x" * 256, "a\nb", "\ud800", "*"],
    ids=range(12),
)
def test_reference_that_cannot_be_an_address_is_refused(site: Site, reference: str) -> None:
    before = count(site)
    with pytest.raises(InvalidError, match="reference"):
        add(site, reference)
    assert count(site) == before


def test_rule_that_is_not_there_is_refused(site: Site) -> None:
    with pytest.raises(InvalidError, match="ndjson"):
        add(site, "typo", "", "ndjsn")


def test_reference_that_is_there_is_refused_and_nothing_is_made(site: Site) -> None:
    add(site, "once")
    before = count(site)
    with pytest.raises(DuplicateError, match="'once'"):
        add(site, "once")
    assert count(site) == before


def test_product_and_supply_that_are_there_are_used(site: Site) -> None:
    sent = deliver(site, Request("default", b"mast.gusts", b"x", user=ADMIN))
    _, product, supply, _, _ = add(site, "mast")
    with site.open() as portal:
        assert portal[sent.path].linked("specialise") == [supply]
        assert portal[supply].linked("resource") == [*portal[sent.path].linked("resource"), product]


def test_supply_that_is_over_is_in_the_way(site: Site) -> None:
    _, _, supply, _, _ = add(site, "over")

    def end(portal: Portal) -> None:
        portal[supply].state = "invalidated"
        portal.delete(portal["portal_ingestion_policies/over"])

    site.transact(end)
    with pytest.raises(DuplicateError, match="Data Supply 'over', which is invalidated"):
        add(site, "over")


def test_only_a_manager_may(site: Site) -> None:
    def work(portal: Portal) -> None:
        add_policy(portal, "forbidden")

    with pytest.raises(ForbiddenError):
        site.transact(work, User("eve", frozenset({"Editor"})))


def test_of_several_at_once_one_makes_it(site: Site, together: Callable[..., list[Any]]) -> None:
    results = together(*[partial(add, site, "raced")] * 4)
    assert sorted(type(result).__name__ for result in results) == ["DuplicateError"] * 3 + ["tuple"]
    with site.open() as portal:
        for portal_type in ("Ingestion Policy", "Data Product", "Data Supply", "Token"):
            assert portal.catalog(portal_type=portal_type, reference="raced").count() == 1
