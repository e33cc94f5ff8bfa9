"""Data Ingestion: the states of an execution."""

import pytest

from haywain.errors import InvalidError
from haywain.portal import Portal
from haywain.workflow import WORKFLOWS

SIMULATION = WORKFLOWS["simulation"]


def test_it_goes_its_way_and_may_start_again(portal: Portal) -> None:
    ingestion = portal.new("Data Ingestion", reference="i")
    for name, state in (
        ("plan", "planned"),
        ("confirm", "confirmed"),
        ("start", "started"),
        ("stop", "stopped"),
        ("start", "started"),
        ("stop", "stopped"),
        ("deliver", "delivered"),
        ("start", "started"),
        ("cancel", "cancelled"),
        ("delete", "deleted"),
    ):
        SIMULATION.apply(ingestion, name, "admin")
        assert ingestion.state == state
    assert SIMULATION.allowed(ingestion) == []


def test_it_is_not_delivered_while_it_runs(portal: Portal) -> None:
    ingestion = portal.new("Data Ingestion")
    SIMULATION.apply(ingestion, "start", "admin")
    with pytest.raises(InvalidError, match="started"):
        SIMULATION.apply(ingestion, "deliver", "admin")
