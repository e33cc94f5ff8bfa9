"""The page of a Data Bucket Stream: its keys with their sizes, each to be downloaded, and a file to add."""

import shlex
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import InvalidError
from haywain.interfaces import IBuckets
from haywain.security import may
from haywain.store.buckets import Bucket
from haywain.web.pages.document import Fact, links_of
from haywain.web.pages.figures import Moment, count_text, size_text
from haywain.web.pages.forms import text_in
from haywain.web.pages.page import Values, add_page, command_of, head_of, href_of, see, url_of

PER_PAGE = 50


@dataclass(frozen=True)
class Row:
    """A bucket in the list."""

    key: str
    href: str
    size: str
    exactly: str
    moment: Moment


def show(context: Document, request: Request) -> Values:
    """Show a page of the keys, from `?start=` on."""
    stream: Any = context  # Any: IBuckets
    start = request.GET.get("start") or None
    found = list(stream.buckets(start, count=PER_PAGE + 1))
    following = f"?{urlencode({'start': found[PER_PAGE][0]})}" if len(found) > PER_PAGE else ""
    return {
        "head": head_of(context, request),
        "size": size_text(stream.size),
        "facts": _facts(context, request),
        "description": context.properties.description,
        "rows": [_row(context, key, bucket) for key, bucket in found[:PER_PAGE]],
        "count": count_text(stream.count, "bucket"),
        "first_href": href_of(context.path) if start else "",
        "next_href": following,
        "may_add": may(request.user, "edit", context),
        "commands": _commands(context, request),
    }


def _row(document: Document, key: str, bucket: Bucket) -> Row:
    href = f"{href_of(document.path)}/buckets/{quote(key, safe='')}?download=1"
    exactly = count_text(bucket.size, "byte")
    return Row(key, href, size_text(bucket.size), exactly, Moment.at(bucket.modified))


def _facts(document: Document, request: Request) -> list[Fact]:
    stream: Any = document  # Any: IBuckets
    return [
        Fact("Buckets", f"{stream.count:,}"),
        Fact("Exactly", count_text(stream.size, "byte")),
        *links_of(document, request),
        Fact("Last change", "", moment=Moment.at(document.modified)),
        Fact("Created", "", moment=Moment.at(document.created)),
        Fact("Path", document.path),
    ]


def _commands(document: Document, request: Request) -> tuple[tuple[str, str], ...]:
    """Return what a person can paste into a shell."""
    url, login = f"{url_of(request, document.path)}/buckets", shlex.quote(request.user.login)
    read = [
        ("List the keys", command_of(f"curl --user {login}", shlex.quote(f"{url}?limit=100"))),
        ("Read one", command_of(f"curl --user {login}", "--output FILE", shlex.quote(f"{url}/KEY"))),
    ]
    write = [
        ("Store a file", command_of(f"curl --user {login}", "--upload-file FILE", shlex.quote(f"{url}/KEY"))),
        ("Delete one", command_of(f"curl --user {login}", "--request DELETE", shlex.quote(f"{url}/KEY"))),
    ]
    return tuple([*read, *write] if may(request.user, "edit", document) else read)


def upload(context: Document, request: Request) -> Response:
    """Store a file of a form under the key given there, else under its name."""
    file = request.POST.get("file")
    if not hasattr(file, "file") or not file.filename:
        raise InvalidError("Choose a file first")
    stream = cast(Any, context)  # Any: IBuckets
    stream.insert(text_in(request.POST, "key").strip() or file.filename, file.file.read())
    return see(request, context.path, "stored")


def includeme(config: Configurator) -> None:
    """Register the page and its form."""
    add_page(config, show, "data_bucket_stream", context=IBuckets)
    config.add_view(upload, context=IBuckets, name="upload", request_method="POST", permission="edit")
