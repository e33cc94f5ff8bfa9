"""A portal with a recipe that makes rows of what comes in, and what tests do with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.activity.conftest import drain
from tests.conftest import Clock

from haywain.activity.care import Caretaker
from haywain.app import open_site
from haywain.ingestion.delivery import deliver
from haywain.ingestion.request import Request
from haywain.portal import Portal, Site
from haywain.portal_types.data_analysis import DataAnalysis
from haywain.security import User
from haywain.settings import load
from haywain.workflow import WORKFLOWS

ANN = User("ann", frozenset({"Editor"}))
VALIDATION, SIMULATION = WORKFLOWS["validation"], WORKFLOWS["simulation"]
RAW = '{"format": "raw", "dtype": "<f8"}'
TO_ROWS = ("stream_to_array", RAW)


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """A portal without Workers, in which Ann may edit."""
    opened, _ = open_site(load(data=tmp_path / "var", admin_password="long enough", threads=8))
    opened.transact(
        lambda p: p.new("Person", reference="ann", password="long enough", roles=("Editor",)).path
    )
    yield opened
    opened.close()


def product(portal: Portal, reference: str) -> str:
    """Return the path of the Data Product of a reference, made where there is none."""
    for found in portal.root.named("Data Product", reference):
        return str(found.path)
    return str(portal.new("Data Product", reference=reference).path)


def make_transformation(
    portal: Portal,
    work: tuple[str, str],
    takes: tuple[str, ...],
    makes: str = "",
    *,
    is_on: bool = True,
    use: str = "analysis",
) -> str:
    """Return the path of a Data Transformation, validated; further inputs are given as `name=product`."""
    kind, parameters = work
    operation = portal.new("Data Operation", reference=kind, kind=kind, parameters=parameters)
    made = portal.new(
        "Data Transformation", reference=f"{kind} of {' '.join(takes)}", operation=operation.path
    )
    for taken in takes:
        name, _, reference = taken.rpartition("=")
        line = {"reference": name, "resource": product(portal, reference), "direction": "in"}
        portal.new("Data Transformation Line", transformation=made.path, **line)
    if makes:
        line = {"resource": product(portal, makes), "direction": "out", "use": use}
        portal.new("Data Transformation Line", transformation=made.path, **line)
    if is_on:
        VALIDATION.apply(made, "validate", portal.user.login)
    return str(made.path)


@pytest.fixture
def recipe(site: Site) -> str:
    """The path of a Data Transformation of Ann's, which makes `rows` of `vibration`."""
    return site.transact(lambda p: make_transformation(p, TO_ROWS, ("vibration",), "rows"), ANN)[0]


@pytest.fixture
def send(site: Site, set_clock: Clock) -> Callable[..., None]:
    """Deliver numbers to a tag, and run whatever then may run."""

    def send(*numbers: float, tag: str = "turbine-7.vibration", is_run: bool = True) -> None:
        body = np.array(numbers, "<f8").tobytes()
        deliver(site, Request("default", tag.encode(), body, user=User("agent", frozenset({"Agent"}))))
        set_clock.forward(2)  # a run rests for a second
        if is_run:
            drain(site)

    return send


def analyses(portal: Portal) -> list[DataAnalysis]:
    """Return all Data Analyses, the oldest first."""
    module = portal.root.module("data_analysis_module")
    found = [one for one in module.documents.values() if isinstance(one, DataAnalysis)]
    return sorted(found, key=lambda analysis: analysis.uid)


def rows_of(site: Site, number: int = 0) -> list[float]:
    """Return the numbers of the array that the Data Analysis of this number has made."""
    with site.open() as portal:
        array: Any = analyses(portal)[number].outputs()[0]
        return [float(one) for one in array[:].ravel()] if array.is_created else []


def sweep(site: Site, set_clock: Clock) -> None:
    """Have the portal ask what is due, a while later, and run it."""
    set_clock.forward(60)
    Caretaker(site).look()
    drain(site)
