"""Data Transformation: what makes no sense, who says what it does, and what it is done to."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import Field
from tests.activity.conftest import drain
from tests.portal_types.analyses.conftest import (
    ANN,
    SIMULATION,
    TO_ROWS,
    VALIDATION,
    analyses,
    make_transformation,
    product,
    rows_of,
)
from ZODB.POSException import ConflictError

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.document import Document
from haywain.errors import ForbiddenError, HaywainError, InvalidError
from haywain.portal import Portal, Site
from haywain.security import User

Send = Callable[..., None]


class Compare(Kind):
    """Tell the sizes of a document and of another one."""

    class _Parameters(NoParameters):
        other: str = Field("", description="Path of the other one.")

    name, title, portal_types, parameters = "compare", "Compare", ("Data Stream",), _Parameters

    def run(self, work: Work) -> Iterator[float]:
        other = work.portal[work.parameters.other]  # type: ignore[attr-defined]
        return {"sizes": [work.document.size, other.size]}  # type: ignore[return-value]


@pytest.fixture
def compare(site: Site) -> None:
    site.registry.activities["compare"] = Compare()


@pytest.mark.parametrize(
    ("work", "takes", "makes", "message"),
    [
        (TO_ROWS, (), "rows", "Add a line for the product that it takes"),
        (TO_ROWS, ("a",), "", "Add a line for the product that it makes"),
        (TO_ROWS, ("a",), "a", "it would take what it makes itself"),
        (TO_ROWS, ("a", "odd=b"), "rows", "'odd' is none of these: "),
        (TO_ROWS, ("a", "dtype=b"), "rows", "says dtype already"),
        (("statistics", "{}"), ("a",), "rows", "statistics makes no document, its result is kept"),
    ],
    ids=["takes nothing", "makes nothing", "a circle", "no parameter", "said twice", "makes too much"],
)
def test_what_could_do_nothing_is_not_validated(
    site: Site, work: tuple[str, str], takes: tuple[str, ...], makes: str, message: str
) -> None:
    with site.open() as portal, pytest.raises(InvalidError, match=message):
        make_transformation(portal, work, takes, makes)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"kind": "statistic"}, "did you mean statistics"),
        ({"kind": "statistics", "parameters": '{"bin": 1}'}, "did you mean bins"),
        ({"kind": "statistics", "parameters": "[]"}, "must be a JSON object"),
        ({"kind": "statistics", "script_id": "ndjson"}, "give one of both"),
        ({"parameters": '{"bins": 1}'}, "only a kind of work takes any"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_operation_is_checked_when_it_is_saved(portal: Portal, properties: Any, message: str) -> None:
    with pytest.raises(HaywainError, match=message):
        portal.new("Data Operation", **properties)


def changes(portal: Portal, path: str) -> list[Callable[[], object]]:
    """Return ways to change what a recipe does."""
    recipe: Any = portal[path]
    line, operation = recipe.lines[0], recipe.operation
    other = portal.new("Data Operation", kind="statistics")
    return [
        lambda: recipe.edit(operation=other.path),
        lambda: portal.delete(recipe),
        lambda: line.edit(direction="out"),
        lambda: line.edit(transformation=""),
        lambda: portal.delete(line),
        lambda: VALIDATION.apply(line, "delete", "ben"),
        lambda: portal.new("Data Transformation Line", transformation=path),
        lambda: operation.edit(parameters="{}", kind="statistics"),
        lambda: portal.delete(operation),
    ]


def test_what_it_does_cannot_be_changed_while_it_works(site: Site, recipe: str) -> None:
    """It runs with the rights of who validated it."""
    with site.open() as portal:
        for change in changes(portal, recipe):
            with pytest.raises(InvalidError, match="invalidate it first"):
                change()
        portal[recipe].edit(title="Another title")
        VALIDATION.apply(portal[recipe], "invalidate", "ann")
        for change in changes(portal, recipe)[2:4]:
            change()


@pytest.mark.parametrize("number", [0, 2, 6, 7], ids=["operation", "line", "new line", "parameters"])
def test_who_changes_it_beside_the_validation_meets_a_conflict(site: Site, number: int) -> None:
    path, _ = site.transact(lambda p: make_transformation(p, TO_ROWS, ("a",), "rows", is_on=False))
    with site.open() as one, site.open() as other:
        VALIDATION.apply(one[path], "validate", "ann")
        changes(other, path)[number]()
        one.commit()
        with pytest.raises(ConflictError):
            other.commit()
    path, _ = site.transact(lambda p: make_transformation(p, TO_ROWS, ("b",), "rows", is_on=False))
    with site.open() as one, site.open() as other:
        VALIDATION.apply(one[path], "validate", "ann")
        changes(other, path)[number]()
        other.commit()
        with pytest.raises(ConflictError):
            one.commit()


def test_who_validates_it_owns_it_and_may_run_activities(site: Site) -> None:
    path, _ = site.transact(lambda p: make_transformation(p, TO_ROWS, ("a",), "rows", is_on=False))
    writer = User("ann", frozenset({"Editor"}), frozenset({"write"}))
    with site.open(writer) as portal, pytest.raises(ForbiddenError):
        VALIDATION.apply(portal[path], "validate", "ann")
    with site.open(User("ann", frozenset({"Editor"}), frozenset({"admin"}), "token_module/x")) as portal:
        VALIDATION.apply(portal[path], "validate", "ann")
        found: Any = portal[path]
        assert (found.owner, found.token, found.is_systems) == ("ann", "token_module/x", False)


def deliver_two(site: Site, state: str = "started") -> tuple[str, list[str]]:
    """Return the path of a Data Ingestion of two products, and those of its streams."""

    def work(portal: Portal) -> tuple[str, list[str]]:
        ingestion, streams = portal.new("Data Ingestion", reference="both"), list[Document]()
        for name in ("left", "right"):
            streams.append(portal.new("Data Stream", reference=name))
            line = {"ingestion": ingestion.path, "resource": product(portal, name)}
            portal.new("Data Ingestion Line", **line).link("aggregate", streams[-1])
        if state == "started":
            SIMULATION.apply(ingestion, "start", "admin")
        return str(ingestion.path), [str(one.path) for one in streams]

    return site.transact(work)[0]


@pytest.mark.usefixtures("compare")
def test_several_inputs_are_those_of_one_delivery(site: Site, send: Send) -> None:
    """Another delivery of only one of them does not count."""
    site.transact(lambda p: make_transformation(p, ("compare", "{}"), ("left", "other=right")), ANN)
    send(1, 2, tag="x.right")
    send(1, 2, tag="x.left")
    _, streams = deliver_two(site)
    site.transact(lambda p: p[streams[1]].append(b"123"))  # type: ignore[attr-defined]
    drain(site)
    with site.open() as portal:
        [analysis] = analyses(portal)
        assert analysis.as_dict()["result"] == {"sizes": [0, 3]}
        assert [one.name for one in analysis.inputs()] == ["", "other"]


@pytest.mark.usefixtures("compare")
def test_delivery_that_is_a_draft_waits_until_it_is_started(site: Site) -> None:
    site.transact(lambda p: make_transformation(p, ("compare", "{}"), ("left", "other=right")), ANN)
    path, _ = deliver_two(site, "draft")
    drain(site)
    with site.open() as portal:
        assert analyses(portal) == []
        SIMULATION.apply(portal[path], "start", "admin")
        portal.commit()
    drain(site)
    with site.open() as portal:
        assert len(analyses(portal)) == 1


def test_recipes_that_take_what_each_other_makes_come_to_an_end(site: Site, send: Send) -> None:
    site.transact(lambda p: make_transformation(p, TO_ROWS, ("vibration",), "a"), ANN)
    parameters = '{"rate_hz": 1.0, "from_hz": 1.0}'
    site.transact(lambda p: make_transformation(p, ("resample", parameters), ("a",), "b"), ANN)
    site.transact(lambda p: make_transformation(p, ("resample", parameters), ("b",), "a"), ANN)
    for _ in range(6):
        send(*np.ones(50))
    with site.open() as portal:
        assert len(analyses(portal)) == 3
    assert len(rows_of(site, 2)) == 300


def test_many_deliveries_get_theirs(site: Site, recipe: str, send: Send) -> None:
    for number in range(45):
        send(number, tag=f"turbine-{number}.vibration", is_run=False)
    drain(site)
    with site.open() as portal:
        found = analyses(portal)
        assert len(found) == 45
        assert not list(portal.root.tools["offers"].fresh)
