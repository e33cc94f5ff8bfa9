"""`/{path}/data`: ranges and conditions, replace and append, and what a slow reader gets."""

import email
import http.client
import os
from urllib.parse import urlsplit

import pytest
from tests.functional.program import ADMIN, Client, Program

from haywain.values import MIB

CONTENT = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def path(client: Client) -> str:
    """The path of a stream of 1024 bytes."""
    return client.stream("ranges", CONTENT)


def test_whole(client: Client, path: str) -> None:
    answer = client("GET", f"/{path}/data")
    assert (answer.status, answer.body) == (200, CONTENT)
    headers = answer.headers
    assert (headers["Content-Length"], headers["Accept-Ranges"]) == ("1024", "bytes")
    assert headers["ETag"].startswith('"') and "Last-Modified" in headers


def test_head_is_get_without_the_bytes(client: Client, path: str) -> None:
    got, head = client("GET", f"/{path}/data"), client("HEAD", f"/{path}/data")
    assert (head.status, head.body) == (200, b"")
    same = ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges")
    assert [head.headers[name] for name in same] == [got.headers[name] for name in same]


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        pytest.param("bytes=0-0", 0, 1, id="first-byte"),
        pytest.param("bytes=10-19", 10, 20, id="inside"),
        pytest.param("bytes=1000-", 1000, 1024, id="open"),
        pytest.param("bytes=1000-5000", 1000, 1024, id="beyond"),
        pytest.param("bytes=-24", 1000, 1024, id="suffix"),
        pytest.param("bytes=-5000", 0, 1024, id="long-suffix"),
        pytest.param("Bytes = 1-2", 1, 3, id="spelling"),
    ],
)
def test_one_range(client: Client, path: str, header: str, start: int, stop: int) -> None:
    answer = client("GET", f"/{path}/data", None, {"Range": header})
    assert (answer.status, answer.body) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024"
    assert answer.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("header", ["bytes=1024-", "bytes=2000-3000", "bytes=-0", "bytes=5000-,9000-"])
def test_range_behind_the_end(client: Client, path: str, header: str) -> None:
    answer = client("GET", f"/{path}/data", None, {"Range": header})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1024")


@pytest.mark.parametrize(
    "header", ["bytes=9-1", "bytes=a-b", "lines=1-2", "bytes=", "bytes=1-2-3", "bytes=-"]
)
def test_range_that_makes_no_sense_is_ignored(client: Client, path: str, header: str) -> None:
    answer = client("GET", f"/{path}/data", None, {"Range": header})
    assert (answer.status, answer.body) == (200, CONTENT)


def test_several_ranges(client: Client, path: str) -> None:
    answer = client("GET", f"/{path}/data", None, {"Range": "bytes=0-9, 100-109, -5"})
    assert answer.status == 206 and int(answer.headers["Content-Length"]) == len(answer.body)
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    parts = list(email.message_from_bytes(head + answer.body).walk())[1:]
    assert [part["Content-Range"] for part in parts] == [
        f"bytes {span}/1024" for span in ("0-9", "100-109", "1019-1023")
    ]
    expected = [CONTENT[:10], CONTENT[100:110], CONTENT[-5:]]
    boundary = b"--" + answer.headers["Content-Type"].partition("boundary=")[2].encode()
    found = [part.partition(b"\r\n\r\n")[2][:-2] for part in answer.body.split(boundary)[1:-1]]
    assert found == expected


def test_conditions(client: Client) -> None:
    path = client.stream("conditions", b"old bytes")
    old = client("GET", f"/{path}/data").headers["ETag"]
    assert client("GET", f"/{path}/data", None, {"If-None-Match": old}).status == 304
    assert client("GET", f"/{path}/data", None, {"If-None-Match": f'"x", W/{old}'}).status == 304
    ranged = {"Range": "bytes=0-2", "If-Range": old}
    assert client("GET", f"/{path}/data", None, ranged).body == b"old"
    assert client("POST", f"/{path}/data", b" and new").status == 200
    answer = client("GET", f"/{path}/data", None, {"If-None-Match": old})
    assert (answer.status, answer.body) == (200, b"old bytes and new")
    assert answer.headers["ETag"] != old
    assert client("GET", f"/{path}/data", None, ranged).status == 200


def test_empty_stream(client: Client) -> None:
    path = client.stream("nothing-yet")
    answer = client("GET", f"/{path}/data")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    assert client("GET", f"/{path}/data", None, {"Range": "bytes=0-"}).headers["Content-Range"] == "bytes */0"


def test_put_replaces_and_post_appends(client: Client) -> None:
    path = client.stream("put-post")
    assert client("PUT", f"/{path}/data", b"one").receipt[:4] == ("stored", path, 0, 3)
    assert client("POST", f"/{path}/data", b"two").receipt[:4] == ("stored", path, 3, 3)
    assert client.data(path) == b"onetwo"
    assert client("PUT", f"/{path}/data", b"x").receipt[:4] == ("stored", path, 0, 1)
    assert client("PUT", f"/{path}/data", b"").receipt[:4] == ("stored", path, 0, 0)
    assert client.data(path) == b""


def test_patch_appends_only_at_the_end(client: Client) -> None:
    path = client.stream("patched", b"12345")
    assert client("PATCH", f"/{path}/data", b"678", {"Upload-Offset": "5"}).receipt[2:4] == (5, 3)
    for offset in ("5", "9", "0"):
        refused = client("PATCH", f"/{path}/data", b"x", {"Upload-Offset": offset})
        assert (refused.status, refused.headers["Upload-Offset"]) == (409, "8")
    for wrong in ({}, {"Upload-Offset": "-1"}, {"Upload-Offset": "x"}, {"Upload-Offset": "9" * 30}):
        assert client("PATCH", f"/{path}/data", b"x", wrong).status == 400
    assert client.data(path) == b"12345678"


def test_large_bodies_come_back(client: Client) -> None:
    """Above 1 MiB a body goes to files that become segments; at 64 MiB a segment ends."""
    body = os.urandom(MIB) * 66 + b"end"
    path = client.stream("large", b"begin")
    assert client("POST", f"/{path}/data", body).receipt[2:4] == (5, len(body))
    assert (
        client("POST", f"/{path}/data", (body[at : at + MIB] for at in range(0, 3 * MIB, MIB))).status == 200
    )
    assert client("POST", f"/{path}/data", b"tail").status == 200
    whole = b"begin" + body + body[: 3 * MIB] + b"tail"
    assert client.data(path) == whole
    cut = client("GET", f"/{path}/data", None, {"Range": f"bytes={64 * MIB - 3}-{64 * MIB + 9}"})
    assert cut.body == whole[64 * MIB - 3 : 64 * MIB + 10]
    assert client.search(reference="large", portal_type="Data Stream")["items"][0]["size"] == len(whole)


@pytest.mark.parametrize("body", [b"once", bytes(2 * MIB)], ids=["small", "large"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_key_makes_a_request_count_once(client: Client, method: str, body: bytes) -> None:
    path, key = client.stream(f"keyed-{method}-{len(body)}", b"before"), {"Idempotency-Key": "k"}
    first = client(method, f"/{path}/data", body, key)
    assert client("POST", f"/{path}/data", b"after").status == 200
    again = client(method, f"/{path}/data", body, key)
    assert again.receipt == ("duplicate", *first.receipt[1:])
    assert client(method, f"/{path}/data", body + b"other", key).status == 409
    assert client.data(path) == (b"before" if method == "POST" else b"") + body + b"after"


def test_unknown_path(client: Client) -> None:
    for method in ("GET", "PUT", "POST", "PATCH"):
        answer = client(method, "/data_stream_module/unknown/data", b"x" if method != "GET" else None)
        assert answer.status == 404, (method, answer.body)
    assert client("GET", "/portal_ingestion_policies/default/data").status == 404


def test_other_methods(client: Client, path: str) -> None:
    answer = client("DELETE", f"/{path}/data")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, PUT, POST, PATCH")


def test_large_body_of_a_stranger_is_refused_before_it_is_sent(program: Program, path: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=10)
    connection.putrequest("PUT", f"/{path}/data")
    connection.putheader("Content-Length", str(10 * MIB))
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_slow_reader_gets_the_old_bytes_whole_while_they_are_replaced(
    program: Program, client: Client
) -> None:
    old = os.urandom(MIB) * 40
    path = client.stream("replaced-below", old)
    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=20)
    connection.request("GET", f"/{path}/data", headers=ADMIN)
    answer = connection.getresponse()
    got = answer.read(1000)
    assert client("PUT", f"/{path}/data", b"new").status == 200
    assert client.data(path) == b"new"
    assert got + answer.read() == old
    connection.close()
