"""The activities: what waits, runs, is done or has failed, and what can be done about it."""

import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from haywain.activity.job import cancel, result_of, retry, seen
from haywain.activity.listing import PHASES, list_activities
from haywain.activity.outbox import Outbox
from haywain.activity.record import ENDED, Activity
from haywain.document import Document
from haywain.errors import NotFoundError
from haywain.security import may
from haywain.validation import in_labels, label_of, labels_of
from haywain.web.activities import filter_of, wanted_of
from haywain.web.pages.bulk import JOBS, changed_text
from haywain.web.pages.cells import value_text
from haywain.web.pages.document import Fact
from haywain.web.pages.figures import Moment, count_text, duration_text
from haywain.web.pages.page import Values, add_page, href_of, name_of, see
from haywain.web.pages.results import is_table, tables_of

PER_PAGE = 50


@dataclass(frozen=True)
class Row:
    """An activity in a list; `shown` is its state as people see it."""

    id: str
    title: str
    document: str
    state: str
    shown: str
    percent: int
    error: str
    waits_for: str
    duration: str
    tag: str
    user: str
    created: Moment
    is_job: bool


@dataclass(frozen=True)
class State:
    """A state that may be chosen."""

    value: str
    title: str
    is_chosen: bool


def show_all(request: Request) -> Values:
    """Show the activities that this user may see, newest first."""
    given, cursor = filter_of(request.GET), request.GET.get("cursor", "")
    kept = {name: value for name, value in given.items() if value}
    has_parts = bool(request.GET.get("parts") or given["path"] or given["tag"])
    wanted = replace(wanted_of(given), without="" if has_parts else JOBS, limit=PER_PAGE, cursor=cursor)
    page = list_activities(Outbox.of(request.portal.root), request.user, wanted)
    kept |= {"parts": "1"} if request.GET.get("parts") else {}
    rows = tuple(row_of(record, request) for record in page.items)
    return {
        "rows": rows,
        "states": tuple(
            State(state, (state or "Every state").capitalize(), state == given["state"])
            for state in ("", *PHASES)
        ),
        "methods": _methods(request, given["method"]),
        "given": given,
        "sees_all": may(request.user, "manage"),
        "may_change": may(request.user, "activity") and not all(row.is_job for row in rows),
        "parts_href": "" if has_parts else f"/activities?{urlencode(kept | {'parts': '1'})}",
        "changed": changed_text(request),
        "count": count_text(page.count, "activity"),
        "is_filtered": any(given.values()),
        "may_see_workers": may(request.user, "manage"),
        "is_moving": any(row.state in ("queued", "running") for row in rows),
        "here": request.path_qs,
        "next_href": f"/activities?{urlencode(kept | {'cursor': page.next})}" if page.next else "",
        "first_href": f"/activities?{urlencode(kept)}" if cursor else "",
    }


def _methods(request: Request, chosen: str) -> tuple[State, ...]:
    """Return the methods that may be chosen: the kinds, and whichever the address names."""
    kinds = {name: str(kind.title) for name, kind in request.site.registry.activities.items()}
    titles = {"": "Every method"} | ({chosen: chosen} | kinds if chosen else kinds)
    return tuple(State(name, title, name == chosen) for name, title in titles.items())


def row_of(record: Activity, request: Request) -> Row:
    """Return what a list shows of an activity."""
    document = _document(record.path, request)
    return Row(
        id=record.id,
        title=title_of(record, request),
        document=name_of(document) if document is not None else record.path,
        state=record.state,
        shown="stopping" if record.state == "running" and record.is_cancelled else record.state,
        percent=round(100 * record.progress),
        error=in_labels(record.error, _labels(record, request)),
        waits_for=_waits_for(record),
        duration=duration_text(record.spent_s),
        tag=record.tag,
        user=record.login,
        created=Moment.at(record.created),
        is_job=record.path.startswith(f"{JOBS}/"),
    )


def _waits_for(record: Activity) -> str:
    phase, key = record.place
    return Moment.at(key).exact if phase == "later" else record.waits_for


def title_of(record: Activity, request: Request) -> str:
    """Return what an activity does, as people call it."""
    kind = request.site.registry.activities.get(record.method)
    return str(kind.title) if kind is not None else record.method.strip("_").replace("_", " ").capitalize()


def _document(path: str, request: Request) -> Document | None:
    try:
        found: Document = request.portal[path]
    except NotFoundError:
        return None
    return found if may(request.user, "view", found) else None


def show(request: Request) -> Values:
    """Show one activity."""
    record = seen(request.portal, request.matchdict["id"])
    document = _document(record.path, request)
    may_change = may(request.user, "activity")
    result = result_of(record)
    return {
        "row": row_of(record, request),
        "document_href": href_of(record.path) if document is not None else "",
        "facts": _facts(record, _labels(record, request)),
        "results": facts_in(result, request),
        "tables": tables_of(result),
        "again_href": _again(record, document, request),
        "pictures": pictures_in(result, request),
        "log": "\n".join(record.log),
        "trace": record.trace,
        "is_moving": record.state in ("queued", "running"),
        "may_cancel": may_change
        and record.state in ("queued", "running", "failed")
        and not record.is_cancelled,
        "may_retry": may_change and record.state in ("failed", "cancelled"),
        "here": request.path_qs,
    }


def _labels(record: Activity, request: Request) -> dict[str, str]:
    """Return what people call the parameters of an activity."""
    kind = request.site.registry.activities.get(record.method)
    return labels_of(kind.parameters) if kind is not None else {}


def _again(record: Activity, document: Document | None, request: Request) -> str:
    """Return the address of the form with what an ended activity was given; "" if it cannot be run."""
    kind = request.site.registry.activities.get(record.method)
    if document is None or kind is None or record.state not in ENDED:
        return ""
    query = urlencode({"kind": record.method, "like": record.id})
    return f"{href_of(record.path)}/run?{query}" if may(request.user, kind.permission, document) else ""


def _facts(record: Activity, labels: dict[str, str]) -> list[Fact]:
    parameters = json.loads(record.parameters)
    moments = (("Made", record.created), ("Last start", record.started), ("End", record.finished))
    texts = {
        "Run by": record.login,
        "Tag": record.tag,
        "After": ", ".join(record.after_tags),
        "One at a time": record.serialization_tag,
        "Group": record.group,
        "If it fails": record.on_error,
        "Time spent": duration_text(record.spent_s) if record.started else "",
        "Tries": str(record.attempts) if record.attempts > 1 else "",
        "Id": record.id,
    }
    return [
        *(Fact(name, "", moment=Moment.at(moment)) for name, moment in moments if moment),
        *(Fact(name, text) for name, text in texts.items() if text),
        *(
            [Fact("Followed by", record.on_error, f"/activities/{record.followed_by}")]
            if record.followed_by
            else []
        ),
        *(
            Fact(labels.get(name) or label_of(name), _text(value))
            for name, value in parameters.items()
            if value not in (None, "", [])
        ),
    ]


def facts_in(result: Any, request: Request) -> list[Fact]:  # Any: JSON
    """Return a result line by line; the path of a document leads to it."""
    if result is None:
        return []
    found = []
    for name, value in result.items() if isinstance(result, dict) else [("result", result)]:
        if is_table(value):
            continue
        document = _document(value, request) if isinstance(value, str) and "/" in value else None
        if document is not None:
            found.append(Fact(label_of(name), name_of(document), href_of(document.path)))
        else:
            is_count = isinstance(value, int) and not isinstance(value, bool)
            found.append(Fact(label_of(name), f"{value:,}" if is_count else _text(value)))
    return found


def pictures_in(result: Any, request: Request) -> list[tuple[str, str]]:  # Any: JSON
    """Return address and name of each Image that a result names."""
    values = result.values() if isinstance(result, dict) else []
    documents = [_document(value, request) for value in values if isinstance(value, str) and "/" in value]
    return [(href_of(d.path), name_of(d)) for d in documents if d is not None and d.portal_type == "Image"]


def _text(value: Any) -> str:  # Any: JSON
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = json.dumps(value) if isinstance(value, dict | list) else value_text(value)
    return text if len(text) <= 2000 else f"{text[:2000]}…"


def cancel_one(request: Request) -> Response:
    """Cancel an activity."""
    record = cancel(request.portal, request.matchdict["id"])
    return see(request, f"activities/{record.id}", "cancelled")


def retry_one(request: Request) -> Response:
    """Queue an activity once more."""
    record = retry(request.portal, request.matchdict["id"])
    return see(request, f"activities/{record.id}", "retried")


def includeme(config: Configurator) -> None:
    """Register the pages."""
    for name, path, view, template in (
        ("activities_page", "/activities", show_all, "activities"),
        ("activity_page", "/activities/{id}", show, "activity"),  # behind `/activities/change`
    ):
        config.add_route(name, path)
        add_page(config, view, template, route_name=name)
    for name, change in (("cancel", cancel_one), ("retry", retry_one)):
        config.add_route(f"activity_{name}_page", f"/activities/{{id}}/{name}")
        config.add_view(
            change, route_name=f"activity_{name}_page", request_method="POST", permission="activity"
        )
