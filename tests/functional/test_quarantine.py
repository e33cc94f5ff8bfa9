"""What cannot be delivered is kept with its reason, is found, and can be delivered later."""

import gzip
from typing import Any

import pytest
import zstandard
from tests.functional.program import INGEST, Client, Make

import haywain
from haywain.errors import InvalidError
from haywain.ingestion import Request, deliver, replay
from haywain.security import SYSTEM, User
from haywain.values import MIB

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GZIP = {"Content-Encoding": "gzip"}
ZSTD = {"Content-Encoding": "zstd"}
MANAGER = frozenset({"Manager"})


def kept(client: Client, receipt: tuple[str, str, int, int, str], reason: str) -> Any:
    """Return the document in quarantine as JSON, once it was found by search as well."""
    status, path, offset, _, tid = receipt
    assert (status, offset) == ("quarantined", 0) and tid
    answer = client("GET", f"/{path}", None, {"Accept": "application/json"})
    assert answer.status == 200 and reason in answer.json["reason"], answer.body
    assert client.search(path=path, portal_type="Quarantine", state="quarantined")["count"] == 1
    return answer.json


@pytest.mark.parametrize(
    ("tag", "reason", "shown"),
    [
        pytest.param(b"../x", "slash", "../x", id="parent"),
        pytest.param(b"a\0b", "control", "a\\x00b", id="nul"),
        pytest.param(b"a" * 65536, "65536 characters", "a" * 65536, id="64-KiB"),
        pytest.param(b"__class__", "underscore", "__class__", id="class"),
        pytest.param(b"", "missing", "", id="empty"),
        pytest.param(b"\xff\xfe", "not UTF-8", "\\xff\\xfe", id="no-utf-8"),
        pytest.param(b"\xed\xa0\x80", "not UTF-8", "\\xed\\xa0\\x80", id="surrogate"),
        pytest.param(b".", "'.'", ".", id="dot"),
        pytest.param(b"..", "'..'", "..", id="dots"),
        pytest.param(b" ", "blank", " ", id="blank"),
        pytest.param("é".encode() * 256, "256 characters", "é" * 256, id="256-characters"),
        pytest.param("a\u2028b".encode(), "control", "a\\x2028b", id="line-separator"),
    ],
)
def test_bad_tag(client: Client, tag: bytes, reason: str, shown: str) -> None:
    found = kept(client, client.ingest(tag, b"kept " + tag[:9]).receipt, reason)
    assert found["tag"].strip() == shown.strip()
    assert client.data(found["path"]) == b"kept " + tag[:9]


def test_missing_tag(client: Client) -> None:
    kept(client, client("POST", INGEST, b"x").receipt, "missing")
    kept(client, client("POST", f"{INGEST}?ref=a", b"x").receipt, "missing")


def test_tag_of_255_characters_is_stored(client: Client) -> None:
    assert client.ingest("é" * 255, b"x").is_stored


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        pytest.param(GZIP, gzip.compress(bytes(300 * MIB)), "larger", id="gzip-bomb"),
        pytest.param(GZIP, gzip.compress(bytes(8 * MIB)), "100 times", id="gzip-ratio"),
        pytest.param({"Content-Encoding": "gzip, gzip"}, gzip.compress(gzip.compress(bytes(300 * MIB))),
                     "times", id="gzip-of-gzip"),
        pytest.param(ZSTD, zstandard.compress(bytes(300 * MIB)), "times", id="zstd-bomb"),
        pytest.param(GZIP, b"no gzip at all", "no gzip", id="no-gzip"),
        pytest.param(GZIP, gzip.compress(b"abc")[:-3], "cut short", id="cut-gzip"),
        pytest.param({"Content-Encoding": "br"}, b"x", "not known", id="unknown-encoding"),
        pytest.param(FORM, b"data=1", "no field data_chunk", id="form-without-chunk"),
        pytest.param({"Idempotency-Key": "k" * 256}, b"x", "longer than 255", id="long-key"),
    ],
)  # fmt: skip
def test_bad_body(client: Client, headers: dict[str, str], body: bytes, reason: str) -> None:
    found = kept(client, client.ingest("bad-body", body, headers=headers).receipt, reason)
    assert client.data(found["path"]) == body
    assert client.search(portal_type="Data Stream", reference="bad-body")["count"] == 0


def test_quarantined_request_is_a_duplicate_when_sent_again(client: Client) -> None:
    first = client.ingest("a/b", b"x", key="again-and-again")
    again = client.ingest("a/b", b"x", key="again-and-again")
    assert again.receipt == ("duplicate", *first.receipt[1:])


def test_replay_delivers_once_the_reason_is_gone(make: Make) -> None:
    """The limit was too small.  A replay keeps the key, so the agent's own retry is a duplicate then."""
    body = b"line\n" * 1000
    program = make(HAYWAIN_DECODED_BYTES="1024").start()
    path = program.client().ingest("replayed", gzip.compress(body), key="k", headers=GZIP).receipt[1]
    program.stop()
    del program.environment["HAYWAIN_DECODED_BYTES"]
    with haywain.open(str(program.data)) as portal:
        receipt = replay(portal.site, path, SYSTEM)
        with pytest.raises(InvalidError, match="replayed already"):
            replay(portal.site, path, SYSTEM)
        portal.abort()  # and see what has happened since it was opened
        assert portal[receipt.path].read() == body
        retry = Request(
            "default",
            b"replayed",
            gzip.compress(body),
            key="k",
            user=User("admin", MANAGER),
            content_encoding="gzip",
        )
        again = deliver(portal.site, retry)
        assert (again.status, again.path, again.length) == ("duplicate", receipt.path, len(body))
    with haywain.open(str(program.data)) as portal:
        assert portal.catalog(portal_type="Quarantine", state="quarantined").count() == 0
        assert [hit.path for hit in portal.catalog(state="replayed")] == [path]
