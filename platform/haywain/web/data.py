"""`/{path}/data`: the bytes of a stream. Read ranges, replace, append, append at an offset."""

import secrets
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.ingestion.placement import Body, Placement, place
from haywain.ingestion.precondition import Precondition
from haywain.interfaces import ByteStream, IByteStream, IWritableStream
from haywain.portal import Portal
from haywain.values import Receipt
from haywain.web.expired import check_ranges, part_of
from haywain.web.ranges import parse_range
from haywain.web.streamed import Streamed, slot_for

KEY_BYTES = 255

_PLAIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_. ")


def get(context: Document, request: Request) -> Response:
    """Answer bytes: all, one range, or several as multipart/byteranges.

    The bytes are those of one snapshot, even when others append or replace meanwhile.
    """
    portal = request.portal.again()
    try:
        return answer(portal, portal[context.path], request)
    except BaseException:
        portal.close()
        raise


def answer(portal: Portal, document: Any, request: Request) -> Response:  # Any: a ByteStream with a name
    """Return the bytes of a document, or of what looks like one, as asked for; the body owns the portal."""
    stream = part_of(document, request)
    response = _head(document, stream, request)
    if response.status_int == 304:
        portal.close()
        return response
    ranges = _wanted(request, stream)
    if ranges is None:
        pieces: Iterator[bytes | memoryview] = stream.chunks()
    elif len(ranges) == 1:
        start, stop = ranges[0]
        response.status_int, response.content_length = 206, stop - start
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stream.size}"
        pieces = stream.chunks(start, stop)
    else:
        check_ranges(stream, ranges)
        pieces = _multipart(response, stream, ranges)
    length = response.content_length
    if request.method == "HEAD":
        response.app_iter = Streamed(request.environ, iter(()), portal.close)
    else:
        response.app_iter = Streamed(request.environ, pieces, portal.close, slot_for(request, length))
    response.content_length = length
    return response


def _head(document: Any, stream: ByteStream, request: Request) -> Response:
    response = Response(content_type="application/octet-stream", charset=None)
    response.headers["Content-Type"] = stream.content_type
    response.content_length = stream.size
    response.headers["ETag"] = f'"{stream.etag}"'
    response.headers["Last-Modified"] = formatdate(document.modified, usegmt=True)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = _disposition(document, "download" in request.GET)
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    known = tags_of(request, "If-None-Match") or frozenset()
    if known & {f'"{stream.etag}"', f'W/"{stream.etag}"', "*"}:
        response.status_int, response.content_length, response.content_type = 304, None, None
    return response


def tags_of(request: Request, name: str) -> frozenset[str] | None:
    """Return the entity tags of a header as they were sent, or `*`; None without it."""
    header = request.headers.get(name)
    return None if header is None else frozenset(tag.strip() for tag in header.split(","))


def _disposition(document: Any, is_download: bool) -> str:
    name = str(getattr(document, "filename", "") or document.reference or document.id).replace("/", "_")
    plain = "".join(c if c in _PLAIN_NAME else "_" for c in name)
    kind = "attachment" if is_download else "inline"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _wanted(request: Request, stream: ByteStream) -> list[tuple[int, int]] | None:
    header = request.headers.get("Range", "")
    if request.method != "GET" or not header:
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != f'"{stream.etag}"':
        return None
    return parse_range(header, stream.size)


def _multipart(
    response: Response, stream: ByteStream, ranges: list[tuple[int, int]]
) -> Iterator[bytes | memoryview]:
    boundary, size, media = secrets.token_hex(16), stream.size, response.headers["Content-Type"]
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {media}\r\n"
        f"Content-Range: bytes {a}-{b - 1}/{size}\r\n\r\n".encode()
        for a, b in ranges
    ]
    end = f"\r\n--{boundary}--\r\n".encode()
    response.status_int = 206
    response.headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    response.content_length = sum(map(len, heads)) + sum(b - a for a, b in ranges) + len(end)

    def pieces() -> Iterator[bytes | memoryview]:
        for head, (start, stop) in zip(heads, ranges, strict=True):
            yield head
            yield from stream.chunks(start, stop)
        yield end

    return pieces()


def put(context: Document, request: Request) -> Response:
    """Replace the bytes by the body."""
    return _place(context, request, "replace", None)


def post(context: Document, request: Request) -> Response:
    """Append the body."""
    return _place(context, request, "append", None)


def patch(context: Document, request: Request) -> Response:
    """Append the body if the stream ends at `Upload-Offset`, else answer 409 with where it ends."""
    offset = request.headers.get("Upload-Offset", "")
    if not offset.isascii() or not offset.isdigit() or len(offset) > 19:
        raise InvalidError("Say by Upload-Offset where the bytes go: the stream's size as you know it")
    return _place(context, request, "append", int(offset))


def _place(context: Document, request: Request, mode: str, at: int | None) -> Response:
    key = request.headers.get("Idempotency-Key", "")
    if len(key.encode()) > KEY_BYTES:
        raise InvalidError(f"The Idempotency-Key is longer than {KEY_BYTES} bytes")
    only_if = Precondition(tags_of(request, "If-Match"), tags_of(request, "If-None-Match"))
    placement = Placement(context.path, mode, body_of(request), at, key, only_if)
    receipt = place(request.site, placement, request.user)
    return receipt_response(receipt)


def body_of(request: Request) -> Body:
    """Return the body, in memory or in files."""
    pieces = request.environ.get("haywain.pieces")
    return Body(pieces=pieces) if pieces is not None else Body(request.body)


def receipt_response(receipt: Receipt) -> Response:
    """Return a receipt: headers and an empty body."""
    response = Response(b"", status=200, content_type="text/plain", charset="utf-8")
    response.headers.extend(receipt.headers())
    return response


def includeme(config: Configurator) -> None:
    """Register the bytes of all documents that have some."""
    at = {"name": "data"}
    config.add_view(get, context=IByteStream, request_method=("GET", "HEAD"), permission="view", **at)
    for method, view in (("PUT", put), ("POST", post), ("PATCH", patch)):
        config.add_view(view, context=IWritableStream, request_method=method, permission="edit", **at)
