"""What comes in on a connection: as messages, at a pace, within the memory that there is."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

from haywain.errors import TemporaryError
from haywain.forward.event import Reader
from haywain.forward.limits import Budget, ForwardLimits
from haywain.values import KIB

_RECEIVED_BYTES = 64 * KIB
_UNCOUNTED_BYTES = 256 * KIB  # a connection may have so much without asking

T = TypeVar("T")


class Incoming:
    """The bytes of one client; used by one thread, but for `idle_since`."""

    def __init__(self, sock: socket.socket, limits: ForwardLimits, budget: Budget, most_bytes: int) -> None:
        """Read from a socket, messages of at most so many bytes until `allow_all`."""
        self.idle_since: float | None = time.monotonic()
        self.has_spoken = False
        self._socket, self._limits, self._budget = sock, limits, budget
        self._reader = Reader(most_bytes)
        self._began = 0.0  # when the message that is not all there began to come
        self._held_bytes = 0

    def allow_all(self) -> None:
        """Take messages as large as the limits allow, once it is known who sends."""
        self._reader.allow(self._limits.message_bytes)

    @property
    def is_amid(self) -> bool:
        """Whether a message has begun and is not all there."""
        return self._reader.size > 0

    def next(self, make: Callable[[memoryview, list[int]], T]) -> T | None:
        """Return what is made of the next message that is all there, None if none is."""
        made = self._reader.next(make)
        if made is None and not self.is_amid:
            self._hold(0)
        return made

    def receive(self, until: float | None = None) -> bool:
        """Wait for bytes, until a time if one is given; return False at the end and if none came in time.

        Raises TemporaryError if a message comes too slowly or there is no memory for it, OSError.
        """
        now = time.monotonic()
        if not self.is_amid:
            self._began = self.idle_since = now
        patience_s = self._limits.grace_s if self.is_amid else self._limits.idle_s
        left_s = patience_s if until is None else until - now
        if left_s <= 0:
            return False
        self._socket.settimeout(left_s)
        try:
            data = self._socket.recv(_RECEIVED_BYTES)
        except TimeoutError:
            data = b""
        self.idle_since = None
        self._reader.append(data)
        if data:
            self.has_spoken = True
            self._check_pace()
            self._hold(self._reader.size)
        return bool(data)

    def close(self) -> None:
        """Give back the memory."""
        self._hold(0)

    def _check_pace(self) -> None:
        took_s = time.monotonic() - self._began
        if took_s > self._limits.grace_s and self._reader.size < took_s * self._limits.rate_bytes_s:
            raise TemporaryError(f"a message came slower than {self._limits.rate_bytes_s:g} bytes a second")

    def _hold(self, size: int) -> None:
        """Have the memory for so many bytes of a message, and for the copy that is handed on."""
        wanted = 2 * size if size > _UNCOUNTED_BYTES else 0
        if wanted > self._held_bytes:
            self._budget.take(wanted - self._held_bytes)
        elif wanted < self._held_bytes:
            self._budget.give(self._held_bytes - wanted)
        self._held_bytes = wanted
