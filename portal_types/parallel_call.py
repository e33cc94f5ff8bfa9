"""Parallel Call: the batches of one call of `joblib.Parallel`, on their way to the Workers and back."""

from typing import Any

from haywain import clock
from haywain.activity.bell import ring_at_commit
from haywain.activity.kind import activity
from haywain.activity.outbox import Outbox
from haywain.activity.parcel import Batches, Packed
from haywain.activity.record import ENDED
from haywain.document import Document
from haywain.errors import GoneError
from haywain.security import require

LIFE_S = 86_400
"""So long after its caller was last known to live a call is left over."""


class ParallelCall(Document):
    """Calls of Python functions that other Workers make for a notebook; it goes when the call returns.

    Whoever may put something in here may run any code on all Workers, so only Managers may see one, and
    nobody makes one over HTTP (see docs/decisions/0024).
    """

    portal_type = "Parallel Call"
    module_id = "parallel_call_module"
    view_permission = "manage"
    edit_permission = "manage"
    is_addable = False
    is_editable = False
    in_navigation = False
    in_search = False
    icon = "progress"

    def __init__(self, /, **properties: object) -> None:
        """Begin without batches."""
        super().__init__(**properties)
        self.batches = Batches()

    @property
    def _portal(self) -> Any:  # Any: the layer above
        return self._p_jar.portal

    @property
    def is_left_over(self) -> bool:
        """Whether its caller has not been known to live for a day."""
        return bool(self.batches.pulse.at < clock.now_s() - LIFE_S)

    def queue(self, number: int, packed: Packed) -> str:
        """Take a batch in and have it run; return the id of its activity.  Raises ForbiddenError."""
        require(self._portal.user, "manage")
        self.batches.put(self._p_jar, number, packed)
        return self.activate()._run_batch(number=number).id

    @activity
    def _run_batch(self, number: int) -> None:
        """Run one batch."""
        from haywain.activity.packing import run

        require(self._portal.user, "manage")
        if self.is_left_over:
            raise GoneError("Its caller has not been heard of for a day: the batch is not run any more")
        batch = self.batches[number]
        batch.outcome = run(self._p_jar, batch.task, self.batches.shared)

    def forget(self, but: str = "") -> None:
        """Delete it, with what came of its batches and their activities, but for one; none runs any more."""
        portal = self._portal
        outbox = Outbox.of(portal.root)
        for id in [id for shard in outbox.shards for _, _, id in shard.named("path", self.path)]:
            record = outbox.find(id)
            if record is None or id == but:
                continue
            if record.state not in ENDED:
                outbox.end(record, "cancelled")
            outbox.remove(record)
            ring_at_commit(portal, record)
        portal.delete(self)
