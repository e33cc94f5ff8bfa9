"""Resumable uploads: byte for byte over cuts and kills, and into the stream exactly once."""

import http.client
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from tests.functional import tus
from tests.functional.program import ADMIN, Client, Make, Program, until

from haywain.values import MIB


def test_options_tell_what_is_supported(client: Client) -> None:
    path = client.stream("tus-options")
    answer = client("OPTIONS", f"/{path}/uploads")
    assert answer.status == 204
    assert (answer.headers["Tus-Version"], answer.headers["Tus-Resumable"]) == ("1.0.0", "1.0.0")
    assert {"creation", "termination"} <= set(answer.headers["Tus-Extension"].split(","))


def test_upload_in_two_parts_is_appended(client: Client) -> None:
    path, body = client.stream("tus-append", b"before "), os.urandom(3000)
    upload = tus.create(client, path, len(body), filename="näme.wav")
    assert tus.offset(client, upload) == 0
    first = tus.patch(client, upload, 0, body[:1000])
    assert (first.status, first.headers["Upload-Offset"], first.headers["Tus-Resumable"]) == (
        204,
        "1000",
        "1.0.0",
    )
    assert client.data(path) == b"before "
    assert tus.patch(client, upload, 1000, body[1000:]).headers["Upload-Offset"] == "3000"
    assert client.data(path) == b"before " + body
    head = client("HEAD", upload, None, tus.VERSION)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("3000", "3000")
    assert head.headers["Cache-Control"] == "no-store"


def test_upload_replaces(client: Client) -> None:
    path, body = client.stream("tus-replace", b"before"), os.urandom(2 * MIB)
    upload = tus.create(client, path, len(body), mode="replace")
    assert tus.patch(client, upload, 0, body).status == 204
    assert client.data(path) == body


def test_upload_of_nothing_is_complete_at_once(client: Client) -> None:
    path = client.stream("tus-nothing", b"before")
    assert tus.offset(client, tus.create(client, path, 0, mode="replace")) == 0
    assert client.data(path) == b""


def test_upload_larger_than_a_piece(client: Client) -> None:
    """Piece files of 64 MiB become segments by rename; the bytes around their borders stay in order."""
    path, body = client.stream("tus-large", b"before "), os.urandom(MIB) * 130 + b"end"
    upload = tus.create(client, path, len(body))
    assert tus.patch(client, upload, 0, body[: 65 * MIB]).status == 204
    assert tus.patch(client, upload, 65 * MIB, body[65 * MIB :]).status == 204
    assert client.data(path) == b"before " + body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 412, id="no-version"),
        pytest.param({"Tus-Resumable": "0.2.2", "Upload-Length": "1"}, 412, id="other-version"),
        pytest.param(tus.VERSION, 400, id="no-length"),
        pytest.param(tus.VERSION | {"Upload-Length": "-1"}, 400, id="negative"),
        pytest.param(tus.VERSION | {"Upload-Length": "9" * 19}, 400, id="huge"),
        pytest.param(tus.VERSION | {"Upload-Length": "9" * 17}, 503, id="larger-than-the-disk"),
        pytest.param(tus.VERSION | {"Upload-Length": "1", "Upload-Metadata": "mode !"}, 400, id="no-base64"),
        pytest.param(tus.VERSION | {"Upload-Length": "1", "Upload-Metadata": "mode eA=="}, 400, id="mode"),
    ],
)
def test_creation_that_makes_no_sense(client: Client, headers: dict[str, str], status: int) -> None:
    path = client.stream(f"tus-bad-{status}-{len(headers)}-{abs(hash(str(headers)))}")
    assert client("POST", f"/{path}/uploads", None, headers).status == status


def test_patch_that_makes_no_sense_changes_nothing(client: Client) -> None:
    path = client.stream("tus-bad-patch")
    upload = tus.create(client, path, 100)
    assert tus.patch(client, upload, 0, b"x" * 10).status == 204
    wrong_offset = tus.patch(client, upload, 5, b"y")
    assert wrong_offset.status == 409
    good = tus.VERSION | tus.BYTES | {"Upload-Offset": "10"}
    for headers, status in (
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Content-Type": "text/plain"}, 415),
        ({"Upload-Offset": "ten"}, 400),
    ):
        assert client("PATCH", upload, b"y", good | headers).status == status
    assert tus.patch(client, upload, 10, b"y" * 91).status == 400
    assert client("HEAD", upload, None, {"Tus-Resumable": "0.2.2"}).status == 412
    assert tus.offset(client, upload) == 10
    assert client.data(path) == b""


def test_removed_upload_is_gone(client: Client) -> None:
    path = client.stream("tus-removed")
    upload = tus.create(client, path, 10)
    assert tus.patch(client, upload, 0, b"12345").status == 204
    assert client("DELETE", upload, None, tus.VERSION).status == 204
    assert client("HEAD", upload, None, tus.VERSION).status == 404
    assert tus.patch(client, upload, 5, b"67890").status == 404
    assert client.data(path) == b""


def test_upload_belongs_to_its_stream(client: Client) -> None:
    upload = tus.create(client, client.stream("tus-mine"), 10)
    other = client.stream("tus-other")
    elsewhere = f"/{other}/uploads/{upload.rpartition('/')[2]}"
    assert client("HEAD", elsewhere, None, tus.VERSION).status == 404
    assert client("HEAD", f"/{other}/uploads/{'0' * 32}", None, tus.VERSION).status == 404
    assert client("POST", "/data_stream_module/unknown/uploads", None, tus.VERSION).status == 404


def test_cut_connection_resumes_where_the_bytes_end(program: Program, client: Client) -> None:
    path, body = client.stream("tus-cut"), os.urandom(4 * MIB)
    upload = tus.create(client, path, len(body))
    tus.patch_and_cut(program.url, upload, 0, len(body), [body[: MIB + 7]])
    at = until(lambda: tus.offset(client, upload), "bytes of the cut connection")
    until(lambda: tus.offset(client, upload) == MIB + 7, "all of them")
    at = tus.offset(client, upload)
    assert tus.patch(client, upload, at, body[at:]).status == 204
    assert client.data(path) == body


def test_lost_answer_of_the_last_part_does_no_harm(program: Program, client: Client) -> None:
    path, body = client.stream("tus-lost", b"before "), os.urandom(2 * MIB)
    upload = tus.create(client, path, len(body))
    tus.patch_and_cut(program.url, upload, 0, len(body), [body])
    until(lambda: tus.offset(client, upload) == len(body), "all bytes")
    until(lambda: client.data(path) == b"before " + body, "the upload to be completed")
    assert tus.patch(client, upload, len(body), b"").headers["Upload-Offset"] == str(len(body))
    assert tus.offset(client, upload) == len(body)
    assert client.data(path) == b"before " + body


def test_questions_while_an_upload_completes_never_go_back(client: Client) -> None:
    """The bytes leave the upload when they are in the stream: who asks just then must not be told 0."""
    path, body = client.stream("tus-asked"), os.urandom(MIB) * 24
    upload = tus.create(client, path, len(body))
    assert tus.patch(client, upload, 0, body[:-1]).status == 204

    def ask(_: int) -> list[int]:
        told = [tus.offset(client, upload)]
        while told[-1] < len(body):
            told.append(tus.offset(client, upload))
        return told

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, number) for number in range(6)]
        assert tus.patch(client, upload, len(body) - 1, body[-1:]).headers["Upload-Offset"] == str(len(body))
        told = [one.result() for one in asked]
    assert all(offsets == sorted(offsets) and offsets[0] >= len(body) - 1 for offsets in told)
    assert client.data(path) == body


def test_cut_and_killed_upload_resumes_and_is_stored_once(make: Make) -> None:
    program = make().start()
    client, body = program.client(), os.urandom(4 * MIB)
    path = client.stream("tus-killed", b"before ")
    upload = tus.create(client, path, len(body))
    tus.patch_and_cut(program.url, upload, 0, len(body), [body[: 2 * MIB + 7]])
    until(lambda: tus.offset(client, upload) == 2 * MIB + 7, "the bytes of the cut connection")
    connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=20)
    connection.putrequest("PATCH", upload)
    headers = ADMIN | tus.VERSION | tus.BYTES | {"Upload-Offset": str(2 * MIB + 7)}
    for name, value in (headers | {"Content-Length": str(2 * MIB - 7)}).items():
        connection.putheader(name, value)
    connection.endheaders(body[2 * MIB + 7 : 3 * MIB])
    until(lambda: tus.offset(client, upload) == 3 * MIB, "more bytes")
    program.kill()
    connection.close()
    client = program.start().client()
    assert tus.offset(client, upload) == 3 * MIB
    assert tus.patch(client, upload, 3 * MIB, body[3 * MIB :]).status == 204
    program.kill()
    client = program.start().client()
    assert tus.offset(client, upload) == len(body)
    assert client.data(path) == b"before " + body
