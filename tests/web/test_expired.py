"""What has expired is 410 with the offset where bytes begin; above it offsets are what they were."""

from collections.abc import Callable

import pytest
from tests.web.test_data import all_is_given_back
from webtest import TestApp

from haywain.portal import Portal, Site
from haywain.store import stream as stream_module

__all__ = ["all_is_given_back"]

Client = Callable[..., TestApp]
BYTES = bytes(range(256))


@pytest.fixture
def url(site: Site, application: object, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stream whose bytes begin at offset 200."""
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", 100)

    def make(portal: Portal) -> str:
        stream = portal.new("Data Stream", reference="old.bin")
        stream.append(BYTES)
        stream.expire(201)
        return stream.path

    return f"/{site.transact(make)[0]}/data"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=0-"},
        {"Range": "bytes=199-210"},
        {"Range": "bytes=210-219,0-1"},
        {"Range": "bytes=-57"},
    ],
    ids=["whole", "from-the-first", "across", "one-of-several", "suffix"],
)
def test_what_has_expired_is_gone_and_says_where_bytes_begin(
    program: Client, url: str, headers: dict[str, str]
) -> None:
    gone = program("viewer").get(url, headers=headers, status=410)
    assert gone.headers["Stream-Start"] == "200"
    assert gone.content_type == "application/problem+json" and "?start=200" in gone.json["detail"]


def test_head_tells_it_too(program: Client, url: str) -> None:
    assert program("viewer").head(url, status=410).headers["Stream-Start"] == "200"


@pytest.mark.parametrize(
    ("header", "expected", "content_range"),
    [
        ("bytes=200-", BYTES[200:], "bytes 200-255/256"),
        ("bytes=201-210", BYTES[201:211], "bytes 201-210/256"),
        ("bytes=-5", BYTES[251:], "bytes 251-255/256"),
    ],
)
def test_ranges_above_are_as_before(
    program: Client, url: str, header: str, expected: bytes, content_range: str
) -> None:
    found = program("viewer").get(url, headers={"Range": header}, status=206)
    assert found.body == expected and found.headers["Content-Range"] == content_range


def test_the_rest_is_a_whole_of_its_own(program: Client, url: str) -> None:
    client = program("viewer")
    rest = client.get(f"{url}?start=200", status=200)
    assert rest.body == BYTES[200:] and rest.headers["Content-Length"] == "56"
    assert client.head(f"{url}?start=200").headers["ETag"] == rest.headers["ETag"]
    part = client.get(
        f"{url}?start=200", headers={"Range": "bytes=6-", "If-Range": rest.headers["ETag"]}, status=206
    )
    assert part.body == BYTES[206:] and part.headers["Content-Range"] == "bytes 6-55/56"
    parts = client.get(f"{url}?start=200", headers={"Range": "bytes=0-0,2-3"}, status=206)
    assert BYTES[202:204] in parts.body
    assert client.get(f"{url}?start=210").headers["ETag"] != rest.headers["ETag"]
    assert client.get(f"{url}?start=256").body == b""


@pytest.mark.parametrize(
    ("start", "status"), [("199", 410), ("257", 416), ("-1", 400), ("x", 400), ("", 400), ("\u0664", 400)]
)
def test_a_start_that_is_not_there_is_told(program: Client, url: str, start: str, status: int) -> None:
    program("viewer").get(url, params={"start": start}, status=status)


def test_a_stream_that_is_whole_may_be_asked_from_any_byte(program: Client, site: Site, url: str) -> None:
    def make(portal: Portal) -> str:
        stream = portal.new("Data Stream")
        stream.append(BYTES)
        return stream.path

    whole = f"/{site.transact(make)[0]}/data"
    assert program("viewer").get(f"{whole}?start=250").body == BYTES[250:]
    assert program("viewer").get(whole).body == BYTES


def test_the_tag_changes_when_bytes_expire_or_are_cut(program: Client, site: Site, url: str) -> None:
    client, path = program("viewer"), url.removesuffix("/data").lstrip("/")

    def tag() -> str:
        return str(client.get(url, headers={"Range": "bytes=200-"}).headers["ETag"])

    tags = [tag()]
    for change in (
        lambda portal: portal[path].append(b"x" * 100),
        lambda portal: portal[path].truncate(256),
        lambda portal: portal[path].append(b"y" * 100),
    ):
        site.transact(change)
        tags.append(tag())
    assert len(set(tags)) == 4


def test_bytes_are_appended_where_the_stream_ends(program: Client, url: str) -> None:
    receipt = program("editor").post(url, b"more", content_type="application/octet-stream")
    assert receipt.headers["Ingest-Offset"] == "256"
    found = program("viewer").get(url, headers={"Range": "bytes=256-"}, status=206)
    assert found.body == b"more"


def test_document_tells_where_it_begins_and_what_it_takes(program: Client, url: str) -> None:
    found = program("viewer").get(url.removesuffix("/data"), headers={"Accept": "application/json"}).json
    assert (found["start"], found["size"], found["stored_bytes"]) == (200, 256, 56)
