"""The ingestion thread: answers small ingestion requests, many at a time, without a thread for each.

A request that is handed to a thread of its own costs two switches between threads, which with 64 of them is
a third of all work.  Here one thread begins all requests that wait, each in a greenlet, up to the point where
it would wait for the group commit; then the first of them commits for all, and all are answered.  What may
take long goes to the other threads: large or compressed bodies, and passwords, which take 0.3 s to verify.
"""

import base64
import logging
import re
import threading
from collections import deque
from typing import TYPE_CHECKING

from greenlet import getcurrent, greenlet

from haywain.security.passwords import TOKEN_PREFIX
from haywain.store.pausing import set_pause
from haywain.values import KIB

if TYPE_CHECKING:
    from haywain.web.channel import Channel
    from haywain.web.server import Server

MOST_BYTES = 64 * KIB
"""Larger bodies are answered by the other threads."""

MOST_AT_ONCE = 128

AGAIN_S = 0.005
"""How often a request is tried that waits for somebody else's lock."""

_PATH = re.compile(r"/portal_ingestion_policies/[^/]+/ingest/?")
_log = logging.getLogger(__name__)

_Begun = tuple["Channel", greenlet]


class IngestThread(threading.Thread):
    """Takes channels with a request from the main loop, until `stop`."""

    def __init__(self, server: "Server") -> None:
        """Answer for a server."""
        super().__init__(name="ingest", daemon=True)
        self._server = server
        self._waiting = deque["Channel"]()
        self._wakes = threading.Semaphore(0)
        self._is_ending = False

    def wants(self, channel: "Channel") -> bool:
        """Return whether a channel's request is one to be answered here."""
        request = channel.requests[0]
        headers = request.headers
        return (
            request.error is None
            and request.command == "POST"
            and _PATH.fullmatch(request.path) is not None
            and "CONTENT_ENCODING" not in headers
            and request.content_length <= MOST_BYTES
            and not request.chunked
            and _is_token(headers.get("AUTHORIZATION", ""))
        )

    def put(self, channel: "Channel") -> None:
        """Have a channel's request answered."""
        self._waiting.append(channel)
        self._wakes.release()

    def run(self) -> None:
        """Answer what waits, again and again."""
        set_pause(getcurrent().switch)
        begun: list[_Begun] = []
        patience_s: float | None = None
        while not self._is_ending:
            new = self._taken(patience_s)
            begun += new
            for channel, work in begun:
                self._server.serving.channel = channel
                try:
                    work.switch()
                except Exception:  # of one request; its sender comes again
                    _log.exception("an ingestion request failed")
            left = [(channel, work) for channel, work in begun if not work.dead]
            is_stuck = not new and len(left) == len(begun)  # all wait for locks of others
            patience_s = (AGAIN_S if is_stuck else 0.0) if left else None
            begun = left

    def _taken(self, patience_s: float | None) -> list["_Begun"]:
        """Return all requests that wait, ready to begin; wait so long for one, for ever if None."""
        if not self._wakes.acquire(timeout=patience_s) or self._is_ending:
            return []
        found = [self._waiting.popleft()]
        while len(found) < MOST_AT_ONCE and self._wakes.acquire(blocking=False) and self._waiting:
            found.append(self._waiting.popleft())
        return [(channel, greenlet(channel.service)) for channel in found]

    def stop(self) -> None:
        """End after the batch that is being answered."""
        self._is_ending = True
        self._wakes.release()
        if self.is_alive():
            self.join(1)


def _is_token(header: str) -> bool:
    """Return whether credentials are a token, which costs no time to look up."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return True
    return scheme.lower() == "basic" and _basic_token(value)


def _basic_token(value: str) -> bool:
    try:
        return base64.b64decode(value).partition(b":")[2].startswith(TOKEN_PREFIX.encode())
    except ValueError:
        return False
