"""Uploads without a socket: what the protocol says about each request."""

import base64
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import pytest
from webtest import TestApp, TestResponse

from haywain import clock
from haywain.errors import InvalidError
from haywain.portal import Site
from haywain.web.tus import parse_metadata

Client = Callable[..., TestApp]
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"


def encoded(**values: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


@pytest.fixture
def url(site: Site, application: object) -> str:
    return f"/{site.transact(lambda p: p.new('Data Stream').path)[0]}"


def begin(client: TestApp, url: str, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.post(f"{url}/uploads", headers={"Upload-Length": "3"} | TUS | named, status=201)
    return response.headers["Location"].removeprefix("http://localhost")


def write(site: Site, location: str, data: bytes, offset: int = 0) -> None:
    """Do what the server does with the bytes of a PATCH."""
    writer = site.uploads.writer(location.rpartition("/")[2], offset)
    writer.append(data)
    writer.seal()
    writer.close()


@pytest.mark.parametrize(("mode", "expected"), [("append", b"oldabc"), ("replace", b"abc")])
def test_complete_upload_is_put_into_the_stream_once(
    site: Site, program: Client, url: str, mode: str, expected: bytes
) -> None:
    client = program("editor")
    client.put(f"{url}/data", b"old", content_type="application/octet-stream")
    location = begin(client, url, Upload_Metadata=encoded(mode=mode, filename="\u0436.wav"))
    assert client.head(location, headers=TUS).headers["Upload-Offset"] == "0"
    write(site, location, b"abc")
    for _ in range(2):
        response = client.patch(
            location,
            b"",
            headers=TUS | {"Upload-Offset": "3"},
            content_type="application/offset+octet-stream",
        )
        assert response.status_int == 204 and response.headers["Upload-Offset"] == "3"
        assert client.head(location, headers=TUS).headers["Upload-Offset"] == "3"
    assert client.get(f"{url}/data").body == expected


def test_upload_without_bytes_is_complete_at_once(program: Client, url: str) -> None:
    client = program("editor")
    client.put(f"{url}/data", b"old", content_type="application/octet-stream")
    begin(client, url, Upload_Length="0", Upload_Metadata=encoded(mode="replace"))
    assert client.get(f"{url}/data").body == b""


def test_options_tell_what_there_is(program: Client, url: str) -> None:
    headers = program("editor").options(f"{url}/uploads", status=204).headers
    assert headers["Tus-Version"] == "1.0.0"
    assert set(headers["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "termination", "expiration", "checksum",
    }  # fmt: skip
    assert headers["Tus-Checksum-Algorithm"] == "sha1,sha256,md5"
    assert int(headers["Tus-Max-Size"]) > 1 << 20


def test_ended_upload_is_gone(program: Client, url: str) -> None:
    client = program("editor")
    location = begin(client, url)
    client.delete(location, headers=TUS, status=204)
    client.head(location, headers=TUS, status=404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 412),
        ({"Tus-Resumable": "0.2"}, 412),
        (TUS, 400),
        (TUS | {"Upload-Length": "-1"}, 400),
        (TUS | {"Upload-Length": "x"}, 400),
        (TUS | {"Upload-Length": "1" * 19}, 400),
        (TUS | {"Upload-Length": "9" * 18}, 503),
        (TUS | {"Upload-Length": "\xb2"}, 400),
        (TUS | {"Upload-Length": "1", "Upload-Metadata": "mode !"}, 400),
        (TUS | {"Upload-Length": "1", "Upload-Metadata": encoded(mode="erase")}, 400),
        (TUS | {"Upload-Length": "1", "Upload-Metadata": "filename /w=="}, 400),
    ],
    ids=range(11),
)
def test_upload_without_sense_is_refused(
    program: Client, url: str, headers: dict[str, str], status: int
) -> None:
    answer = program("editor").post(f"{url}/uploads", headers=headers, status=status)
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers.get("Tus-Version") == ("1.0.0" if status == 412 else None)


@pytest.mark.parametrize(
    "id", ["", "x", "../x", "0" * 32, "%00", "0" * 31 + "G", "a/b", "body-x"], ids=range(8)
)
def test_unknown_upload_is_404(program: Client, url: str, id: str) -> None:
    for method in ("HEAD", "PATCH", "DELETE"):
        response = program("editor").request(
            f"{url}/uploads/{id}", method=method, headers=TUS, expect_errors=True
        )
        assert response.status_int == 404


def test_upload_belongs_to_its_stream(site: Site, program: Client, url: str) -> None:
    client = program("editor")
    location = begin(client, url)
    other, _ = site.transact(lambda p: p.new("Data Stream").path)
    elsewhere = f"/{other}/uploads/{location.rpartition('/')[2]}"
    for method in ("HEAD", "PATCH", "DELETE"):
        assert client.request(elsewhere, method=method, headers=TUS, expect_errors=True).status_int == 404
    client.head(location, headers=TUS, status=200)


@pytest.mark.parametrize("login", ["viewer", "agent"])
def test_who_may_not_edit_may_not_upload(program: Client, url: str, login: str) -> None:
    location = begin(program("editor"), url)
    client = program(login)
    client.post(f"{url}/uploads", headers=TUS | {"Upload-Length": "1"}, status=403)
    for method in ("HEAD", "PATCH", "DELETE"):
        assert client.request(location, method=method, headers=TUS, expect_errors=True).status_int == 403


def test_metadata() -> None:
    assert parse_metadata("") == {} and parse_metadata("a,b YQ==") == {"a": "", "b": "a"}
    for bad in ("a !", "a YQ", "a /w==", "a \xe9"):
        with pytest.raises(InvalidError):
            parse_metadata(bad)


def date_of(answer: TestResponse) -> float:
    return parsedate_to_datetime(answer.headers["Upload-Expires"]).timestamp()


def test_upload_tells_until_when_it_is_kept(site: Site, program: Client, url: str) -> None:
    client = program("editor")
    created = client.post(f"{url}/uploads", headers=TUS | {"Upload-Length": "3"}, status=201)
    location = created.headers["Location"].removeprefix("http://localhost")
    week = pytest.approx(clock.now_s() + 7 * 86_400, abs=60)
    assert date_of(created) == week and date_of(client.head(location, headers=TUS)) == week
    write(site, location, b"abc")
    assert "Upload-Expires" not in client.head(location, headers=TUS).headers


def test_metadata_is_told_as_it_came(program: Client, url: str) -> None:
    sent = encoded(mode="append", filename="\u0436.wav") + ",private"
    client = program("editor")
    assert (
        client.head(begin(client, url, Upload_Metadata=sent), headers=TUS).headers["Upload-Metadata"] == sent
    )


@pytest.mark.parametrize("length", [3, 5], ids=["all", "some"])
def test_first_bytes_come_with_the_creation(program: Client, url: str, length: int) -> None:
    client = program("editor")
    sent = TUS | {"Upload-Length": str(length), "Content-Type": BYTES}
    answer = client.post(f"{url}/uploads", b"abc", headers=sent, status=201)
    assert answer.headers["Upload-Offset"] == "3"
    assert client.get(f"{url}/data").body == (b"abc" if length == 3 else b"")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Upload-Length": "2"}, 400, id="more-than-announced"),
        pytest.param({"Content-Type": "text/plain"}, 415, id="content-type"),
        pytest.param({"Upload-Checksum": f"sha1 {base64.b64encode(bytes(20)).decode()}"}, 460, id="checksum"),
        pytest.param({"Upload-Checksum": "crc32 AAAA"}, 400, id="algorithm"),
    ],
)
def test_first_bytes_that_make_no_sense_begin_no_upload(
    site: Site, program: Client, url: str, headers: dict[str, str], status: int
) -> None:
    sent = TUS | {"Upload-Length": "3", "Content-Type": BYTES} | headers
    answer = program("editor").post(f"{url}/uploads", b"abc", headers=sent, status=status)
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert not [path for path in site.uploads.path.iterdir() if path.name.startswith(("body-", "new-"))]


def test_uploads_are_not_joined(program: Client, url: str) -> None:
    answer = program("editor").post(f"{url}/uploads", headers=TUS | {"Upload-Concat": "partial"}, status=400)
    assert "Upload-Concat" in answer.json["detail"]
