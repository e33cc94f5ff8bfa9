"""Over HTTP nobody makes, runs or sees a Parallel Call: what lies in it is code."""

from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain.activity.packing import pack
from haywain.portal import Portal, Site

Client = Callable[..., TestApp]


@pytest.fixture
def call(site: Site) -> str:
    """The path of a call with one batch in it, which would fail the test if it ran."""

    def make(portal: Portal) -> str:
        made: Any = portal.new("Parallel Call", reference="joblib")
        made.batches.put(portal.connection, 0, pack(pytest.fail))
        return str(made.path)

    return site.transact(make)[0]


def test_none_is_made(program: Client) -> None:
    content = {"portal_type": "Parallel Call", "reference": "mine"}
    assert program("manager").post_json("/parallel_call_module", content, status="4*").status_int in (
        400,
        404,
    )


def test_no_batch_is_run(site: Site, program: Client, call: str) -> None:
    content = {"method": "_run_batch", "parameters": {"number": 0}}
    program("manager").post_json(f"/{call}/activities", content, status=400)
    assert "_run_batch" not in program("manager").get(f"/{call}/activities").text
    while not site.workers.run_next():
        pass


@pytest.mark.parametrize("role", ["editor", "analyst", "viewer"], ids=str)
def test_only_managers_see_one(program: Client, call: str, role: str) -> None:
    program(role).get(f"/{call}", headers={"Accept": "application/json"}, status="4*")
    found = program(role).get("/api/v1/search?portal_type=Parallel+Call").json
    assert found["count"] == 0
    assert program("manager").get("/api/v1/search?portal_type=Parallel+Call").json["count"] > 0


def test_its_bytes_are_not_served(program: Client, call: str) -> None:
    program("manager").get(f"/{call}/data", status=404)


def test_a_model_takes_no_bytes(site: Site, program: Client) -> None:
    path = site.transact(lambda portal: str(portal.new("Model").path))[0]
    for method in (program("manager").put, program("manager").post):
        method(f"/{path}/data", b"PK", status="4*")
    program("manager").post_json("/model_module", {"portal_type": "Model"}, status="4*")
