"""What holds for every Ingestion Policy: one suite runs over all that are registered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError
from haywain.ingestion import Request, deliver
from haywain.ingestion.tag import parse_tag
from haywain.interfaces import Chunk, Route
from haywain.portal import Portal, Site
from haywain.registry import load_registry

RULES = load_registry().ingestion_policies
pytestmark = pytest.mark.parametrize("name", RULES)


def test_policy_is_described(name: str) -> None:
    rule = RULES[name]
    assert rule.name == name and rule.title and type(rule).__doc__


@given(tag=st.text(min_size=1, max_size=60))
def test_route_of_a_tag_is_always_the_same_and_can_be_kept(name: str, tag: str) -> None:
    try:
        tag = parse_tag(tag.encode("utf-8", "surrogatepass"))
    except InvalidError:
        return
    rule = RULES[name]
    route = rule.route(tag)
    assert route == rule.route(tag) == type(rule)().route(tag)
    if route is not None:
        assert isinstance(route, Route) and route.sink and route.product and route.supply
        assert max(map(len, (route.sink, route.product, route.supply))) <= 255


@pytest.mark.parametrize("body", [b"\x00", bytes(range(256)) * 10, b"\r\n", "\u0436".encode()], ids=range(4))
def test_bytes_are_kept(site: Site, name: str, body: bytes) -> None:
    first, second = (deliver(site, Request(name, b"contract.bytes", body)) for _ in range(2))
    assert (first.status, second.status, first.path) == ("stored", "stored", second.path)
    with site.open() as portal:
        assert portal[first.path].read(first.offset, first.offset + first.length) == body
        assert portal[first.path].read(second.offset, second.offset + second.length) == body


def test_deliver_changes_its_target_only(portal: Portal, name: str) -> None:
    target, other = portal.new("Data Stream"), portal.new("Data Stream")
    RULES[name].deliver(Chunk("contract", b"abc", "application/octet-stream"), target)
    assert target.size and not other.size
