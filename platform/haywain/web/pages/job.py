"""The page of a Job: how far it is, its parts, what it came to; cancelled and retried as a whole."""

import json
from dataclasses import dataclass
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.activity.job_parts import JobParts, PartState
from haywain.activity.process import shown
from haywain.document import Document
from haywain.interfaces import IArray
from haywain.security import may
from haywain.validation import label_of, labels_of
from haywain.web.pages.activities import facts_in, pictures_in
from haywain.web.pages.document import Fact, visible_at
from haywain.web.pages.figures import Moment, duration_text, size_text
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of
from haywain.web.pages.results import tables_of

PER_PAGE, CELLS = 20, 200
"""Parts of a page of the table, and most cells of the strip above it."""


@dataclass(frozen=True)
class Cell:
    """Some neighbouring parts in the strip."""

    title: str
    state: str


@dataclass(frozen=True)
class Part:
    """A part in the table; `id` is that of its activity, "" where there is none to be seen."""

    name: str
    span: str
    state: str
    id: str
    worker: str
    duration: str
    error: str


def show(context: Any, request: Request) -> Values:  # Any: a Job, whose kind is content
    """Show how it stands."""
    parts = context.parts
    state, failure, first = parts.work_state, parts.failure, _first(request, parts)
    result = parts.result
    is_moving = state in ("queued", "running")
    is_mine = context.owner == request.user.login or may(request.user, "manage")
    may_change = may(request.user, "activity") and is_mine
    unit = "rows" if IArray.providedBy(visible_at(context.properties.source, request)) else "bytes"
    return {
        "head": head_of(context, request),
        "state": state,
        "percent": 100 if state == "done" else min(int(100 * parts.progress), 99),
        "counts": _counts_text(parts),
        "error": failure.error if failure is not None else "",
        "failed_href": f"/activities/{failure.id}" if failure is not None and _sees(failure, request) else "",
        "facts": _facts(context, parts, request),
        "results": facts_in(result, request),
        "tables": tables_of(result),
        "pictures": pictures_in(result, request),
        "cells": tuple(_cells(parts)) if parts.count > 1 else (),
        "parts": tuple(_part(part, unit, request) for part in parts.page(first, first + PER_PAGE)),
        "before_href": f"?first={max(first - PER_PAGE, 0)}#parts" if first else "",
        "next_href": f"?first={first + PER_PAGE}#parts" if first + PER_PAGE < parts.count else "",
        "activities_href": f"/activities?path={context.path}",
        "may_cancel": may_change and is_moving,
        "may_retry": may_change and failure is not None,
        "is_moving": is_moving,
        "here": request.path_qs,
    }


def _first(request: Request, parts: JobParts) -> int:
    """Return the number of the part with which the table begins."""
    text = request.GET.get("first", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    return min(number, max(parts.count - 1, 0)) // PER_PAGE * PER_PAGE


def _counts_text(parts: JobParts) -> str:
    counts = parts.counts()
    told = [f"{count:,} {state}" for state, count in counts.items()]
    if parts.reused:
        told.append(f"{parts.reused:,} as the last time")
    return f"{parts.count:,} part{'s' * (parts.count != 1)}: {', '.join(told)}" if parts.count else ""


def _cells(parts: JobParts) -> Any:  # Any: an iterator of cells
    for numbers, state in parts.cells(CELLS):
        name = f"{numbers.start + 1:,}" + (f" to {numbers.stop:,}" if len(numbers) > 1 else "")
        yield Cell(f"{name}: {state}", state)


def _part(part: PartState, unit: str, request: Request) -> Part:
    record = part.activity
    is_seen = record is not None and _sees(record, request)
    if unit == "rows":
        span = f"{part.start:,} to {part.stop:,}"
    else:
        span = f"{size_text(part.stop - part.start)} from byte {part.start:,}"
    return Part(
        name=f"{part.number + 1:,}",
        span=span,
        state=part.state,
        id=record.id if record is not None and is_seen else "",
        worker=shown(record.process) if record is not None and record.process else "",
        duration=duration_text(record.spent_s) if record is not None and record.spent_s else "",
        error=record.error if record is not None and is_seen else "",
    )


def _sees(record: Any, request: Request) -> bool:  # Any: an Activity
    return bool(record.is_seen_by(request.user))


def _facts(job: Any, parts: JobParts, request: Request) -> list[Fact]:  # Any: as above
    given = job.properties
    kind = request.site.registry.activities.get(given.kind)
    labels = labels_of(kind.parameters) if kind is not None else {}
    found = [Fact("Work", kind.title if kind is not None else given.kind)]
    found += [
        _named(name, path, request) for name, path in (("On", given.source), ("Into", given.target)) if path
    ]
    found += [
        Fact("Step", size_text(given.step_bytes)) if given.step_bytes else Fact("Step", "as the work has it"),
        *(
            Fact(labels.get(name) or label_of(name), value if isinstance(value, str) else json.dumps(value))
            for name, value in json.loads(given.parameters).items()
        ),
        Fact("Asked for by", job.owner),
        Fact("Made", "", moment=Moment.at(job.created)),
    ]
    if parts.finished_s:
        found.append(Fact("End", "", moment=Moment.at(parts.finished_s)))
        found.append(Fact("Took", duration_text(parts.finished_s - job.created)))
    return found


def _named(name: str, path: str, request: Request) -> Fact:
    document = visible_at(path, request)
    return Fact(name, name_of(document), href_of(path)) if document is not None else Fact(name, path)


def includeme(config: Configurator) -> None:
    """Register the page."""
    add_page(config, show, "job", context=Document, portal_type="Job")
