"""Forget call: what is left of a parallel call whose notebook was killed goes after a day."""

from collections.abc import Generator
from typing import Any, cast

from haywain.activity.kind import Due, Kind, Work
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal
from haywain.portal_types.parallel_call import ParallelCall


class ForgetCall(Kind):
    """Delete a Parallel Call whose caller has not been heard of for a day, with all that belongs to it."""

    name = "forget_call"
    title = "Forget a parallel call"
    portal_types = ("Parallel Call",)
    permission = "manage"
    every_s = 3600.0

    def due(self, portal: Portal, since_s: float, now_s: float) -> Due:
        """Return the calls that are left over: there are few, so all are looked at."""
        module = portal.root.module(ParallelCall.module_id)
        left = [call for call in module.documents.values() if call.is_left_over]
        return Due({call.path: {} for call in left})

    def suits(self, document: Document) -> str:
        """Say that somebody still waits for it."""
        return "" if cast(ParallelCall, document).is_left_over else "Its caller was there less than a day ago"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Delete it; the result is empty."""
        if reason := self.suits(work.document):
            raise InvalidError(reason)
        cast(ParallelCall, work.document).forget(but=work.id)
        yield from ()
        return {}
