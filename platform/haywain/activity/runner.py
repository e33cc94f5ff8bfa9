"""Runner: claims one activity and runs it to its end, or to where it must be given back.

A run is a row of transactions.  Each begins by finding that the claim still is this run's, ends by writing
the activity's record with the effects of the step, and so conflicts with whoever took the activity away.
"""

import json
import logging
import math
import random
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

from haywain import clock
from haywain.activity.actor import actor_of, document_of
from haywain.activity.bell import ring_at_commit
from haywain.activity.guard import Abandoned, Cancelled, Guard, Interrupted, OverLimit
from haywain.activity.kept import Kept
from haywain.activity.kind import Work
from haywain.activity.method import Method, method_of
from haywain.activity.outbox import Outbox
from haywain.activity.process import shown
from haywain.activity.record import ERROR_LENGTH, TRACE_LENGTH, Activity
from haywain.errors import DatabaseServerError, HaywainError, InvalidError
from haywain.security import require
from haywain.store.database import read_current
from haywain.values import KIB, MIB

if TYPE_CHECKING:
    from haywain.document import Document
    from haywain.portal import Portal, Site

MAX_RETRIES = 3
"""How often an unexpected error is tried again, where `activate` does not say."""
DEATHS = 3
"""So many Workers may die at one step of an activity before it is left alone."""
CONFLICTS = 12
"""So many conflicts in a row, and the activity is given back for a while."""
FIRST_DELAY_S, LONGEST_DELAY_S = 5.0, 3600.0
RESULT_BYTES, CURSOR_BYTES = MIB, 64 * KIB

_log = logging.getLogger(__name__)


class GoneError(Exception):
    """The claim is not this run's any more: the activity was cancelled, ended or given to another."""


class Run:
    """One activity, claimed."""

    def __init__(self, site: "Site", guard: Guard) -> None:
        """Take over what the guard watches."""
        self.site, self.guard = site, guard
        self._conflicts = 0

    def run(self) -> None:
        """Run it until it has ended or is given back; raises only what the database itself does."""
        try:
            while not self._try():
                time.sleep(random.uniform(0, min(0.01 * 2**self._conflicts, 0.5)))  # noqa: S311  # jitter
        except (GoneError, Abandoned):
            _log.info("activity %s is another's now", self.guard.id)
        except Interrupted as why:
            end_interrupted(self.site, self.guard, why)
        except (ConflictError, TransientError, DatabaseServerError):
            later = clock.now_s() + random.uniform(0, FIRST_DELAY_S)  # noqa: S311  # jitter
            change_mine(self.site, self.guard, lambda outbox, record: outbox.settle(record, at=later))
        except BaseException as error:  # what a kind may raise is not ours to know
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Note a failure.  Only what was meant for the whole process (Ctrl-C, a signal) goes on from here."""
        is_everybodys = threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and is_everybodys:
            change_mine(self.site, self.guard, lambda outbox, record: outbox.settle(record))
            raise error
        failure = Failure.of(error)
        change_mine(self.site, self.guard, lambda outbox, record: fail(outbox, record, failure))
        if isinstance(error, SystemExit) and is_everybodys:
            raise error

    def _try(self) -> bool:
        """Run it from its last step on; return whether it is done, False after a conflict."""
        try:
            with self.site.open() as portal:
                self._run_in(portal)
            return True
        except (ConflictError, TransientError):
            self._conflicts += 1
            if self._conflicts > CONFLICTS:
                raise
            return False

    def _run_in(self, portal: "Portal") -> None:
        record = mine(portal, self.guard)
        document, method = self._begin_step(portal, record)
        work = Work(
            portal,
            document,
            method.checked(json.loads(record.parameters)),
            json.loads(record.cursor),
            record.kept.load() if record.kept is not None else {},
            record.id,
            record.rows,
            on_check=self.guard.check,
        )
        self._steps(portal, method, work)

    def _begin_step(self, portal: "Portal", record: Activity) -> tuple["Document", Method]:
        """Return document and method, in a transaction just begun; raises what forbids this step.

        That is the rights of this moment.  A document that is changed or deleted before the step is
        committed makes it conflict, so that none writes to what is gone.
        """
        portal.user = actor_of(portal.root, record)
        document = document_of(portal, record)
        method = method_of(self.site.registry, type(document), record.method)
        require(portal.user, "view", document)
        require(portal.user, method.permission, document)
        read_current(document)
        return document, method

    def _steps(self, portal: "Portal", method: Method, work: Work) -> None:
        found = self.guard.inside(lambda: method.start(work))
        if not isinstance(found, Generator):
            self._done(portal, found, work)
            return
        with closing(found):
            while True:
                try:
                    progress = self.guard.inside(lambda: next(found))
                except StopIteration as stop:
                    self._done(portal, stop.value, work)
                    return
                self._step(portal, progress, work)

    def _step(self, portal: "Portal", progress: Any, work: Work) -> None:  # Any: what was yielded
        record = mine(portal, self.guard)
        record.progress = share(progress)
        record.cursor = as_json("cursor", work.cursor, CURSOR_BYTES)
        if work.kept or record.kept is not None:
            record.kept = record.kept or Kept()
            record.kept.store(portal.connection, work.kept)
        if record.rows is not work.rows:
            record.rows = work.rows
        record.deaths = 0
        self._keep(portal, record, work)
        self._begin_step(portal, mine(portal, self.guard))

    def _done(self, portal: "Portal", result: Any, work: Work) -> None:  # Any: JSON
        record = mine(portal, self.guard)
        record.result = as_json("result", result, RESULT_BYTES)
        record.progress = 1.0
        record.error = record.trace = ""
        record.kept = record.rows = None
        Outbox.of(portal.root).end(record, "done")
        ring_at_commit(portal, record)
        self._keep(portal, record, work)

    def _keep(self, portal: "Portal", record: Activity, work: Work) -> None:
        """Commit a step with its log."""
        record.spent_s += self.guard.lap_s()
        record.note([plain(line) for line in work.lines])
        portal.commit()
        work.lines.clear()
        self._conflicts = 0


def mine(portal: "Portal", guard: Guard) -> Activity:
    """Return the activity, in a transaction just begun; raises GoneError, Cancelled."""
    record = Outbox.of(portal.root).find(guard.id)
    if record is None or record.claim != guard.claim:
        raise GoneError
    if record.is_cancelled:
        raise Cancelled
    return record


def change_mine(site: "Site", guard: Guard, change: Callable[[Outbox, Activity], None]) -> None:
    """Leave the activity, in a transaction of its own, if the claim still is this run's."""
    spent_s = guard.lap_s()

    def work(portal: "Portal") -> None:
        outbox = Outbox.of(portal.root)
        record = outbox.find(guard.id)
        if record is not None and record.claim == guard.claim:
            record.spent_s += spent_s
            leave(outbox, record, change)
            ring_at_commit(portal, record)

    site.transact(work)


def leave(outbox: Outbox, record: Activity, change: Callable[[Outbox, Activity], None]) -> None:
    """Make a change to an activity whose run is over without success; one that was cancelled ends so."""
    if record.is_cancelled:
        outbox.end(record, "cancelled")
    else:
        change(outbox, record)


def end_interrupted(site: "Site", guard: Guard, why: Interrupted) -> None:
    """Note how a run ended that was made to: cancelled, failed over a limit, or queued as it was."""

    def change(outbox: Outbox, record: Activity) -> None:
        if isinstance(why, Cancelled):
            outbox.end(record, "cancelled")
        elif isinstance(why, OverLimit):
            record.error = str(why)
            outbox.end(record, "failed")
        else:
            outbox.settle(record)

    change_mine(site, guard, change)


@dataclass(frozen=True)
class Failure:
    """What went wrong, and whether it would again.

    What refuses its input (an error of `errors.py` below 500, a ValueError) will refuse it again: it is tried
    again only where `activate` said how often.
    """

    text: str
    trace: str
    is_refusal: bool

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return the failure of an error that is being handled."""
        is_ours = isinstance(error, HaywainError)
        is_refusal = isinstance(error, ValueError) or (isinstance(error, HaywainError) and error.status < 500)
        text = str(error) if is_ours or (is_refusal and str(error)) else f"{type(error).__name__}: {error}"
        return cls(plain(text)[:ERROR_LENGTH], plain(traceback.format_exc())[-TRACE_LENGTH:], is_refusal)


def fail(outbox: Outbox, record: Activity, failure: Failure) -> None:
    """Note a failure: try again later, or leave it failed after too many."""
    retries = (0 if failure.is_refusal else MAX_RETRIES) if record.max_retries is None else record.max_retries
    record.error, record.trace = failure.text, failure.trace
    record.failures += 1
    if record.failures > retries:
        outbox.end(record, "failed")
    else:
        outbox.settle(record, at=clock.now_s() + delay_s(record.failures))


def delay_s(failures: int) -> float:
    """Return how long to wait after so many failures: 5 s, doubled each time, at most an hour; jitter."""
    longest = min(FIRST_DELAY_S * 2.0 ** (failures - 1), LONGEST_DELAY_S)
    return longest * random.uniform(0.75, 1.0)  # noqa: S311  # jitter, no secret


def bury(outbox: Outbox, record: Activity) -> None:
    """Take an activity back from a Worker that died; leave it failed if that happened too often."""
    record.deaths += 1
    if record.deaths < DEATHS:
        record.note([f"The Worker in {shown(record.process)} died; it goes on from its last step"])
        outbox.settle(record)
        return
    record.error = (
        f"{DEATHS} Workers died at this step, the last in {shown(record.process)}; look for what kills them "
        "(memory?) before it is retried"
    )
    outbox.end(record, "failed")


def share(progress: Any) -> float:  # Any: what was yielded
    """Return a progress between 0 and 1; raises InvalidError for what is no number."""
    try:
        found = float(progress)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if math.isnan(found):
        raise InvalidError(f"A step yields its progress, a number from 0 to 1, not {progress!r:.40}")
    return min(max(found, 0.0), 1.0)


def as_json(what: str, content: Any, most_bytes: int) -> str:  # Any: what a kind made
    """Return content as JSON; raises InvalidError if it is none, or too large."""
    try:
        text = json.dumps(content, allow_nan=False)
        json.dumps(content, ensure_ascii=False).encode()  # half a character is none that can be sent
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"The {what} of the activity is no JSON: {error}") from error
    if len(text) > most_bytes:
        raise InvalidError(f"The {what} of the activity is longer than {most_bytes} bytes")
    return text


def plain(text: str) -> str:
    """Return a text that can be sent: lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
