"""How much a client may send, how slowly, and how many there may be."""

import random
import threading
import time
from dataclasses import dataclass

from haywain.errors import InvalidError, TemporaryError
from haywain.values import KIB, MIB


@dataclass(frozen=True)
class ForwardLimits:
    """Sizes in bytes, times in seconds."""

    message_bytes: int = 64 * MIB  # one message of the protocol, as it comes
    decoded_bytes: int = 256 * MIB  # its events, once decompressed
    memory_bytes: int = 640 * MIB  # of all connections together
    gathered_bytes: int = MIB  # events that want no ack are handed on together, up to this
    connections: int = 256
    handshake_s: float = 10
    idle_s: float = 3600  # between two messages
    grace_s: float = 30  # a message may take so long, and longer only if it comes at this rate:
    rate_bytes_s: float = KIB
    room_s: float = 10  # to wait for memory that others hold
    ack_s: float = 10  # for a client to take an ack
    unacked_s: float = 60  # to try again with events that nobody would send again
    refusal_s: float = 1  # before a wrong password is told

    def __post_init__(self) -> None:
        """Refuse limits under which the largest message could never be taken."""
        if self.memory_bytes < 2 * (self.message_bytes + self.decoded_bytes):
            raise InvalidError("memory_bytes is at least twice message_bytes and decoded_bytes together")


class Budget:
    """Memory that connections share."""

    def __init__(self, size_bytes: int, wait_s: float) -> None:
        """Begin with all of it free."""
        self._free, self._wait_s = size_bytes, wait_s
        self._freed = threading.Condition()

    def take(self, size_bytes: int) -> None:
        """Wait until so much is free, and take it; raises TemporaryError if others keep it for long.

        Those who wait for each other do not all give up at once: the first to do so lets the others go on.
        """
        deadline = time.monotonic() + self._wait_s * random.uniform(0.5, 1)  # noqa: S311  # no secret
        with self._freed:
            while self._free < size_bytes:
                if not self._freed.wait(deadline - time.monotonic()):
                    raise TemporaryError("Other connections hold all the memory there is for this")
            self._free -= size_bytes

    def give(self, size_bytes: int) -> None:
        """Give back what was taken."""
        with self._freed:
            self._free += size_bytes
            self._freed.notify_all()
