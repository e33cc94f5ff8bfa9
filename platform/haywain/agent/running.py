"""The running agent: sources that read into the spool, threads that send from it, one that sees to both."""

import logging
import random
import threading
import time

from haywain.agent.config import AgentConfig, ConfiguredSource
from haywain.agent.delivery import Delivery
from haywain.agent.source import Outlet
from haywain.agent.spool import Spool
from haywain.agent.status import Board, SourceStatus
from haywain.agent.wakefulness import Wakefulness
from haywain.errors import FencedError, HaywainError

log = logging.getLogger(__name__)

TICK_S, SOON_S = 0.5, 0.05
STOP_SOURCES_S, STOP_DELIVERY_S = 5.0, 5.0
"""So long sources may take to put what they have read, and then delivery to send it."""

LONGEST_RESTART_S = 60.0
OK, PARTLY, TRY_AGAIN = 0, 3, 75


class Agent:
    """Reads and sends until it is stopped, or until all sources have ended and all is sent."""

    def __init__(self, config: AgentConfig, *, is_once: bool = False, give_up_s: float = 60.0) -> None:
        """Open the spool; with `is_once` read what there is now, and give up if nothing is taken for so long.

        Raises SpoolInUseError, CorruptDataError or OSError.
        """
        self._config, self._is_once, self._give_up_s = config, is_once, give_up_s
        self._stop, self._fenced = threading.Event(), ""
        self.spool = Spool(
            config.folder,
            account=config.account,
            limit_bytes=config.spool_bytes,
            segment_bytes=min(8 << 20, config.spool_bytes // 8),
            keep_bytes=config.keep_bytes,
            stop=self._stop,
        )
        self.board = Board(config.url, spool_limit_bytes=config.spool_bytes)
        self._delivery = Delivery(self.spool, config.sender, self.board, self._be_fenced)
        self._failed: set[str] = set()
        self._threads = [
            threading.Thread(target=self._run_source, args=(source,), name=source.name, daemon=True)
            for source in config.sources
        ]

    def stop(self) -> None:
        """Ask it to end; a signal's handler may call it."""
        self._stop.set()

    def run(self) -> int:
        """Read and send; return the exit code.  Raises FencedError."""
        for source in self._config.sources:
            self.board.sources[source.name] = SourceStatus(source.name, source.config.type)
        self._delivery.start(self._config.portal.threads)
        for thread in self._threads:
            thread.start()
        is_given_up = self._look_after()
        self._end()
        if self._fenced:
            raise FencedError(
                f"{self._fenced}. Another agent runs on a copy of the spool {self._config.folder} (a cloned"
                " machine, a restored backup), and its chunks are newer. Move that folder away on the machine"
                " where the copy is; its agent then begins as one of its own"
            )
        left = len(self.spool.backlog)
        if left:
            log.warning("%d chunks wait in the spool for the next start", left)
        if self._is_once:
            return TRY_AGAIN if left or is_given_up else PARTLY if self._failed else OK
        return OK

    def _look_after(self) -> bool:
        """Wait for the end; return whether the portal took nothing for too long."""
        wakefulness = Wakefulness()
        sent_bytes, progress_s = -1, time.monotonic()
        while not self._stop.wait(SOON_S if self._is_once else TICK_S):
            if wakefulness.was_asleep(TICK_S):
                self._wake()
            self._save()
            sent = sum(source.sent_bytes for source in self.board.sources.values())
            if sent != sent_bytes or not len(self.spool.backlog):
                sent_bytes, progress_s = sent, time.monotonic()
            if not any(thread.is_alive() for thread in self._threads) and not len(self.spool.backlog):
                return False
            if self._is_once and time.monotonic() - progress_s > self._give_up_s:
                return True
        return False

    def _wake(self) -> None:
        """Go on after a sleep: over new connections, and under a new epoch."""
        log.info("This machine was asleep: connecting anew")
        self.spool.begin_epoch()
        self._delivery.reconnect()

    def _end(self) -> None:
        """Have sources put what they have read, send it if that goes quickly, and close the spool."""
        self._stop.set()
        end_s = time.monotonic() + STOP_SOURCES_S
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        end_s = time.monotonic() + STOP_DELIVERY_S
        while not (self._fenced or self.board.trouble) and time.monotonic() < end_s:
            if self.spool.backlog.wait_empty(0.1):
                break
        self._delivery.stop(STOP_DELIVERY_S if not self.board.trouble else 1.0)
        try:
            self.spool.close()
        except OSError as error:
            log.error("The marks of the spool cannot be written: %s", error)
        self._save(is_last=True)

    def _save(self, is_last: bool = False) -> None:
        self.board.spool_bytes, self.board.waiting_chunks = self.spool.used_bytes, len(self.spool.backlog)
        for name, size in self.spool.pending_bytes.copy().items():
            self.board.source(name).waiting_bytes = size
        try:
            if not is_last:
                self.spool.flush()
            self.board.save(self._config.folder)
        except OSError as error:
            log.error("The state of the agent cannot be written: %s", error)

    def _be_fenced(self, why: str) -> None:
        self._fenced = why
        self._stop.set()

    def _run_source(self, source: ConfiguredSource) -> None:
        """Run a source; if it fails, begin anew from its durable positions after a pause."""
        status = self.board.sources[source.name]
        failures = 0
        while True:
            outlet = Outlet(source.name, source.config, self.spool, status, self._stop, self._is_once)
            started_s = time.monotonic()
            try:
                source.cls(source.config, outlet).run()
                if status.trouble and self._is_once:
                    self._failed.add(source.name)
                return
            except Exception as error:  # one source must not end the others
                is_ours = not isinstance(error, HaywainError | OSError)
                log.error("%s failed: %s", source.name, error, exc_info=is_ours)
                status.note_error(str(error))
            failures = failures + 1 if time.monotonic() - started_s < LONGEST_RESTART_S else 1
            pause_s = min(LONGEST_RESTART_S, 2.0 ** min(failures, 6)) * random.uniform(0.5, 1)  # noqa: S311
            if self._is_once or self._stop.wait(pause_s):
                self._failed.add(source.name)
                return
