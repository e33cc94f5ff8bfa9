"""Ending: how a run leaves its activity if not done: to be tried again, failed, cancelled, as it was.

Each is a transaction of its own, which first finds that the claim still is this run's.
"""

import logging
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from haywain import clock
from haywain.activity.actor import document_of
from haywain.activity.bell import ring_at_commit
from haywain.activity.guard import Cancelled, Guard, Interrupted, OverLimit, Stopping
from haywain.activity.outbox import Outbox
from haywain.activity.outcome import plain
from haywain.activity.process import shown
from haywain.activity.record import ERROR_LENGTH, TRACE_LENGTH, Activity
from haywain.errors import HaywainError

if TYPE_CHECKING:
    from haywain.portal import Portal, Site

MAX_RETRIES = 3
"""How often an unexpected error is tried again, where `activate` does not say."""
DEATHS = 3
"""So many Workers may die at one step of an activity before it is left alone."""
FIRST_DELAY_S, LONGEST_DELAY_S = 5.0, 3600.0


Change = Callable[["Portal", Activity], None]
"""What is done to an activity whose run is over."""

_log = logging.getLogger(__name__)


class GoneError(Exception):
    """The claim is not this run's any more: the activity was cancelled, ended or given to another."""


def mine(portal: "Portal", guard: Guard) -> Activity:
    """Return the activity, in a transaction just begun; raises GoneError, Cancelled."""
    record = Outbox.of(portal.root).find(guard.id)
    if record is None or record.claim != guard.claim:
        raise GoneError
    if record.is_cancelled:
        raise Cancelled
    return record


def all_mine(portal: "Portal", guard: Guard) -> list[Activity]:
    """Return those that this run has claimed and still has."""
    found = [(Outbox.of(portal.root).find(id), claim) for id, claim in guard.claims.items()]
    return [record for record, claim in found if record is not None and record.claim == claim]


def change_mine(site: "Site", guard: Guard, change: Change) -> None:
    """Leave what this run has claimed, in a transaction of its own, where the claim still is its."""
    spent_s = guard.lap_s() / len(guard.claims)

    def work(portal: "Portal") -> None:
        for record in all_mine(portal, guard):
            record.spent_s += spent_s
            leave(portal, record, change)
            ring_at_commit(portal, record)

    site.transact(work)


def leave(portal: "Portal", record: Activity, change: Change) -> None:
    """Make a change to an activity whose run is over without success; one that was cancelled ends so."""
    if record.is_cancelled:
        Outbox.of(portal.root).end(record, "cancelled")
    else:
        change(portal, record)


def give_back(portal: "Portal", record: Activity, at: float | None = None) -> None:
    """Queue an activity as it was; it is not run before `at`."""
    Outbox.of(portal.root).settle(record, at=at)


def undo(portal: "Portal", record: Activity, is_alone: bool = False, at: float | None = None) -> None:
    """Queue an activity whose batch came to nothing for it, as if it had not been tried.

    With `is_alone` it comes into no other batch until it has ended.
    """
    record.attempts -= 1
    record.is_alone = record.is_alone or is_alone
    give_back(portal, record, at)


def end_failed(portal: "Portal", record: Activity) -> None:
    """Leave an activity failed, and queue in the same transaction what it asked for in that case.

    Where its document is gone there is nothing to queue that on.
    """
    outbox = Outbox.of(portal.root)
    outbox.end(record, "failed")
    if not record.on_error:
        return
    try:
        document_of(portal, record)
    except HaywainError as error:
        _log.warning("%s is not queued after the failure of %s: %s", record.on_error, record.id, error)
        return
    following = record.follow_up()
    outbox.add(following)
    record.followed_by = following.id
    ring_at_commit(portal, following)


def end_interrupted(site: "Site", guard: Guard, why: Interrupted) -> None:
    """Note how a run ended that was made to: cancelled, failed over a limit, or queued as it was.

    Of a batch all are queued; if one of them is to blame, which is not known, each is run by itself.
    """

    def change(portal: "Portal", record: Activity) -> None:
        if isinstance(why, Cancelled):
            Outbox.of(portal.root).end(record, "cancelled")
        elif isinstance(why, OverLimit):
            record.error = str(why)
            end_failed(portal, record)
        else:
            give_back(portal, record)

    is_batch, is_blamed = len(guard.claims) > 1, not isinstance(why, Cancelled | Stopping)
    change_mine(site, guard, partial(undo, is_alone=is_blamed) if is_batch else change)


@dataclass(frozen=True)
class Failure:
    """What went wrong, and whether it would again.

    What refuses its input (an error of `errors.py` below 500, a ValueError) will refuse it again: it is tried
    again only where `activate` said how often.  An error with `is_final` ends it whatever that said.
    """

    text: str
    trace: str
    is_refusal: bool
    is_final: bool = False

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return the failure of an error that is being handled."""
        is_ours = isinstance(error, HaywainError)
        is_refusal = isinstance(error, ValueError) or (isinstance(error, HaywainError) and error.status < 500)
        is_final = bool(getattr(error, "is_final", False))
        text = str(error) if is_ours or (is_refusal and str(error)) else f"{type(error).__name__}: {error}"
        return cls(
            plain(text)[:ERROR_LENGTH], plain(traceback.format_exc())[-TRACE_LENGTH:], is_refusal, is_final
        )


def fail(portal: "Portal", record: Activity, failure: Failure) -> None:
    """Note a failure: try again later, or leave it failed after too many."""
    retries = (0 if failure.is_refusal else MAX_RETRIES) if record.max_retries is None else record.max_retries
    record.error, record.trace = failure.text, failure.trace
    record.failures += 1
    if failure.is_final or record.failures > retries:
        end_failed(portal, record)
    else:
        give_back(portal, record, at=clock.now_s() + delay_s(record.failures))


def delay_s(failures: int) -> float:
    """Return how long to wait after so many failures: 5 s, doubled each time, at most an hour; jitter."""
    longest = min(FIRST_DELAY_S * 2.0 ** (failures - 1), LONGEST_DELAY_S)
    return longest * random.uniform(0.75, 1.0)  # noqa: S311  # jitter, no secret


def bury(portal: "Portal", record: Activity) -> None:
    """Take an activity back from a Worker that died; leave it failed if that happened too often."""
    record.deaths += 1
    if record.deaths < DEATHS:
        record.note([f"The Worker in {shown(record.process)} died; it goes on from its last step"])
        record.is_alone = bool(record.group)  # which one of its batch killed the Worker is not known
        give_back(portal, record)
        return
    record.error = (
        f"{DEATHS} Workers died at this step, the last in {shown(record.process)}; look for what kills them "
        "(memory?) before it is retried"
    )
    end_failed(portal, record)
