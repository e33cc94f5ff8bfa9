"""What holds for every Ingestion Policy: one suite runs over all that are registered."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haywain.errors import InvalidError
from haywain.ingestion import Request, deliver
from haywain.ingestion.tag import parse_tag
from haywain.interfaces import Chunk, IngestionRule, Route, Targets
from haywain.portal import Portal, Site
from haywain.registry import load_registry

RULES = load_registry().ingestion_policies
UNTOUCHED = ("default", "append_as_is")
WAV = b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\2\0\0\0\x80\x80"
SAMPLES = {"wav": WAV, "bucket": b'{"key":"k","value":"v"}\n'}
"""A body that a rule takes; others take a line of JSON."""
pytestmark = pytest.mark.parametrize("name", RULES)


def sample(name: str) -> bytes:
    return SAMPLES.get(name, b'{"a":1}\n')


def routes(rule: IngestionRule, tag: str) -> tuple[Route, ...]:
    by_chunk = getattr(rule, "route_chunk", None)
    chunk = Chunk(tag, b"x", "application/octet-stream")
    found = [rule.route(tag), *([by_chunk(chunk)] if by_chunk is not None else [])]
    return tuple(one for route in found if route is not None for one in route.each())


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
    found = routes(rule, tag)
    assert found == routes(rule, tag) == routes(type(rule)(), tag)
    for route in found:
        assert isinstance(route, Route) and route.sink and route.product and route.supply
        assert max(map(len, (route.sink, route.product, route.supply))) <= 255
    assert len({route.name for route in found}) <= len(found)


@pytest.mark.parametrize("body", [b"\x00", bytes(range(256)) * 10, b"\r\n", "\u0436".encode()], ids=range(4))
def test_any_bytes_are_kept_or_quarantined_whole(site: Site, name: str, body: bytes) -> None:
    first, second = (deliver(site, Request(name, f"{name}.bytes".encode(), body)) for _ in range(2))
    if name in UNTOUCHED:
        assert (first.status, second.status, first.path) == ("stored", "stored", second.path)
    with site.open() as portal:
        for receipt in (first, second):
            kept: Any = portal[receipt.path]  # Any: a Data Stream, or a Quarantine
            if receipt.status == "quarantined" or name in UNTOUCHED:
                assert kept.read(receipt.offset, receipt.offset + receipt.length) == body


def test_what_it_is_for_is_stored(site: Site, name: str) -> None:
    receipt = deliver(site, Request(name, f"{name}.sample".encode(), sample(name)))
    assert receipt.status == "stored" and receipt.length > 0
    with site.open() as portal:
        sink = portal[receipt.path]
        assert sink.size > 0 and [portal[path].portal_type for path in sink.linked("causality")] == [
            "Data Ingestion"
        ]


def test_deliver_changes_its_target_only(portal: Portal, name: str) -> None:
    kind = routes(RULES[name], "contract")[0].portal_type
    target, other = portal.new(kind), portal.new(kind)
    RULES[name].deliver(
        Chunk("contract", sample(name), "application/octet-stream"), Targets({"sink": target})
    )
    assert target.size and not other.size
