"""Sinks: a rule may have several, and choose them by the whole chunk."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from haywain.interfaces import Chunk, Route, Targets
from haywain.portal import Site
from haywain.security import User
from haywain.values import Receipt

Send = Callable[..., Receipt]
BytesOf = Callable[[str], bytes]
ODD = {"policy": "odd", "user": User("system", frozenset({"Manager"}))}


def two(tag: str) -> Route:
    return Route(tag, "lines", "mast", also=(Route(f"{tag}.alarms", "alarms", "mast", name="alarms"),))


def apart(chunk: Chunk, targets: Targets) -> None:
    assert targets.names == ("sink", "alarms") and [*targets] == [targets.sink, targets["alarms"]]
    targets.append(chunk.body)
    targets["alarms"].append(b"".join(line for line in chunk.body.splitlines(True) if b"!" in line))


def test_chunk_is_split_into_several_sinks(site: Site, send: Send, rule: Any, bytes_of: BytesOf) -> None:
    rule.route_with, rule.deliver_with = two, apart
    receipt = send("split", b"a\nb!\n", **ODD)
    assert (receipt.status, receipt.offset, receipt.length) == ("stored", 0, 5)
    assert send("split", b"c!\n", **ODD).offset == 5
    with site.open() as portal:
        alarms = portal.root.find("sink", "split.alarms")
        assert alarms is not None and bytes_of(alarms.path) == b"b!\nc!\n"
        sink = portal[receipt.path]
        assert sink.linked("causality") == alarms.linked("causality") and len(sink.linked("causality")) == 1
        assert sink.linked("resource") != alarms.linked("resource")


def test_what_fails_leaves_nothing_in_any_sink(site: Site, send: Send, rule: Any, bytes_of: BytesOf) -> None:
    rule.route_with, rule.deliver_with = two, apart
    path = send("partly", b"a!\n", **ODD).path

    def fail(chunk: Chunk, targets: Targets) -> None:
        apart(chunk, targets)
        targets["no such name"].append(b"x")

    rule.deliver_with = fail
    receipt = send("partly", b"b!\n", **ODD)
    assert receipt.status == "quarantined"
    with site.open() as portal:
        assert "sink, alarms" in portal[receipt.path].properties.reason  # type: ignore[attr-defined]
        alarms = portal.root.find("sink", "partly.alarms")
        assert alarms is not None and (bytes_of(path), bytes_of(alarms.path)) == (b"a!\n", b"a!\n")


def test_sink_that_comes_later_joins_those_there_are(site: Site, send: Send, rule: Any) -> None:
    path = send("joined", b"x", **ODD).path
    rule.route_with, rule.deliver_with = two, apart
    assert send("joined", b"y!\n", **ODD).path == path
    with site.open() as portal:
        assert portal.root.find("sink", "joined.alarms").size == 3  # type: ignore[union-attr]


def test_two_sinks_of_one_name_are_refused(send: Send, rule: Any) -> None:
    rule.route_with = lambda tag: Route(tag, "p", "s", also=(Route(f"{tag}.2", "p", "s"),))
    assert send("alike", b"x", **ODD).status == "quarantined"


def test_first_posts_at_once_make_each_sink_once(
    site: Site, send: Send, rule: Any, together: Callable[..., list[Any]]
) -> None:
    rule.route_with, rule.deliver_with = two, apart
    calls = [partial(send, f"at-once-{number % 2}", b"a!\n", **ODD) for number in range(8)]
    assert {receipt.status for receipt in together(*calls)} == {"stored"}
    with site.open() as portal:
        assert portal.catalog(portal_type="Data Stream", reference="at-once%").count() == 4


def test_rule_may_choose_by_the_chunk(send: Send, rule: Any, bytes_of: BytesOf) -> None:
    rule.route_chunk = lambda chunk: Route(chunk.body.decode()[:1], "letters", chunk.tag)
    paths = {send("letters", body, **ODD).path for body in (b"abc", b"axy", b"b")}
    assert sorted(map(bytes_of, paths)) == [b"abcaxy", b"b"]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('form-data; name="x"; filename="a.wav"', "a.wav"),
        ('attachment; filename="/etc/passwd"', "passwd"),
        ("attachment; filename*=utf-8''%E6%B8%A9.csv", "\u6e29.csv"),
        ("", ""),
        ('attachment; filename="W\u00e4rme.wav"', "W\u00e4rme.wav"),
    ],
    ids=range(5),
)
def test_name_of_a_file(said: str, name: str) -> None:
    assert Chunk("t", b"", "", {"Content-Disposition": said} if said else {}).filename == name
