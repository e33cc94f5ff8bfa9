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
    assert viewer.get(f"/{arrays['table']}/slice?index=0:{'9' * 40}").headers["Array-Shape"] == "2000,2"
    assert page.html.find(id="plot")["data-href"] == f"/{arrays['table']}/plot"


def test_type_of_records_can_be_read(viewer: Browser, arrays: dict[str, str]) -> None:
    assert "t: datetime64[s], v: float64" in viewer.get(f"/{arrays['records']}")


def test_list_tells_shape_and_size(viewer: Browser, arrays: dict[str, str]) -> None:
    rows = viewer.get("/data_array_module?sort=reference").html.tbody.find_all("tr")
    found = {row.a.text: [row.find(attrs={"data-label": n}).text for n in ("Shape", "Size")] for row in rows}
    assert found["bearing"] == ["2,000 × 2", "15.6 KiB"] and found["later"] == ["", "0 B"]


def test_slice_of_the_page(viewer: Browser, arrays: dict[str, str]) -> None:
    page = viewer.get(f"/{arrays['table']}", {"index": "1000:1002, 1"})
    assert [[cell.text for cell in row.find_all(["th", "td"])] for row in page.html.tbody.find_all("tr")] == [
        ["1,000", "2001"],
        ["1,001", "2003"],
    ]
    assert "4 items" not in page and "makes no sense" in viewer.get(f"/{arrays['table']}", {"index": "<x>"})


def test_slice_of_the_page_between_two_values_of_a_column(viewer: Browser, arrays: dict[str, str]) -> None:
    page = viewer.get(f"/{arrays['table']}", {"index": "1:3", "between": "right,1001,1201"}).html
    assert [row.th.text for row in page.tbody.find_all("tr")] == ["501", "502"]
    assert page.find("input", {"name": "between"})["value"] == "right,1001,1201"
    assert page.find("label", {"for": "between"}).text == "Between"
    following = page.find("a", string="Next")["href"]
    assert viewer.get(following).html.tbody.tr.th.text == "503"
    raw = page.find("a", string="raw")["href"]
    assert viewer.get(raw).body == ROWS[501:503].tobytes()
    assert "between is column,low,high" in viewer.get(f"/{arrays['table']}", {"between": "right"})


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
        ("field=right", 400, "pick it by the index, as in :, 1"),
        ("indx=0:2", 400, "did you mean index?"),
        ("index=0:2&index=3", 400, "index is given twice"),
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


def test_array_of_many_columns_names_the_first_and_folds_the_others(viewer: Browser, site: Site) -> None:
    def make(portal: Portal) -> str:
        columns = tuple({"name": f"column {n}", "unit": "V"} for n in range(1, 6001))
        array: Any = portal.new("Data Array", reference="wide", columns=columns)
        array.create((1, 6000), "f4")
        return str(array.path)

    page = viewer.get(f"/{site.transact(make)[0]}").html
    card = page.find(id="columns").parent
    assert len(card.find_all("dt")) == 20 and card.summary.text == "and 5,980 more"
    assert card.details.p.text.endswith("column 6000 (V)")
    assert page.find("label", {"for": "plot-more"}).text == "Others, 16 (column 17) to 5999 (column 6000)"


def test_what_has_no_plot_says_why(viewer: Browser, site: Site) -> None:
    def make(portal: Portal) -> str:
        array: Any = portal.new("Data Array", reference="cube")
        array.create((3, 3, 4), "f4")
        return str(array.path)

    page = viewer.get(f"/{site.transact(make)[0]}?index=0:0")
    assert "An array of 3 dimensions has no plot." in page and "There are no values here" in page


def test_wrong_method_is_405(viewer: Browser, arrays: dict[str, str]) -> None:
    assert viewer.put(f"/{arrays['table']}/slice", b"", status="*").status_int in (400, 405)


def test_strangers_get_nothing(stranger: Browser, arrays: dict[str, str]) -> None:
    for name in ("", "/slice", "/plot"):
        stranger.get(f"/{arrays['table']}{name}", headers={"Accept": "*/*"}, status=401)
