"""Sinks: the documents into which products are delivered, each made once, at first use."""

import mimetypes

from haywain.document import Document
from haywain.errors import DeliveryError
from haywain.interfaces import Route
from haywain.portal import Portal

_types = mimetypes.MimeTypes(filenames=())


def sink_of(portal: Portal, route: Route) -> Document:
    """Return the sink of a route, made with its product and its supply at first use.

    Uniqueness lies in the root's BTree: of many first posts at once one makes it, the others conflict and,
    tried again, find it.  Raises DeliveryError while the sink is invalidated.
    """
    found = portal.root.find("sink", route.sink)
    if found is not None and found.state in ("invalidated", "deleted"):
        raise DeliveryError(f"The sink {found.path} is {found.state}; replay this once it is validated again")
    if found is not None:
        return found
    product = _unique(portal, "Data Product", "product", route.product)
    supply = _unique(portal, "Data Supply", "supply", route.supply)
    supply.link("resource", product)
    guessed = _types.guess_type(f"./{route.sink}")[0]  # else `data:` and `http:` are taken for URLs
    sink = portal.new(
        route.portal_type,
        reference=route.sink,
        title=route.sink,
        **({"content_type": guessed} if guessed else {}),
    )
    sink.state = "validated"
    sink.link("resource", product)
    sink.link("specialise", supply)
    portal.root.claim("sink", route.sink, sink)
    return sink


def _unique(portal: Portal, portal_type: str, kind: str, reference: str) -> Document:
    found = portal.root.find(kind, reference)
    if found is None:
        found = portal.new(portal_type, reference=reference, title=reference)
        found.state = "validated"
        portal.root.claim(kind, reference, found)
    return found
