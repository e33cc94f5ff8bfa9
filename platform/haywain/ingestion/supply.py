"""Who delivers what by which operation: Data Supply, Product and Operation at the first post of a tag.

    supply      the policy's own, else that of the route: validated and within its time
                else any supply in the state `default`; what begins by that stays a draft
                else one is made, but where there is one that does not hold: then nothing may be delivered
    ingestion   a Data Ingestion, with a line for the operation and for each product with its sink

Only the first post comes here: later ones find the sink.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from haywain import clock
from haywain.activity.afterwards import want_afterwards
from haywain.activity.offers import Offers
from haywain.document import Document
from haywain.errors import DeliveryError, NotFoundError
from haywain.interfaces import Route
from haywain.portal import Portal

_OVER = ("invalidated", "deleted")


@dataclass(frozen=True)
class Terms:
    """A sink that begins: by which route, for which product."""

    route: Route
    product: Document
    sink: Document


def supply_for(portal: Portal, policy: Document, reference: str) -> Document:
    """Return the supply by which a tag may begin to be delivered; raises DeliveryError if none holds."""
    own = list(documents_at(portal, policy.linked("specialise")))
    candidates = own or list(_named(portal, "Data Supply", "supply", reference))
    for supply in (*candidates, *_defaults(portal)):
        if supply.state in ("validated", "default") and not _why_not(supply):
            return supply
    if candidates:
        raise DeliveryError(
            f"The Data Supply {candidates[0].reference!r} {_why_not(candidates[0])}, and no other one is the"
            " default: change or validate it, then replay this"
        )
    return _new(portal, "Data Supply", "supply", reference)


def _defaults(portal: Portal) -> list[Document]:
    begin = "default supply:"
    found = portal.root.unique.values(begin, f"{begin}\U0010ffff")
    return [supply for supply in found if supply.state == "default"]


def _why_not(supply: Document) -> str:
    """Return why a supply does not hold now; "" if it does."""
    if supply.state not in ("validated", "default"):
        return f"is {supply.state}"
    terms: Any = supply.properties  # Any: those of a Data Supply, which this layer does not import
    if terms.effective and terms.effective.timestamp() > clock.now_s():
        return f"holds only from {clock.iso(terms.effective.timestamp())} on"
    if terms.expiration and terms.expiration.timestamp() <= clock.now_s():
        return f"expired at {clock.iso(terms.expiration.timestamp())}"
    return ""


def product_for(portal: Portal, policy: Document, route: Route) -> Document:
    """Return the product of a route, made where it is missing; raises DeliveryError if it is invalidated.

    The main sink of a policy that has a product of its own gets that.
    """
    own = list(documents_at(portal, policy.linked("resource"))) if route.name == "sink" else []
    for product in own or _named(portal, "Data Product", "product", route.product):
        if product.state in _OVER:
            raise DeliveryError(
                f"The Data Product {product.reference!r} is {product.state}; validate it first"
            )
        return product
    return _new(portal, "Data Product", "product", route.product)


def _named(portal: Portal, portal_type: str, kind: str, reference: str) -> Iterator[Document]:
    """Yield the documents of a reference, first the one that the root knows by it."""
    known = portal.root.find(kind, reference)  # of databases from before references were kept there
    if known is not None and known.state != "deleted":
        yield known
    for found in portal.root.named(portal_type, reference):
        if found is not known and found.state != "deleted":
            yield found


def find_or_make(portal: Portal, portal_type: str, kind: str, reference: str, **properties: str) -> Document:
    """Return the document of a reference, made and validated where there is none."""
    for found in _named(portal, portal_type, kind, reference):
        return found
    return _new(portal, portal_type, kind, reference, **properties)


def _new(portal: Portal, portal_type: str, kind: str, reference: str, **properties: str) -> Document:
    made = portal.new(portal_type, reference=reference, **{"title": reference, **properties})
    if made.state == "draft":
        made.state = "validated"
    holder = portal.root.find(kind, reference)
    if holder is not None:  # of one that was deleted
        portal.root.release(holder)
    portal.root.claim(kind, reference, made)
    return made


def operation_of(portal: Portal, supply: Document) -> Document | None:
    """Return the operation that a supply's lines name, None if they leave it to the rule."""
    lines = documents_at(portal, supply.linked("line"))
    resources = (one for line in lines if line.state not in _OVER for one in _resources(portal, line))
    return next((one for one in resources if one.portal_type == "Data Operation"), None)


def _resources(portal: Portal, line: Document) -> Iterator[Document]:
    return documents_at(portal, line.linked("resource"))


def documents_at(portal: Portal, paths: list[Any]) -> Iterator[Document]:  # Any: Path
    """Yield the documents of some paths; one that was deleted is passed over."""
    for path in paths:
        try:
            yield portal[path]
        except NotFoundError:
            continue


def begin_ingestion(portal: Portal, supply: Document, operation: Document | None, terms: list[Terms]) -> None:
    """Make the Data Ingestion of sinks that begin, with its lines."""
    product = terms[0].product.reference
    name = supply.reference if supply.reference == product else f"{supply.reference}-{product}"
    ingestion = portal.new(
        "Data Ingestion",
        reference=f"{clock.iso(clock.now_s())[:10].replace('-', '')}-{name}"[:255],
        source=cast(Any, supply).properties.source,  # Any: a Data Supply
    )
    ingestion.state = "started" if supply.state == "validated" else "draft"
    ingestion.link("specialise", supply)
    templates = {
        path: line for line in documents_at(portal, supply.linked("line")) for path in line.linked("resource")
    }
    if operation is not None:
        _add_line(portal, ingestion, operation, templates.get(operation.path))
    for one in terms:
        line = _add_line(portal, ingestion, one.product, templates.get(one.product.path))
        line.link("aggregate", one.sink)
        one.sink.link("causality", ingestion)
        if one.route.batch:
            batch = find_or_make(portal, "Data Ingestion Batch", "batch", one.route.batch)
            line.link("aggregate", batch)
            one.sink.link("aggregate", batch)
            Offers.of(portal.root).offer(batch.path, line.path)
            want_afterwards(batch, "complete_batch")


def _add_line(portal: Portal, ingestion: Document, resource: Document, template: Document | None) -> Document:
    """Add a line to a Data Ingestion, after the line of its supply where that has one."""
    terms = cast(Any, template).properties if template is not None else None  # Any: those of a Supply Line
    return portal.new(
        "Data Ingestion Line",
        title=f"{resource.reference} by {ingestion.reference}"[:255],
        ingestion=ingestion.path,
        resource=resource.path,
        quantity=1,
        **({"use": terms.use, "aggregate": terms.aggregate} if terms is not None else {}),
    )
