"""The page of a Data Transformation: what it takes and makes, and the Data Analyses that do it."""

from dataclasses import dataclass
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.document import Document
from haywain.web.pages.document import Fact, line_href_of, visible_at
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of

MOST = 50
"""Data Analyses that the page lists."""


@dataclass(frozen=True)
class Line:
    """A product that is taken or made."""

    what: str
    href: str
    product: str
    product_href: str


@dataclass(frozen=True)
class Doing:
    """A Data Analysis of it."""

    name: str
    href: str
    how_far: str
    problem: str
    state: str


def show(context: Any, request: Request) -> Values:  # Any: a Data Transformation, whose kind is content
    """Show what it does, and how far that is for each delivery."""
    analyses = context.analyses(MOST + 1)
    return {
        "head": head_of(context, request),
        "facts": _facts(context, request),
        "lines": [_line(line, request) for side in ("in", "out") for line in context.lines_of(side)],
        "line_href": line_href_of(context, request) if context.state != "validated" else "",
        "analyses": [_doing(one) for one in analyses[:MOST]],
        "has_more": len(analyses) > MOST,
    }


def _line(line: Any, request: Request) -> Line:  # Any: a Data Transformation Line
    given = line.properties
    product = visible_at(given.resource, request)
    name, href = (name_of(product), href_of(product.path)) if product is not None else (given.resource, "")
    what = f"Takes as {line.reference}" if line.reference else "Takes"
    if given.direction == "out":
        what = "Makes"
    return Line(what, href_of(line.path), name, href)


def _doing(analysis: Any) -> Doing:  # Any: a Data Analysis
    course = analysis.course
    return Doing(
        name_of(analysis),
        href_of(analysis.path),
        analysis.how_far,
        course.problem or analysis.waits,
        analysis.state,
    )


def _facts(transformation: Any, request: Request) -> list[Fact]:  # Any: as above
    operation: Any = visible_at(transformation.properties.operation, request)
    found = []
    if operation is not None:
        kind = request.site.registry.activities.get(operation.properties.kind)
        found.append(Fact("Operation", name_of(operation), href_of(operation.path)))
        found.append(Fact("Kind of work", kind.title if kind is not None else operation.properties.kind))
        if operation.properties.parameters != "{}":
            found.append(Fact("Parameters", operation.properties.parameters))
    found.append(Fact("Runs as", transformation.owner or "the portal itself"))
    if transformation.properties.description:
        found.append(Fact("Description", transformation.properties.description))
    return found


def includeme(config: Configurator) -> None:
    """Register the page."""
    add_page(config, show, "data_transformation", context=Document, portal_type="Data Transformation")
