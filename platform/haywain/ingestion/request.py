"""What an agent sent, as it came and as it is meant."""

import re
from dataclasses import dataclass, field
from functools import cached_property

from haywain import clock
from haywain.errors import InvalidError
from haywain.ingestion.decoding import FORM, Limits, decode_body, form_field, media_type
from haywain.ingestion.ledger import BodyIdentity, ledger_key
from haywain.ingestion.producer import Producer
from haywain.ingestion.tag import parse_tag
from haywain.interfaces import Chunk
from haywain.security import SYSTEM, User
from haywain.settings import Settings
from haywain.values import RecordLimits

KEY_BYTES = 255
"""Longest Idempotency-Key."""


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
    disposition: str = ""
    producer: Producer | None = None

    @property
    def scope(self) -> str:
        """Whose keys these are."""
        return self.user.token or self.user.login

    @property
    def identity(self) -> str:
        """By what its sender names it: the place among those of its producer, else the Idempotency-Key."""
        return self.producer.key(self.tag) if self.producer is not None else self.key


@dataclass(frozen=True)
class Delivery:
    """A request that could be decoded."""

    request: Request
    tag: str
    body: bytes
    limits: RecordLimits = field(default_factory=RecordLimits)

    @cached_property
    def identity(self) -> BodyIdentity:
        """By what the decoded body is known again."""
        return BodyIdentity.of([self.body])

    @cached_property
    def key(self) -> bytes | None:
        """The hash under which the ledger knows the request; None if its sender does not name it."""
        name = self.request.identity
        return ledger_key(self.request.scope, self.request.policy, name) if name else None

    def chunk(self, body: bytes) -> Chunk:
        """Return these bytes of it as a policy gets them."""
        headers = {"Content-Disposition": self.request.disposition} if self.request.disposition else {}
        content_type = self.request.content_type
        if media_type(content_type) == FORM:  # what it was sent in, and not what it is
            content_type = "application/octet-stream"
        return Chunk(self.tag, body, content_type, headers, self.limits)


def decoded(request: Request, settings: Settings) -> Delivery:
    """Return what a request means; raises InvalidError or TooLargeError if it means nothing."""
    if len(request.key.encode("utf-8", "surrogateescape")) > KEY_BYTES:
        raise InvalidError(f"The Idempotency-Key is longer than {KEY_BYTES} bytes")
    if request.producer is not None:
        request.producer.position()
        request.producer.previous_position()
    _check_age(request, settings.ledger_days)
    tag = parse_tag(request.tag)
    records = RecordLimits(settings.record_nesting, settings.record_elements, settings.record_key_bytes)
    if request.query_chunk is not None and not request.body:
        return Delivery(request, tag, form_field(b"data_chunk=" + request.query_chunk), records)
    limits = Limits(settings.decoded_bytes)
    body = decode_body(request.body, request.content_type, request.content_encoding, limits)
    return Delivery(request, tag, body, records)


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
