"""The ingestion URL: a lean WSGI callable in front of Pyramid, since agents are the hot path.

No session, no template, no argon2 for tokens.
`POST /portal_ingestion_policies/{policy}/ingest?reference={tag}`
"""

import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from haywain.errors import (
    ForbiddenError,
    HaywainError,
    MethodError,
    TemporaryError,
    ThrottledError,
    UnauthorizedError,
)
from haywain.ingestion import Request, deliver
from haywain.ingestion.decoding import percent_decode
from haywain.ingestion.producer import Producer
from haywain.ingestion.room import Room
from haywain.portal import Site
from haywain.security import User
from haywain.values import Receipt
from haywain.web.identity import user_of_header
from haywain.web.problems import headers_of, new_request_id, problem_body

_PATH = re.compile(r"/portal_ingestion_policies/([^/]+)/ingest/?")
_log = logging.getLogger(__name__)

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class IngestApplication:
    """Answers the ingestion URL; everything else goes to the application behind it."""

    def __init__(self, site: Site, behind: WSGI) -> None:
        """Serve a site."""
        self._site, self._behind = site, behind
        self._room = Room(site.settings.decoded_bytes)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        found = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        if found is None:
            return self._behind(environ, start_response)
        try:
            receipt = self._ingest(environ, found[1].encode("latin-1").decode("utf-8", "replace"))
        except ThrottledError as error:  # agents throw away what is answered by 429
            return refuse(TemporaryError(error.detail, error.retry_after_s), environ, start_response)
        except HaywainError as error:
            return refuse(error, environ, start_response)
        except Exception as error:  # a fault of ours costs the sender nothing: 503 is what it tries again
            _log.exception("trouble")
            trouble = TemporaryError(f"The storage has trouble: {type(error).__name__}", 10)
            return refuse(trouble, environ, start_response)
        return _accept(receipt, start_response)

    def _ingest(self, environ: dict[str, Any], policy: str) -> Receipt:
        user = self._user(environ)
        if environ["REQUEST_METHOD"] != "POST":
            raise MethodError(environ["REQUEST_METHOD"], ("POST",))
        with self._room.held(int(environ.get("CONTENT_LENGTH") or 0), "HTTP_CONTENT_ENCODING" in environ):
            return self._deliver(environ, policy, user)

    def _deliver(self, environ: dict[str, Any], policy: str, user: User) -> Receipt:
        query = _query(environ.get("QUERY_STRING", ""))
        return deliver(
            self._site,
            Request(
                policy=policy,
                tag=percent_decode(query["reference"]) if "reference" in query else None,
                body=environ["wsgi.input"].read(),
                content_type=environ.get("CONTENT_TYPE", ""),
                content_encoding=environ.get("HTTP_CONTENT_ENCODING", ""),
                key=environ.get("HTTP_IDEMPOTENCY_KEY", ""),
                query_chunk=query.get("data_chunk"),
                user=user,
                agent=environ.get("HTTP_USER_AGENT", ""),
                disposition=_text(environ.get("HTTP_CONTENT_DISPOSITION", "")),
                producer=_producer(environ),
            ),
        )

    def _user(self, environ: dict[str, Any]) -> User:
        header = environ.get("HTTP_AUTHORIZATION", "")
        if not header:
            raise UnauthorizedError("Send Basic credentials or a token")
        if environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site"):
            raise ForbiddenError("A browser sent this for another site, with the credentials that it keeps")
        with self._site.open() as portal:
            user = user_of_header(portal.root, header, environ.get("REMOTE_ADDR", ""))
        self._site.token_uses.note(user)
        return user


def _producer(environ: dict[str, Any]) -> Producer | None:
    names = ("HTTP_PRODUCER_ID", "HTTP_PRODUCER_EPOCH", "HTTP_PRODUCER_SEQ", "HTTP_PRODUCER_PREVIOUS")
    if not any(name in environ for name in names):
        return None
    return Producer(*(environ.get(name, "") for name in names))


def _query(text: str) -> dict[str, bytes]:
    """Return the first value of each parameter, still percent-encoded: a tag may be no text at all."""
    found: dict[str, bytes] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        found.setdefault(name, value.encode("latin-1"))
    return found


def _text(header: str) -> str:
    """Return a header that may be UTF-8, which WSGI hands over byte by byte."""
    return header.encode("latin-1").decode("utf-8", "replace")


def _accept(receipt: Receipt, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [*receipt.headers(), ("Content-Length", "0")])
    return [b""]


def refuse(
    error: HaywainError, environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    """Answer an error as problem+json."""
    request_id = str(environ.get("haywain.request_id", "")) or new_request_id()
    if error.status >= 500:
        _log.error("request %s: %s", request_id, error)
    body = problem_body(error.status, error.title, error.detail, request_id)
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(f"{error.status} {HTTPStatus(error.status).phrase}", [*headers, *headers_of(error)])
    return [body]
