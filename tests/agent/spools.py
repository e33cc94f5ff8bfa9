"""What tests do with a spool by itself."""

from collections.abc import Callable
from typing import Any

from haywain.agent.frame import Frame, Stream
from haywain.agent.spool import Spool

A, B = Stream("default", "a"), Stream("default", "b")
Open = Callable[..., Spool]


def draft(payload: bytes, position: Any = None, stream: Stream = A, item: str = "file") -> Frame:
    return Frame(0, 0, "source", stream, payload, item if position is not None else "", position)


def send(spool: Spool, until_empty: bool = True) -> list[tuple[str, int, int, bytes]]:
    """Acknowledge what waits; return tag, epoch, seq and payload of each."""
    sent = []
    while spool.backlog.queues():
        queue = spool.backlog.take()
        assert queue is not None
        frame, number, _ = spool.first(queue)
        sent.append((frame.stream.tag, *number, frame.payload))
        spool.acknowledge(queue, frame)
        spool.backlog.give_back(queue)
        if not until_empty:
            break
    return sent


def payloads(spool: Spool) -> list[bytes]:
    return [payload for *_, payload in send(spool)]


def close(spool: Spool) -> None:
    """Close a spool, if it is open."""
    if not spool._is_closed:
        spool.close()
