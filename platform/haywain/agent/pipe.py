"""Reading a pipe in pieces that end with a line, soon after it was written."""

import os
import select
import time
from collections.abc import Callable, Iterator

LINGER_S = 1.0
"""So long lines wait for more, that go out in one chunk with them."""


def pieces(
    descriptor: int, limit: int, is_stopping: Callable[[], bool], linger_s: float = LINGER_S
) -> Iterator[bytes]:
    """Yield what comes from a pipe until its end, or until it is to stop: then also half a line."""
    held = b""
    due_s = 0.0
    while not is_stopping():
        wait_s = max(0.0, due_s - time.monotonic()) if held else 0.5
        ready, _, _ = select.select([descriptor], [], [], min(wait_s, 0.5))
        if ready:
            data = os.read(descriptor, limit - len(held))
            if not data:
                break
            due_s = due_s if held else time.monotonic() + linger_s
            held += data
        if len(held) >= limit or (held and time.monotonic() >= due_s):
            end = held.rfind(b"\n") + 1
            if not end and len(held) < limit:
                due_s = time.monotonic() + linger_s  # half a line waits for its end
                continue
            end = end or len(held)
            yield held[:end]
            held, due_s = held[end:], time.monotonic() + linger_s
    if held:
        yield held
