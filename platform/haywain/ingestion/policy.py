"""Ingestion Policies at work: the document that agents address, and the rule behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from transaction.interfaces import TransientError
from ZODB.POSException import POSError

from haywain.document import Document
from haywain.errors import DeliveryError, InvalidError, NotFoundError, TemporaryError, TooLargeError
from haywain.interfaces import Chunk, IngestionRule, Route
from haywain.portal import Portal
from haywain.security import require


def policy_of(portal: Portal, id: str) -> Document:
    """Return the Ingestion Policy of an id; raises NotFoundError or ForbiddenError."""
    try:
        policy = portal.root["portal_ingestion_policies"][id]
    except KeyError:
        raise NotFoundError(f"There is no Ingestion Policy {id[:100]!r}") from None
    require(portal.user, "ingest", policy=id)
    if policy.state in ("invalidated", "deleted"):
        raise NotFoundError(f"The Ingestion Policy {id!r} is switched off")
    return policy


def add_missing(portal: Portal) -> None:
    """Make the policy of each rule that has none."""
    for name, rule in list(portal.site.registry.ingestion_policies.items()):  # one may come meanwhile
        if name not in portal.root["portal_ingestion_policies"]:
            policy = portal.new("Ingestion Policy", id=name, reference=name, title=rule.title)
            policy.state = "validated"


def rule_of(portal: Portal, policy: Document) -> IngestionRule:
    """Return the rule that a policy follows; raises UnknownNameError."""
    return portal.site.registry.rule(cast(Any, policy).rule)  # Any: an IngestionPolicy, not imported here


def route_of(rule: IngestionRule, chunk: Chunk) -> Route:
    """Return where a chunk goes; raises DeliveryError if the policy does not know it."""
    by_chunk = getattr(rule, "route_chunk", None)
    with blamed_on(rule):
        route: Route | None = by_chunk(chunk) if by_chunk is not None else rule.route(chunk.tag)
    if route is None:
        raise DeliveryError(f"The policy {rule.name!r} knows no way for this tag")
    return route


@contextmanager
def blamed_on(rule: IngestionRule) -> Iterator[None]:
    """Raise DeliveryError for what a policy raises, which it would raise again; but not for trouble below."""
    try:
        yield
    except (TemporaryError, TransientError, POSError, OSError, MemoryError):
        raise
    except (DeliveryError, InvalidError, TooLargeError) as error:
        raise DeliveryError(f"The policy {rule.name!r} refused it: {error.detail}") from error
    except Exception as error:  # a policy may raise whatever it likes
        raise DeliveryError(f"The policy {rule.name!r} raised {type(error).__name__}: {error}") from error
