"""Delivery of what is in the spool: numbered, one chunk of a stream at a time, for ever.

An answer may be lost, and the process may die between any two lines: the same bytes are then sent under the
same numbers, which the portal recognises.  Nothing is given up; what the portal will never take is set
aside as a file.
"""

import logging
import threading
import time
from collections.abc import Callable

from haywain.agent.backlog import Queue
from haywain.agent.frame import Frame
from haywain.agent.gap import Missing
from haywain.agent.marks import Number
from haywain.agent.sender import REFUSED_PAUSE_S, Numbers, Sender
from haywain.agent.spool import Spool
from haywain.agent.status import Board
from haywain.errors import (
    CorruptDataError,
    FencedError,
    GapError,
    HaywainError,
    TemporaryError,
    TooLargeError,
)
from haywain.values import Receipt

log = logging.getLogger(__name__)

TOLD_AGAIN_S = 600
"""How often a trouble that lasts is told again."""


class Delivery:
    """Some threads that send."""

    def __init__(
        self, spool: Spool, make_sender: Callable[[], Sender], board: Board, on_fenced: Callable[[str], None]
    ) -> None:
        """Prepare to send; `on_fenced` is told why nothing can ever be sent any more."""
        self._spool, self._make_sender, self._board, self._on_fenced = spool, make_sender, board, on_fenced
        self._sender = make_sender()
        self._threads: list[threading.Thread] = []
        self._told: dict[str, float] = {}

    def start(self, threads: int) -> None:
        """Begin to send, this many streams at a time."""
        for number in range(threads):
            thread = threading.Thread(target=self._work, name=f"delivery-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def reconnect(self) -> None:
        """Send over new connections, and at once: those from before a suspend lead nowhere."""
        old, self._sender = self._sender, self._make_sender()
        old.close()
        self._spool.backlog.hurry()

    def stop(self, timeout_s: float) -> None:
        """Send no more; wait for the requests under way, though not longer than that."""
        self._spool.backlog.close()
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        self._sender.close()

    def _work(self) -> None:
        backlog = self._spool.backlog
        while (queue := backlog.take()) is not None:
            started_s = time.monotonic()
            try:
                self._send_first(queue)
            except FencedError as error:
                self._on_fenced(error.detail)
                return
            except Exception as error:  # a thread outlives whatever happens; the chunk stays first in line
                self._postpone(queue, error, started_s)
            finally:
                backlog.give_back(queue)

    def _send_first(self, queue: Queue) -> None:
        try:
            frame, number, previous = self._spool.first(queue)
        except CorruptDataError as error:
            self._spool.skip_damaged(queue, error)
            return
        try:
            receipt = self._post(frame, number, previous)
        except FencedError:
            if not self._spool.is_again(frame):
                raise
            self._spool.acknowledge(queue, frame)  # a portal that was set back has it, and forgot its key
        except GapError as error:
            missing = Missing.of(error.expected, number, previous)
            if not missing:
                raise
            self._spool.fill_gap(queue, frame, missing)
        except TooLargeError as error:
            path = self._spool.set_aside(queue, frame, error.detail)
            self._board.refused_chunks += 1
            message = f"{error.detail}; it is set aside as {path}: lower frame_bytes"
            self._tell(queue, f"refused {path}", logging.ERROR, message)
        else:
            self._spool.acknowledge(queue, frame)
            self._note(queue, frame, number, receipt)

    def _post(self, frame: Frame, number: Number, previous: Number | None) -> Receipt:
        return self._sender.post(
            frame.stream.tag,
            frame.payload,
            key=Numbers(self._spool.producer_id, *number, previous),
            content_type=frame.content_type,
            policy=frame.stream.policy,
        )

    def _note(self, queue: Queue, frame: Frame, number: Number, receipt: Receipt) -> None:
        backlog = self._spool.backlog
        if any([backlog.portal.worked(), backlog.policy(queue.stream.policy).worked()]):
            log.info("%s: delivery works again", queue.stream.tag)
            self._told.clear()
        self._board.trouble = ""
        if receipt.status == "quarantined":
            self._tell(
                queue, "quarantine", logging.WARNING, "the portal took a chunk into quarantine; see there"
            )
        sent = f"{frame.stream.tag} {number.epoch}.{number.seq}"
        self._board.source(frame.source).note_answer(sent, receipt.status, len(frame.payload))

    def _postpone(self, queue: Queue, error: Exception, started_s: float) -> None:
        """Leave the portal alone for a while, or the policy where that refuses."""
        backlog = self._spool.backlog
        if isinstance(error, TemporaryError):
            pause = backlog.portal.failed(started_s, error.retry_after_s)
        elif isinstance(error, OSError):  # our own disk
            pause = backlog.portal.failed(started_s, 1.0)
        else:
            backlog.portal.worked()  # it answers
            pause = backlog.policy(queue.stream.policy).failed(started_s, REFUSED_PAUSE_S)
        is_ours = not isinstance(error, (HaywainError, OSError))
        self._board.trouble = str(error)
        level = logging.WARNING if isinstance(error, TemporaryError) else logging.ERROR
        kind = "portal" if level == logging.WARNING else f"policy {queue.stream.policy}"
        self._tell(queue, kind, level, f"{error}; again in {pause:.1f} s", error if is_ours else None)

    def _tell(
        self, queue: Queue, kind: str, level: int, message: str, error: Exception | None = None
    ) -> None:
        """Log a trouble; one that lasts now and then."""
        now_s = time.monotonic()
        if now_s - self._told.get(kind, float("-inf")) >= TOLD_AGAIN_S:
            self._told[kind] = now_s
            log.log(level, "%s: %s", queue.stream.tag, message, exc_info=error)
