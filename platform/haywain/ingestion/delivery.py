"""Deliver one request: decode, look into the ledger, route, append, and keep it all in one transaction.

What can never be stored is quarantined durably and acknowledged, since a 4xx makes agents throw it away.
What may succeed later raises TemporaryError: 503, the one status that all agents try again.
"""

import logging
import mimetypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from transaction.interfaces import TransientError
from ZODB.POSException import POSError

from haywain import clock
from haywain.catalog import Query
from haywain.document import Document
from haywain.errors import HaywainError, InvalidError, NotFoundError, TemporaryError, TooLargeError
from haywain.ingestion.decoding import Limits, decode_body, form_field
from haywain.ingestion.ledger import BodyIdentity, Ledger, LedgerEntry, ledger_key
from haywain.ingestion.tag import parse_tag, printable_tag
from haywain.interfaces import Chunk, IngestionRule, Route
from haywain.portal import Portal, Site
from haywain.security import SYSTEM, User, require
from haywain.store.database import free_bytes
from haywain.values import Offset, Path, Receipt

KEY_BYTES = 255
"""Longest Idempotency-Key."""

_log = logging.getLogger(__name__)
_types = mimetypes.MimeTypes(filenames=())


class DeliveryError(HaywainError):
    """This request can never be delivered as it is."""

    status, title = 422, "Not deliverable"


@dataclass(frozen=True)
class Request:
    """What an agent sent: the tag and the body as they came."""

    policy: str
    tag: bytes | None
    body: bytes
    content_type: str = "application/octet-stream"
    content_encoding: str = ""
    key: str = ""
    query_chunk: bytes | None = None
    user: User = SYSTEM
    agent: str = ""

    @property
    def scope(self) -> str:
        """Whose keys these are."""
        return self.user.token or self.user.login


@dataclass(frozen=True)
class _Delivery:
    """A request that could be decoded."""

    request: Request
    tag: str
    body: bytes

    @property
    def key(self) -> bytes | None:
        return (
            ledger_key(self.request.scope, self.request.policy, self.request.key)
            if self.request.key
            else None
        )


def deliver(site: Site, request: Request) -> Receipt:
    """Store a request and return its receipt, after the commit.

    Raises NotFoundError (unknown policy), ForbiddenError, TemporaryError.
    """
    if site.stopping.is_set():
        raise TemporaryError("The portal is stopping; send it again in a moment", 5)
    try:
        delivery = _decoded(site, request)
        if not delivery.body:
            return _nothing(site, delivery)
        receipt, tid = site.transact(lambda p: _store(p, delivery), request.user, lock=f"sink:{delivery.tag}")
    except (DeliveryError, InvalidError, TooLargeError) as error:
        reason = error.detail
        receipt, tid = site.transact(
            lambda p: _quarantine(p, request, reason), request.user, lock="quarantine"
        )
    except OSError as error:
        _log.exception("storage trouble")
        raise TemporaryError(f"The storage has trouble: {error.strerror or error}", 10) from error
    return receipt if receipt.tid else replace(receipt, tid=tid)


def replay(site: Site, path: str, user: User) -> Receipt:
    """Deliver what is in quarantine; it keeps its key, so this is idempotent.

    Raises DeliveryError or InvalidError with the reason if it still cannot be delivered.
    """

    def work(portal: Portal) -> Receipt:
        kept: Any = portal[path]  # Any: a Quarantine, which this layer does not import
        require(user, "edit", kept)
        if kept.state != "quarantined":
            raise InvalidError(f"{path} is {kept.state} already")
        _policy(portal, kept.properties.policy)
        delivery = _decoded(site, _request_of(kept, user))
        receipt = _store(portal, delivery, scope=kept.properties.scope)
        kept.state = "replayed"
        kept.note("replayed", user.login, f"{receipt.path} at {receipt.offset}")
        kept.link("aggregate", portal[receipt.path])
        kept.reindex()
        return receipt

    receipt, tid = site.transact(work, user, lock="quarantine")
    return receipt if receipt.tid else replace(receipt, tid=tid)


def _decoded(site: Site, request: Request) -> _Delivery:
    if len(request.key.encode("utf-8", "surrogateescape")) > KEY_BYTES:
        raise InvalidError(f"The Idempotency-Key is longer than {KEY_BYTES} bytes")
    _check_age(request, site.settings.ledger_days)
    tag = parse_tag(request.tag)
    if request.query_chunk is not None and not request.body:
        return _Delivery(request, tag, form_field(b"data_chunk=" + request.query_chunk))
    limits = Limits(site.settings.decoded_bytes)
    return _Delivery(
        request, tag, decode_body(request.body, request.content_type, request.content_encoding, limits)
    )


def _check_age(request: Request, window_days: int) -> None:
    """Refuse a fluentd chunk that is older than the ledger remembers: it may have been stored before.

    fluentd's chunk id begins with 52 bits of microseconds (lib/fluent/unique_id.rb); its out_http calls
    itself Ruby.
    """
    if request.agent != "Ruby" or not re.fullmatch(r"[0-9a-f]{32}", request.key):
        return
    age_s = clock.now_s() - int(request.key[:13], 16) / 1e6
    if age_s > window_days * 86_400:
        raise InvalidError(f"The chunk is {age_s / 86_400:.0f} days old, the ledger remembers {window_days}")


def _nothing(site: Site, delivery: _Delivery) -> Receipt:
    with site.open(delivery.request.user) as portal:
        _policy(portal, delivery.request.policy)
        sink = portal.root.find("sink", delivery.tag)
        return Receipt("stored", sink.path if sink else Path(""), Offset(sink.size if sink else 0), 0)


def _policy(portal: Portal, id: str) -> Document:
    try:
        policy = portal.root["portal_ingestion_policies"][id]
    except KeyError:
        raise NotFoundError(f"There is no Ingestion Policy {id[:100]!r}") from None
    require(portal.user, "ingest", policy=id)
    if policy.state in ("invalidated", "deleted"):
        raise NotFoundError(f"The Ingestion Policy {id!r} is switched off")
    return policy


def _store(portal: Portal, delivery: _Delivery, scope: str | None = None) -> Receipt:
    """Append, in the running transaction; `scope` is that of the first sender when this is a replay."""
    request, ledger = delivery.request, Ledger.of(portal.root)
    policy = _policy(portal, request.policy)
    key = delivery.key if scope is None or not request.key else ledger_key(scope, request.policy, request.key)
    known = ledger.find(key) if key else None
    if known is not None and not (scope is not None and known.status == "quarantined"):
        if known.matches(BodyIdentity.of([delivery.body])):
            return known.receipt()
        return _store_rest(portal, delivery, known, cast(bytes, key))
    rule = portal.site.registry.rule(cast(Any, policy).rule)  # Any: an IngestionPolicy, not imported here
    sink = _sink(portal, _route(rule, delivery.tag))
    receipt = _append(rule, delivery, sink, delivery.body)
    if key:
        ledger.add(key, receipt, BodyIdentity.of([delivery.body]), portal.site.settings.ledger_days)
    return receipt


def _append(rule: IngestionRule, delivery: _Delivery, sink: Document, body: bytes) -> Receipt:
    offset = sink.size
    with _blamed_on(rule):
        rule.deliver(Chunk(delivery.tag, body, delivery.request.content_type), sink)
    return Receipt("stored", sink.path, Offset(offset), sink.size - offset)


@contextmanager
def _blamed_on(rule: IngestionRule) -> Iterator[None]:
    """Raise DeliveryError for what a policy raises, which it would raise again; but not for trouble below."""
    try:
        yield
    except (TemporaryError, TransientError, POSError, OSError, MemoryError):
        raise
    except Exception as error:  # a policy may raise whatever it likes
        raise DeliveryError(f"The policy {rule.name!r} raised {type(error).__name__}: {error}") from error


def _store_rest(portal: Portal, delivery: _Delivery, known: LedgerEntry, key: bytes) -> Receipt:
    """Append what a chunk gained since it was stored; only where that leaves no gap and cuts no record."""
    ends_line = delivery.body[known.body_length - 1 : known.body_length] == b"\n"
    if known.status == "stored" and ends_line and known.is_prefix_of(delivery.body):
        sink = _kept_sink(portal, known)
        if sink is not None and sink.size == known.offset + known.length:
            policy = _policy(portal, delivery.request.policy)
            rule = portal.site.registry.rule(cast(Any, policy).rule)  # Any: an IngestionPolicy
            rest = _append(rule, delivery, sink, delivery.body[known.body_length :])
            whole = Receipt("stored", sink.path, Offset(known.offset), known.length + rest.length)
            window = portal.site.settings.ledger_days
            Ledger.of(portal.root).add(key, whole, BodyIdentity.of([delivery.body]), window)
            return whole
    raise DeliveryError("The Idempotency-Key was used for other bytes")


def _kept_sink(portal: Portal, known: LedgerEntry) -> Document | None:
    try:
        return portal[known.path]
    except NotFoundError:
        return None


def _route(rule: IngestionRule, tag: str) -> Route:
    with _blamed_on(rule):
        route = rule.route(tag)
    if route is None:
        raise DeliveryError(f"The policy {rule.name!r} knows no way for this tag")
    return route


def _sink(portal: Portal, route: Route) -> Document:
    """Return the sink of a route, made with its product and its supply at first use.

    Uniqueness lies in the root's BTree: of many first posts at once one makes it, the others conflict and,
    tried again, find it.
    """
    found = portal.root.find("sink", route.sink)
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


def _quarantine(portal: Portal, request: Request, reason: str) -> Receipt:
    """Keep the raw request; a copy of it that is sent again with its key is a duplicate."""
    _policy(portal, request.policy)
    ledger = Ledger.of(portal.root)
    body = (
        request.body if request.query_chunk is None or request.body else b"data_chunk=" + request.query_chunk
    )
    identity = BodyIdentity.of([body])
    keys = [request.key, f"{request.key}\0{identity.digest.hex()}"] if request.key else []
    hashes = [ledger_key(request.scope, request.policy, key) for key in keys]
    for known in filter(None, map(ledger.find, hashes)):
        if known.matches(identity):
            return known.receipt()
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
        key=request.key[:KEY_BYTES],
        scope=request.scope,
    )
    receipt = Receipt("quarantined", kept.path, Offset(0), len(body))
    free = next((h for h in hashes if ledger.find(h) is None), None)
    if free is not None:
        ledger.add(free, receipt, identity, portal.site.settings.ledger_days)
    _log.warning("quarantined %d bytes sent to %s: %s", len(body), request.policy, reason)
    return receipt


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


def _request_of(kept: Any, user: User) -> Request:  # Any: a Quarantine, which this layer does not import
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
