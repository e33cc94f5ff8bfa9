"""`/{path}/buckets` over sockets: large ones, chunked ones, odd keys."""

import http.client
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
from tests.functional.program import Client, Program

from haywain.values import MIB

LARGE = bytes(range(256)) * (6 * 4096)


@pytest.fixture(scope="module")
def path(client: Client) -> str:
    """The path of a Data Bucket Stream."""
    return str(client.make("data_bucket_stream_module", reference="buckets")["path"])


def test_a_large_one_is_stored_and_read_by_range(client: Client, path: str) -> None:
    stored = client("PUT", f"/{path}/buckets/large.bin", LARGE)
    assert stored.status == 201 and len(LARGE) == 6 * MIB
    found = client("GET", f"/{path}/buckets/large.bin")
    assert found.body == LARGE and found.headers["ETag"] == stored.headers["ETag"]
    part = client("GET", f"/{path}/buckets/large.bin", None, {"Range": f"bytes={5 * MIB}-{5 * MIB + 9}"})
    assert (part.status, part.body) == (206, LARGE[5 * MIB : 5 * MIB + 10])


def test_a_chunked_one_is_stored(client: Client, path: str) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]

    assert client("PUT", f"/{path}/buckets/chunked", pieces()).status == 201
    assert client("PUT", f"/{path}/buckets/empty", iter(())).status == 201
    assert client("GET", f"/{path}/buckets/chunked").body == LARGE
    assert client("GET", f"/{path}/buckets/empty").body == b""


def test_more_than_a_bucket_holds_is_refused_before_it_is_sent(
    program: Program, client: Client, path: str
) -> None:
    parts = urlsplit(program.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.putrequest("PUT", f"/{path}/buckets/too-large")
        connection.putheader("Authorization", client.headers["Authorization"])
        connection.putheader("Content-Length", str(64 * MIB + 1))
        connection.endheaders()
        assert connection.getresponse().status == 413
    finally:
        connection.close()


@pytest.mark.parametrize(
    "key", ["a/b", "/data", "x/data", "//", "a%2Fb", "\u0436 ?#&", "a//uploads/" + "0" * 32]
)
def test_a_key_is_no_path(client: Client, path: str, key: str) -> None:
    where = f"/{path}/buckets/{quote(key, safe='')}"
    assert client("PUT", where, key.encode()).status == 201
    assert client("GET", where).body == key.encode()
    assert client("DELETE", where).status == 204
