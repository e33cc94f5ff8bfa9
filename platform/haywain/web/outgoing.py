"""Outgoing: bytes of an answer that are sent from where they lie, such as a mapped segment of a stream.

What an application yields, waitress copies into a buffer, and out of it again for each `send`.  An answer of
gigabytes is memory bandwidth and little else, so each copy counts.
"""

from collections.abc import Callable
from typing import Any

from waitress.buffers import ReadOnlyFileBasedBuffer

from haywain.values import KIB

WORD = "haywain.outgoing"
"""What a server that takes Outgoing has under this word in the environment of a request."""

LEAST_BYTES = 64 * KIB
"""Less is cheaper to copy than to keep apart."""


class Outgoing(ReadOnlyFileBasedBuffer):  # type: ignore[misc]  # waitress has no types
    """A buffer of waitress over memory that nobody changes."""

    def __init__(self, view: memoryview) -> None:
        """Hold the bytes until they are sent or the connection ends."""
        self._view = view

    def __len__(self) -> int:
        """Return the number of bytes that are left."""
        return len(self._view)

    def __getitem__(self, part: slice) -> "Outgoing":
        """Return a part of the bytes that are left; waitress cuts what exceeds the promised length."""
        start, stop, _ = part.indices(len(self))
        return self if stop - start == len(self) else Outgoing(self._view[part])

    def get(self, numbytes: int = -1, skip: bool = False) -> memoryview:
        """Return the next bytes, not copied."""
        found = self._view[: numbytes if numbytes >= 0 else None]
        if skip:
            self.skip(len(found))
        return found

    def skip(self, numbytes: int, allow_prune: int = 0) -> None:
        """Go on behind what was sent."""
        self._view = self._view[numbytes:]

    def close(self) -> None:
        """Let go of the bytes."""
        self._view = memoryview(b"")


def outgoing(piece: bytes | memoryview) -> bytes | Outgoing:
    """Return a piece of an answer as this server takes it best."""
    return Outgoing(piece) if isinstance(piece, memoryview) and len(piece) >= LEAST_BYTES else bytes(piece)


def taken_by(environ: dict[str, Any]) -> Callable[[bytes | memoryview], Any]:  # Any: as WSGI has it
    """Return what makes a piece of what the server of this request takes; other servers take bytes."""
    found: Callable[[bytes | memoryview], Any] = environ.get(WORD, bytes)
    return found
