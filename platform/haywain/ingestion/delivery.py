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
    NotFoundError,
    SequenceError,
    StorageTroubleError,
    TemporaryError,
    TooLargeError,
)
from haywain.ingestion.boundary import ends_record
from haywain.ingestion.ledger import Ledger, LedgerEntry
from haywain.ingestion.policy import blamed_on, policy_of, route_of, rule_of
from haywain.ingestion.quarantine import quarantine
from haywain.ingestion.request import Delivery, Request, decoded
from haywain.ingestion.sink import sink_of
from haywain.ingestion.turn import Turn
from haywain.interfaces import Chunk, IngestionRule
from haywain.portal import Portal, Site
from haywain.values import Offset, Path, Receipt, Tid

_log = logging.getLogger(__name__)


def deliver(site: Site, request: Request) -> Receipt:
    """Store a request and return its receipt, after the commit.

    Raises NotFoundError (unknown policy), ForbiddenError, TemporaryError, SequenceError.
    """
    if site.stopping.is_set():
        raise TemporaryError("The portal is stopping; send it again in a moment", 5)
    try:
        receipt, tid = _deliver(site, request)
    except (TemporaryError, SequenceError):
        site.tally.refuse(request)
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
        policy_of(portal, delivery.request.policy)
        return _nothing_of(portal, delivery, "stored")


def _nothing_of(portal: Portal, delivery: Delivery, status: str) -> Receipt:
    sink = portal.root.find("sink", delivery.tag)
    return Receipt(status, sink.path if sink else Path(""), Offset(sink.size if sink else 0), 0)


def _store(portal: Portal, delivery: Delivery) -> Receipt:
    """Append, in the running transaction, what the ledger does not know."""
    rule, ledger, key = rule_of(portal, delivery.request.policy), Ledger.of(portal.root), delivery.key
    known = ledger.find(key) if key else None
    if key and known is not None:
        if known.matches(delivery.identity):
            return known.receipt()
        return _store_rest(portal, rule, delivery, known, key)
    turn = Turn.of(ledger, delivery.request)
    if turn is not None and not turn.is_due():  # it came so long ago that the ledger has forgotten it
        return _nothing_of(portal, delivery, "duplicate")
    receipt = append(rule, delivery, sink_of(portal, route_of(rule, delivery.tag)), delivery.body)
    if turn is not None:
        turn.take()
    if key:
        ledger.add(key, receipt, delivery.identity, portal.site.settings.ledger_days)
    return receipt


def append(rule: IngestionRule, delivery: Delivery, sink: Document, body: bytes) -> Receipt:
    """Have the policy put bytes into a sink, in the running transaction; raises DeliveryError if it fails."""
    offset = sink.size
    with blamed_on(rule):
        rule.deliver(Chunk(delivery.tag, body, delivery.request.content_type), sink)
    return Receipt("stored", sink.path, Offset(offset), sink.size - offset)


def _store_rest(
    portal: Portal, rule: IngestionRule, delivery: Delivery, known: LedgerEntry, key: bytes
) -> Receipt:
    """Append what a chunk gained since it was stored; only where that leaves no gap and cuts no record."""
    if (
        known.status == "stored"
        and known.is_prefix_of(delivery.body)
        and ends_record(delivery.body, known.body.length)
    ):
        sink = _kept_sink(portal, known)
        if sink is not None and sink.size == known.offset + known.length:
            rest = append(rule, delivery, sink, delivery.body[known.body.length :])
            whole = Receipt("stored", sink.path, Offset(known.offset), known.length + rest.length)
            window = portal.site.settings.ledger_days
            Ledger.of(portal.root).add(key, whole, delivery.identity, window)
            return whole
    raise DeliveryError("The Idempotency-Key was used for other bytes")


def _kept_sink(portal: Portal, known: LedgerEntry) -> Document | None:
    try:
        return portal[known.path]
    except NotFoundError:
        return None
