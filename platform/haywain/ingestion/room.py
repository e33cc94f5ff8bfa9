"""Room: memory for the bodies that are under way, so that many large ones at once do not take all there is.

A body of 64 MiB may become 256 MiB when decoded: one for each thread of the server would be 16 GiB.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from haywain.errors import TemporaryError
from haywain.ingestion.decoding import MOST_RATIO
from haywain.values import KIB, MIB

SMALL_BYTES = 64 * KIB
"""Bodies up to this that are not compressed take no room."""

PATIENCE_S = 2.0
"""So long a request waits for room; its thread serves nobody else meanwhile."""


class Room:
    """Memory that requests take turns with; threads share it."""

    def __init__(self, decoded_bytes: int) -> None:
        """Have room for four of the largest bodies."""
        self._largest = decoded_bytes
        self._free = 4 * decoded_bytes
        self._changed = threading.Condition()

    @contextmanager
    def held(self, body_bytes: int, is_encoded: bool) -> Iterator[None]:
        """Hold meanwhile what a body may become; raises TemporaryError if others do not give it back."""
        need = self._need(body_bytes, is_encoded)
        if not need:
            yield
            return
        with self._changed:
            if not self._changed.wait_for(lambda: self._free >= need, PATIENCE_S):
                raise TemporaryError("Other large bodies are being stored; send it again in a moment", 1)
            self._free -= need
        try:
            yield
        finally:
            with self._changed:
                self._free += need
                self._changed.notify_all()

    def _need(self, body_bytes: int, is_encoded: bool) -> int:
        if is_encoded:
            return min(body_bytes + max(MIB, MOST_RATIO * body_bytes), self._largest)
        return min(body_bytes, self._largest) if body_bytes > SMALL_BYTES else 0
