"""Batch: small activities of one group, run one after the other in one transaction: a commit for many.

Those that are ready, of one method, user and priority, are claimed together.  After about a second what is
done is committed, and the rest stays ready.  If one of them raises, kills the Worker or goes over a limit,
nothing of the batch stays, and each is run by itself, since it is not always known which was to blame: so
only the bad one fails.  A method that goes by steps commits between them, hence is never of a batch.
"""

import logging
import time
from collections.abc import Generator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from ZODB.POSException import ConflictError

from haywain.activity.bell import ring_at_commit
from haywain.activity.ending import Change, GoneError, all_mine, leave, undo
from haywain.activity.guard import Guard
from haywain.activity.method import method_of
from haywain.activity.outbox import Outbox
from haywain.activity.record import Activity
from haywain.activity.runner import Run
from haywain.activity.shard import is_ready
from haywain.errors import InvalidError

if TYPE_CHECKING:
    from haywain.portal import Portal, Site

MOST = 100
"""Most activities of a batch."""
LONGEST_S = 1.0
"""After so many seconds none is begun any more."""

_log = logging.getLogger(__name__)


def claim_with_group(portal: "Portal", record: Activity, process: str) -> dict[str, str]:
    """Give a Worker an activity, and what may be run with it; return the claims by id, its own first."""
    outbox = Outbox.of(portal.root)
    others = _others(outbox, record) if record.may_be_grouped and not _is_stepwise(portal, record) else []
    return {one.id: outbox.claim(one, process) for one in (record, *others)}


def run_of(site: "Site", guard: Guard) -> Run:
    """Return the run of what a guard watches over."""
    return Batch(site, guard) if len(guard.claims) > 1 else Run(site, guard)


def _others(outbox: Outbox, record: Activity) -> list[Activity]:
    """Return the oldest others of a group that are ready, asked again whether they are."""
    key = record.group_key
    ids = sorted(id for shard in outbox.shards for _, _, id in islice(shard.named("group", key), MOST))
    found = [outbox.find(id) for id in ids[:MOST] if id != record.id][: MOST - 1]
    others = [one for one in found if one is not None]
    for one in others:
        outbox.settle(one)
    return [one for one in others if is_ready(one.place)]


def _is_stepwise(portal: "Portal", record: Activity) -> bool:
    try:
        method = method_of(portal.site.registry, type(portal[record.path]), record.method)
    except ConflictError:
        raise
    except Exception:  # whatever it is, its run tells
        return True
    return method.is_stepwise


class Batch(Run):
    """Several activities, claimed."""

    def _run_in(self, portal: "Portal") -> None:
        found = all_mine(portal, self.guard)
        if not found:
            raise GoneError
        until = time.monotonic() + LONGEST_S
        for number, record in enumerate(found):
            if record.is_cancelled or (number and time.monotonic() > until):
                leave(portal, record, undo)
            else:
                self._run_one(portal, record)
            ring_at_commit(portal, record)
        portal.commit()

    def _run_one(self, portal: "Portal", record: Activity) -> None:
        method, work = self._prepared(portal, record)
        limit_s = self.site.settings.activity_seconds if method.time_limit_s is None else method.time_limit_s
        self.guard.deadline = time.monotonic() + limit_s - record.spent_s
        result = self.guard.inside(lambda: method.start(work))
        if isinstance(result, Generator):
            result.close()
            raise InvalidError(f"{record.method} goes by steps, which share no transaction")
        self._end(portal, record, result, work)

    def _left(self) -> Change:
        return undo

    def _conflicted(self, at: float) -> Change:
        return partial(undo, is_alone=True, at=at)

    def _failing(self, error: BaseException) -> Change:
        _log.info(
            "each of %d activities is run by itself: one of them says: %s", len(self.guard.claims), error
        )
        return partial(undo, is_alone=True)
