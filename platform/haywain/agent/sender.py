"""Delivery of chunks to a Portal's ingestion URL, so that each is stored once.

The rule: a chunk gets its key when it is made and keeps it until a 2xx answers.  Then it does not matter
whether a request or its answer was lost; the chunk is sent again and the Portal recognises the key.
"""

import base64
import logging
import secrets
import socket
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import NamedTuple
from urllib.parse import quote

import urllib3

from haywain.agent.backoff import pause_s, retry_after_s
from haywain.agent.resource import encode, sample
from haywain.errors import (
    FencedError,
    ForbiddenError,
    GapError,
    HaywainError,
    InvalidError,
    NotFoundError,
    TemporaryError,
    TooLargeError,
    UnauthorizedError,
)
from haywain.values import Offset, Path, Receipt, Tid

log = logging.getLogger(__name__)

Credentials = str | tuple[str, str]
"""A token, or a user and a password."""

TEMPORARY_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
"""408 (a body that came too slowly) and 503 are the Portal's; the others come from proxies before it."""

REFUSED_PAUSE_S = 30.0
"""How long to leave a Portal alone that refused, rather than failed: a person has to act first."""

DETAIL_BYTES = 300
TAG_CHARACTERS_MAX = 255
RESOURCE_PRODUCT = ".resource"


def new_key() -> str:
    """Return a new idempotency key, in order of time.

    It is not 32 hexadecimal digits, which would be read as a fluentd chunk id with a date in it.
    """
    return f"haywain-{time.time_ns():016x}-{secrets.token_hex(8)}"


def tag_of(hostname: str) -> str:
    """Return the tag `sensor.product` of a machine's resource consumption.

    >>> tag_of("web-1.example.org")
    'web-1-example-org.resource'
    """
    name = unicodedata.normalize("NFC", hostname)
    sensor = "".join(c if c.isalnum() or c in "-_" else "-" for c in name).lstrip("_")
    return (sensor[: TAG_CHARACTERS_MAX - len(RESOURCE_PRODUCT)] or "machine") + RESOURCE_PRODUCT


class Numbers(NamedTuple):
    """Who sends a chunk, and its number in its stream: so it is stored once, and in order."""

    producer: str
    epoch: int
    seq: int
    previous: tuple[int, int] | None = None
    """Epoch and number of the last one that is acknowledged, where this one begins an epoch."""

    def headers(self) -> dict[str, str]:
        """Return them as headers of a request."""
        headers = {
            "Producer-Id": self.producer, "Producer-Epoch": str(self.epoch), "Producer-Seq": str(self.seq),
        }  # fmt: skip
        if self.previous is not None:
            headers["Producer-Previous"] = "{}.{}".format(*self.previous)
        return headers


class Sender:
    """Posts chunks to one ingestion policy of one Portal; threads may share it."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        policy: str = "default",
        *,
        timeout_s: float = 30.0,
        deadline_s: float = 300.0,
        sleep: Callable[[float], object] = time.sleep,
        connections: int = 1,
        ca_file: str | None = None,
    ) -> None:
        """Remember where to send; `deadline_s` bounds `send` with all its retries.

        Raises InvalidError if the URL is none.
        """
        self.url = _checked_url(url)
        self.policy = policy
        self._headers = {"Authorization": _authorization(credentials)}
        self._deadline_s = deadline_s
        self._sleep = sleep
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(timeout_s), retries=False, maxsize=connections, ca_certs=ca_file
        )

    def send(
        self, tag: str, body: bytes, *, key: str | None = None, content_type: str = "application/octet-stream"
    ) -> Receipt:
        """Deliver a chunk, trying again with the same key while that may help.

        Raises what `post` raises; TemporaryError only after `deadline_s`.
        """
        key = key or new_key()
        deadline = time.monotonic() + self._deadline_s
        for failures in count():
            try:
                return self.post(tag, body, key=key, content_type=content_type)
            except TemporaryError as error:
                pause = pause_s(failures, error.retry_after_s)
                if time.monotonic() + pause > deadline:
                    raise TemporaryError(f"Gave up after {failures + 1} tries: {error}") from error
                log.info("%s; trying again in %.1f s", error, pause)
                self._sleep(pause)
        raise AssertionError("unreachable")

    def post(
        self,
        tag: str,
        body: bytes,
        *,
        key: str | Numbers,
        content_type: str = "application/octet-stream",
        policy: str | None = None,
    ) -> Receipt:
        """Try once to deliver a chunk.

        Raises TemporaryError if the same may succeed later, and UnauthorizedError, ForbiddenError,
        NotFoundError, TooLargeError or HaywainError if it will not.  Of a numbered chunk GapError says that
        an earlier one is missing, FencedError that somebody else goes on with these numbers.
        """
        identity = key.headers() if isinstance(key, Numbers) else {"Idempotency-Key": key}
        headers = {**self._headers, **identity, "Content-Type": content_type}
        policy = policy or self.policy
        path = f"/portal_ingestion_policies/{quote(policy, safe='')}/ingest"
        url = f"{self.url}{path}?reference={quote(tag, safe='')}"
        try:
            answer = self._pool.request("POST", url, body=body, headers=headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TemporaryError(f"No answer from {self.url}: {error}", retry_after_s=0) from error
        if 200 <= answer.status < 300:
            return self._receipt(answer.headers)
        raise self._conflict(answer) if answer.status == 409 else self._refusal(answer, policy)

    def close(self) -> None:
        """Close the connections that nothing is sent over now."""
        self._pool.clear()

    def _receipt(self, headers: Mapping[str, str]) -> Receipt:
        try:
            return Receipt(
                headers["Ingest-Status"],
                Path(headers["Ingest-Stream"]),
                Offset(int(headers["Ingest-Offset"])),
                int(headers["Ingest-Length"]),
                Tid(headers["Ingest-Tid"]),
            )
        except (KeyError, ValueError) as error:
            raise HaywainError(f"{self.url} answered without a receipt: is it a Portal?") from error

    def _conflict(self, answer: urllib3.BaseHTTPResponse) -> HaywainError:
        detail = _detail(answer)
        expected = answer.headers.get("Producer-Next", "")
        if expected.isdecimal():
            return GapError(f"{self.url} waits for chunk {expected}: {detail}", int(expected))
        return FencedError(f"{self.url} has chunks of a later epoch: {detail}")

    def _refusal(self, answer: urllib3.BaseHTTPResponse, policy: str) -> HaywainError:
        if answer.status in TEMPORARY_STATUSES:
            return TemporaryError(f"{self.url} answered {answer.status}", retry_after_s(answer.headers))
        if answer.status == 401:
            return UnauthorizedError(f"{self.url} does not know this token, or this user and password")
        if answer.status == 403:
            return ForbiddenError(f"These credentials may not use the ingestion policy {policy!r}")
        if answer.status == 404:
            return NotFoundError(f"There is no ingestion policy {policy!r} at {self.url}")
        if answer.status == 413:
            return TooLargeError(f"The chunk is larger than {self.url} takes")
        return HaywainError(f"{self.url} answered {answer.status}: {_detail(answer)}")


def _detail(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.data[:DETAIL_BYTES].decode(errors="replace")


class Chunk(NamedTuple):
    """Records that are sent together, under one key for ever."""

    key: str
    body: bytes


class ResourceSender(threading.Thread):
    """Samples this machine's resource consumption and sends it, until stopped.

    While the Portal does not answer, chunks wait in order.  When `backlog_chunks` wait, sampling pauses:
    what was measured is never dropped to make room.  Failures are logged and never leave the thread.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        tag: str | None = None,
        interval_s: float = 1.0,
        chunk_records: int = 5,
        backlog_chunks: int = 120,
    ) -> None:
        """Prepare to sample each `interval_s` and to send each `chunk_records` samples."""
        super().__init__(name="resource-sender", daemon=True)
        self.tag = tag or tag_of(socket.gethostname())
        self._sender = sender
        self._interval_s = interval_s
        self._chunk_records = chunk_records
        self._backlog_chunks = backlog_chunks
        self._open: list[bytes] = []
        self._backlog: deque[Chunk] = deque()
        self._failures = 0
        self._not_before = 0.0
        self._stop_wanted = threading.Event()

    def stop(self) -> None:
        """Ask the thread to send what it has, once, and to end; `join` waits for that."""
        self._stop_wanted.set()

    def run(self) -> None:
        """Sample and deliver until `stop`."""
        self._collect()
        self._open.clear()  # the first cpu_percent of a thread means nothing
        while not self._stop_wanted.wait(self._interval_s):
            self._collect()
            self._deliver()
        self._seal()
        self._not_before = 0.0
        self._deliver()
        if self._backlog:
            log.warning("Stopped with %d chunks of %s undelivered", len(self._backlog), self.tag)

    def _collect(self) -> None:
        if len(self._backlog) >= self._backlog_chunks:
            return
        try:
            self._open.append(encode(time.time_ns(), sample()))
        except Exception:  # whatever psutil meets in /proc must not end the thread
            log.exception("Cannot sample this machine's resources")
        if len(self._open) >= self._chunk_records:
            self._seal()

    def _seal(self) -> None:
        if not self._open:
            return
        self._backlog.append(Chunk(new_key(), b"".join(self._open)))
        self._open = []
        if len(self._backlog) == self._backlog_chunks:
            log.warning("%d chunks of %s wait; sampling pauses", self._backlog_chunks, self.tag)

    def _deliver(self) -> None:
        while self._backlog and time.monotonic() >= self._not_before:
            chunk = self._backlog[0]
            try:
                receipt = self._sender.post(self.tag, chunk.body, key=chunk.key)
            except Exception as error:  # the thread outlives any failure; the chunk stays first in line
                self._postpone(error)
                return
            self._backlog.popleft()
            if self._failures or receipt.status == "quarantined":
                log.warning("%s: delivery works again, %s", self.tag, receipt.status)
            self._failures = 0

    def _postpone(self, error: Exception) -> None:
        if not self._failures:
            log.warning("%s waits: %s", self.tag, error, exc_info=not isinstance(error, HaywainError))
        least_s = error.retry_after_s if isinstance(error, TemporaryError) else REFUSED_PAUSE_S
        self._not_before = time.monotonic() + pause_s(self._failures, least_s)
        self._failures += 1


def _checked_url(url: str) -> str:
    """Return the URL without a slash at its end; raise InvalidError unless it is http(s) with a host."""
    try:
        parts = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError as error:
        raise InvalidError(f"This is no URL: {url!r}") from error
    if parts.auth:
        raise InvalidError("The URL must not hold the user and the password; give them by themselves")
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
        raise InvalidError(f"The URL of a Portal looks like http://host:8080, not {url!r}")
    return url.rstrip("/")


def _authorization(credentials: Credentials) -> str:
    """Return the header for a token or a user and password; raise InvalidError if no header can hold it."""
    if not isinstance(credentials, str):
        return "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
    if not credentials or not all("!" <= c <= "~" for c in credentials):
        raise InvalidError("A token is made of printable ASCII characters, without blanks")
    return f"Bearer {credentials}"
