"""The page of a model: what it is, what it was trained on, how good it was, what it has predicted."""

from collections.abc import Iterator
from typing import Any, Protocol, cast

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.document import Document
from haywain.validation import label_of
from haywain.web.pages.document import Fact, visible_at
from haywain.web.pages.figures import Moment, count_text, size_text
from haywain.web.pages.page import Values, add_page, head_of, href_of, name_of
from haywain.web.pages.results import number_text


class _Model(Protocol):
    """What the page asks of the Portal Type."""

    provenance: dict[str, Any]  # JSON


def show(context: Document, request: Request) -> Values:
    """Show a model."""
    told = cast(_Model, context).provenance
    return {
        "head": head_of(context, request),
        "size": context.size,
        "estimator": told.get("estimator", "Model"),
        "scores": [
            Fact(label_of(name), number_text(value)) for name, value in told.get("scores", {}).items()
        ],
        "parameters": [(name, _text(value)) for name, value in told.get("parameters", {}).items()],
        "facts": list(_facts(context, told)),
        "sources": [*_sources(told, request)],
        "predictions": [*_links(context.linked("prediction"), request)],
        "description": context.properties.description,
        "command": f'estimator = portal["{context.path}"].load()\nestimator.predict(rows)',
    }


def _facts(context: Document, told: dict[str, Any]) -> Iterator[Fact]:
    if told.get("target"):
        yield Fact("Predicts", told["target"])
    if told.get("features"):
        yield Fact("Features", ", ".join(told["features"])[:1000])
    if told.get("activity"):
        yield Fact("Trained by", told["activity"], f"/activities/{told['activity']}")
    yield Fact("Size", size_text(context.size))
    for name, version in told.get("versions", {}).items():
        yield Fact(name, version)
    yield Fact("Last change", "", moment=Moment.at(context.modified))
    yield Fact("Created", "", moment=Moment.at(context.created))
    yield Fact("Path", context.path)


def _sources(told: dict[str, Any], request: Request) -> Iterator[Fact]:
    for source in told.get("sources", []):
        yield from _links([source["path"]], request)
        if source["rows"] is not None:
            yield Fact("Rows", count_text(source["rows"], "row"))
        if source["tid"]:
            yield Fact("As of", source["tid"], f"/@{source['tid']}/{source['path']}")


def _links(paths: Any, request: Request) -> Iterator[Fact]:  # Any: a list of paths
    for path in paths:
        found = visible_at(path, request)
        if found is not None:
            yield Fact(found.portal_type, name_of(found), href_of(found.path))


def _text(value: Any) -> str:  # Any: JSON
    return str(value) if isinstance(value, bool | list | dict) or value is None else number_text(value)


def includeme(config: Configurator) -> None:
    """Register the page."""
    add_page(config, show, "model", context=Document, portal_type="Model")
