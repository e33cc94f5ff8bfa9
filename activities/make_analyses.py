"""Make analyses: give each delivery of what a Data Transformation takes its Data Analysis."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain.activity.kind import Due, Kind, NoParameters, Work
from haywain.document import Document
from haywain.errors import HaywainError
from haywain.portal_types._matching import Match, make_analysis, matches
from haywain.portal_types.data_analysis import DataAnalysis
from haywain.portal_types.data_transformation import DataTransformation

if TYPE_CHECKING:
    from haywain.portal import Portal

_AT_ONCE = 20
"""So many are made in one transaction."""


class _Parameters(NoParameters):
    wakes: bool = Field(False, description="Those that were made before look too whether something came.")


class MakeAnalyses(Kind):
    """Make the Data Analyses that a Data Transformation has not made yet, each once.

    A delivery that begins has it look, behind the commit; each minute the portal asks for what missed that.
    """

    name = "make_analyses"
    title = "Look for deliveries"
    portal_types = ("Data Transformation",)
    parameters = _Parameters
    every_s = 60.0

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the Data Transformations that miss one."""
        due = Due()
        module = portal.root.module(DataTransformation.module_id)
        for document in module.documents.values():
            if isinstance(document, DataTransformation) and _misses(portal, document):
                due.found[document.path] = {}
        return due

    def suits(self, document: Document) -> str:
        """Say that it does not work."""
        return "" if document.state == "validated" else "The Data Transformation is not validated"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Make them; the result tells how many."""
        transformation = cast(DataTransformation, work.document)
        made = work.cursor.setdefault("made", 0)
        wakes = cast(_Parameters, work.parameters).wakes
        while transformation.state == "validated":
            work.check()
            every = [
                (match, transformation.analysis_of(match.line))
                for match in matches(work.portal, transformation)
            ]
            for _, analysis in every if wakes else ():
                if analysis is not None:
                    cast(DataAnalysis, analysis).look_soon()
            found = [match for match, analysis in every if analysis is None]
            for match in found[:_AT_ONCE]:
                make_analysis(work.portal, transformation, match)
                made += 1
            if len(found) <= _AT_ONCE:
                break
            work.cursor["made"] = made
            yield _AT_ONCE / len(found)
        return {"made": made}


def _is_made(transformation: DataTransformation, match: Match) -> bool:
    return transformation.analysis_of(match.line) is not None


def _misses(portal: "Portal", transformation: DataTransformation) -> bool:
    if transformation.state != "validated":
        return False
    try:
        return any(not _is_made(transformation, match) for match in matches(portal, transformation))
    except HaywainError:
        return False  # its operation is gone
