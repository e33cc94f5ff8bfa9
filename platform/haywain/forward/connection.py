"""A connection of the forward protocol: handshake, messages, acks; one thread has it from first to last.

An event with a chunk is acknowledged when it is kept, and only then; if it cannot be kept the connection is
closed, and the client sends it again.  Events without a chunk are never sent again: those that came together
are handed on together, and are tried again here for a while, during which nothing more is read.
"""

import logging
import random
import socket
import threading
import time
from contextlib import suppress
from itertools import count

from haywain.errors import HaywainError, InvalidError, TemporaryError, TooLargeError, UnauthorizedError
from haywain.forward.event import Deliver, Event, Reject, parse, unpack
from haywain.forward.handshake import Handshake, Security
from haywain.forward.incoming import Incoming
from haywain.forward.inflating import inflate
from haywain.forward.limits import Budget, ForwardLimits
from haywain.values import KIB

_LONGEST_PAUSE_S = 5.0
_GREETING_BYTES = 64 * KIB  # of who is not known yet
_DRAIN_S = 0.5  # after `close`, to read what was sent before it
_log = logging.getLogger(__name__)


class Connection:
    """One client."""

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        *,
        deliver: Deliver,
        reject: Reject | None,
        security: Security | None,
        limits: ForwardLimits,
        budget: Budget,
    ) -> None:
        """Serve a socket, in whichever thread calls `run`."""
        self.name = name
        self.incoming = Incoming(sock, limits, budget, _GREETING_BYTES if security else limits.message_bytes)
        self._socket, self._deliver, self._reject = sock, deliver, reject
        self._security, self._limits, self._budget = security, limits, budget
        self._gathered: list[Event] = []
        self._gathered_bytes = 0
        self._closing = threading.Event()

    def run(self) -> None:
        """Serve until the client hangs up, does wrong, or `close` is called."""
        try:
            if self._security is None or self._shake_hands(self._security):
                self._serve()
        except (HaywainError, OSError) as error:
            _log.warning("forward: %s is let go: %s", self.name, error)
        except Exception:  # a fault of ours, or of whoever takes the events, costs this client alone
            _log.exception("forward: %s is let go", self.name)
        finally:
            self.incoming.close()
            self._socket.close()

    def close(self) -> None:
        """Have `run` end after what it hands on now; may be called from any thread."""
        self._closing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def _serve(self) -> None:
        until: float | None = None
        while True:
            try:
                while (event := self.incoming.next(parse)) is not None:
                    self._take(event)
            finally:  # what came before a message that makes no sense is kept
                self._hand_on_gathered()
            if until is None and self._closing.is_set():
                until = time.monotonic() + _DRAIN_S
            if not self.incoming.receive(until):
                break
        if self.incoming.is_amid and not self._closing.is_set():
            raise TemporaryError("it went in the middle of a message")

    def _shake_hands(self, security: Security) -> bool:
        """Return whether the client knows what it must; False if it hung up before it said anything."""
        handshake = Handshake(security, socket.gethostname())
        self._send(handshake.helo())
        until = time.monotonic() + self._limits.handshake_s
        while (ping := self.incoming.next(lambda raw, _: unpack(raw))) is None:
            if not self.incoming.receive(until):
                return False
        try:
            answer, account = handshake.accept(ping)
        except UnauthorizedError as error:
            self._closing.wait(self._limits.refusal_s)  # who guesses may do it slowly
            self._send(handshake.refusal(error.detail))
            raise
        if account is not None and account.deliver is not None:
            self._deliver, self._reject = account.deliver, account.reject
        self._send(answer)
        self.incoming.allow_all()
        return True

    def _take(self, event: Event) -> None:
        """Hand on what a client waits for; gather what it does not wait for."""
        if event.chunk is None and not event.is_gzip:
            if self._gathered and not self._fits(event):
                self._hand_on_gathered()
            self._gathered.append(event)
            self._gathered_bytes += len(event.body)
            return
        self._hand_on_gathered()
        if event.chunk is None:
            self._insist(event)
            return
        self._hand_on(event)
        self._send(event.ack)

    def _fits(self, event: Event) -> bool:
        size = self._gathered_bytes + len(event.body)
        return self._gathered[0].tag == event.tag and size <= self._limits.gathered_bytes

    def _hand_on_gathered(self) -> None:
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        if gathered:
            self._insist(Event(gathered[0].tag, b"".join(event.body for event in gathered)))

    def _insist(self, event: Event) -> None:
        """Hand on events that nobody sends again, trying for a while."""
        until = time.monotonic() + self._limits.unacked_s
        for failures in count():
            try:
                self._hand_on(event)
                return
            except HaywainError as error:
                if not isinstance(error, TemporaryError) or time.monotonic() > until:
                    _log.error("forward: %d bytes of %r by %s are lost, since it asks for no ack: %s",
                               len(event.body), event.tag, self.name, error)  # fmt: skip
                    raise
            if self._closing.wait(random.uniform(0, min(_LONGEST_PAUSE_S, 0.1 * 2**failures))):  # noqa: S311
                until = 0.0  # one last try

    def _hand_on(self, event: Event) -> None:
        if event.is_gzip:
            self._hand_on_decompressed(event)
        else:
            self._deliver(event.tag, event.body, event.chunk)

    def _hand_on_decompressed(self, event: Event) -> None:
        body, held = bytearray(), 0
        try:
            for piece in inflate(event.body, self._limits.decoded_bytes):
                self._budget.take(2 * len(piece))
                held += 2 * len(piece)
                body += piece
        except (InvalidError, TooLargeError) as error:
            self._put_aside(event, error.detail)
        else:
            self._deliver(event.tag, bytes(body), event.chunk)
        finally:
            self._budget.give(held)

    def _put_aside(self, event: Event, reason: str) -> None:
        if self._reject is None:
            raise InvalidError(reason)
        self._reject(event.tag, event.body, event.chunk, reason)

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._limits.ack_s)
        self._socket.sendall(data)
