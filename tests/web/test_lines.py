"""Lines and views of arrays are made, sliced, plotted and shown over HTTP as arrays are."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from webtest import TestApp

from haywain.portal import Portal, Site
from haywain.store import derived
from haywain.web import formats, passing_rows

Program = Callable[..., TestApp]


@pytest.fixture
def table(site: Site) -> str:
    def make(portal: Portal) -> str:
        array: Any = portal.new("Data Array", columns=({"name": "time"}, {"name": "level", "unit": "m"}))
        array.create((0, 2), "<f8")
        array.append(np.arange(4000).reshape(-1, 2))
        return str(array.path)

    return site.transact(make)[0]


def made(client: TestApp, kind: str, **properties: Any) -> str:
    module = kind.lower().replace(" ", "_") + "_module"
    answer = client.post_json(f"/{module}", {"portal_type": kind, **properties}, status=201)
    return str(answer.json["path"])


def test_a_line_is_sliced_plotted_and_shown(program: Program, table: str) -> None:
    client = program("editor")
    line = made(client, "Data Array Line", array=table, index="100:, 1", reference="level")
    answer = client.get(f"/{line}/slice?index=:3&format=npy")
    assert np.load(io.BytesIO(answer.body)).tolist() == [201, 203, 205]
    assert client.get(f"/{line}/slice?format=csv&index=:1").text.split() == ["level", "201.0"]
    assert client.get(f"/{line}/slice?between=level,1000,1004&format=json").json == [1001, 1003]
    assert client.get(f"/{line}/plot?width=2").json["curves"][0]["high"][1] == 3999
    page = client.get(f"/{line}", headers={"Accept": "text/html"}).text
    assert "1,900" in page and "14.8 KiB" in page and "level" in page
    assert f'href="/{table}"' in page and "100:, 1" in page
    assert client.get(f"/{line}", headers={"Accept": "application/json"}).json["shape"] == [1900]


def test_the_page_of_a_view_without_rows_says_why(program: Program, table: str) -> None:
    client = program("editor")
    view = made(client, "Data Array View", sources=[table, table], reference="twice")
    page = client.get(f"/{view}", headers={"Accept": "text/html"}).text
    assert "Two columns are called" in page and "a program creates" not in page
    lost = made(client, "Data Array Line", array="data_array_module/gone", reference="lost")
    page = client.get(f"/{lost}", headers={"Accept": "text/html"}).text
    assert "There is no Data Array at" in page and "data_array_module/gone" in page


def test_a_view_is_sliced_and_shown(program: Program, table: str) -> None:
    client = program("editor")
    lines = [made(client, "Data Array Line", array=table, index=f"{n}:, {n}") for n in (0, 1)]
    view = made(client, "Data Array View", sources=lines, reference="both")
    answer = client.get(f"/{view}/slice?index=:2&format=json")
    assert answer.json == [{"time": 0, "level": 3}, {"time": 2, "level": 5}]
    assert answer.headers["Array-Shape"] == "2"
    assert client.get(f"/{view}/slice?between=level,11,14&field=time&format=json").json == [8, 10]
    assert len(client.get(f"/{view}/plot?columns=0,1&width=5").json["curves"]) == 2
    assert "1,999" in client.get(f"/{view}", headers={"Accept": "text/html"}).text


def test_a_view_of_several_is_sent_and_measured_without_a_copy_of_it(
    program: Program, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "MOST_BYTES", 16 * 100)
    monkeypatch.setattr(passing_rows, "AT_ONCE", 16 * 100)
    monkeypatch.setattr(formats, "PIECE_BYTES", 16 * 100)
    client = program("editor")
    lines = [made(client, "Data Array Line", array=table, index=f":, {n}") for n in (0, 1)]
    view = made(client, "Data Array View", sources=lines, reference="both")
    head, answer = (ask(f"/{view}/slice") for ask in (client.head, client.get))
    assert head.headers["Array-Shape"] == "2000" and head.content_length == len(answer.body)
    assert np.load(io.BytesIO(answer.body)).tolist() == [(n, n + 1) for n in range(0, 4000, 2)]
    monkeypatch.setattr(formats, "MOST_VALUES", 100)
    assert "4,000 values" in client.get(f"/{view}/slice?format=json", status=413).json["detail"]


def test_a_line_of_nothing_has_a_page_and_says_why_it_has_no_slice(program: Program) -> None:
    client = program("editor")
    line = made(client, "Data Array Line", array="data_array_module/gone")
    assert "not created yet" in client.get(f"/{line}", headers={"Accept": "text/html"}).text
    assert "no Data Array at" in client.get(f"/{line}/slice", status=400).json["detail"]


def test_a_line_of_the_past_shows_the_array_of_then(program: Program, site: Site, table: str) -> None:
    client = program("editor")
    line = made(client, "Data Array Line", array=table, index="-1, 0")
    _, then = site.transact(lambda portal: portal[table].append([[1, 2]]))  # type: ignore[attr-defined]
    site.transact(lambda portal: portal[table].append([[3, 4]]))  # type: ignore[attr-defined]  # a Data Array
    assert client.get(f"/{line}/slice?format=json").json == 3
    assert client.get(f"/@{then}/{line}/slice?format=json").json == 1
