"""Data Supply, Product and Operation decide at the first post of a tag, and later posts ask no more."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from haywain.document import Document
from haywain.interfaces import Route
from haywain.portal import Portal, Site
from haywain.security import User
from haywain.values import Receipt
from haywain.workflow import WORKFLOWS

Send = Callable[..., Receipt]
ODD = {"policy": "odd", "user": User("system", frozenset({"Manager"}))}
DAY = timedelta(days=1)


def now() -> datetime:
    return datetime.now(UTC)


def supply(portal: Portal, reference: str, state: str = "validated", **terms: Any) -> str:
    made = portal.new("Data Supply", reference=reference, **terms)
    for name in {"validated": ["validate"], "default": ["set_default"], "draft": []}.get(
        state, ["validate", "invalidate"]
    ):
        WORKFLOWS["supply"].apply(made, name, "admin")
    return made.path


@pytest.fixture
def default_supply(site: Site) -> Iterator[str]:
    """A supply in the state `default`, for as long as the test takes."""
    path, _ = site.transact(partial(supply, reference="fallback", state="default"))
    yield path
    site.transact(lambda portal: portal.delete(portal[path]))


def documents(portal: Portal, document: Document, category: str) -> list[Any]:
    return [portal[path] for path in document.linked(category)]


def test_first_post_begins_an_ingestion_with_a_line_for_its_sink(site: Site, send: Send) -> None:
    receipt = send("mill.speed", b"x")
    with site.open() as portal:
        sink = portal[receipt.path]
        (ingestion,) = documents(portal, sink, "causality")
        assert (ingestion.portal_type, ingestion.state) == ("Data Ingestion", "started")
        assert ingestion.reference.endswith("-mill-speed")
        assert documents(portal, ingestion, "specialise") == documents(portal, sink, "specialise")
        (line,) = documents(portal, ingestion, "line")
        assert line.linked("aggregate") == [receipt.path] and line.properties.quantity == 1
        assert documents(portal, line, "resource") == documents(portal, sink, "resource")
        assert documents(portal, line, "ingestion") == [ingestion]


def test_later_post_makes_nothing_but_bytes(site: Site, send: Send) -> None:
    first = send("later.speed", b"x")
    with site.open() as portal:
        before = portal.catalog().count()
    assert send("later.speed", b"y").path == first.path
    with site.open() as portal:
        assert portal.catalog().count() == before


def test_eight_first_posts_make_one_of_each(
    site: Site, send: Send, together: Callable[..., list[Any]]
) -> None:
    receipts = together(*(partial(send, "eight.parts", bytes([n])) for n in range(8)))
    assert sorted(receipt.offset for receipt in receipts) == list(range(8))
    with site.open() as portal:
        for portal_type, reference in (
            ("Data Stream", "eight.parts"),
            ("Data Supply", "eight"),
            ("Data Product", "parts"),
            ("Data Ingestion", "%-eight-parts"),
        ):
            assert portal.catalog(portal_type=portal_type, reference=reference).count() == 1, portal_type


@pytest.mark.parametrize(
    ("terms", "state", "why"),
    [
        ({"expiration": now() - DAY}, "validated", "expired at"),
        ({"effective": now() + DAY}, "validated", "holds only from"),
        ({}, "draft", "is draft"),
        ({}, "invalidated", "is invalidated"),
    ],
    ids=["expired", "not yet", "draft", "invalidated"],
)
def test_supply_that_does_not_hold_is_a_reason(
    site: Site, send: Send, terms: dict[str, Any], state: str, why: str
) -> None:
    name = f"no-{why.split()[-1]}-{len(terms)}"
    path, _ = site.transact(partial(supply, reference=name, state=state, **terms))
    receipt = send(f"{name}.speed", b"x")
    assert receipt.status == "quarantined"
    with site.open() as portal:
        assert why in portal[receipt.path].properties.reason  # type: ignore[attr-defined]  # a Quarantine
        assert portal.root.find("sink", f"{name}.speed") is None
    site.transact(partial(supply, reference=name))
    again = send(f"{name}.speed", b"x")
    assert again.status == "stored", "another supply of this reference holds"
    with site.open() as portal:
        assert portal[again.path].linked("specialise") not in ([], [path])


def test_default_supply_serves_where_no_other_holds(site: Site, send: Send, default_supply: str) -> None:
    site.transact(partial(supply, reference="was", expiration=now() - DAY))
    for tag in ("was.speed", "nobody-knows.speed"):
        receipt = send(tag, b"x")
        assert receipt.status == "stored"
        with site.open() as portal:
            sink = portal[receipt.path]
            assert sink.linked("specialise") == [default_supply]
            assert [one.state for one in documents(portal, sink, "causality")] == ["draft"]


def test_supply_of_its_own_comes_before_the_default(site: Site, send: Send, default_supply: str) -> None:
    path, _ = site.transact(partial(supply, reference="own", effective=now() - DAY, expiration=now() + DAY))
    receipt = send("own.speed", b"x")
    with site.open() as portal:
        assert portal[receipt.path].linked("specialise") == [path] != [default_supply]


def test_supply_that_ends_later_ends_no_stream(site: Site, send: Send) -> None:
    first = send("ended.speed", b"x")
    with site.open() as portal:
        path = portal[first.path].linked("specialise")[0]

    def end(portal: Portal) -> None:
        WORKFLOWS["supply"].apply(portal[path], "invalidate", "admin")

    site.transact(end)
    assert send("ended.speed", b"y").path == first.path
    assert send("ended.load", b"z").status == "quarantined"


def test_product_that_is_invalidated_is_a_reason(site: Site, send: Send) -> None:
    def make(portal: Portal) -> None:
        portal.new("Data Product", reference="banned").state = "invalidated"

    site.transact(make)
    assert send("x.banned", b"x").status == "quarantined"


def test_product_names_the_kind_of_sink(site: Site, send: Send, rule: Any) -> None:
    def make(portal: Portal) -> None:
        portal.new("Data Product", reference="spare parts", sink_portal_type="Data Bucket Stream")

    site.transact(make)
    rule.route_with = lambda tag: Route(tag, "spare parts", "bay")
    rule.deliver_with = lambda chunk, targets: targets.sink.insert("all", chunk.body)
    receipt = send("bay-parts", b"xyz", **ODD)
    assert (receipt.status, receipt.length) == ("stored", 3)
    with site.open() as portal:
        assert portal[receipt.path].portal_type == "Data Bucket Stream"


@pytest.mark.parametrize("kind", ["Ingestion Policy", "No Such Kind"])
def test_product_that_names_no_sink_is_a_reason(site: Site, send: Send, kind: str) -> None:
    reference = f"odd-{kind[:2]}"

    def make(portal: Portal) -> None:
        portal.new("Data Product", reference=reference, sink_portal_type=kind)

    site.transact(make)
    receipt = send(f"x.{reference}", b"x")
    assert receipt.status == "quarantined"
    with site.open() as portal:
        assert kind in portal[receipt.path].properties.reason  # type: ignore[attr-defined]
        assert f"x.{reference}" not in portal.root["portal_ingestion_policies"]


def with_operation(portal: Portal, reference: str, script: str) -> str:
    operation = portal.new("Data Operation", reference=f"{reference}-operation", script_id=script)
    device = portal.new("Data Stream", reference="a device, for all it matters")
    product = portal.new("Data Product", reference=f"{reference}-product")
    path = supply(portal, reference)
    for resource in (operation, product):
        portal.new(
            "Data Supply Line", supply=path, resource=resource.path, use="test/use", aggregate=device.path
        )
    return operation.path


def test_operation_of_a_supply_says_what_is_done_with_the_bytes(
    site: Site, send: Send, bytes_of: Callable[[str], bytes]
) -> None:
    path, _ = site.transact(partial(with_operation, reference="json-mast", script="ndjson"))
    tag = "json-mast.json-mast-product"
    receipt = send(tag, b'[{"a": 1}]', content_type="application/json")
    assert bytes_of(receipt.path) == b'{"a":1}\n'
    with site.open() as portal:
        sink = portal[receipt.path]
        lines = documents(portal, documents(portal, sink, "causality")[0], "line")
        assert [one.linked("resource") for one in lines] == [[path], sink.linked("resource")]
        assert {one.properties.use for one in lines} == {"test/use"} and lines[1].properties.aggregate

    def end(portal: Portal) -> None:
        WORKFLOWS["validation"].apply(portal[path], "delete", "admin")

    site.transact(end)
    assert send(tag, b"[{}]", content_type="application/json").status == "quarantined"


def test_batch_is_what_the_sinks_of_several_tags_have_in_common(site: Site, send: Send, rule: Any) -> None:
    rule.route_with = lambda tag: Route(tag, "photo", "drone", batch="flight-7")
    paths = [send(tag, b"x", **ODD).path for tag in ("f7-a", "f7-b")]
    with site.open() as portal:
        (batch,) = portal.catalog(portal_type="Data Ingestion Batch", reference="flight-7")
        assert [portal[path].linked("aggregate") for path in paths] == [[batch.path]] * 2
