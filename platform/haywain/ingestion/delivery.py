"""Deliver one request: decode, look into the ledger, route, append, and keep it all in one transaction.

What can never be stored is quarantined durably and acknowledged, since a 4xx makes agents throw it away.
What may succeed later raises TemporaryError: 503, the one status that all agents try again.
"""

import logging
from dataclasses import replace

from haywain.document import Document
from haywain.errors import (
    DeliveryError,
    InvalidError,
    SequenceError,
    StorageTroubleError,
    TemporaryError,
    TooLargeError,
)
from haywain.ingestion.boundary import ends_record
from haywain.ingestion.ledger import Known, Ledger
from haywain.ingestion.policy import blamed_on, policy_of, route_of, rule_of
from haywain.ingestion.quarantine import quarantine
from haywain.ingestion.record_keys import fresh_of
from haywain.ingestion.request import Delivery, Request, decoded
from haywain.ingestion.sink import rule_for, sink_key, targets_of
from haywain.ingestion.terms import Terms, terms_of
from haywain.ingestion.turn import Turn
from haywain.interfaces import Chunk, IByteStream, IngestionRule, Targets
from haywain.portal import Portal, Site
from haywain.store.disk import has_room
from haywain.values import Offset, Path, Receipt, Tid

_log = logging.getLogger(__name__)


def deliver(site: Site, request: Request) -> Receipt:
    """Store a request and return its receipt, after the commit.

    Raises NotFoundError (unknown policy), ForbiddenError, TemporaryError, SequenceError.
    """
    if site.stopping.is_set():
        raise TemporaryError("The portal is stopping; send it again in a moment", 5)
    try:
        if not has_room(site.path, len(request.body)):
            raise TemporaryError("The disk is almost full: make room on it, then send it again", 10)
        receipt, tid = _deliver(site, request)
    except (TemporaryError, SequenceError) as error:
        site.tally.refuse(request, error)
        raise
    except OSError as error:
        site.tally.refuse(request)
        trouble = StorageTroubleError(error)
        _log.error("delivery refused: %s", trouble, exc_info=not trouble.is_full)
        raise trouble from error
    site.tally.note(request, receipt)
    if receipt.status == "quarantined":
        site.quarantine_rate.note(request.scope)
    return receipt if receipt.tid else replace(receipt, tid=tid)


def _deliver(site: Site, request: Request) -> tuple[Receipt, Tid]:
    try:
        delivery = decoded(request, site.settings)
        if not delivery.body and request.producer is None:
            return _nothing(site, delivery), Tid("")
        if delivery.key:
            delivery.identity  # noqa: B018  # made by this thread, not by the one that commits for all
        return site.together(
            lambda p: _store(p, delivery), request.user, f"sink:{delivery.tag}", len(delivery.body)
        )
    except (DeliveryError, InvalidError, TooLargeError) as error:
        reason = error.detail
        return site.transact(lambda p: quarantine(p, request, reason), request.user, lock="quarantine")


def _nothing(site: Site, delivery: Delivery) -> Receipt:
    with site.open(delivery.request.user) as portal:
        policy = policy_of(portal, delivery.request.policy)
        return _nothing_of(portal, policy, delivery, "stored")


def _nothing_of(portal: Portal, policy: Document, delivery: Delivery, status: str) -> Receipt:
    sink = portal.root.find("sink", sink_key(policy, delivery.tag))
    return Receipt(status, sink.path if sink else Path(""), Offset(sink.size if sink else 0), 0)


def _store(portal: Portal, delivery: Delivery) -> Receipt:
    """Append, in the running transaction, what the ledger does not know."""
    policy, ledger = policy_of(portal, delivery.request.policy), Ledger.of(portal.root)
    rule, terms = rule_of(portal, policy), terms_of(policy)
    key = terms.key_of(delivery)
    known = terms.known(ledger, delivery, key)
    if key and known is not None:
        if known.matches(delivery.identity):
            return known.receipt()
        return _store_rest(portal, rule, delivery, known, key, terms)
    turn = Turn.of(ledger, delivery.request)
    if turn is not None and not turn.is_due():  # it came so long ago that the ledger has forgotten it
        return _nothing_of(portal, policy, delivery, "duplicate")
    fresh = fresh_of(ledger, delivery, terms.record_key, delivery.request.scope)
    if fresh.known is not None and not fresh.body:
        receipt = fresh.known.receipt()
    else:
        targets = targets_of(portal, policy, route_of(rule, delivery.chunk(delivery.body)))
        receipt = append(portal, rule, delivery.chunk(fresh.body), targets)
    if turn is not None:
        turn.take()
    keys = [key] if key else []
    ledger.add_all(keys + fresh.keys, receipt, delivery.identity, portal.site.settings.ledger_days)
    return receipt


def append(portal: Portal, rule: IngestionRule, chunk: Chunk, targets: Targets) -> Receipt:
    """Have the policy put a chunk into its sinks, in the running transaction; raises DeliveryError.

    The length is that of what the main sink has gained; of one that is no file, that of the body.
    """
    sink: Document = targets.sink
    offset = sink.size
    used = rule_for(portal, rule, sink)
    if chunk.body:  # an agent that numbers what it sends may have nothing to say
        with blamed_on(used):
            used.deliver(chunk, targets)
    length = sink.size - offset if IByteStream.providedBy(sink) else len(chunk.body)
    return Receipt("stored", sink.path, Offset(offset), max(length, 0))


def _store_rest(
    portal: Portal, rule: IngestionRule, delivery: Delivery, known: Known, key: bytes, terms: Terms
) -> Receipt:
    """Append what a chunk gained since it was stored; only where that leaves no gap and cuts no record."""
    if (
        known.status == "stored"
        and known.is_prefix_of(delivery.body)
        and ends_record(delivery.body, known.body.length)
    ):
        policy = policy_of(portal, delivery.request.policy)
        targets = targets_of(portal, policy, route_of(rule, delivery.chunk(delivery.body)))
        sink: Document = targets.sink
        if sink.path == known.path and sink.size == known.offset + known.length:
            ledger, rest = Ledger.of(portal.root), replace(delivery, body=delivery.body[known.body.length :])
            fresh = fresh_of(ledger, rest, terms.record_key, delivery.request.scope)
            gained = append(portal, rule, delivery.chunk(fresh.body), targets)
            whole = Receipt("stored", sink.path, Offset(known.offset), known.length + gained.length)
            window = portal.site.settings.ledger_days
            ledger.add_all([key, *fresh.keys], whole, delivery.identity, window)
            return whole
    raise DeliveryError("The Idempotency-Key was used for other bytes")
