"""Job: the handle on an activity, which outlives the transaction that made it."""

import json
import time
from typing import TYPE_CHECKING, Any, Self

from haywain.activity.bell import ring_at_commit
from haywain.activity.outbox import Outbox
from haywain.activity.record import ENDED, Activity
from haywain.errors import DuplicateError, InvalidError, NotFoundError, TemporaryError
from haywain.security import require

if TYPE_CHECKING:
    from haywain.portal import Portal


class Job:
    """One activity, as it stands whenever it is asked; waiting and reading disturb no transaction."""

    def __init__(self, portal: "Portal", id: str) -> None:
        """Hold on to an activity by its id."""
        self._portal, self.id = portal, id

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return all there is to tell of it, as JSON; raises NotFoundError once its archive is over."""
        with self._portal.site.open(self._portal.user) as portal:
            try:
                return seen(portal, self.id).as_dict()
            except NotFoundError:
                return seen(self._portal, self.id).as_dict()  # made in this transaction

    @property
    def state(self) -> str:
        """One of queued, running, done, failed, cancelled."""
        return str(self.as_dict()["state"])

    @property
    def progress(self) -> float:
        """How much of it is done, 0 to 1, as of its last step."""
        return float(self.as_dict()["progress"])

    @property
    def result(self) -> Any:  # Any: JSON
        """What it returned; None before it is done."""
        return self.as_dict()["result"]

    @property
    def error(self) -> str | None:
        """Why it failed, or why its last try did."""
        found = self.as_dict()["error"]
        return str(found) if found is not None else None

    @property
    def log(self) -> list[str]:
        """The last lines of its log."""
        return list(self.as_dict()["log"])

    def wait(self, timeout_s: float | None = None) -> Self:
        """Wait until it is done, failed or cancelled; without Workers, run the queue in this thread.

        Afterwards the portal sees what it wrote, if nothing there waits for a commit.  Raises InvalidError if
        it is not committed or waits for what never comes, TemporaryError after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s if timeout_s is not None else None
        with self._portal.site.open(self._portal.user) as portal:
            if Outbox.of(portal.root).find(self.id) is None:
                raise InvalidError("Commit first: an activity runs when its transaction has committed")
        self._portal.site.workers.until_ended(self.id, deadline)
        if self.state not in ENDED:
            raise TemporaryError(f"The activity {self.id} is still {self.state} after {timeout_s:g} s")
        self._portal.refresh()
        return self

    def cancel(self) -> None:
        """Have it not run, or end at its next step; nothing happens to one that is done."""
        self._portal.site.transact(lambda portal: cancel(portal, self.id), self._portal.user)

    def retry(self) -> None:
        """Queue it once more, from its last step on; raises DuplicateError if it is none that failed."""
        self._portal.site.transact(lambda portal: retry(portal, self.id), self._portal.user)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"


def seen(portal: "Portal", id: str) -> Activity:
    """Return an activity that the portal's user may see; raises NotFoundError."""
    record = Outbox.of(portal.root).find(id)
    if record is None or not record.is_seen_by(portal.user):
        raise NotFoundError(f"There is no activity {id[:40]!r}")
    return record


def cancel(portal: "Portal", id: str) -> Activity:
    """Cancel an activity in the portal's transaction; raises NotFoundError or ForbiddenError."""
    record = seen(portal, id)
    require(portal.user, "activity")
    if record.state == "running":
        record.is_cancelled = True
    elif record.state in ("queued", "failed"):
        Outbox.of(portal.root).end(record, "cancelled")
    ring_at_commit(portal, record)
    return record


def retry(portal: "Portal", id: str) -> Activity:
    """Queue an ended activity once more; raises NotFoundError, ForbiddenError or DuplicateError."""
    record = seen(portal, id)
    require(portal.user, "activity")
    if record.state not in ("failed", "cancelled"):
        raise DuplicateError(f"The activity {id} is {record.state}; only failed and cancelled ones run again")
    Outbox.of(portal.root).renew(record)
    ring_at_commit(portal, record)
    return record


def result_of(record: Activity) -> Any:  # Any: JSON
    """Return what an activity returned."""
    return json.loads(record.result)
