"""The page of a Data Analysis: how far it is, what came of it, and its buttons; and those for programs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.job import Job, seen
from haywain.activity.product import extent_of
from haywain.document import Document
from haywain.errors import HaywainError, NotFoundError, TemporaryError
from haywain.security import may
from haywain.web.documents import json_response
from haywain.web.pages.activities import Row, facts_in, pictures_in, row_of
from haywain.web.pages.document import Fact, visible_at
from haywain.web.pages.figures import Moment, shape_text, size_text
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of, see
from haywain.web.pages.results import tables_of
from haywain.web.problems import wants_page


@dataclass(frozen=True)
class Read:
    """An input: how much of it is consumed."""

    name: str
    href: str
    told: str
    percent: int
    indicator_href: str


def show(context: Document, request: Request) -> Values:
    """Show how far it is, and what came of it."""
    return _values(context, request)


def run(context: Any, request: Request) -> Values | Response:  # Any: a Data Analysis, whose kind is content
    """Run it now: 202 with the activity, or for a browser the page of that."""
    return _queued(context, request, context.run_now, "It was not run")


def refresh(context: Any, request: Request) -> Values | Response:  # Any: as above
    """Do it all anew: 202 with the activity, or for a browser the page of that."""
    return _queued(context, request, context.refresh, "It was not refreshed")


def _queued(context: Any, request: Request, queue: Callable[[], Job], failed: str) -> Values | Response:
    if not wants_page(request):
        job = queue()
        url = f"/api/v1/activities/{job.id}"
        response = json_response({"id": job.id, "url": url}, status=202)
        response.location = url
        return response
    try:
        queue()
    except TemporaryError:
        raise
    except HaywainError as error:
        request.tm.doom()
        request.response.status_int = error.status
        return _values(context, request) | {"failure": f"{failed}: {error.detail}"}
    return see(request, context.path, "queued")


def _values(analysis: Any, request: Request) -> Values:  # Any: as above
    course, may_run = analysis.course, may(request.user, "activity")
    result = analysis.as_dict()["result"]
    return {
        "head": head_of(analysis, request),
        "reads": [_read(line, request) for line in analysis.lines_of("in")],
        "makes": [_made(line, request) for line in analysis.lines_of("out")],
        "activity": _last(analysis, request),
        "is_refreshing": analysis.is_refreshing,
        "last": Moment.at(course.ran) if course.ran else None,
        "runs_href": f"/activities?tag={analysis.path}",
        "problem": course.problem,
        "again": Moment.at(course.not_before) if course.failures else None,
        "waits": analysis.waits,
        "results": facts_in(result, request) if result else [],
        "tables": tables_of(result) if result else [],
        "pictures": pictures_in(result, request) if result else [],
        "facts": _facts(analysis, request),
        "may_run": may_run and analysis.state == "started",
        "failure": "",
    }


def _read(line: Any, request: Request) -> Read:  # Any: a Data Analysis Line
    if line.properties.use == "transient":
        given = visible_at(line.properties.indicator, request)
        rows = cast(Any, given).position.offset if given is not None else 0
        return Read("Rows that are handed on", "", f"{rows:,}", 100, href_of(line.properties.indicator))
    source = visible_at(line.properties.document, request)
    indicator: Any = visible_at(line.properties.indicator, request)
    if source is None or indicator is None:
        return Read(line.properties.document, "", "it is gone", 0, "")
    total, done = extent_of(source), indicator.position.offset
    has_rows = hasattr(type(source), "row_bytes")
    text = f"{done:,} of {total:,} rows" if has_rows else f"{size_text(done)} of {size_text(total)}"
    share = min(done / total, 1.0) if total else 1.0
    return Read(name_of(source), href_of(source.path), text, int(100 * share), href_of(indicator.path))


def _made(line: Any, request: Request) -> Fact:  # Any: as above
    if line.properties.use == "transient":
        return Fact("Handed on", "rows that are not stored")
    made: Any = visible_at(line.properties.document, request)
    if made is None:
        return Fact("It is gone", line.properties.document)
    rows = shape_text(made.shape) if getattr(made, "is_created", False) else "nothing yet"
    return Fact(made.portal_type, f"{name_of(made)} ({rows})", href_of(made.path))


def _last(analysis: Any, request: Request) -> Row | None:  # Any: a Data Analysis
    record = analysis.last_run
    try:
        return row_of(seen(request.portal, record.id), request) if record is not None else None
    except NotFoundError:
        return None


def _facts(analysis: Any, request: Request) -> list[Fact]:  # Any: as above
    given = analysis.properties
    found = []
    for title, path in (("Does", given.transformation), ("To what comes of", given.delivery)):
        other = visible_at(path, request)
        name = name_of(other) if other is not None else path
        found.append(Fact(title, name, href_of(path) if other is not None else ""))
    transformation: Any = visible_at(given.transformation, request)
    if transformation is not None:
        found.append(Fact("Runs as", transformation.owner))
    return found


def includeme(config: Configurator) -> None:
    """Register the page and the buttons."""
    add_page(config, show, "data_analysis", context=Document, portal_type="Data Analysis")
    for name, view in (("run", run), ("refresh", refresh)):
        options = {"name": name, "request_method": "POST", "permission": "activity"}
        add_page(config, view, "data_analysis", context=Document, portal_type="Data Analysis", **options)
