"""Ingestion over HTTP: every way to send bytes, and a receipt that says where they went."""

import gzip
import http.client
import json
import zlib
from collections.abc import Iterator
from urllib.parse import quote, urlencode, urlsplit

import pytest
import zstandard
from tests.functional.program import ADMIN, INGEST, PASSWORD, Client, Program, basic

from haywain.values import MIB

EVERY_BYTE = bytes(range(256))


def stored(client: Client, tag: str) -> bytes:
    """Return what the stream of a tag holds."""
    found = client.search(portal_type="Data Stream", reference=tag)["items"]
    assert len(found) == 1
    return client.data(found[0]["path"])


def test_receipt_says_where_the_bytes_are(client: Client) -> None:
    first = client.ingest("receipt", b"12345")
    assert (first.status, first.body, first.headers["Content-Length"]) == (200, b"", "0")
    status, path, offset, length, tid = first.receipt
    assert (status, offset, length) == ("stored", 0, 5)
    assert path.startswith("data_stream_module/") and len(tid) == 16 and int(tid, 16) > 0
    second = client.ingest("receipt", b"678")
    assert second.receipt[:4] == ("stored", path, 5, 3)
    assert second.headers["Ingest-Tid"] > tid
    assert client.data(path) == b"12345678"


def test_empty_body_is_stored_with_length_0(client: Client) -> None:
    assert client.ingest("empty-first", b"").receipt[::3] == ("stored", 0)
    client.ingest("empty-later", b"abc")
    assert client.ingest("empty-later", b"").receipt[2:4] == (3, 0)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        pytest.param("", EVERY_BYTE, id="plain"),
        pytest.param("gzip", gzip.compress(EVERY_BYTE), id="gzip"),
        pytest.param("gzip", gzip.compress(EVERY_BYTE[:99]) + gzip.compress(EVERY_BYTE[99:]), id="members"),
        pytest.param("deflate", zlib.compress(EVERY_BYTE), id="deflate"),
        pytest.param("deflate", zlib.compress(EVERY_BYTE, wbits=-15), id="raw-deflate"),
        pytest.param("zstd", zstandard.ZstdCompressor().compress(EVERY_BYTE), id="zstd"),
        pytest.param("zstd, gzip", gzip.compress(zstandard.ZstdCompressor().compress(EVERY_BYTE)), id="both"),
    ],
)
def test_every_byte_comes_through(client: Client, encoding: str, body: bytes) -> None:
    tag = f"bytes-{encoding or 'plain'}-{zlib.crc32(body)}"
    assert client.ingest(tag, body, headers={"Content-Encoding": encoding} if encoding else {}).is_stored
    assert stored(client, tag) == EVERY_BYTE


@pytest.mark.parametrize("encode", [quote, lambda data, safe: "".join(f"%{byte:02x}" for byte in data)])
def test_form_with_a_data_chunk(client: Client, encode: object) -> None:
    tag = f"form-{getattr(encode, '__name__', '')}".strip("<>")
    chunk = encode(EVERY_BYTE, safe="")  # type: ignore[operator]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.ingest(tag, f"other=1&data_chunk={chunk}&x=y".encode(), headers=form)
    assert answer.receipt[::3] == ("stored", 256)
    assert stored(client, tag) == EVERY_BYTE


def test_form_as_the_plugin_of_fluentd_sends_it(client: Client) -> None:
    """fluent-plugin-wendelin: `application/x-www-form-urlencoded; charset=...`, spaces as plus."""
    form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    body = urlencode({"data_chunk": b"a b+c&d=e%"}).encode()
    assert client.ingest("form-plus", body, headers=form).is_stored
    assert stored(client, "form-plus") == b"a b+c&d=e%"


def test_data_chunk_in_the_query(client: Client) -> None:
    query = f"reference=query-chunk&data_chunk={quote(EVERY_BYTE, safe='')}"
    assert client("POST", f"{INGEST}?{query}").receipt[::3] == ("stored", 256)
    assert stored(client, "query-chunk") == EVERY_BYTE


def test_tag_of_any_script_is_the_reference(client: Client) -> None:
    tag = "Wärmepumpe 7: 温度 %_.√"
    assert client.ingest(tag, b"21.5").is_stored
    assert stored(client, tag.upper()) == b"21.5"
    decomposed = client.ingest("Wa\u0308rmepumpe 7: 温度 %_.√", b", 22")
    assert decomposed.headers["Ingest-Offset"] == "4"


def test_credentials_of_agents(program: Program, client: Client) -> None:
    properties = {"reference": "agent", "login": "admin", "scopes": ["ingest:default"]}
    secret = client.make("token_module", **properties)["secret"]
    for number, headers in enumerate(
        (ADMIN, basic("", secret), basic("anything", secret), {"Authorization": f"Bearer {secret}"})
    ):
        agent = program.client(headers)
        assert agent.ingest("credentials", b"x").headers["Ingest-Offset"] == str(number)
        agent.close()
    agent = program.client({"Authorization": f"Bearer {secret}"})
    assert agent("GET", "/api/v1/search").status == 403
    assert agent("PUT", "/data_stream_module/x/data", b"x").status in (403, 404)
    agent.close()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param(basic("admin", "wrong"), id="wrong-password"),
        pytest.param(basic("nobody", PASSWORD), id="unknown-user"),
        pytest.param(basic("x", "hw_unknown"), id="unknown-token"),
        pytest.param({"Authorization": "Bearer hw_unknown"}, id="unknown-bearer"),
        pytest.param({"Authorization": "Basic %%%"}, id="no-base64"),
        pytest.param({"Authorization": "Digest x"}, id="scheme"),
    ],
)
def test_wrong_credentials(program: Program, headers: dict[str, str]) -> None:
    stranger = program.client(headers)
    answer = stranger.ingest("strangers", b"x")
    assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Basic")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == 401 and answer.json["request_id"]
    stranger.close()


def test_nothing_of_strangers_is_stored(client: Client) -> None:
    assert client.search(reference="strangers")["count"] == 0


def test_unknown_policy(client: Client) -> None:
    answer = client("POST", "/portal_ingestion_policies/unknown/ingest?reference=a", b"x")
    assert answer.status == 404 and "unknown" in answer.json["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods(client: Client, method: str) -> None:
    answer = client(method, f"{INGEST}?reference=a")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_declared_gigabyte_is_refused_before_it_is_sent(program: Program) -> None:
    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=10)
    connection.putrequest("POST", f"{INGEST}?reference=huge")
    for name, value in {**ADMIN, "Content-Length": str(1 << 30)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    problem = json.loads(answer.read())
    assert (answer.status, problem["status"]) == (413, 413) and "67108864" in problem["detail"]
    connection.close()


def test_chunked_body_is_refused_beyond_the_limit(program: Program, client: Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield from (bytes(MIB) for _ in range(64))
        yield b"x"

    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=20)
    headers = {**ADMIN, "Transfer-Encoding": "chunked"}
    connection.request("POST", f"{INGEST}?reference=huge", chunks(), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert client.search(reference="huge")["count"] == 0


def test_chunked_body_at_the_limit_is_stored(client: Client) -> None:
    body = EVERY_BYTE * (64 * MIB // 256)
    answer = client.ingest("limit", (body[at : at + MIB] for at in range(0, len(body), MIB)))
    assert answer.receipt[::3] == ("stored", 64 * MIB)
    assert stored(client, "limit") == body


def test_cut_body_stores_nothing(program: Program, client: Client) -> None:
    client.ingest("cut", b"before")
    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=10)
    connection.putrequest("POST", f"{INGEST}?reference=cut")
    for name, value in {**ADMIN, "Content-Length": "1000"}.items():
        connection.putheader(name, value)
    connection.endheaders(b"half of it")
    connection.close()
    assert client.ingest("cut", b", after").headers["Ingest-Offset"] == "6"
    assert stored(client, "cut") == b"before, after"
