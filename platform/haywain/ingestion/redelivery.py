"""Deliver what is in quarantine, once its reason is gone.

A person decides that these bytes are to be stored, so that other bytes under the same Idempotency-Key are no
reason against it.  What came first under a key is delivered first, and what it begins is not stored twice.
"""

from dataclasses import replace
from typing import Any

from haywain.document import Document
from haywain.errors import DeliveryError, InvalidError, NotFoundError
from haywain.ingestion.boundary import ends_record
from haywain.ingestion.delivery import append
from haywain.ingestion.ledger import BodyIdentity, Known, Ledger
from haywain.ingestion.policy import policy_of, route_of, rule_of
from haywain.ingestion.quarantine import kept_keys, request_of
from haywain.ingestion.record_keys import fresh_of
from haywain.ingestion.request import Delivery, decoded
from haywain.ingestion.sink import targets_of
from haywain.ingestion.terms import terms_of
from haywain.portal import Portal, Site
from haywain.security import User, require
from haywain.values import Receipt


def replay(site: Site, path: str, user: User) -> Receipt:
    """Deliver what is in quarantine; it keeps its key, so this is idempotent.

    Raises DeliveryError or InvalidError with the reason if it still cannot be delivered.
    """

    def work(portal: Portal) -> Receipt:
        kept: Any = portal[path]  # Any: a Quarantine, which this layer does not import
        require(user, "edit", kept)
        if kept.state != "quarantined":
            raise InvalidError(f"{path} is {kept.state} already")
        rule_of(portal, policy_of(portal, kept.properties.policy))  # whatever else is wrong, it must be there
        delivery = decoded(request_of(kept, user), site.settings)
        receipt = _store(portal, delivery, kept)
        kept.state = "replayed"
        kept.note("replayed", user.login, f"{receipt.path} at {receipt.offset}")
        kept.link("aggregate", portal[receipt.path])
        kept.let_go()
        return receipt

    receipt, tid = site.transact(work, user, lock="quarantine")
    return receipt if receipt.tid else replace(receipt, tid=tid)


def _store(portal: Portal, delivery: Delivery, kept: Any) -> Receipt:  # Any: a Quarantine
    """Append what the stream does not have, in the running transaction, and note it under a key."""
    policy, ledger, request = (
        policy_of(portal, delivery.request.policy),
        Ledger.of(portal.root),
        delivery.request,
    )
    rule = rule_of(portal, policy)
    identity, raw = BodyIdentity.of([delivery.body]), BodyIdentity.of([request.body])
    key, own = kept_keys(kept.properties.scope, request.policy, request.key, raw)
    known = ledger.find(key) if request.key else None
    is_first = known is None or known.path == kept.path
    if known is not None and not is_first:
        if known.status == "stored" and known.matches(identity):
            return known.receipt()
        _refuse_before(portal, known)
        key, identity = own, raw
    targets = targets_of(portal, policy, route_of(rule, delivery.chunk(delivery.body)))
    body = delivery.body if known is None or is_first else _rest(delivery.body, known, targets.sink)
    fields = terms_of(policy).record_key
    fresh = fresh_of(ledger, replace(delivery, body=body), fields, kept.properties.scope)
    receipt = append(portal, rule, delivery.chunk(fresh.body), targets)
    keys = [key] if request.key else []
    ledger.add_all(keys + fresh.keys, receipt, identity, portal.site.settings.ledger_days)
    return receipt


def _refuse_before(portal: Portal, known: Known) -> None:
    """Raise InvalidError while what came first under this key is still in quarantine."""
    try:
        first = portal[known.path]
    except NotFoundError:
        return
    if first.state == "quarantined" and known.status == "quarantined":
        raise InvalidError(f"{known.path} came before it under the same key; replay or discard that first")


def _rest(body: bytes, known: Known, sink: Document) -> bytes:
    """Return what a chunk gained since it was stored in this sink; all of it if it is no such chunk."""
    if known.status != "stored" or known.path != sink.path or not known.is_prefix_of(body):
        return body
    if not ends_record(body, known.body.length):
        raise DeliveryError(f"The first {known.body.length} bytes are stored already and end within a record")
    return body[known.body.length :]
