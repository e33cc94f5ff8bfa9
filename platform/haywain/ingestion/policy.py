"""Ingestion Policies at work: the document that agents address, and the rule behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from transaction.interfaces import TransientError
from ZODB.POSException import POSError

from haywain.document import Document
from haywain.errors import DeliveryError, NotFoundError, TemporaryError
from haywain.interfaces import IngestionRule, Route
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


def rule_of(portal: Portal, id: str) -> IngestionRule:
    """Return the rule that the policy of an id follows; raises NotFoundError or ForbiddenError."""
    policy = policy_of(portal, id)
    return portal.site.registry.rule(cast(Any, policy).rule)  # Any: an IngestionPolicy, not imported here


def route_of(rule: IngestionRule, tag: str) -> Route:
    """Return where a tag goes; raises DeliveryError if the policy does not know it."""
    with blamed_on(rule):
        route = rule.route(tag)
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
    except Exception as error:  # a policy may raise whatever it likes
        raise DeliveryError(f"The policy {rule.name!r} raised {type(error).__name__}: {error}") from error
