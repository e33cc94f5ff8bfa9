"""The page of an Alert: whether it fires, at what, whom it tells; and to send a test, for programs too."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain import clock
from haywain.activity.listing import Wanted, list_activities
from haywain.activity.outbox import Outbox
from haywain.document import Document
from haywain.errors import HaywainError, TemporaryError
from haywain.past import Past
from haywain.security import may
from haywain.web.documents import json_response
from haywain.web.pages.activities import Row, row_of
from haywain.web.pages.document import Fact, visible_at
from haywain.web.pages.figures import Moment
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of, see
from haywain.web.problems import wants_page

_MESSAGES = 5
"""Messages that the page shows, the last ones."""


def show(context: Document, request: Request) -> Values:
    """Show how it is, and what it was like before."""
    return _values(context, request)


def test(context: Any, request: Request) -> Values | Response:  # Any: an Alert, whose kind is content
    """Send a test: 202 with the activities that do, or for a browser the page."""
    if not wants_page(request):
        items = [{"id": job.id, "url": f"/api/v1/activities/{job.id}"} for job in context.test()]
        return json_response({"items": items}, status=202)
    try:
        context.test()
    except TemporaryError:
        raise
    except HaywainError as error:
        request.tm.doom()
        request.response.status_int = error.status
        return _values(context, request) | {"failure": error.detail}
    return see(request, context.path, "tested")


def _values(alert: Any, request: Request) -> Values:  # Any: as above
    given, course = alert.properties, alert.course
    may_edit = may(request.user, "edit", alert) and not isinstance(request.portal, Past)
    return {
        "head": head_of(alert, request),
        "when": alert.in_words,
        "condition": alert.condition,
        "since": Moment.at(course.since) if course.since else None,
        "value": None if course.value is None else f"{course.value:.6g}",
        "row": None if course.row is None else f"{course.row:,}",
        "received": _received(given.document, request),
        "is_silence": given.watches == "silence",
        "sent": Moment.at(course.last_sent) if course.last_sent else None,
        "snoozed": Moment.at(given.snoozed_until.timestamp()) if _is_snoozed(given) else None,
        "problem": course.problem,
        "not_sent": course.not_sent,
        "facts": _facts(alert, request),
        "secret": given.webhook_secret if given.webhook and may_edit else "",
        "messages": _messages(alert, request),
        "runs_href": f"/activities?tag={alert.path}",
        "log": "\n".join(reversed(course.log)),
        "may_test": may_edit and bool(given.mail_to or given.webhook),
        "failure": "",
    }


def _messages(alert: Document, request: Request) -> list[Row]:
    """Return the last messages that this user may see."""
    wanted = Wanted(tag=alert.path, limit=_MESSAGES)
    page = list_activities(Outbox.of(request.portal.root), request.user, wanted)
    return [row_of(record, request) for record in page.items]


def _is_snoozed(given: Any) -> bool:  # Any: the properties of an Alert
    return given.snoozed_until is not None and given.snoozed_until.timestamp() > clock.now_s()


def _received(path: str, request: Request) -> Moment | None:
    received = getattr(visible_at(path, request), "received", 0.0)
    return Moment.at(received) if received else None


def _facts(alert: Any, request: Request) -> list[Fact]:  # Any: as above
    given = alert.properties
    document = visible_at(given.document, request)
    return [
        Fact("Watches", name_of(document), href_of(document.path))
        if document is not None
        else Fact("Watches", given.document),
        *([Fact("Mail to", ", ".join(given.mail_to))] if given.mail_to else []),
        *([Fact("Webhook", given.webhook)] if given.webhook else []),
        *([Fact("Reminds after", f"{given.reminder_hours:g} h")] if given.reminder_hours else []),
        Fact("Acts as", alert.owner),
        *([Fact("Description", given.description)] if given.description else []),
    ]


def includeme(config: Configurator) -> None:
    """Register the page and the button."""
    add_page(config, show, "alert", context=Document, portal_type="Alert")
    add_page(
        config,
        test,
        "alert",
        context=Document,
        portal_type="Alert",
        name="test",
        request_method="POST",
        permission="edit",
    )
