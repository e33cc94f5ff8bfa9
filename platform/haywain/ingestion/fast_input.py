"""Fast input: policy, product, supply and a token in one step, for data that nobody has sent before."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from haywain.document import Document
from haywain.errors import DuplicateError, InvalidError
from haywain.ids import check_id
from haywain.ingestion.policy import blamed_on
from haywain.ingestion.supply import documents_at, find_or_make
from haywain.ingestion.tag import parse_tag
from haywain.interfaces import USUAL_SINK
from haywain.portal import Portal
from haywain.security import require

DEFAULT_RULE = "append_as_is"
USE = "big_data/ingestion/stream"
_MOST_SINKS = 1000  # that are looked at to tell what has come


@dataclass(frozen=True)
class FastInput:
    """What was made; the secret of its token is nowhere else."""

    policy: Document
    product: Document
    supply: Document
    token: Document
    secret: str


@dataclass(frozen=True)
class Arrivals:
    """What has come to a policy: its sinks, the latest first, their bytes, and how much is in quarantine."""

    sinks: tuple[Document, ...]
    size: int
    quarantined: int

    @property
    def is_any(self) -> bool:
        """Whether a first byte has come."""
        return bool(self.sinks or self.quarantined)


def add_policy(portal: Portal, reference: str, title: str = "", rule: str = "") -> FastInput:
    """Make and validate a policy with its product and supply, and a token that may send to it.

    Product and supply of this reference are used if they are there.  Raises DuplicateError if the policy is
    there, InvalidError for a reference or a rule that cannot be, ForbiddenError.
    """
    require(portal.user, "manage")
    reference = _checked(reference)
    found_rule = portal.site.registry.rule(rule or DEFAULT_RULE)
    if reference in portal.root["portal_ingestion_policies"]:
        raise DuplicateError(f"There is already an Ingestion Policy {reference!r}; choose another reference")
    title = title or reference
    with blamed_on(found_rule):
        route = found_rule.route(reference)
    kind = route.portal_type if route is not None else USUAL_SINK
    product = find_or_make(portal, "Data Product", "product", reference, title=title, sink_portal_type=kind)
    supply = find_or_make(portal, "Data Supply", "supply", reference, title=title)
    for document in (product, supply):
        if document.state not in ("validated", "default"):
            raise DuplicateError(
                f"There is a {document.portal_type} {reference!r}, which is {document.state}"
            )
    operation = find_or_make(
        portal,
        "Data Operation",
        "operation",
        found_rule.name,
        title=found_rule.title,
        script_id=found_rule.name,
    )
    _add_lines(portal, supply, operation, product)
    policy = portal.new("Ingestion Policy", reference=reference, title=title, rule=found_rule.name)
    policy.state = "validated"
    policy.link("specialise", supply)
    policy.link("resource", product)
    token = _token(portal, reference)
    return FastInput(policy, product, supply, token, token.shown_once()["secret"])


def _checked(reference: str) -> str:
    """Return the reference, which becomes an id and a tag; raises InvalidError."""
    try:
        return check_id(parse_tag(reference.strip().encode("utf-8", "surrogatepass")))
    except InvalidError as error:
        raise InvalidError(f"reference: {error.detail.replace('tag', 'reference')}") from error


def _add_lines(portal: Portal, supply: Document, operation: Document, product: Document) -> None:
    supply.link("resource", product)
    there = {path for line in documents_at(portal, supply.linked("line")) for path in line.linked("resource")}
    for resource in (operation, product):
        if resource.path not in there:
            line = portal.new(
                "Data Supply Line",
                title=f"{resource.reference} of {supply.reference}"[:255],
                supply=supply.path,
                resource=resource.path,
                use=USE,
            )
            line.state = "validated"
    supply.reindex()


def _token(portal: Portal, policy: str) -> Document:
    return portal.new(
        "Token",
        reference=policy,
        title=f"Sends to {policy}"[:255],
        login=portal.user.login,
        scopes=(f"ingest:{policy}",),
    )


def arrivals(portal: Portal, policy: Document) -> Arrivals:
    """Return what has come to a policy that has sinks of its own."""
    sinks = sorted(_sinks(portal, policy), key=lambda sink: -sink.modified)
    return Arrivals(tuple(sinks), sum(sink.size for sink in sinks), len(quarantined(portal, policy)[0]))


def _sinks(portal: Portal, policy: Document) -> Iterator[Document]:
    if not policy.linked("specialise"):
        return
    begin = f"sink:{policy.id}/"
    yield from islice(portal.root.unique.values(begin, f"{begin}\U0010ffff"), _MOST_SINKS)


def quarantined(portal: Portal, policy: Document, most: int = 500) -> tuple[list[Any], bool]:
    """Return what of the latest so many in quarantine was sent to a policy, and whether these are all.

    Any: a Quarantine, which this layer does not import.
    """
    hits = portal.catalog(portal_type="Quarantine", state="quarantined", sort_on="-created", limit=most)
    kept: list[Any] = list(hits)
    return [one for one in kept if one.properties.policy == policy.id], not hits.next
