"""Deliver one request: decode, look into the ledger, route, append, and keep it all in one transaction.

What can never be stored is quarantined durably and acknowledged, since a 4xx makes agents throw it away.
What may succeed later raises TemporaryError: 503, the one status that all agents try again.
"""

import logging
from dataclasses import replace

from haywain.document import Document
from haywain.errors import DeliveryError, InvalidError, StorageTroubleError, TemporaryError, TooLargeError
from haywain.ingestion.boundary import ends_record
from haywain.ingestion.ledger import BodyIdentity, Ledger, LedgerEntry
from haywain.ingestion.policy import blamed_on, policy_of, route_of, rule_of
from haywain.ingestion.quarantine import quarantine
from haywain.ingestion.request import Delivery, Request, decoded
from haywain.ingestion.sink import rule_for, sink_key, targets_of
from haywain.interfaces import Chunk, IByteStream, IngestionRule, Targets
from haywain.portal import Portal, Site
from haywain.values import Offset, Path, Receipt

_log = logging.getLogger(__name__)


def deliver(site: Site, request: Request) -> Receipt:
    """Store a request and return its receipt, after the commit.

    Raises NotFoundError (unknown policy), ForbiddenError, TemporaryError.
    """
    if site.stopping.is_set():
        raise TemporaryError("The portal is stopping; send it again in a moment", 5)
    try:
        delivery = decoded(request, site.settings)
        if not delivery.body:
            return _nothing(site, delivery)
        receipt, tid = site.together(
            lambda p: _store(p, delivery), request.user, f"sink:{delivery.tag}", len(delivery.body)
        )
    except (DeliveryError, InvalidError, TooLargeError) as error:
        reason = error.detail
        receipt, tid = site.transact(
            lambda p: quarantine(p, request, reason), request.user, lock="quarantine"
        )
    except OSError as error:
        trouble = StorageTroubleError(error)
        _log.error("delivery refused: %s", trouble, exc_info=not trouble.is_full)
        raise trouble from error
    if receipt.status == "quarantined":
        site.quarantine_rate.note(request.scope)
    return receipt if receipt.tid else replace(receipt, tid=tid)


def _nothing(site: Site, delivery: Delivery) -> Receipt:
    with site.open(delivery.request.user) as portal:
        policy = policy_of(portal, delivery.request.policy)
        sink = portal.root.find("sink", sink_key(policy, delivery.tag))
        return Receipt("stored", sink.path if sink else Path(""), Offset(sink.size if sink else 0), 0)


def _store(portal: Portal, delivery: Delivery) -> Receipt:
    """Append, in the running transaction, what the ledger does not know."""
    policy, ledger, key = policy_of(portal, delivery.request.policy), Ledger.of(portal.root), delivery.key
    rule = rule_of(portal, policy)
    known = ledger.find(key) if key else None
    if key and known is not None:
        if known.matches(BodyIdentity.of([delivery.body])):
            return known.receipt()
        return _store_rest(portal, rule, delivery, known, key)
    targets = targets_of(portal, policy, route_of(rule, delivery.chunk(delivery.body)))
    receipt = append(portal, rule, delivery.chunk(delivery.body), targets)
    if key:
        ledger.add(key, receipt, BodyIdentity.of([delivery.body]), portal.site.settings.ledger_days)
    return receipt


def append(portal: Portal, rule: IngestionRule, chunk: Chunk, targets: Targets) -> Receipt:
    """Have the policy put a chunk into its sinks, in the running transaction; raises DeliveryError.

    The length is that of what the main sink has gained; of one that is no file, that of the body.
    """
    sink: Document = targets.sink
    offset = sink.size
    used = rule_for(portal, rule, sink)
    with blamed_on(used):
        used.deliver(chunk, targets)
    length = sink.size - offset if IByteStream.providedBy(sink) else len(chunk.body)
    return Receipt("stored", sink.path, Offset(offset), max(length, 0))


def _store_rest(
    portal: Portal, rule: IngestionRule, delivery: Delivery, known: LedgerEntry, key: bytes
) -> Receipt:
    """Append what a chunk gained since it was stored; only where that leaves no gap and cuts no record."""
    if (
        known.status == "stored"
        and known.is_prefix_of(delivery.body)
        and ends_record(delivery.body, known.body_length)
    ):
        policy = policy_of(portal, delivery.request.policy)
        targets = targets_of(portal, policy, route_of(rule, delivery.chunk(delivery.body)))
        sink: Document = targets.sink
        if sink.path == known.path and sink.size == known.offset + known.length:
            rest = append(portal, rule, delivery.chunk(delivery.body[known.body_length :]), targets)
            whole = Receipt("stored", sink.path, Offset(known.offset), known.length + rest.length)
            window = portal.site.settings.ledger_days
            Ledger.of(portal.root).add(key, whole, BodyIdentity.of([delivery.body]), window)
            return whole
    raise DeliveryError("The Idempotency-Key was used for other bytes")
