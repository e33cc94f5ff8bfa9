"""`/{path}/buckets`: keys are data, whatever is in them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from tests.web.test_data import all_is_given_back
from webtest import TestApp

from haywain.portal import Site
from haywain.store import buckets

__all__ = ["all_is_given_back"]

Client = Callable[..., TestApp]


@pytest.fixture
def url(site: Site, application: object) -> str:
    return f"/{site.transact(lambda p: p.new('Data Bucket Stream', reference='photos').path)[0]}/buckets"


@pytest.fixture
def editor(program: Client) -> TestApp:
    return program("editor")


def put(client: TestApp, url: str, key: str, data: bytes, status: int = 201, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.put(f"{url}/{quote(key, safe='')}", data, headers=named, status=status)


def test_bytes_are_stored_read_and_deleted(editor: TestApp, url: str) -> None:
    stored = put(editor, url, "a.png", b"picture")
    found = editor.get(f"{url}/a.png")
    assert found.body == b"picture" and found.headers["ETag"] == stored.headers["ETag"]
    assert found.content_type == "image/png" and "sandbox" in found.headers["Content-Security-Policy"]
    assert editor.head(f"{url}/a.png").headers["Content-Length"] == "7"
    put(editor, url, "a.png", b"other", status=204)
    assert editor.get(f"{url}/a.png").body == b"other"
    editor.delete(f"{url}/a.png", status=204)
    editor.get(f"{url}/a.png", status=404)
    editor.delete(f"{url}/a.png", status=404)


@pytest.mark.parametrize(
    "key",
    [
        "a/b",
        "/a",
        "a/",
        "//",
        "a//b",
        "a/../b",
        "a/./b",
        "../../x",
        "data",
        "x/data",
        "\u0436 %25 ?&#",
        "a%2Fb",
        "\n",
        "\x7f",
    ],
)
def test_any_text_is_a_key(editor: TestApp, url: str, key: str) -> None:
    if ".." in key:  # clients that normalise addresses cannot send it; others may
        address = f"{url}/{quote(key, safe='').replace('.', '%2E')}"
        if key.startswith(".."):  # for the rest of the address it would be a way up
            assert editor.put(address, b"x", expect_errors=True).status_int in (404, 405)
            return
    put(editor, url, key, key.encode())
    assert editor.get(f"{url}/{quote(key, safe='')}").body == key.encode()
    assert key in [item["key"] for item in editor.get(url).json["items"]]


def test_list_is_paged_by_key(editor: TestApp, url: str) -> None:
    for number in (3, 1, 2, 0):
        put(editor, url, f"key {number}", b"x" * number)
    first = editor.get(f"{url}?limit=3").json
    assert [item["key"] for item in first["items"]] == ["key 0", "key 1", "key 2"]
    assert first["count"] == 4 and first["next"] == "key 3" and first["items"][2]["size"] == 2
    rest = editor.get(url, params={"limit": 3, "start": first["next"]}).json
    assert [item["key"] for item in rest["items"]] == ["key 3"] and rest["next"] is None


def test_list_is_paged_in_the_order_in_which_they_came(editor: TestApp, url: str) -> None:
    for key in "dbca":
        put(editor, url, key, b"")
    editor.delete(f"{url}/b")
    first = editor.get(f"{url}?order=index&limit=2").json
    assert [(item["index"], item["key"]) for item in first["items"]] == [(0, "d"), (2, "c")]
    rest = editor.get(f"{url}?order=index&start={first['next']}").json
    assert [item["key"] for item in rest["items"]] == ["a"] and rest["next"] is None


@pytest.mark.parametrize("query", ["limit=x", "limit=1001", "limit=-1", "order=size", "order=index&start=x"])
def test_what_makes_no_list_is_told(editor: TestApp, url: str, query: str) -> None:
    editor.get(f"{url}?{query}", status=400)


def test_conditions_are_kept(editor: TestApp, url: str) -> None:
    put(editor, url, "a", b"1", status=412, If_Match="*")
    tag = put(editor, url, "a", b"1", If_None_Match="*").headers["ETag"]
    put(editor, url, "a", b"2", status=412, If_None_Match="*")
    put(editor, url, "a", b"2", status=412, If_Match='"other"')
    put(editor, url, "a", b"2", status=204, If_Match=tag)
    editor.delete(f"{url}/a", headers={"If-Match": tag}, status=412)
    now = editor.get(f"{url}/a").headers["ETag"]
    assert editor.get(f"{url}/a", headers={"If-None-Match": now}, status=304).body == b""
    editor.delete(f"{url}/a", headers={"If-Match": now}, status=204)


def test_ranges_are_answered(editor: TestApp, url: str) -> None:
    put(editor, url, "a", bytes(range(100)))
    part = editor.get(f"{url}/a", headers={"Range": "bytes=10-19"}, status=206)
    assert part.body == bytes(range(10, 20)) and part.headers["Content-Range"] == "bytes 10-19/100"
    editor.get(f"{url}/a", headers={"Range": "bytes=100-"}, status=416)


def test_more_than_a_bucket_holds_is_refused(
    editor: TestApp, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "BUCKET_SIZE", 100)
    put(editor, url, "a", bytes(101), status=413)
    put(editor, url, "a", bytes(100))


def test_without_a_key_nothing_is_written(editor: TestApp, url: str) -> None:
    for address in (url, f"{url}/"):
        editor.put(address, b"x", status=404)
        editor.delete(address, status=404)
    editor.post(f"{url}/a", b"x", status=405)
    editor.get(f"{url}/none", status=404)


def test_who_may_not_edit_may_read(program: Client, editor: TestApp, url: str) -> None:
    put(editor, url, "a", b"1")
    viewer = program("viewer")
    assert viewer.get(f"{url}/a").body == b"1"
    viewer.put(f"{url}/a", b"2", status=403)
    viewer.delete(f"{url}/a", status=403)
    program().get(f"{url}/a", status=401)


def test_a_name_for_the_file_is_the_end_of_the_key(editor: TestApp, url: str) -> None:
    put(editor, url, "2026/flight 7.csv", b"1")
    found = editor.get(f"{url}/{quote('2026/flight 7.csv', safe='')}?download=1")
    assert found.headers["Content-Disposition"].startswith('attachment; filename="flight 7.csv"')
