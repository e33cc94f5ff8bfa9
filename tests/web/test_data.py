"""`/{path}/data` without a socket: ranges, conditions, headers, and nothing left open."""

from collections.abc import Callable
from email import message_from_bytes
from typing import Any

import pytest
from webtest import TestApp

from haywain.portal import Portal, Site
from haywain.web.ranges import parse_range

Client = Callable[..., TestApp]
BYTES = bytes(range(256))
OCTETS = "application/octet-stream"


@pytest.fixture
def url(site: Site, application: object) -> str:
    def make(portal: Portal) -> str:
        stream = portal.new("Data Stream", reference='turbine "7"\u0436.wav', content_type="audio/x-wav")
        stream.append(BYTES)
        return stream.path

    return f"/{site.transact(make)[0]}/data"


@pytest.fixture(autouse=True)
def all_is_given_back(site: Site, application: object) -> Any:
    yield
    assert len(site.database.pool.all) == len(site.database.pool.available)


def test_whole(program: Client, url: str) -> None:
    response = program("viewer").get(url)
    assert response.body == BYTES and response.headers["Content-Length"] == "256"
    assert response.headers["Content-Type"] == "audio/x-wav" and response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_head_has_the_headers_only(program: Client, url: str) -> None:
    client = program("viewer")
    head, got = client.head(url), client.get(url)
    assert head.body == b"" and head.headers["Content-Length"] == "256"
    assert head.headers["ETag"] == got.headers["ETag"]


def test_name_of_the_file_is_data(program: Client, url: str) -> None:
    inline = program("viewer").get(url).headers["Content-Disposition"]
    assert inline == "inline; filename=\"turbine _7__.wav\"; filename*=UTF-8''turbine%20%227%22%D0%B6.wav"
    assert program("viewer").get(f"{url}?download").headers["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("header", "expected", "content_range"),
    [
        ("bytes=0-0", BYTES[:1], "bytes 0-0/256"),
        ("bytes=10-19", BYTES[10:20], "bytes 10-19/256"),
        ("bytes=250-", BYTES[250:], "bytes 250-255/256"),
        ("bytes=-6", BYTES[250:], "bytes 250-255/256"),
        ("bytes=250-9999", BYTES[250:], "bytes 250-255/256"),
        ("bytes=-9999", BYTES, "bytes 0-255/256"),
        ("BYTES = 1-1", BYTES[1:2], "bytes 1-1/256"),
    ],
)
def test_one_range(program: Client, url: str, header: str, expected: bytes, content_range: str) -> None:
    response = program("viewer").get(url, headers={"Range": header}, status=206)
    assert response.body == expected and response.headers["Content-Range"] == content_range


def test_several_ranges_are_parts(program: Client, url: str) -> None:
    response = program("viewer").get(url, headers={"Range": "bytes=0-4, 10-11,-3"}, status=206)
    assert len(response.body) == int(response.headers["Content-Length"])
    message = message_from_bytes(
        f"Content-Type: {response.headers['Content-Type']}\r\n".encode() + response.body
    )
    parts = message.get_payload()
    assert [part["Content-Range"] for part in parts] == [
        "bytes 0-4/256",
        "bytes 10-11/256",
        "bytes 253-255/256",
    ]
    assert [part.get_content_type() for part in parts] == ["audio/x-wav"] * 3
    assert parts[0].get_payload().encode() == BYTES[:5]


@pytest.mark.parametrize("header", ["bytes=256-", "bytes=999-1000", "bytes=-0", "bytes=300-,400-"])
def test_range_outside_is_416_with_the_size(program: Client, url: str, header: str) -> None:
    response = program("viewer").get(url, headers={"Range": header}, status=416)
    assert response.headers["Content-Range"] == "bytes */256" and response.json["status"] == 416


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "lines=1-2",
        "bytes=0-255,0-255",
        "bytes=\xb2-",
        "bytes=" + "1" * 50 + "-",
        "bytes=" + ",".join(["0-0"] * 65),
    ],
    ids=lambda h: h[:20],
)
def test_range_without_sense_is_ignored(program: Client, url: str, header: str) -> None:
    assert program("viewer").get(url, headers={"Range": header}, status=200).body == BYTES


@pytest.mark.parametrize("size", [0, 1, 10])
def test_ranges_lie_within_the_size(size: int) -> None:
    for header in ("bytes=0-", "bytes=-1", "bytes=0-0,5-6"):
        try:
            found = parse_range(header, size)
        except Exception as error:
            assert type(error).__name__ == "RangeError"
            continue
        assert found is None or all(0 <= start < stop <= size for start, stop in found)


def test_conditions(program: Client, url: str) -> None:
    client = program("editor")
    tag = client.get(url).headers["ETag"]
    for match in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        response = client.get(url, headers={"If-None-Match": match}, status=304)
        assert response.body == b"" and response.headers["ETag"] == tag
    assert client.get(url, headers={"If-None-Match": '"x"'}, status=200).body == BYTES
    ranged = {"Range": "bytes=0-0"}
    assert client.get(url, headers=ranged | {"If-Range": tag}).status_int == 206
    for other in ('"x"', f"W/{tag}", "Sun, 22 Nov 2026 00:00:00 GMT", ""):
        assert client.get(url, headers=ranged | {"If-Range": other}).status_int == 200
    client.post(url, b"x", content_type=OCTETS)
    assert client.get(url).headers["ETag"] != tag


def test_replace_append_and_append_at_an_offset(program: Client, url: str) -> None:
    client = program("editor")
    put = client.put(url, b"abc", content_type=OCTETS)
    assert (put.headers["Ingest-Offset"], put.headers["Ingest-Length"]) == ("0", "3")
    assert client.post(url, b"de", content_type=OCTETS).headers["Ingest-Offset"] == "3"
    headers = {"Upload-Offset": "5"}
    assert client.patch(url, b"f", headers=headers, content_type=OCTETS).headers["Ingest-Offset"] == "5"
    clash = client.patch(url, b"f", headers=headers, content_type=OCTETS, status=409)
    assert clash.headers["Upload-Offset"] == "6" and clash.json["status"] == 409
    assert client.get(url).body == b"abcdef"
    assert put.body == b"" and len(put.headers["Ingest-Tid"]) == 16


WRITES = ("PUT", "POST", "PATCH")


@pytest.mark.parametrize("method", WRITES)
def test_writes_on_condition(program: Client, url: str, method: str) -> None:
    client = program("editor")

    def write(**headers: str) -> int:
        tag = client.head(url).headers["ETag"]
        sent = {name.replace("_", "-"): value.replace("TAG", tag) for name, value in headers.items()}
        sent["Upload-Offset"] = client.head(url).headers["Content-Length"]
        answer = client.request(url, method=method, headers=sent, body=b"abc", expect_errors=True)
        if answer.status_int == 412:
            assert answer.json["status"] == 412 and "If-" in answer.json["detail"]
            assert client.head(url).headers["ETag"] == tag
        return int(answer.status_int)

    for holds in ("TAG", '"x", TAG', "*"):
        assert write(If_Match=holds) == 200
    for does_not in ('"x"', "W/TAG", "TAG-", ""):
        assert write(If_Match=does_not) == 412
    for does_not in ("TAG", "W/TAG", '"x",TAG', "*"):
        assert write(If_None_Match=does_not) == 412
    assert write(If_None_Match='"x"') == 200
    assert write(If_Match="TAG", If_None_Match="TAG") == 412


@pytest.mark.parametrize("method", WRITES)
def test_first_bytes_on_condition(site: Site, program: Client, method: str) -> None:
    path, _ = site.transact(lambda portal: portal.new("Data Stream").path)
    headers = {"If-None-Match": "*", "Upload-Offset": "0"}
    statuses = [
        program("editor").request(
            f"/{path}/data", method=method, headers=headers, body=b"abc", expect_errors=True
        )
        for _ in range(2)
    ]
    assert [answer.status_int for answer in statuses] == [200, 409 if method == "PATCH" else 412]


@pytest.mark.parametrize("offset", ["", "-1", "x", "1" * 30, "\xb2", "1.0", " "], ids=range(7))
def test_offset_without_sense_is_a_bad_request(program: Client, url: str, offset: str) -> None:
    program("editor").patch(url, b"f", headers={"Upload-Offset": offset}, content_type=OCTETS, status=400)


def test_key_stores_once_for_sender_address_and_mode(program: Client, url: str) -> None:
    client, other, headers = program("editor"), program("analyst"), {"Idempotency-Key": "k\xe9"}
    first = client.post(url, b"x", headers=headers, content_type=OCTETS)
    again = client.post(url, b"x", headers=headers, content_type=OCTETS)
    assert [r.headers["Ingest-Status"] for r in (first, again)] == ["stored", "duplicate"]
    assert first.headers["Ingest-Tid"] == again.headers["Ingest-Tid"]
    client.post(url, b"y", headers=headers, content_type=OCTETS, status=409)
    assert other.post(url, b"x", headers=headers, content_type=OCTETS).headers["Ingest-Status"] == "stored"
    client.post(url, b"x", headers={"Idempotency-Key": "k" * 256}, content_type=OCTETS, status=400)
    assert len(client.get(url).body) == 258


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS"])
def test_other_methods_are_told_what_there_is(program: Client, url: str, method: str) -> None:
    response = program("editor").request(url, method=method, expect_errors=True)
    assert response.status_int == 405 and "PATCH" in response.headers["Allow"]


def test_bytes_of_quarantine_are_read_only(site: Site, program: Client) -> None:
    path, _ = site.transact(lambda p: p.new("Quarantine", body=b"raw", policy="p", reason="r").path)
    client = program("manager")
    assert client.get(f"/{path}/data").body == b"raw"
    for method in ("PUT", "POST", "PATCH"):
        response = client.request(f"/{path}/data", method=method, body=b"x", expect_errors=True)
        assert response.status_int in (404, 405)
    client.post(f"/{path}/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1"}, status=404)


@pytest.mark.parametrize("path", ["data_stream_module/none/data", "none/x/data", "data_stream_module/data"])
def test_no_stream_is_404(program: Client, path: str) -> None:
    for method in ("GET", "PUT", "POST", "PATCH"):
        assert program("editor").request(f"/{path}", method=method, expect_errors=True).status_int == 404
