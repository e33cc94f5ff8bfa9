"""The page of a Schedule: when it runs, when it last did, and to run it now; and that for programs."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.job import Job, seen
from haywain.document import Document
from haywain.errors import HaywainError, NotFoundError, TemporaryError
from haywain.security import may
from haywain.web.documents import json_response
from haywain.web.pages.activities import Row, row_of
from haywain.web.pages.document import Fact, visible_at
from haywain.web.pages.figures import Moment
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of, see
from haywain.web.problems import wants_page


def show(context: Document, request: Request) -> Values:
    """Show what is run when, and what became of the last time."""
    return _values(context, request)


def run(context: Any, request: Request) -> Values | Response:  # Any: a Schedule, whose kind is content
    """Run it now: 202 with the activity, or for a browser the page of that."""
    if not wants_page(request):
        job = context.run_now()
        url = f"/api/v1/activities/{job.id}"
        response = json_response({"id": job.id, "url": url}, status=202)
        response.location = url
        return response
    try:
        job = context.run_now()
    except TemporaryError:
        raise
    except HaywainError as error:
        request.tm.doom()
        request.response.status_int = error.status
        return _values(context, request) | {"failure": error.detail}
    return _see(context, job, request)


def _see(document: Document, job: Job, request: Request) -> Response:
    """Lead to the activity; who runs another's Schedule may not see that."""
    try:
        seen(request.portal, job.id)
    except NotFoundError:
        return see(request, document.path, "queued")
    return see(request, f"activities/{job.id}", "started")


def _values(schedule: Any, request: Request) -> Values:  # Any: as above
    return {
        "head": head_of(schedule, request),
        "when": schedule.in_words,
        "next": Moment.at(schedule.next_run) if schedule.next_run else None,
        "last": Moment.at(schedule.last_run) if schedule.last_run else None,
        "activity": _last(schedule, request),
        "runs_href": f"/activities?tag={schedule.path}",
        "problem": schedule.problem,
        "facts": _facts(schedule, request),
        "log": "\n".join(reversed(schedule.log)),
        "may_run": may(request.user, "activity"),
        "failure": "",
    }


def _last(schedule: Any, request: Request) -> Row | None:  # Any: as above
    try:
        return row_of(seen(request.portal, schedule.last_activity), request)
    except NotFoundError:
        return None


def _facts(schedule: Any, request: Request) -> list[Fact]:  # Any: as above
    given = schedule.properties
    document = visible_at(given.document, request)
    kind = request.site.registry.activities.get(given.method)
    return [
        Fact("Works on", name_of(document), href_of(document.path))
        if document is not None
        else Fact("Works on", given.document),
        Fact("Method", kind.title if kind is not None else given.method),
        *([Fact("Parameters", given.parameters)] if given.parameters != "{}" else []),
        Fact("Rule", given.rule),
        Fact("Time zone", given.time_zone),
        Fact("Runs as", schedule.owner),
        *([Fact("Description", given.description)] if given.description else []),
    ]


def includeme(config: Configurator) -> None:
    """Register the page and the button."""
    add_page(config, show, "schedule", context=Document, portal_type="Schedule")
    add_page(
        config,
        run,
        "schedule",
        context=Document,
        portal_type="Schedule",
        name="run",
        request_method="POST",
        permission="activity",
    )
