"""Runner: claims one activity and runs it to its end, or to where it must be given back.

A run is a row of transactions.  Each begins by finding that the claim still is this run's, ends by writing
the activity's record with the effects of the step, and so conflicts with whoever took the activity away.
"""

import json
import logging
import random
import threading
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from transaction.interfaces import TransientError
from ZODB.POSException import ConflictError

from haywain import clock
from haywain.activity.actor import actor_of, document_of
from haywain.activity.bell import ring_at_commit
from haywain.activity.ending import (
    FIRST_DELAY_S,
    Change,
    Failure,
    GoneError,
    change_mine,
    end_interrupted,
    fail,
    give_back,
    mine,
)
from haywain.activity.guard import Abandoned, Guard, Interrupted
from haywain.activity.kept import Kept
from haywain.activity.kind import Work
from haywain.activity.method import Method, method_of
from haywain.activity.outbox import Outbox
from haywain.activity.outcome import CURSOR_BYTES, RESULT_BYTES, as_json, plain, share
from haywain.activity.record import Activity
from haywain.errors import DatabaseServerError
from haywain.security import require
from haywain.store.database import read_current

if TYPE_CHECKING:
    from haywain.document import Document
    from haywain.portal import Portal, Site

CONFLICTS = 12
"""So many conflicts in a row, and the activity is given back for a while."""

_log = logging.getLogger(__name__)


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
            self._change(self._conflicted(clock.now_s() + random.uniform(0, FIRST_DELAY_S)))  # noqa: S311  # jitter
        except BaseException as error:  # what a kind may raise is not ours to know
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Note a failure.  Only what was meant for the whole process (Ctrl-C, a signal) goes on from here."""
        is_everybodys = threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and is_everybodys:
            self._change(self._left())
            raise error
        self._change(self._failing(error))
        if isinstance(error, SystemExit) and is_everybodys:
            raise error

    def _change(self, change: Change) -> None:
        change_mine(self.site, self.guard, change)

    def _left(self) -> Change:
        """Return what is done where the run was no try."""
        return give_back

    def _conflicted(self, at: float) -> Change:
        """Return what is done after conflicts without end."""
        return partial(give_back, at=at)

    def _failing(self, error: BaseException) -> Change:
        """Return what is done after an error."""
        return partial(fail, failure=Failure.of(error))

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
        method, work = self._prepared(portal, mine(portal, self.guard))
        self._steps(portal, method, work)

    def _prepared(self, portal: "Portal", record: Activity) -> tuple[Method, Work]:
        """Return the method and what it is given; raises what forbids to run it."""
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
        return method, work

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
        self._note(record, work)
        self._commit(portal, work)
        self._begin_step(portal, mine(portal, self.guard))

    def _done(self, portal: "Portal", result: Any, work: Work) -> None:  # Any: JSON
        self._end(portal, mine(portal, self.guard), result, work)
        self._commit(portal, work)

    def _end(self, portal: "Portal", record: Activity, result: Any, work: Work) -> None:  # Any: JSON
        """Move an activity to the archive, with what it returned, or forget it."""
        record.result = as_json("result", result, RESULT_BYTES)
        record.progress = 1.0
        record.error = record.trace = ""
        record.kept = record.rows = None
        Outbox.of(portal.root).end(record, "done")
        ring_at_commit(portal, record)
        self._note(record, work)
        if not record.is_kept:
            Outbox.of(portal.root).remove(record)

    def _note(self, record: Activity, work: Work) -> None:
        """Note the time that was spent, and the log."""
        record.spent_s += self.guard.lap_s()
        record.note([plain(line) for line in work.lines])

    def _commit(self, portal: "Portal", work: Work) -> None:
        portal.commit()
        work.lines.clear()
        self._conflicts = 0
