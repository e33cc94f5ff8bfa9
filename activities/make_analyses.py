"""Make analyses: give each delivery of what a Data Transformation takes its Data Analysis."""

from collections.abc import Generator
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain.activity.kind import Due, Kind, NoParameters, Work
from haywain.activity.offers import Offers
from haywain.document import Document
from haywain.errors import HaywainError, NotFoundError
from haywain.portal_types._matching import make_analysis, missing, missing_beside
from haywain.portal_types.data_analysis import DataAnalysis
from haywain.portal_types.data_transformation import DataTransformation

if TYPE_CHECKING:
    from haywain.portal import Portal

_AT_ONCE = 20
"""So many are made in one transaction."""


class _Parameters(NoParameters):
    everything: bool = Field(
        False, description="All deliveries, not only new ones; and what was made before looks too."
    )


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
                due.found[document.path] = {"everything": True}
        return due

    def suits(self, document: Document) -> str:
        """Say that it does not work."""
        return "" if document.state == "validated" else "The Data Transformation is not validated"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Make them; the result tells how many."""
        transformation, portal = cast(DataTransformation, work.document), work.portal
        everything = cast(_Parameters, work.parameters).everything
        made = work.cursor.setdefault("made", 0)
        if everything and "woken" not in work.cursor:
            for analysis in transformation.analyses():
                work.check()
                cast(DataAnalysis, analysis).look_soon()
            work.cursor["woken"] = True
            yield 0.0
        while transformation.state == "validated":
            work.check()
            fresh = list(islice(Offers.of(portal.root).fresh_for(transformation.path), _AT_ONCE))
            beside = (missing_beside(portal, transformation, path) for path in fresh)
            is_over = everything and not fresh
            every = missing(portal, transformation) if is_over else chain.from_iterable(beside)
            before = made
            for match in islice(every, _AT_ONCE if is_over else None):
                make_analysis(portal, transformation, match)
                made += 1
            for path in fresh:
                _wake(portal, transformation, path)
                Offers.of(portal.root).seen(transformation.path, path)
            if not fresh and made == before:
                break
            work.cursor["made"] = made
            yield 0.5
        return {"made": made}


def _misses(portal: "Portal", transformation: DataTransformation) -> bool:
    if transformation.state != "validated":
        return False
    try:
        transformation.user()
        return any(True for _ in missing(portal, transformation))
    except HaywainError:
        return False  # its operation or its owner is gone


def _wake(portal: "Portal", transformation: DataTransformation, path: str) -> None:
    """Have the Data Analysis of a line look, if there is one: what it waits for may be complete now."""
    with suppress(NotFoundError):
        analysis = transformation.analysis_of(portal[path])
        if analysis is not None:
            cast(DataAnalysis, analysis).look_soon()
