"""Data Analyses of portals that are killed again and again: each row is there once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.functional.program import Client, Make, until
from tests.functional.test_zeo import Portals

AS_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
ROWS = 2000


def make_recipe(client: Client, kind: str, parameters: str, takes: str, makes: str) -> str:
    """Return the path of a Data Transformation, validated."""
    products = []
    for name in (takes, makes):
        known = client.search(portal_type="Data Product", reference=name)["items"]
        products.append((known or [client.make("data_product_module", reference=name)])[0]["path"])
    operation = client.make("data_operation_module", reference=kind, kind=kind, parameters=parameters)
    made = client.make("data_transformation_module", reference=kind, operation=operation["path"])["path"]
    for direction, product in zip(("in", "out"), products, strict=True):
        line = {"transformation": made, "direction": direction, "resource": product}
        client.make("data_transformation_line_module", **line)
    assert client("PATCH", f"/{made}", b'{"transition": "validate"}', AS_JSON).status == 200
    return str(made)


def analysis(client: Client, number: int = 0) -> dict[str, Any]:
    """Return what a Data Analysis tells, an empty one before there is one."""
    found = client.search(portal_type="Data Analysis", sort="created")["items"]
    if len(found) <= number:
        return {}
    told: dict[str, Any] = client("GET", f"/{found[number]['path']}", None, AS_JSON).json
    return told


def rows(client: Client, path: str) -> list[float]:
    answer = client("GET", f"/{path}/slice", index="0:1000000", format="raw")
    assert answer.status == 200, answer.body
    return np.frombuffer(answer.body, "<f8").tolist()


def has_all(client: Client, count: int, number: int = 0) -> bool:
    result = analysis(client, number).get("result") or {}
    return result.get("rows") == count


def test_killed_while_it_works_each_row_is_there_once(make: Make) -> None:
    """Behind an acknowledged append it is killed at once, twice while it consumes what came."""
    program = make(HAYWAIN_WORKERS="2").start()
    client = program.client()
    make_recipe(client, "stream_to_array", '{"format": "raw", "dtype": "<f8"}', "vibration", "rows")
    numbers = np.arange(ROWS, dtype="<f8")
    for number, part in enumerate(np.split(numbers, 20)):
        assert client.ingest("turbine-7.vibration", part.tobytes(), key=f"{number}").is_stored
        if number % 10 == 9:
            program.kill()
            client = program.start().client()
    assert client.ingest("turbine-7.vibration", np.float64(ROWS).tobytes()).is_stored
    until(lambda: has_all(client, ROWS + 1), "all rows", 30)
    told = analysis(client)
    assert rows(client, told["result"]["array"]) == list(range(ROWS + 1))
    assert client("POST", f"/{told['path']}/refresh").status == 202
    program.kill()
    client = program.start().client()
    until(lambda: not analysis(client)["is_refreshing"], "the refresh")
    assert rows(client, told["result"]["array"]) == list(range(ROWS + 1))
    assert (analysis(client)["problem"], program.stop()) == (None, 0)
    assert "Traceback" not in program.log, program.log


@pytest.fixture
def portals(folder: Path) -> Iterator[Portals]:
    """Portals that do not run yet, on an empty database whose server runs."""
    made = Portals(folder)
    yield made
    made.kill()


def test_two_portals_on_one_database_work_on_each_row_once(portals: Portals) -> None:
    """Both take what is sent, both have Workers; one is killed, and comes back."""
    one, two = portals.start()
    make_recipe(one, "stream_to_array", '{"format": "raw", "dtype": "<f8"}', "vibration", "rows")
    for number in range(40):
        client = (one, two)[number % 2] if number < 20 else two
        assert client.ingest("turbine-7.vibration", np.float64(number).tobytes(), key=f"{number}").is_stored
        if number == 19:
            portals.one.kill()
    until(lambda: has_all(two, 40), "all rows", 30)
    assert len(two.search(portal_type="Data Analysis")["items"]) == 1
    found = rows(two, analysis(two)["result"]["array"])
    assert sorted(found) == list(range(40)) and len(found) == 40
    assert analysis(two)["problem"] is None
