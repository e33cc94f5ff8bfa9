"""A plain client of tus 1.0, as https://tus.io/protocols/resumable-upload describes it."""

import base64
import http.client
from collections.abc import Iterable
from urllib.parse import urlsplit

from tests.functional.program import ADMIN, Answer, Client

VERSION = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream"}


def create(client: Client, path: str, length: int, **metadata: str) -> str:
    """Begin an upload; return its path."""
    pairs = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items()
    )
    headers = VERSION | {"Upload-Length": str(length)} | ({"Upload-Metadata": pairs} if pairs else {})
    answer = client("POST", f"/{path}/uploads", None, headers)
    assert answer.status == 201, answer.body
    assert answer.headers["Location"].startswith(f"/{path}/uploads/")
    return answer.headers["Location"]


def offset(client: Client, upload: str) -> int:
    """Return how many bytes have arrived."""
    answer = client("HEAD", upload, None, VERSION)
    assert answer.status == 200
    return int(answer.headers["Upload-Offset"])


def patch(client: Client, upload: str, at: int, body: bytes) -> Answer:
    """Send bytes that begin at an offset."""
    return client("PATCH", upload, body, VERSION | BYTES | {"Upload-Offset": str(at)})


def patch_and_cut(url: str, upload: str, at: int, length: int, body: Iterable[bytes]) -> None:
    """Announce so many bytes, send fewer of them, and hang up."""
    _begin(url, upload, at, length, body).close()


def patch_stream(
    url: str, upload: str, at: int, length: int, body: Iterable[bytes]
) -> tuple[int, str | None]:
    """Send so many bytes as they are made; return the status and the offset of the answer."""
    connection = _begin(url, upload, at, length, body)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["Upload-Offset"]


def _begin(url: str, upload: str, at: int, length: int, body: Iterable[bytes]) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    connection.putrequest("PATCH", upload)
    sent = ADMIN | VERSION | BYTES | {"Upload-Offset": str(at), "Content-Length": str(length)}
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders()
    for piece in body:
        connection.send(piece)
    return connection
