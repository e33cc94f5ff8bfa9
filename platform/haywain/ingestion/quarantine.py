"""Keep what cannot be delivered, whole and durably, with its reason."""

import logging
from typing import Any

from haywain.catalog import Query
from haywain.errors import TemporaryError
from haywain.ingestion.ledger import BodyIdentity, Ledger, ledger_key
from haywain.ingestion.policy import policy_of
from haywain.ingestion.request import KEY_BYTES, Request
from haywain.ingestion.tag import printable_tag
from haywain.ingestion.turn import Turn
from haywain.portal import Portal
from haywain.security import User
from haywain.store.disk import free_bytes
from haywain.values import Offset, Receipt

_log = logging.getLogger(__name__)


def quarantine(portal: Portal, request: Request, reason: str) -> Receipt:
    """Keep the raw request; a copy of it that is sent again with its key is a duplicate.

    Raises TemporaryError while the quarantine is full, or the sender has too much put into it.
    """
    policy_of(portal, request.policy)
    ledger = Ledger.of(portal.root)
    body = (
        request.body if request.query_chunk is None or request.body else b"data_chunk=" + request.query_chunk
    )
    identity = BodyIdentity.of([body])
    hashes = kept_keys(request.scope, request.policy, request.identity, identity) if request.identity else ()
    for known in filter(None, map(ledger.find, hashes)):
        if known.matches(identity):
            return known.receipt()
    turn = Turn.of(ledger, request)
    is_due = turn is not None and turn.is_due()  # before its place is given away to something else
    _check_rate(portal, request)
    _check_room(portal, len(body))
    tag = printable_tag(request.tag)
    kept = portal.new(
        "Quarantine",
        body=body,
        reference=tag[:255].strip(),
        policy=request.policy,
        reason=printable_tag(reason.encode("utf-8", "surrogatepass"))[:10_000],
        raw_tag=request.tag and request.tag[: 1 << 16],
        tag=tag,
        headers=_kept_headers(request),
        key=request.identity[:KEY_BYTES],
        scope=request.scope,
    )
    receipt = Receipt("quarantined", kept.path, Offset(0), len(body))
    if turn is not None and is_due:
        turn.take()
    free = next((h for h in hashes if ledger.find(h) is None), None)
    if free is not None:
        ledger.add(free, receipt, identity, portal.site.settings.ledger_days)
    _log.warning("quarantined %d bytes sent to %s: %s", len(body), request.policy, reason)
    return receipt


def kept_keys(scope: str, policy: str, key: str, raw: BodyIdentity) -> tuple[bytes, bytes]:
    """Return the hashes under which the ledger may know what is kept.

    That of the sender's key, and, where other bytes have it, that of the key with these raw bytes.
    """
    return ledger_key(scope, policy, key), ledger_key(scope, policy, f"{key}\0{raw.digest.hex()}")


def _check_rate(portal: Portal, request: Request) -> None:
    """Raise TemporaryError if too much of this sender came here of late: agents throw away a 429."""
    wait_s = portal.site.quarantine_rate.wait_s(request.scope)
    if wait_s:
        most = portal.site.settings.quarantine_per_minute
        raise TemporaryError(
            f"More than {most} requests a minute by this sender cannot be delivered; the quarantine says why",
            wait_s,
        )


def _check_room(portal: Portal, length: int) -> None:
    """Raise TemporaryError when the quarantine holds 5 % of the disk: the oldest is never dropped."""
    _, total = free_bytes(portal.site.path)
    held = sum(
        size for _, size in portal.catalog_index.sums("state", Query({"portal_type": "Quarantine"})).values()
    )
    if held + length > total // 20:
        raise TemporaryError("The quarantine is full; a Manager must replay or discard what is in it", 60)


def _kept_headers(request: Request) -> tuple[tuple[str, str], ...]:
    form = request.query_chunk is not None and not request.body
    content_type = "application/x-www-form-urlencoded" if form else request.content_type
    return (("Content-Type", content_type[:255]), ("Content-Encoding", request.content_encoding[:255]))


def request_of(kept: Any, user: User) -> Request:  # Any: a Quarantine, which this layer does not import
    """Return the request that is kept, to be delivered again."""
    headers = dict(kept.properties.headers)
    return Request(
        policy=kept.properties.policy,
        tag=kept.raw_tag,
        body=kept.read(),
        user=user,
        content_type=headers.get("Content-Type", ""),
        content_encoding=headers.get("Content-Encoding", ""),
        key=kept.properties.key,
    )
