"""Matching: for which deliveries a Data Transformation is, and the Data Analysis of each, made once.

A delivery is a Data Ingestion that is started, or a Data Analysis that makes what another one takes.  The
root keeps which Data Analysis there is for which line, so that of two processes at once one makes it and the
other conflicts, looks again, and finds it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from haywain.activity.actor import acting_as
from haywain.activity.kind import Kind
from haywain.activity.offers import Offers
from haywain.activity.product import name_of
from haywain.activity.row_map import RowMap
from haywain.document import NAME_LENGTH, Document
from haywain.errors import NotFoundError
from haywain.portal_types.data_transformation import DataTransformation
from haywain.portal_types.data_transformation_line import DataTransformationLine

if TYPE_CHECKING:
    from haywain.portal import Portal

_DEPTH = 100
"""Analyses of analyses of analyses, at most."""


@dataclass(frozen=True)
class Match:
    """A delivery, the line of what is worked on, and what each line of the Data Transformation takes."""

    delivery: Document
    line: Document
    inputs: tuple[tuple[DataTransformationLine, Document | None], ...]
    """None for rows that are handed on in memory."""

    @property
    def name(self) -> str:
        """What people call what is worked on."""
        return name_of(self.inputs[0][1] or self.delivery)


def missing(portal: "Portal", transformation: DataTransformation) -> Iterator[Match]:
    """Yield what a Data Transformation is to be done to and has no Data Analysis for, of all there is.

    To pass over what has one, nothing of it is loaded.
    """
    inputs = transformation.lines_of("in")
    for path in Offers.of(portal.root).lines(inputs[0].properties.resource) if inputs else ():
        line = _at(portal, path)
        if line is not None:
            yield from _match(portal, transformation, inputs, line)


def missing_beside(portal: "Portal", transformation: DataTransformation, path: str) -> Iterator[Match]:
    """Yield the same of one delivery: that to which the line at a path belongs."""
    inputs = transformation.lines_of("in")
    fresh = _at(portal, path)
    delivery = _at(portal, _delivery_path(fresh)) if fresh is not None else None
    for one in delivery.linked("line") if delivery is not None and inputs else ():
        line: Any = _at(portal, one)
        if line is not None and line.properties.resource == inputs[0].properties.resource:
            yield from _match(portal, transformation, inputs, line)


def _match(
    portal: "Portal",
    transformation: DataTransformation,
    inputs: list[DataTransformationLine],
    line: Any,  # Any: a line of either kind
) -> Iterator[Match]:
    """Yield the match of a line, if it delivers what is taken first and all else is delivered beside it."""
    if transformation.analysis_of(line) is not None or not _makes(line):
        return
    kind, _ = transformation.work()
    delivery, document = _at(portal, _delivery_path(line)), delivered(portal, line)
    if delivery is None or not _suits(kind, line, document, inputs):
        return
    if not _delivers(delivery) or _comes_of(portal, delivery, transformation):
        return
    first: tuple[DataTransformationLine, Document | None] = (inputs[0], document)
    others = [(one, _other(portal, delivery, one)) for one in inputs[1:]]
    found = [(one, other) for one, other in others if other is not None]
    if len(found) == len(others):
        yield Match(delivery, line, (first, *found))


def _suits(kind: Kind, line: Any, document: Document | None, inputs: list[DataTransformationLine]) -> bool:
    """Return whether a kind can work on what a line delivers; rows in memory are for kinds that go on."""
    if getattr(line.properties, "use", "") == "transient":
        return (
            isinstance(kind, RowMap)
            and kind.follows
            and "Data Array" in kind.portal_types
            and len(inputs) == 1
        )
    return document is not None and document.portal_type in kind.portal_types


def _makes(line: Any) -> bool:  # Any: as above
    return getattr(line.properties, "direction", "out") == "out"


def delivered(portal: "Portal", line: Any) -> Document | None:  # Any: a line of either kind
    """Return the document that a line delivers into; None before there is one."""
    paths = [line.properties.document] if hasattr(line.properties, "document") else line.linked("aggregate")
    found = (_at(portal, path) for path in paths)
    return next((one for one in found if one is not None and hasattr(one, "edition")), None)


def make_analysis(portal: "Portal", transformation: DataTransformation, match: Match) -> Document:
    """Make the Data Analysis of a match, as the owner of the Data Transformation; raises HaywainError."""
    with acting_as(portal, transformation.user()):
        name = f"{match.name} {name_of(transformation)}"[:NAME_LENGTH]
        analysis = portal.new(
            "Data Analysis", reference=name, transformation=transformation.path, delivery=match.delivery.path
        )
        portal.root.claim("analysis", transformation.key_of(match.line), analysis)
        made = [_make_output(portal, analysis, line, match) for line in transformation.lines_of("out")]
        for line, document in match.inputs:
            target = made[0].path if made and made[0] is not None else ""
            _add_input(portal, analysis, line, document, target)
        upstream = getattr(match.delivery, "is_batch", False)  # of a Data Analysis
        is_batch = upstream or batch_of(portal, match.delivery) is not None
        cast(Any, analysis).begin(is_batch)  # Any: a Data Analysis, whose module needs this one
    return analysis


def _add_input(
    portal: "Portal", analysis: Document, line: DataTransformationLine, document: Document | None, target: str
) -> None:
    indicator = portal.new(
        "Progress Indicator",
        reference=analysis.reference,
        source=document.path if document is not None else "",
        target=target,
        key=f"{analysis.uid} {line.uid}",
    )
    portal.new(
        "Data Analysis Line",
        reference=line.reference,
        title=f"{line.title or line.reference} for {analysis.reference}".strip()[:NAME_LENGTH],
        analysis=analysis.path,
        direction="in",
        resource=line.properties.resource,
        document=document.path if document is not None else "",
        use="analysis" if document is not None else "transient",
        indicator=indicator.path,
    )


def _make_output(
    portal: "Portal", analysis: Document, line: DataTransformationLine, match: Match
) -> Document | None:
    product = portal[line.properties.resource]
    reference = f"{match.name} {name_of(product)}"[:NAME_LENGTH]
    made = None
    if line.properties.use != "transient":
        made = portal.new(line.properties.sink_portal_type, reference=reference)
        made.link("resource", product)
        made.link("causality", analysis)
        if match.inputs[0][1] is not None:
            made.link("source", match.inputs[0][1])
    portal.new(
        "Data Analysis Line",
        reference=line.reference,
        title=f"{reference} of {analysis.reference}"[:NAME_LENGTH],
        analysis=analysis.path,
        direction="out",
        resource=product.path,
        document=made.path if made is not None else "",
        use=line.properties.use,
    )
    return made


def batch_of(portal: "Portal", delivery: Document) -> Document | None:
    """Return the batch that a Data Ingestion delivers parts of; None if it does not."""
    for path in delivery.linked("line"):
        line = _at(portal, path)
        for other in line.linked("aggregate") if line is not None else ():
            found = _at(portal, other)
            if found is not None and found.portal_type == "Data Ingestion Batch":
                return found
    return None


def _other(portal: "Portal", delivery: Document, wanted: DataTransformationLine) -> Document | None:
    """Return what delivers another product, beside it or in the same batch."""
    batch = batch_of(portal, delivery)
    parts = Offers.of(portal.root).lines(batch.path) if batch is not None else []
    for path in (*delivery.linked("line"), *parts):
        line: Any = _at(portal, path)
        if line is None or line.properties.resource != wanted.properties.resource:
            continue
        if _makes(line) and (found := delivered(portal, line)):
            return found
    return None


def _delivers(delivery: Document) -> bool:
    return delivery.state in ("started", "stopped", "delivered")


def _comes_of(portal: "Portal", delivery: Any, transformation: DataTransformation) -> bool:  # Any: either
    """Return whether what is delivered was itself made by a Data Transformation, however many steps ago."""
    for _ in range(_DEPTH):
        if getattr(delivery.properties, "transformation", "") == transformation.path:
            return True
        path = getattr(delivery.properties, "delivery", "")
        delivery = _at(portal, path) if path else None
        if delivery is None:
            return False
    return True


def _delivery_path(line: Any) -> str:  # Any: as above
    return str(getattr(line.properties, "ingestion", "") or getattr(line.properties, "analysis", ""))


def _at(portal: "Portal", path: str) -> Document | None:
    try:
        return portal[path]
    except NotFoundError:
        return None
