"""The page of a request in quarantine: why it is there, what it holds, and to replay it."""

from typing import cast

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.document import Document
from haywain.errors import HaywainError, TemporaryError
from haywain.ingestion import replay
from haywain.interfaces import ByteStream
from haywain.security import may
from haywain.web.pages.document import Fact, links_of
from haywain.web.pages.figures import Moment, count_text, size_text
from haywain.web.pages.page import Values, add_page, head_of, href_of, see
from haywain.web.pages.preview import preview_of


def show(context: Document, request: Request) -> Values:
    """Show what is kept of a request."""
    return _values(context, request)


def replay_now(context: Document, request: Request) -> Values | Response:
    """Deliver it; if that fails again, show why."""
    try:
        replay(request.site, context.path, request.user)
    except TemporaryError:
        raise
    except HaywainError as error:
        request.response.status_int = error.status
        return _values(context, request) | {"failure": error.detail}
    return see(request, context.path, "replayed")


def _values(document: Document, request: Request) -> Values:
    stream = cast(ByteStream, document)
    kept = cast("dict[str, object]", document.public_properties())
    return {
        "head": head_of(document, request),
        "reason": kept["reason"],
        "facts": _facts(document, kept, request),
        "preview": preview_of(stream, request),
        "may_replay": document.state == "quarantined" and may(request.user, "edit", document),
        "failure": "",
    }


def _facts(document: Document, kept: dict[str, object], request: Request) -> list[Fact]:
    policy = str(kept["policy"])
    headers = cast("list[tuple[str, str]]", kept["headers"])
    found = [
        Fact("Tag", str(kept["tag"]) or "(none)"),
        Fact("Ingestion Policy", policy, href_of(f"portal_ingestion_policies/{policy}")),
        Fact("Came", "", moment=Moment.at(document.created)),
        Fact("Size", f"{size_text(document.size)} ({count_text(document.size, 'byte')})"),
        *(Fact(name, value) for name, value in headers if value),
        Fact("Idempotency-Key", str(kept["key"])),
        Fact("Sent by", str(kept["scope"])),
    ]
    return [fact for fact in found if fact.text or fact.moment] + links_of(document, request)


def includeme(config: Configurator) -> None:
    """Register the page, and the replay."""
    add_page(config, show, "quarantine", context=Document, portal_type="Quarantine")
    add_page(
        config,
        replay_now,
        "quarantine",
        context=Document,
        portal_type="Quarantine",
        name="replay",
        request_method="POST",
        permission="edit",
    )
