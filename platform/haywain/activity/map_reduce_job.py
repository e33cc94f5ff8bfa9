"""The handle on a Job, the document: a map-reduce as it stands whenever it is asked."""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from pydantic import ByteSize, TypeAdapter, ValidationError

from haywain.activity.job import cancel, retry
from haywain.activity.job_parts import JobParts
from haywain.activity.outbox import Outbox
from haywain.activity.record import ENDED, Activity
from haywain.activity.reduction import Reduction
from haywain.document import NAME_LENGTH
from haywain.errors import DuplicateError, HaywainError, InvalidError, NotFoundError, TemporaryError
from haywain.security import require
from haywain.values import Path

if TYPE_CHECKING:
    from haywain.document import Document
    from haywain.portal import Portal

T = TypeVar("T")

LOOK_S = 1.0
"""How often it is looked whether a part has failed."""


class _JobDocument(Protocol):
    """What the handle asks of the Portal Type."""

    path: Path
    properties: Any  # its schema
    reduction: Reduction

    def begin(self, **options: Any) -> None:
        """Queue the first activity."""


def map_reduce(
    portal: "Portal",
    kind: str,
    source: "Document",
    step: str | int,
    parameters: dict[str, Any] | None,
    target: "Document | None" = None,
) -> "MapReduceJob":
    """Make a Job in the portal's transaction; it runs once that has committed.

    Raises UnknownNameError, InvalidError or ForbiddenError.
    """
    require(portal.user, "activity")
    made = portal.new(
        "Job",
        reference=f"{kind} of {source.reference or source.id}"[:NAME_LENGTH],
        kind=kind,
        source=source.path,
        step_bytes=_bytes(step),
        parameters=json.dumps(parameters or {}, sort_keys=True),
        target=target.path if target is not None else "",
    )
    try:
        cast(_JobDocument, made).begin()
    except HaywainError:
        portal.delete(made)
        raise
    return MapReduceJob(portal, made.path)


def _bytes(step: str | int) -> int:
    try:
        return int(TypeAdapter(ByteSize).validate_python(step))
    except ValidationError as error:
        raise InvalidError(f"step: {step!r:.40} is no size, such as 64 MiB") from error


class MapReduceJob:
    """One Job; waiting and reading disturb no transaction."""

    def __init__(self, portal: "Portal", path: Path) -> None:
        """Hold on to the document by its path."""
        self._portal, self.path = portal, path

    @property
    def id(self) -> str:
        """The id of the document."""
        return self.path.rpartition("/")[2]

    @property
    def state(self) -> str:
        """One of queued, running, done, failed, cancelled."""
        return self._told(lambda parts: parts.work_state)

    @property
    def progress(self) -> float:
        """How much of it is done, 0 to 1."""
        return self._told(lambda parts: parts.progress)

    @property
    def result(self) -> Any:  # Any: JSON
        """What it came to; None before it is done."""
        return self._told(lambda parts: parts.result)

    @property
    def error(self) -> str | None:
        """Why a part of it failed, the first that did."""
        return self._told(lambda parts: parts.error)

    def _told(self, what: Callable[[JobParts], T]) -> T:
        with self._portal.site.open(self._portal.user) as portal:
            return what(JobParts(portal, self._document(portal)))

    def wait(self, timeout_s: float | None = None) -> Self:
        """Wait until it is done, failed or cancelled; without Workers, run the queue in this thread.

        Afterwards the portal sees what it wrote, if nothing there waits for a commit.  Raises InvalidError if
        it is not committed, TemporaryError after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
        while (state := self.state) not in ENDED:
            if time.monotonic() > deadline:
                raise TemporaryError(f"The job {self.path} is still {state} after {timeout_s:g} s")
            with self._portal.site.open(self._portal.user) as portal:
                last = self._document(portal).reduction.last
            try:
                self._portal.site.workers.until_ended(last, min(deadline, time.monotonic() + LOOK_S))
            except InvalidError:  # the last one waits for a part that has ended otherwise
                if self.state not in ENDED:
                    raise
        self._portal.refresh()
        return self

    def cancel(self) -> None:
        """Have no part of it run any more, and those that run end."""
        self._portal.site.transact(lambda p: cancel_job(p, self._document(p)), self._portal.user)

    def retry(self) -> None:
        """Queue the parts that failed once more; raises DuplicateError if none did."""
        self._portal.site.transact(lambda p: retry_job(p, self._document(p)), self._portal.user)

    def _document(self, portal: "Portal") -> _JobDocument:
        try:
            return cast(_JobDocument, portal[self.path])
        except NotFoundError as error:
            raise InvalidError("Commit first: a job runs when its transaction has committed") from error

    def __repr__(self) -> str:
        return f"<MapReduceJob {self.path}>"


def cancel_job(portal: "Portal", job: _JobDocument) -> None:
    """Cancel a Job in the portal's transaction; raises NotFoundError or ForbiddenError.

    Of one that has ended well nothing is cancelled.
    """
    for record in _activities(portal, job.path):
        if record.state not in ("done", "cancelled"):
            cancel(portal, record.id)


def retry_job(portal: "Portal", job: _JobDocument) -> None:
    """Queue what failed of a Job once more; raises DuplicateError if nothing did, NotFoundError."""
    failed = [record for record in _activities(portal, job.path) if record.state == "failed"]
    if not failed:
        raise DuplicateError(f"No part of {job.path} has failed")
    for record in failed:
        retry(portal, record.id)


def _activities(portal: "Portal", path: Path) -> list[Activity]:
    """Return the activities on a Job, the oldest first."""
    outbox = Outbox.of(portal.root)
    ids = sorted(id for shard in outbox.shards for _, _, id in shard.named("path", path))
    return [record for id in ids if (record := outbox.find(id)) is not None]
