"""The parser on real sockets: what it lets in and where to, what it refuses before reading."""

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.web.serving import (
    DATA,
    INGEST,
    KEY,
    PIECE,
    Running,
    answer,
    ask,
    chunked,
    head,
    is_closed,
    patch,
    until,
)

from haywain.store.upload import Uploads
from haywain.values import GIB, KIB, MIB

# Which body goes where


def test_a_small_body_is_in_memory(running: Running) -> None:
    status, _, seen = ask(running, head("POST", DATA, KEY, "Content-Length: 3"), b"abc")
    assert (status, seen["input"], seen["content_length"]) == (200, [3, hash(b"abc")], "3")
    assert "pieces" not in seen
    assert len(seen["request_id"]) == 16


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"], ids=str.lower)
def test_a_large_body_of_data_goes_to_pieces(running: Running, method: str) -> None:
    data = os.urandom(MIB + 1)
    status, _, seen = ask(running, head(method, DATA, KEY, f"Content-Length: {len(data)}"), data)
    assert (status, seen["pieces"]) == (200, [5, len(data), hash(data)])
    assert (seen["input"], seen["content_length"]) == ([0, hash(b"")], "0")
    until(lambda: running.bodies() == [], "pieces removed after the request")


@pytest.mark.parametrize("size", [1, 1000, 300 * KIB], ids=["bytes", "small", "large"])
def test_a_chunked_body_of_data_goes_to_pieces(running: Running, size: int) -> None:
    data = os.urandom(20_000 if size == 1 else 700 * KIB)
    status, _, seen = ask(running, head("PUT", DATA, KEY, "Transfer-Encoding: chunked"), chunked(data, size))
    assert (status, seen["pieces"][1:]) == (200, [len(data), hash(data)])
    assert seen["content_length"] == "0"


def test_a_large_ingestion_is_an_ordinary_body(running: Running) -> None:
    data = os.urandom(3 * MIB)
    status, _, seen = ask(running, head("POST", INGEST, KEY, f"Content-Length: {len(data)}"), data)
    assert (status, seen["input"], seen["content_length"]) == (200, [len(data), hash(data)], str(len(data)))


def test_chunks_of_an_ingestion_are_joined(running: Running) -> None:
    data = os.urandom(2 * MIB)
    status, _, seen = ask(
        running, head("POST", INGEST, KEY, "Transfer-Encoding: chunked"), chunked(data, 5000)
    )
    assert (status, seen["input"], seen["content_length"]) == (200, [len(data), hash(data)], str(len(data)))


# Refusals before the body


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("POST", INGEST, KEY, f"Content-Length: {GIB}"), 413),
        (head("POST", INGEST, f"Content-Length: {GIB}"), 413),
        (head("POST", "/login", KEY, f"Content-Length: {MIB + 1}"), 413),
        (head("PUT", INGEST, KEY, f"Content-Length: {MIB + 1}"), 413),
        (head("GET", "/", f"Content-Length: {GIB}"), 413),
        (head("POST", INGEST, f"Content-Length: {64 * KIB + 1}"), 401),
        (head("PUT", DATA, f"Content-Length: {GIB}"), 401),
        (head("PUT", DATA, KEY, f"Content-Length: {1 << 59}"), 503),
    ],
    ids=["ingest", "anonymous-ingest", "form", "put-ingest", "get", "ingest-401", "data-401", "disk-503"],
)
@pytest.mark.parametrize("expects", [False, True], ids=["", "expect"])
def test_a_body_is_refused_before_it_is_sent(
    running: Running, request_head: bytes, status: int, expects: bool
) -> None:
    if expects:
        request_head = request_head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    found, headers, problem = ask(running, request_head)
    assert (found, headers["Content-Type"], headers["Connection"]) == (
        status,
        "application/problem+json",
        "close",
    )
    assert (problem["status"], problem["type"], len(problem["request_id"])) == (status, "about:blank", 16)
    assert ("WWW-Authenticate" in headers) == (status == 401)
    assert ("Retry-After" in headers) == (status == 503)


def test_a_cookie_lets_a_body_in(running: Running) -> None:
    data = bytes(2 * MIB)
    assert ask(running, head("PUT", DATA, "Cookie: a=b", f"Content-Length: {len(data)}"), data)[0] == 200


@pytest.mark.parametrize(
    ("path", "headers", "size", "status"),
    [
        (INGEST, [KEY], 2 * MIB, 413),
        (INGEST, [], 100 * KIB, 401),
        (DATA, [], 100 * KIB, 401),
        ("/", [KEY], 2 * MIB, 413),
    ],
    ids=["ingest", "ingest-401", "data-401", "page"],
)
def test_a_chunked_body_is_refused_where_it_passes_the_limit(
    serve: Callable[..., Running], path: str, headers: list[str], size: int, status: int
) -> None:
    running = serve(body_bytes=MIB)
    body = chunked(bytes(size), 10_000)[:-5]  # and does not end
    assert ask(running, head("POST", path, "Transfer-Encoding: chunked", *headers), body)[0] == status


def test_a_growing_body_stops_where_the_disk_is_full(tmp_path: Path, serve: Callable[..., Running]) -> None:
    class Filling(Uploads):
        room = MIB

        def check_room(self, size: int) -> None:
            self.room -= size
            if self.room < 0:
                super().check_room(1 << 60)

    running = serve(Filling(tmp_path / "full", piece_size=PIECE))
    status, headers, _ = ask(
        running, head("PUT", DATA, KEY, "Transfer-Encoding: chunked"), chunked(bytes(2 * MIB), 50_000)
    )
    assert (status, headers["Retry-After"]) == (503, "60")
    until(lambda: running.bodies() == [], "pieces removed")


def test_storage_trouble_is_answered(running: Running) -> None:
    with running.connect() as sock:
        sock.sendall(head("PUT", DATA, KEY, f"Content-Length: {2 * MIB}") + bytes(300 * KIB))
        until(lambda: running.bodies() != [], "pieces begun")
        (running.uploads.path / running.bodies()[0]).rename(running.uploads.path / "gone-away")
        sock.sendall(bytes(2 * MIB - 300 * KIB))
        status, headers, problem = answer(sock)
    assert (status, headers["Retry-After"]) == (503, "60")
    assert "cannot be stored" in problem["detail"]
    Uploads(running.uploads.path)


def test_a_client_that_sends_on_gets_the_refusal(running: Running) -> None:
    """Without the lingering close its kernel would drop the answer at the reset."""
    data = bytes(16 * MIB)
    for _ in range(5):
        request = head("POST", "/login", KEY, f"Content-Length: {len(data)}")
        assert ask(running, request, data)[0] == 413


def test_a_refused_connection_is_closed_though_the_client_stays(running: Running) -> None:
    with running.connect() as sock:
        sock.sendall(head("POST", INGEST, f"Content-Length: {GIB}"))
        assert answer(sock)[0] == 413
        assert is_closed(sock)
        until(lambda: not running.server.active_channels, "closed")


def test_what_follows_a_refused_head_is_not_a_request(running: Running) -> None:
    upload_id = running.new_upload(3)
    refused = head("POST", INGEST, f"Content-Length: {GIB}")
    assert ask(running, refused + patch(upload_id, 0, 3) + b"abc")[0] == 413
    assert running.offset(upload_id) == 0


def test_curl_sees_the_refusal(running: Running, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(GIB)
    url = f"http://127.0.0.1:{running.server.effective_port}{INGEST}"
    for expect in ("Expect:", "Expect: 100-continue"):
        command = [
            "curl",
            "-sS",
            "-w",
            "%{http_code}",
            "-o",
            os.devnull,
            "-H",
            expect,
            "-T",
            big,
            "-X",
            "POST",
            url,
        ]
        assert subprocess.run(command, capture_output=True, text=True, timeout=20).stdout == "413"


# What two programs could read differently


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("GET", "/", host=""), 400),
        (head("GET", "/", "Host: other"), 400),
        (head("GET", "/", "host: localhost"), 400),
        (head("GET", "/", host="Host: a, b"), 400),
        (head("GET", "/", host="Host: a/b@c"), 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (head("POST", "/", "Content-Length: 5", "Transfer-Encoding: chunked"), 400),
        (head("POST", "/", "Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        (head("POST", "/", "Content-Length: 5", "Content-Length: 6"), 400),
        (head("POST", "/", "Content-Length: 5, 5"), 400),
        (head("POST", "/", "Content-Length: +5"), 400),
        (head("POST", "/", "Content-Length: " + "9" * 5000), 400),
        (head("POST", "/", "Content-Length: " + "9" * 19), 400),
        (head("POST", "/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
        (head("POST", "/", "Transfer-Encoding: chunked, chunked"), 400),
        (head("POST", "/", "Transfer-Encoding:"), 400),
        (head("POST", "/", "Transfer-Encoding: gzip"), 501),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\nHost: a\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (head("GET", "/", "X : y"), 400),
        (head("GET", "/", "X: a\nY: b"), 400),
        (head("GET", "/", "X: " + "y" * 300_000), 431),
        (head("POST", "/", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (head("POST", "/", "Transfer-Encoding: chunked") + b"1" * 40_000, 400),
        (head("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n" + b"x: y\r\n" * 10_000, 400),
    ],
    ids=[
        "no-host",
        "two-hosts",
        "two-hosts-case",
        "host-list",
        "host-path",
        "two-hosts-1.0",
        "cl-te",
        "te-cl",
        "two-lengths",
        "length-list",
        "length-sign",
        "length-digits",
        "length-huge",
        "two-te",
        "te-twice",
        "te-empty",
        "te-gzip",
        "te-1.0",
        "http2",
        "no-version",
        "lower-case",
        "half-uri",
        "space-colon",
        "bare-lf",
        "long-header",
        "chunk-size",
        "chunk-line",
        "trailer",
    ],
)
def test_what_is_ambiguous_is_refused(running: Running, request_head: bytes, status: int) -> None:
    found, headers, problem = ask(running, request_head)
    assert (found, headers["Content-Type"], problem["status"]) == (status, "application/problem+json", status)


def test_http_1_0_needs_no_host(running: Running) -> None:
    assert ask(running, b"GET / HTTP/1.0\r\n\r\n")[0] == 200


def test_headers_cannot_set_what_the_server_says(running: Running) -> None:
    _, _, seen = ask(running, head("GET", "/", "haywain.upload_id: x", "Haywain.Pieces: x"))
    assert (seen["upload_id"], "pieces" in seen) == (None, False)


# Uploads


def test_uploads_continue_byte_for_byte_after_cuts(running: Running) -> None:
    data = os.urandom(900 * KIB)
    upload_id = running.new_upload(len(data))
    for cut in (1, 300 * KIB, 700 * KIB):
        with running.connect() as sock:
            start = running.offset(upload_id)
            sock.sendall(patch(upload_id, start, len(data) - start) + data[start:cut])
            until(lambda cut=cut: running.offset(upload_id) == cut, "bytes on disk")  # type: ignore[misc]
        until(lambda: not running.server.active_channels, "closed")
    status, _, seen = ask(running, patch(upload_id, cut, len(data) - cut), data[cut:])
    assert (status, seen["upload_id"], seen["upload_start"]) == (200, upload_id, cut)
    assert (seen["input"], seen["content_length"]) == ([0, hash(b"")], "0")
    upload = running.uploads.get(upload_id)
    assert upload.is_complete
    assert b"".join(upload.pieces.chunks()) == data


def test_a_chunked_upload_is_stored(running: Running) -> None:
    data = os.urandom(600 * KIB)
    upload_id = running.new_upload(len(data))
    request = patch(upload_id, 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    assert ask(running, request, chunked(data, 7000))[0] == 200
    assert b"".join(running.uploads.get(upload_id).pieces.chunks()) == data


def test_a_chunked_upload_ends_where_it_was_announced_to(running: Running) -> None:
    upload_id = running.new_upload(100_000)
    request = patch(upload_id, 0, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    assert ask(running, request, chunked(bytes(200_000), 5000))[0] == 400
    assert running.offset(upload_id) <= 100_000


def test_the_next_bytes_may_follow_the_answer_at_once(running: Running) -> None:
    upload_id = running.new_upload(300)
    for offset in range(300):
        assert ask(running, patch(upload_id, offset, 1), b"x")[0] == 200


def test_an_empty_patch_of_a_complete_upload_reaches_the_application(running: Running) -> None:
    upload_id = running.new_upload(0)
    status, _, seen = ask(running, patch(upload_id, 0, 0))
    assert (status, seen["upload_id"], seen["upload_start"]) == (200, upload_id, 0)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"uploads/", b"uploads/" + b"0" * 32 + b"?", 404),
        (b"Upload-Offset: 3", b"Upload-Offset: 2", 409),
        (b"Upload-Offset: 3", b"Upload-Offset: -3", 400),
        (b"Upload-Offset: 3", b"X: y", 400),
        (b"Content-Length: 4", b"Content-Length: 8", 400),
        (b"application/offset+octet-stream", b"text/plain", 415),
        (b"Tus-Resumable: 1.0.0", b"Tus-Resumable: 0.2.2", 412),
    ],
    ids=["unknown", "offset", "negative", "no-offset", "too-long", "type", "version"],
)
def test_a_wrong_patch_is_refused_at_its_head(running: Running, old: bytes, new: bytes, status: int) -> None:
    upload_id = running.new_upload(10)
    assert ask(running, patch(upload_id, 0, 3), b"abc")[0] == 200
    found, headers, _ = ask(running, patch(upload_id, 3, 4).replace(old, new))
    assert (found, headers["Tus-Resumable"]) == (status, "1.0.0")
    assert headers.get("Upload-Offset") == ("3" if status == 409 else None)
    assert headers.get("Tus-Version") == ("1.0.0" if status == 412 else None)
    assert ask(running, patch(upload_id, 3, 7), b"defghij")[0] == 200


def checksum(data: bytes) -> str:
    return f"Upload-Checksum: sha1 {base64.b64encode(hashlib.sha1(data).digest()).decode()}"


def test_bytes_with_a_wrong_checksum_are_dropped_and_may_come_again(running: Running) -> None:
    upload_id = running.new_upload(10)
    assert ask(running, patch(upload_id, 0, 3, checksum(b"abc")), b"abc")[0] == 200
    status, headers, problem = ask(running, patch(upload_id, 3, 7, checksum(b"other")), b"defghij")
    assert (status, headers["Tus-Resumable"], problem["title"]) == (460, "1.0.0", "Checksum mismatch")
    assert running.offset(upload_id) == 3
    assert ask(running, patch(upload_id, 3, 7, checksum(b"defghij")), b"defghij")[0] == 200
    assert running.offset(upload_id) == 10


def test_bytes_of_a_cut_connection_with_a_checksum_do_not_count(running: Running) -> None:
    upload_id = running.new_upload(10)
    with running.connect() as sock:
        sock.sendall(patch(upload_id, 0, 10, checksum(b"abcdefghij")) + b"abc")
    until(lambda: ask(running, patch(upload_id, 0, 10), b"0123456789")[0] == 200, "the cut is noticed")
    upload = running.uploads.get(upload_id)
    assert b"".join(upload.pieces.chunks()) == b"0123456789"


@pytest.mark.parametrize("value", ["", "crc32 AAAA", "sha1 !"], ids=["empty", "unknown", "no-base64"])
def test_a_checksum_that_makes_no_sense_is_refused_at_its_head(running: Running, value: str) -> None:
    upload_id = running.new_upload(10)
    assert ask(running, patch(upload_id, 0, 3, f"Upload-Checksum: {value}"))[0] == 400
    assert ask(running, patch(upload_id, 0, 3), b"abc")[0] == 200


def test_a_client_that_knows_only_post_may_name_the_method(running: Running) -> None:
    upload_id = running.new_upload(3)
    request = patch(upload_id, 0, 3, "X-HTTP-Method-Override: PATCH").replace(b"PATCH /", b"POST /", 1)
    assert ask(running, request, b"abc")[0] == 200
    assert running.offset(upload_id) == 3


def test_a_method_is_named_for_uploads_alone(running: Running) -> None:
    sent = head(
        "POST", "/data_stream_module/1/uploads", KEY, "X-HTTP-Method-Override: PATCH", "Content-Length: 3"
    )
    _, _, seen = ask(running, sent, b"abc")
    assert seen["input"] == [3, hash(b"abc")]


def test_first_bytes_of_an_upload_go_to_pieces(running: Running) -> None:
    data = os.urandom(2 * MIB)
    sent = head("POST", "/data_stream_module/1/uploads", KEY, f"Content-Length: {len(data)}")
    status, _, seen = ask(running, sent, data)
    assert (status, seen["pieces"]) == (200, [8, len(data), hash(data)])


def test_one_connection_at_a_time_writes_an_upload(running: Running) -> None:
    upload_id = running.new_upload(10)
    with running.connect() as first:
        first.sendall(patch(upload_id, 0, 10) + b"abc")
        until(lambda: running.offset(upload_id) == 3, "bytes on disk")
        status, headers, _ = ask(running, patch(upload_id, 3, 7))
        assert (status, headers["Tus-Resumable"]) == (423, "1.0.0")
        first.sendall(b"defghij")
        assert answer(first)[0] == 200
    assert running.uploads.get(upload_id).is_complete


def test_a_silent_connection_gives_way(tmp_path: Path, serve: Callable[..., Running]) -> None:
    running = serve(Uploads(tmp_path / "uploads", stale_s=0.05))
    upload_id = running.new_upload(6)
    with running.connect() as first:
        first.sendall(patch(upload_id, 0, 6) + b"abc")
        until(lambda: running.offset(upload_id) == 3, "bytes on disk")
        until(lambda: ask(running, patch(upload_id, 3, 3), b"def")[0] == 200, "taken over")
        first.sendall(b"DEF")
        assert answer(first)[0] == 423
    assert b"".join(running.uploads.get(upload_id).pieces.chunks()) == b"abcdef"
