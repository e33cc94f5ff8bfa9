"""Search over HTTP: keys, pages by cursor, and what is no search."""

from collections.abc import Callable
from typing import Any

import pytest
from webtest import TestApp

from haywain.portal import Portal, Site

Client = Callable[..., TestApp]
SEARCH = "/api/v1/search"


@pytest.fixture(scope="module", autouse=True)
def documents(site: Site, application: object) -> None:
    def fill(portal: Portal) -> None:
        for number in range(5):
            portal.new("Data Stream", reference=f"s{number}.wav").append(b"x" * number)

    site.transact(fill)


def references(client: TestApp, query: str) -> list[str]:
    return [item["reference"] for item in client.get(f"{SEARCH}?{query}").json["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("reference=s%25&sort=reference", "01234"),
        ("reference=S3.WAV", "3"),
        ("reference=s1.wav&reference=s2.wav&sort=-reference", "21"),
        ("text=wav&sort=-size&limit=2", "43"),
        ("reference=s%25&size=1..3&sort=size", "12"),
        ("reference=s%25&size=..1", "0"),
        ("reference=s%25&size=4..", "4"),
        ("reference=s%25&size=0..1&size=4..5&sort=size", "04"),
        ("reference=s%25&created=2000..2001", ""),
        ("reference=s_.wav", ""),
        ("portal_type=Person", ""),
        ("text=&reference=s0.wav&cursor=&limit=", "0"),
    ],
)
def test_finds(program: Client, query: str, expected: str) -> None:
    assert "".join(r[1] for r in references(program("viewer"), query)) == expected


@pytest.mark.parametrize(
    "query",
    [
        "refrence=x",
        "self=x",
        "sort_on=reference",
        "where=x",
        "hidden=x",
        "__class__=x",
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=x",
        "limit=1e3",
        "limit=" + "9" * 5000,
        "limit=%D9%A1",
        "size=x",
        "size=" + "9" * 40,
        "size=a..b",
        "created=x",
        "created=9999",
        "sort=nope",
        "sort=" + ",".join(["size"] * 20),
        "cursor=x",
        "cursor=" + "W" * 8000,
        "cursor=%F0%9F%98%80",
        "reference=%FF",
        "%FF=x",
        "reference=" + "%25" * 2000,
        "&".join(f"reference={n}" for n in range(500)),
        "text=" + "+".join(map(str, range(500))),
    ],
    ids=lambda query: query[:30],
)
def test_no_search_is_a_bad_request(program: Client, query: str) -> None:
    response = program("viewer").get(f"{SEARCH}?{query}", expect_errors=True)
    assert response.status_int == 400
    assert response.json["status"] == 400 and response.json["detail"] and response.json["request_id"]


def test_pages_follow_the_cursor(program: Client) -> None:
    client, seen, cursor = program("viewer"), [], ""
    while True:
        page = client.get(f"{SEARCH}?reference=s%25&sort=reference&limit=2&cursor={cursor}").json
        assert page["count"] == 5
        seen += [item["reference"][1] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert "".join(seen) == "01234"


def test_cursor_of_another_order_does_no_harm(program: Client) -> None:
    client = program("viewer")
    cursor = client.get(f"{SEARCH}?sort=size&limit=1").json["next"]
    assert client.get(f"{SEARCH}?sort=size,reference&cursor={cursor}", expect_errors=True).status_int == 400
    assert client.get(f"{SEARCH}?sort=reference&cursor={cursor}").status_int == 200


def test_nulls_and_quotes_are_values(program: Client) -> None:
    for query in (
        "text=%00",
        "reference=%00",
        "text='--",
        'text="*',
        "path='%3Bdrop+table+documents",
        "text=%F0%9F%98%80",
    ):
        assert program("viewer").get(f"{SEARCH}?{query}").json["count"] == 0


def test_items_say_what_the_contract_names(program: Client) -> None:
    item = program("viewer").get(f"{SEARCH}?reference=s4.wav").json["items"][0]
    assert {"path", "id", "portal_type", "reference", "title", "state", "modified", "size"} <= set(item)


def test_reindex_is_for_managers(program: Client) -> None:
    assert program("editor").post("/api/v1/reindex", expect_errors=True).status_int == 403
    assert program("manager").post("/api/v1/reindex").json["documents"] > 5


def test_search_sees_what_a_request_before_it_made(program: Client) -> None:
    client = program("editor")
    made: Any = client.post_json("/data_stream_module", {"reference": "just made"}, status=201).json
    assert client.get(f"{SEARCH}?reference=just+made").json["items"][0]["path"] == made["path"]
