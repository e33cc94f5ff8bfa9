"""Data Ingestion Batch: complete after a silence; then what is to be done to its parts is done, once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.conftest import Clock
from tests.portal_types.analyses.conftest import (
    TO_ROWS,
    VALIDATION,
    analyses,
    make_transformation,
    rows_of,
    sweep,
)

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.ingestion.delivery import deliver
from haywain.ingestion.request import Request
from haywain.interfaces import Chunk, Route, Targets
from haywain.portal import Portal, Site
from haywain.security import SYSTEM


class Flight:
    """Each tag `flight.part` is a part of the batch `flight`."""

    name, title = "flight", "Flight"

    def route(self, tag: str) -> Route | None:
        flight, _, part = tag.partition(".")
        return Route(tag, part, flight, batch=flight)

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        targets.append(chunk.body)


class Sizes(Kind):
    """Tell the sizes of two documents."""

    class _Parameters(NoParameters):
        other: str = ""

    name, title, portal_types, parameters = "sizes", "Sizes", ("Data Stream",), _Parameters

    def run(self, work: Work) -> Any:
        other = work.portal[work.parameters.other]  # type: ignore[attr-defined]
        return {"sizes": [work.document.size, other.size]}


@pytest.fixture
def flying(site: Site) -> Iterator[Site]:
    """A site with a rule for flights, and recipes for what they send."""
    site.registry.ingestion_policies["flight"] = Flight()
    site.registry.activities["sizes"] = Sizes()
    site.transact(lambda p: p.new("Ingestion Policy", id="flight", rule="flight").path)
    site.transact(lambda p: VALIDATION.apply(p["portal_ingestion_policies/flight"], "validate", "ann"))
    site.transact(lambda p: make_transformation(p, TO_ROWS, ("left",), "rows"))
    site.transact(lambda p: make_transformation(p, ("statistics", "{}"), ("rows",)))
    site.transact(lambda p: make_transformation(p, ("sizes", "{}"), ("left", "other=right")))
    yield site


def send(site: Site, tag: str, *numbers: float) -> None:
    body = np.array(numbers, "<f8").tobytes()
    assert deliver(site, Request("flight", tag.encode(), body, user=SYSTEM)).status == "stored"


def states(site: Site) -> list[str]:
    with site.open() as portal:
        return [analysis.state for analysis in analyses(portal)]


def test_parts_are_worked_on_once_all_are_there(flying: Site, set_clock: Clock) -> None:
    """Nothing runs before; a single part does not make a batch."""
    send(flying, "f1.left", 1, 2)
    sweep(flying, set_clock)
    sweep(flying, set_clock)
    assert states(flying) == ["started"] * 2 and rows_of(flying) == []
    send(flying, "f1.right", 3)
    set_clock.forward(30)
    send(flying, "f1.left", 4)
    for _ in range(5):
        sweep(flying, set_clock)
    assert states(flying) == ["delivered"] * 3
    assert rows_of(flying) == [1, 2, 4]
    with flying.open() as portal:
        results = [one.as_dict()["result"] for one in analyses(portal)]
        ingestions = portal.root["data_ingestion_module"].documents.values()
        assert [one.state for one in ingestions] == ["stopped", "stopped"]
        assert {"sizes": [24, 8]} in results and [r["rows"] for r in results if "columns" in r] == [3]
        assert portal.root.tools["care"].paths("complete_batch") == []


def test_silence_and_parts_are_those_of_the_batch(flying: Site, set_clock: Clock) -> None:
    send(flying, "f1.left", 1, 2)
    with flying.open() as portal:
        [batch] = portal.root["data_ingestion_batch_module"].documents.values()
        batch.edit(parts=1, silence_s=1000)
        portal.commit()
    sweep(flying, set_clock)
    assert states(flying) == ["started"] * 2
    set_clock.forward(1000)
    for _ in range(3):
        sweep(flying, set_clock)
    assert states(flying)[0] == "delivered" and rows_of(flying) == [1, 2]


def test_it_is_found_by_its_reference(portal: Portal) -> None:
    batch = portal.new("Data Ingestion Batch", reference="flight-7")
    assert portal.root.named("Data Ingestion Batch", "flight-7") == [batch]
