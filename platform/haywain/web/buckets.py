"""`/{path}/buckets`: the small files of a Data Bucket Stream.

    GET    /{path}/buckets?start=&limit=              {"items", "count", "next"} in the order of the keys
    GET    /{path}/buckets?order=index&start=&limit=  the same in the order in which they came, by number
    GET, HEAD, PUT, DELETE /{path}/buckets/{key}      the bytes of one, with ETag, ranges and conditions

A key is any text, percent-encoded; it is no path, so that slashes and dots in it mean nothing.
"""

import mimetypes
import re
from collections.abc import Iterator
from typing import Any, cast

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain import clock
from haywain.document import Document
from haywain.errors import InvalidError, NotFoundError, PreconditionError
from haywain.ingestion.placement import Body
from haywain.interfaces import IBuckets
from haywain.store.buckets import Bucket, check_bucket
from haywain.web.data import answer, body_of, tags_of
from haywain.web.documents import json_response

LIMIT, MOST = 100, 1000
_PLACE = re.compile(r"/+[^/]+/+[^/]+/+buckets/(.*)", re.DOTALL)
_types = mimetypes.MimeTypes(filenames=())


class BucketBytes:
    """A bucket as the bytes of an answer."""

    def __init__(self, key: str, bucket: Bucket) -> None:
        """Show a bucket; its name is the last part of the key."""
        self.id = self.reference = key.rpartition("/")[2] or "bucket"
        self.size, self.etag, self.modified = bucket.size, bucket.etag, bucket.modified
        self.content_type = _types.guess_type(f"./{self.id}")[0] or "application/octet-stream"
        self._bucket = bucket

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop)."""
        return self._bucket.chunks(start, stop)


def key_of(request: Request) -> str:
    """Return the key in an address as it was sent, "" without one: no slash or dot in it is of a path."""
    found = _PLACE.fullmatch(request.environ["PATH_INFO"])
    return found[1].encode("latin-1").decode() if found else ""


def get(context: Document, request: Request) -> Response:
    """Answer the bytes of a key, or without a key the list."""
    key = key_of(request)
    if not key:
        return json_response(_page(context, request))
    portal = request.site.open(request.user)
    try:
        stream: Any = portal[context.path]  # Any: IBuckets
        return answer(portal, BucketBytes(key, stream.bucket(key)), request)
    except BaseException:
        portal.close()
        raise


def _page(context: Any, request: Request) -> dict[str, Any]:  # Any: IBuckets; JSON
    order, limit = request.GET.get("order", "key"), _number(request, "limit", LIMIT, MOST)
    if order not in ("key", "index"):
        raise InvalidError("order is key or index")
    if order == "key":
        start = request.GET.get("start") or None
        found = [_told(key, bucket) for key, bucket in context.buckets(start, count=limit + 1)]
    else:
        first = _number(request, "start", 0, 1 << 62)
        found = [
            {"index": index} | _told(key, context.bucket(key))
            for index, key in context.index_keys(first, count=limit + 1)
        ]
    following = found[limit][order] if len(found) > limit else None
    return {"items": found[:limit], "count": context.count, "next": following}


def _told(key: str, bucket: Bucket) -> dict[str, Any]:  # Any: JSON
    return {"key": key, "size": bucket.size, "modified": clock.iso(bucket.modified), "etag": bucket.etag}


def _number(request: Request, name: str, default: int, most: int) -> int:
    value = request.GET.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or len(value) > 19 or int(value) > most:
        raise InvalidError(f"{name} is a whole number up to {most}")
    return int(value)


def put(context: Document, request: Request) -> Response:
    """Store the body under a key: 201 if the key is new, 204 if other bytes were there."""
    stream, key, body = cast(Any, context), _named(request), body_of(request)
    body.fsync()
    _check(request, stream.bucket(key) if key in stream else None)
    is_new = _insert(stream, key, body)
    response = Response(b"", status=201 if is_new else 204)
    response.headers["ETag"] = f'"{stream.bucket(key).etag}"'
    return response


def _insert(stream: Any, key: str, body: Body) -> bool:  # Any: IBuckets
    if body.pieces is None:
        return bool(stream.insert(key, body.data))
    check_bucket(key, body.pieces.size)  # so that it is one file, if any
    paths = body.pieces.paths()
    return bool(stream.insert_file(key, paths[0]) if paths else stream.insert(key, b""))


def delete(context: Document, request: Request) -> Response:
    """Forget the bucket of a key."""
    stream, key = cast(Any, context), _named(request)
    _check(request, stream.bucket(key))
    stream.delete(key)
    return Response(status=204)


def _named(request: Request) -> str:
    key = key_of(request)
    if not key:
        raise NotFoundError("Name a bucket: /buckets/KEY, the key percent-encoded")
    return key


def _check(request: Request, bucket: Bucket | None) -> None:
    """Raise PreconditionError unless the bucket is as `If-Match` and `If-None-Match` demand."""
    match, none_match = tags_of(request, "If-Match"), tags_of(request, "If-None-Match")
    tags = {"*", f'"{bucket.etag}"'} if bucket is not None else set()
    if match is not None and not match & tags:
        raise PreconditionError("The bucket is not that of If-Match; read it again before you write")
    if none_match is not None and none_match & tags:
        raise PreconditionError("There is such a bucket already, as If-None-Match forbids")


def includeme(config: Configurator) -> None:
    """Register the buckets of all documents that have some."""
    at = {"context": IBuckets, "name": "buckets", "takes_subpath": True}
    config.add_view(get, request_method=("GET", "HEAD"), permission="view", **at)
    for method, view in (("PUT", put), ("DELETE", delete)):
        config.add_view(view, request_method=method, permission="edit", **at)
