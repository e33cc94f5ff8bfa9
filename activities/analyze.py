"""Analyze: run a Data Analysis on what has come."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain.activity.kind import Due, Kind, NoParameters, Work
from haywain.activity.watchers import Watchers
from haywain.catalog import Range
from haywain.catalog.query import decode_cursor
from haywain.document import Document
from haywain.errors import NotFoundError
from haywain.portal_types.data_analysis import DataAnalysis
from haywain.security import SYSTEM

if TYPE_CHECKING:
    from haywain.portal import Portal

_PAGE = 500
_REST_S = 10.0
"""What changed less long ago is left to those who are told of each change."""


class _Parameters(NoParameters):
    start_over: bool = Field(False, description="Do it all anew; what there is stays until all is there.")


class Analyze(Kind):
    """Do what a Data Transformation says to what came in since the last time, in steps.

    Whatever comes has it run, behind the commit; each minute the portal asks for what missed that.
    """

    name = "analyze"
    title = "Analyze what is new"
    portal_types = ("Data Analysis",)
    parameters = _Parameters
    every_s = 60.0

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the Data Analyses of what changed, that have not looked at it and are not about to."""
        due = Due(looked_s=now_s - _REST_S)
        kinds = portal.site.registry.portal_types
        hits = portal.catalog(
            portal_type=[name for name, cls in kinds.items() if hasattr(cls, "edition")],
            modified=Range(since_s, due.looked_s),
            sort_on="modified",
            limit=_PAGE,
        )
        for document in hits:
            due.found |= {path: {"start_over": False} for path in _behind(portal, document)}
        if hits.next:
            last_s = float(decode_cursor(hits.next, 2)[0])  # as the catalog has it
            due.looked_s, due.is_all = max(last_s, since_s + 0.001), False
        return due

    def suits(self, document: Document) -> str:
        """Say that it is not started."""
        return "" if document.state == "started" else "The Data Analysis is not started"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Run it, as the owner of what it does; the result is that of the kind of work."""
        analysis, given = cast(DataAnalysis, work.document), cast(_Parameters, work.parameters)
        if work.portal.user is SYSTEM and not analysis.transformation.is_systems:
            analysis.look_soon()
            return {"queued": True}
        return (yield from analysis.analyse(work, given.start_over))


def _behind(portal: "Portal", document: Document) -> list[str]:
    """Return the paths of the Data Analyses that have not looked at what came into a document."""
    found = []
    for path in Watchers.of(portal.root).of_path(document.path):
        try:
            analysis = portal[path]
        except NotFoundError:
            continue
        if isinstance(analysis, DataAnalysis) and analysis.is_behind() and not analysis.is_queued:
            found.append(path)
    return found
