"""Streamed: the body of an answer that is made while its client takes it.

The thread of a large answer waits for its client.  Of 64 clients that stop reading, each would hold one until
the connection is given up, and nobody else would be served; so only half of the threads may be held so.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Semaphore
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from haywain.errors import TemporaryError
from haywain.values import MIB
from haywain.web.outgoing import taken_by

WAITING_BYTES = 16 * MIB
"""Of an answer so much is buffered; waitress has it as `outbuf_high_watermark`."""


class Streamed:
    """Pieces of an answer; what it holds is let go at its end, however it ends."""

    def __init__(
        self,
        environ: dict[str, Any],  # Any: as WSGI has it
        pieces: Iterator[bytes | memoryview],
        *let_go: Callable[[], object],
    ) -> None:
        """Take pieces over, for the server of a request; and what is to be called at the end, last first."""
        self._pieces, self._held, self._take = pieces, ExitStack(), taken_by(environ)
        for call in let_go:
            self._held.callback(call)

    def __iter__(self) -> Iterator[Any]:  # Any: what the server takes
        """Yield the bytes."""
        return map(self._take, self._pieces)

    def close(self) -> None:
        """Let go."""
        self._held.close()


def slot_for(request: Request, length: int) -> Callable[[], object]:
    """Take a slot for an answer of so many bytes, if it needs one; return what gives it back.

    Raises TemporaryError if there is none.
    """
    if length <= WAITING_BYTES:
        return lambda: None
    slots: Semaphore = request.registry["slots"]
    if not slots.acquire(blocking=False):
        raise TemporaryError("Too many large downloads at once; try again in a moment", 5)
    return slots.release


def includeme(config: Configurator) -> None:
    """Let half of the threads wait for clients that take large answers."""
    config.registry["slots"] = Semaphore(config.registry["site"].settings.threads // 2)
