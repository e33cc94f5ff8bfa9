"""The page of an array and what it stands on: slices in each format, plots, plain words for what is not."""

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.web.pages.conftest import Browser

from haywain.portal import Portal, Site
from haywain.web.formats import FORMATS

ROWS = np.arange(4000, dtype="<f4").reshape(2000, 2)
COLUMNS = ({"name": "left <b>", "unit": "g"}, {"name": "right", "unit": "g", "description": "far side"})


@pytest.fixture(scope="module")
def arrays(site: Site) -> Iterator[dict[str, str]]:
    """Arrays of three kinds by name: a table of two columns, records, and one that is not created yet."""

    def make(portal: Portal) -> dict[str, str]:
        made: dict[str, Any] = {
            "table": portal.new("Data Array", reference="bearing", columns=COLUMNS),
            "records": portal.new("Data Array", reference="log"),
            "nothing": portal.new("Data Array", reference="later"),
        }
        made["table"].create((0, 2), "<f4")
        made["table"].append(ROWS)
        made["records"].create((3,), [("t", "M8[s]"), ("v", "<f8")])
        made["texts"] = portal.new("Data Array", reference="names", columns=({"name": "one"},))
        made["texts"].create((3, 2), "S5")
        made["texts"][0] = [b"ab", b"c"]
        return {name: document.path for name, document in made.items()}

    yield site.transact(make)[0]


def test_page_shows_shape_columns_and_first_rows(viewer: Browser, arrays: dict[str, str]) -> None:
    page = viewer.get(f"/{arrays['table']}")
    assert "2,000 × 2" in page and "float32" in page and "left &lt;b&gt;" in page and "far side" in page
    assert "left <b>" not in page and [row.th.text for row in page.html.tbody.find_all("tr")][-1] == "24"
    assert page.html.find(id="plot")["data-href"] == f"/{arrays['table']}/plot"


def test_slice_of_the_page(viewer: Browser, arrays: dict[str, str]) -> None:
    page = viewer.get(f"/{arrays['table']}", {"index": "1000:1002, 1"})
    assert [[cell.text for cell in row.find_all(["th", "td"])] for row in page.html.tbody.find_all("tr")] == [
        ["1,000", "2001"],
        ["1,001", "2003"],
    ]
    assert "4 items" not in page and "makes no sense" in viewer.get(f"/{arrays['table']}", {"index": "<x>"})


@pytest.mark.parametrize("name", ["records", "nothing"])
def test_page_of_other_arrays(viewer: Browser, arrays: dict[str, str], name: str) -> None:
    page = viewer.get(f"/{arrays[name]}")
    assert ("There are no rows yet" in page) == (name == "nothing")


def test_slice_has_shape_and_dtype_in_its_headers(viewer: Browser, arrays: dict[str, str]) -> None:
    answer = viewer.get(f"/{arrays['table']}/slice", {"index": "10:20,::2", "format": "npy"})
    assert (answer.headers["Array-Shape"], answer.headers["Array-Dtype"]) == ("10,1", "<f4")
    assert np.array_equal(np.load(io.BytesIO(answer.body)), ROWS[10:20, ::2])
    assert np.array_equal(np.load(io.BytesIO(viewer.get(f"/{arrays['table']}/slice").body)), ROWS)


def test_single_item_has_the_dtype_of_the_array(viewer: Browser, arrays: dict[str, str]) -> None:
    answer = viewer.get(f"/{arrays['texts']}/slice?index=0,0&format=raw")
    assert (answer.headers["Array-Shape"], answer.headers["Array-Dtype"]) == ("", "|S5")
    assert answer.body == b"ab\0\0\0"


def test_names_of_fewer_columns_than_there_are_name_none(viewer: Browser, arrays: dict[str, str]) -> None:
    assert viewer.get(f"/{arrays['texts']}/slice?format=csv").text.splitlines()[0] == "0,1"
    assert viewer.get(f"/{arrays['texts']}/slice?index=0,1&format=csv").text == "value\nc\n"


@pytest.mark.parametrize("page", ["slice/x", "plot/0", "slice/"])
def test_address_ends_at_its_page(viewer: Browser, arrays: dict[str, str], page: str) -> None:
    viewer.get(f"/{arrays['table']}/{page}", status=200 if page.endswith("/") else 404)


@pytest.mark.parametrize("format", FORMATS)
def test_slice_in_each_format(viewer: Browser, arrays: dict[str, str], format: str) -> None:
    answer = viewer.get(f"/{arrays['table']}/slice", {"index": "0:3", "format": format})
    assert int(answer.headers["Content-Length"]) == len(answer.body) > 0
    assert answer.headers["Array-Shape"] == "3,2"
    if format == "json":
        assert json.loads(answer.body) == ROWS[:3].tolist()
    if format == "csv":
        assert answer.text.splitlines()[:2] == ["left <b>,right", "0.0,1.0"]


def test_slice_of_a_field(viewer: Browser, arrays: dict[str, str]) -> None:
    answer = viewer.get(f"/{arrays['records']}/slice", {"field": "v", "format": "json"})
    assert json.loads(answer.body) == [0, 0, 0]
    assert json.loads(viewer.get(f"/{arrays['records']}/slice").headers["Array-Dtype"]) == [
        ["t", "<M8[s]"],
        ["v", "<f8"],
    ]


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("index=x", 400, "makes no sense"),
        ("index=2000", 400, "outside of axis 0"),
        ("index=0,0,0", 400, "3 items"),
        ("format=pickle", 400, "no format"),
        ("field=v", 400, "no field"),
    ],
)
def test_bad_slices(viewer: Browser, arrays: dict[str, str], query: str, status: int, detail: str) -> None:
    answer = viewer.get(
        f"/{arrays['table']}/slice?{query}", headers={"Accept": "application/json"}, status=status
    )
    assert detail in answer.json["detail"]


def test_slice_of_what_has_no_rows_says_so(viewer: Browser, arrays: dict[str, str]) -> None:
    for name in ("slice", "plot"):
        answer = viewer.get(
            f"/{arrays['nothing']}/{name}", headers={"Accept": "application/json"}, status=400
        )
        assert "create it with a shape" in answer.json["detail"]


def test_too_large_for_json_is_413(viewer: Browser, site: Site) -> None:
    def make(portal: Portal) -> str:
        array: Any = portal.new("Data Array", reference="holes")
        array.create((1_000_001,), "i1")
        return str(array.path)

    path, _ = site.transact(make)
    answer = viewer.get(f"/{path}/slice?format=json", headers={"Accept": "application/json"}, status=413)
    assert "1,000,001 values" in answer.json["detail"]
    assert len(viewer.get(f"/{path}/slice?format=raw").body) == 1_000_001


def test_plot_answers_lowest_and_highest(viewer: Browser, arrays: dict[str, str]) -> None:
    found = viewer.get(
        f"/{arrays['table']}/plot", {"columns": "1", "width": "4", "start": "0", "stop": "8"}
    ).json
    assert found["at"] == [0, 2, 4, 6] and found["curves"][0]["high"] == [3, 7, 11, 15]
    assert (found["curves"][0]["name"], found["curves"][0]["unit"], found["rows"]) == ("right", "g", 2000)
    for query in ("columns=2", "columns=a", "start=-1", "width=1.5"):
        viewer.get(f"/{arrays['table']}/plot?{query}", status=400)


def test_wrong_method_is_405(viewer: Browser, arrays: dict[str, str]) -> None:
    assert viewer.put(f"/{arrays['table']}/slice", b"", status="*").status_int in (400, 405)


def test_strangers_get_nothing(stranger: Browser, arrays: dict[str, str]) -> None:
    for name in ("", "/slice", "/plot"):
        stranger.get(f"/{arrays['table']}{name}", headers={"Accept": "*/*"}, status=401)
