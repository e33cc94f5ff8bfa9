"""`/{path}/slice` sends what NumPy gives, in each format, of whatever dtype and shape."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import nanoarrow
import numpy as np
import pytest
from nanoarrow.ipc import InputStream
from webtest import TestApp

from haywain.portal import Portal, Site
from haywain.web import formats, passing_rows

MIXED = np.dtype([("n", ">i2"), ("t", ">M8[us]"), ("v", "<f8"), ("w", ">f4")])


@pytest.fixture
def made(site: Site) -> Callable[..., str]:
    """Store rows in a Data Array; return its path."""

    def made(rows: np.ndarray[Any, Any], **properties: Any) -> str:
        def work(portal: Portal) -> str:
            array = portal.new("Data Array", **properties)
            array.create((0, *rows.shape[1:]), rows.dtype)
            array.append(rows)
            return str(array.path)

        return site.transact(work)[0]

    return made


def moments(count: int) -> np.ndarray[Any, Any]:
    return np.datetime64("2026-11-01", "us") + np.arange(count) * np.timedelta64(1, "h")


def mixed(count: int) -> np.ndarray[Any, Any]:
    rows = np.zeros(count, MIXED)
    rows["n"], rows["t"], rows["v"], rows["w"] = np.arange(count), moments(count), np.arange(count) / 4, 0.5
    return rows


ROWS = [np.arange(12).reshape(6, 2).astype(">f4"), moments(6).astype(">M8[us]"), mixed(6)]


@pytest.mark.parametrize("rows", ROWS, ids=lambda rows: str(rows.dtype))
@pytest.mark.parametrize("index", ["", "1:5:2", "-3:", "4:1", "..., ", ":, ...", "2:3"])
def test_large_slices_are_read_as_they_are_sent(
    program: Callable[..., TestApp],
    made: Callable[..., str],
    rows: np.ndarray[Any, Any],
    index: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passing_rows, "AT_ONCE", 50)
    monkeypatch.setattr(formats, "PIECE_BYTES", 4)
    index = index.strip(", ")
    url, client = f"/{made(rows)}/slice?index={index}&format=", program("viewer")
    expected = eval(f"rows[{index or '()'}]")
    found = np.load(io.BytesIO(client.get(f"{url}npy").body), allow_pickle=False)
    assert found.dtype == rows.dtype and np.array_equal(found, expected)
    assert client.get(f"{url}raw").body == expected.tobytes()
    assert client.head(f"{url}npy").headers["Array-Shape"] == ",".join(map(str, expected.shape))


def test_large_slices_may_leave_out_columns(
    program: Callable[..., TestApp], made: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing_rows, "AT_ONCE", 50)
    monkeypatch.setattr(formats, "PIECE_BYTES", 100)
    rows = np.arange(1200, dtype="<i4").reshape(100, 3, 4)
    path, client = made(rows), program("viewer")
    for index in ("2:90:7,1", ":,:,::2", "5:,...,-1", ":50,1:,2"):
        found = np.load(io.BytesIO(client.get(f"/{path}/slice?index={index}").body), allow_pickle=False)
        assert np.array_equal(found, eval(f"rows[{index}]")), index


@pytest.mark.parametrize("name", ["n", "t", "v"])
@pytest.mark.parametrize("index", ["", "7:400:3", "::-1", "5"])
def test_a_field_is_read_as_it_is_sent(
    program: Callable[..., TestApp],
    made: Callable[..., str],
    name: str,
    index: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passing_rows, "AT_ONCE", 300)
    monkeypatch.setattr(formats, "PIECE_BYTES", 100)
    url, client = f"/{made(mixed(500))}/slice?field={name}&index={index}", program("viewer")
    expected = np.asarray(eval(f"mixed(500)[name][{index or ':'}]"), MIXED[name])
    found = np.load(io.BytesIO(client.get(url).body), allow_pickle=False)
    assert found.dtype == MIXED[name] and np.array_equal(found, expected)
    assert client.get(f"{url}&format=raw").body == expected.tobytes()
    assert client.get(f"{url}&format=json").json == formats.plain(expected)


@pytest.mark.parametrize("rows", ROWS, ids=lambda rows: str(rows.dtype))
@pytest.mark.parametrize("index", ["", "1:5:2", "::-1", "2"])
def test_big_endian_rows_are_sent_as_they_were_given(
    program: Callable[..., TestApp], made: Callable[..., str], rows: np.ndarray[Any, Any], index: str
) -> None:
    url, client = f"/{made(rows)}/slice?index={index}&format=", program("viewer")
    expected = np.asarray(eval(f"rows[{index or '()'}]"), rows.dtype)
    npy = client.get(f"{url}npy")
    found = np.load(io.BytesIO(npy.body), allow_pickle=False)
    assert found.dtype == rows.dtype and np.array_equal(found, expected)
    raw = client.get(f"{url}raw")
    assert raw.body == expected.tobytes() and raw.headers["Array-Shape"] == ",".join(map(str, expected.shape))
    assert ">" in raw.headers["Array-Dtype"] and npy.headers["Array-Dtype"] == raw.headers["Array-Dtype"]


def test_big_endian_rows_are_numbers_and_moments_in_text_and_arrow(
    program: Callable[..., TestApp], made: Callable[..., str]
) -> None:
    url, client = f"/{made(mixed(3))}/slice?format=", program("viewer")
    assert client.get(f"{url}json").json[1] == {
        "n": 1,
        "t": "2026-11-01T01:00:00.000000",
        "v": 0.25,
        "w": 0.5,
    }
    table = list(csv.reader(io.StringIO(client.get(f"{url}csv").text)))
    assert table[0] == ["n", "t", "v", "w"] and table[2] == ["1", "2026-11-01T01:00:00.000000", "0.25", "0.5"]
    with InputStream.from_readable(io.BytesIO(client.get(f"{url}arrow").body)) as stream:
        rows = nanoarrow.ArrayStream(stream).read_all().to_pylist()
    assert [row["n"] for row in rows] == [0, 1, 2] and [row["v"] for row in rows] == [0, 0.25, 0.5]
    assert rows[2]["t"].isoformat() == "2026-11-01T02:00:00+00:00"


@pytest.mark.parametrize("shape", [(0,), (0, 2), (5, 0), (0, 3, 0)], ids=str)
def test_rows_without_items_are_sent_and_shown(
    program: Callable[..., TestApp], site: Site, shape: tuple[int, ...]
) -> None:
    def make(portal: Portal) -> str:
        array = portal.new("Data Array")
        array.create(shape, "<f4")
        return str(array.path)

    path, client = site.transact(make)[0], program("viewer")
    npy = client.get(f"/{path}/slice")
    assert np.load(io.BytesIO(npy.body)).shape == shape
    assert client.get(f"/{path}/slice?format=raw").body == b""
    assert json.loads(client.get(f"/{path}/slice?format=json").body) == np.zeros(shape).tolist()
    if len(shape) < 3:
        names = client.get(f"/{path}/slice?format=csv").text.strip()
        assert names == ("" if shape[1:] == (0,) else "value" if len(shape) == 1 else "0,1")
        assert client.get(f"/{path}/slice?format=arrow").body
    assert client.get(f"/{path}", headers={"Accept": "text/html"}).text.count("</section>") > 2
    client.get(f"/{path}/plot", status=400 if len(shape) == 3 or shape[1:] == (0,) else 200)


def test_an_array_of_16_tib_is_sent_shown_and_plotted_in_part(
    program: Callable[..., TestApp], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 1 << 41

    def make(portal: Portal) -> str:
        array = portal.new("Data Array")
        array.create((rows,), "<f8")
        array[rows - 2] = 5
        return str(array.path)

    path, client = site.transact(make)[0], program("viewer")
    assert client.get(f"/{path}/slice?index=-3:&format=json").json == [0, 5, 0]
    assert client.get(f"/{path}/slice?index={rows - 2}&format=raw").body == np.float64(5).tobytes()
    assert client.head(f"/{path}/slice").headers["Array-Shape"] == str(rows)
    assert "16.0 TiB" in client.get(f"/{path}", headers={"Accept": "text/html"}).text
    plot = client.get(f"/{path}/plot?start={rows - 100_000}&stop={rows}&width=10").json
    assert plot["curves"][0]["high"] == [0] * 9 + [5]
    assert client.get(f"/api/v1/search?size={16 << 40}").json["count"] == 1


def test_rows_between_two_times_are_sent_in_each_format(
    program: Callable[..., TestApp], made: Callable[..., str]
) -> None:
    rows = mixed(500)
    url, client = f"/{made(rows)}/slice?between=t,2026-11-02T00:00Z,2026-11-03", program("viewer")
    npy = client.get(f"{url}&format=npy")
    assert np.array_equal(np.load(io.BytesIO(npy.body)), rows[24:48]) and npy.headers["Array-Rows"] == "24,48"
    assert client.get(f"{url}&format=raw&index=::2").body == rows[24:48:2].tobytes()
    assert client.get(f"{url}&format=json&field=n").json == list(range(24, 48))
    assert client.get(f"{url}&format=json&index=-1&field=v").json == rows["v"][47]
    assert len(list(csv.reader(io.StringIO(client.get(f"{url}&format=csv").text)))) == 25
    with InputStream.from_readable(io.BytesIO(client.get(f"{url}&format=arrow").body)) as stream:
        assert [row["n"] for row in nanoarrow.ArrayStream(stream).read_all().to_pylist()] == [*range(24, 48)]
    assert client.get(f"/{made(rows)}/slice?between=n,490,&format=json&field=n").json == [*range(490, 500)]
    assert "Array-Rows" not in client.get(f"/{made(rows)}/slice?index=0:2").headers


@pytest.mark.parametrize(
    ("between", "message"),
    [
        ("t", "between is column,low,high"),
        ("time,1,2", "no column of numbers"),
        ("t,noon,2", "a time is expected"),
        ("n,a,2", "a number is expected"),
        ("v,1,2", "not sorted"),
        ("n,1,5&index=4", "outside of axis 0, which has 4"),
    ],
)
def test_what_between_cannot_mean_is_refused(
    program: Callable[..., TestApp], made: Callable[..., str], between: str, message: str
) -> None:
    rows = mixed(500)
    rows["v"] = rows["v"][::-1]
    answer = program("viewer").get(f"/{made(rows)}/slice?between={between}", status=400)
    assert message in answer.json["detail"]
