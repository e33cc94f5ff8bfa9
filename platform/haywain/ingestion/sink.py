"""Sinks: the documents into which products are delivered, each made once, at first use.

Uniqueness lies in the root's BTree: of many first posts at once one makes the sink, the others conflict and,
tried again, find it.  A policy with a supply of its own has sinks of its own: its tags mean nothing
elsewhere.
"""

import mimetypes
from typing import Any, cast

from haywain.document import Document
from haywain.errors import DeliveryError, NotFoundError
from haywain.ingestion.supply import Terms, begin_ingestion, operation_of, product_for, supply_for
from haywain.interfaces import USUAL_SINK, IngestionRule, Route, Targets
from haywain.portal import Portal

OVER = ("invalidated", "deleted")
_types = mimetypes.MimeTypes(filenames=())


def sink_key(policy: Document, tag: str) -> str:
    """Return the key of a sink in the root: neither an id nor a tag holds a slash."""
    return f"{policy.id}/{tag}" if policy.linked("specialise") else tag


def targets_of(portal: Portal, policy: Document, route: Route) -> Targets:
    """Return the sinks of a route, made with product, supply and Data Ingestion at first use.

    Raises DeliveryError while a sink is invalidated, and where no supply holds for it.
    """
    routes = route.each()
    found = {one.name: _known(portal, sink_key(policy, one.sink)) for one in routes}
    if len(found) < len(routes):
        raise DeliveryError(f"Two sinks of one route are named alike: {', '.join(r.name for r in routes)}")
    sinks = {name: sink for name, sink in found.items() if sink is not None}
    if len(sinks) < len(routes):
        sinks = _made(portal, policy, route, sinks)
    return Targets(sinks)


def _known(portal: Portal, key: str) -> Document | None:
    found = portal.root.find("sink", key)
    if found is not None and found.state in OVER:
        raise DeliveryError(f"The sink {found.path} is {found.state}; replay this once it is validated again")
    return found


def _made(portal: Portal, policy: Document, route: Route, known: dict[str, Document]) -> dict[str, Document]:
    """Return all sinks of a route, those that are not known made, with the Data Ingestion that says so."""
    supply = supply_for(portal, policy, route.supply)
    operation = operation_of(portal, supply)
    sinks, terms = {}, []
    for one in route.each():
        product = product_for(portal, policy, one)
        supply.link("resource", product)
        sink = known.get(one.name)
        if sink is None:
            sink = _new_sink(portal, one, product, supply)
            portal.root.claim("sink", sink_key(policy, one.sink), sink)
            if operation is not None and not policy.linked("specialise"):  # whose own rule decides
                sink.link("operation", operation)
            terms.append(Terms(one, product, sink))
        sinks[one.name] = sink
    begin_ingestion(portal, supply, operation, terms)
    return sinks


def _new_sink(portal: Portal, route: Route, product: Document, supply: Document) -> Document:
    kind = route.portal_type
    if kind == USUAL_SINK:
        kind = cast(Any, product).properties.sink_portal_type  # Any: a Data Product, not imported here
        if portal.site.registry.portal_type(kind).edit_permission != "edit":
            raise DeliveryError(f"The Data Product {product.reference!r} names {kind}, which is no sink")
    named = f"./{route.sink}"  # else `data:` and `http:` are taken for URLs
    guessed = route.content_type or _types.guess_type(named)[0]
    has_type = "content_type" in portal.site.registry.portal_type(kind).schema.model_fields
    sink = portal.new(
        kind,
        reference=route.sink,
        title=route.sink,
        **({"content_type": guessed} if guessed and has_type else {}),
    )
    sink.state = "validated"
    sink.link("resource", product)
    sink.link("specialise", supply)
    return sink


def rule_for(portal: Portal, rule: IngestionRule, sink: Document) -> IngestionRule:
    """Return the rule that puts bytes into a sink: that of its Data Operation, where its supply names one.

    Raises DeliveryError while the operation is invalidated.
    """
    for path in sink.linked("operation"):
        try:
            operation: Any = portal[path]  # Any: a Data Operation, which this layer does not import
        except NotFoundError:
            continue
        if operation.state in OVER:
            raise DeliveryError(
                f"The Data Operation {path} is {operation.state}; validate it, then replay this"
            )
        return portal.site.registry.rule(operation.properties.script_id)
    return rule
