"""One run of a Data Analysis: its kind of work is done to what is new, and its Progress Indicators move."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from haywain.activity.kind import Kind, Work
from haywain.activity.method import method_of
from haywain.activity.product import edition_of, extent_of
from haywain.document import Document
from haywain.portal_types._transient import HandOn
from haywain.portal_types.progress_indicator import ProgressIndicator
from haywain.security import require

JsonObject = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Input:
    """What is read under a name, and how far."""

    name: str
    document: Document
    indicator: ProgressIndicator

    @property
    def how_far(self) -> str:
        """How much of it is consumed."""
        done, total = self.indicator.position.offset, extent_of(self.document)
        unit = "rows" if hasattr(type(self.document), "row_bytes") else "bytes"
        return f"{done:,} of {total:,} {unit}"

    @property
    def is_behind(self) -> bool:
        """Whether it is another than it was when it was last looked at."""
        return self.indicator.properties.looked != mark_of(self.document)


def mark_of(document: Any) -> str:  # Any: of whatever kind
    """Return what is another one as soon as bytes or rows have come or changed."""
    changed = getattr(document, "rows_tid", "") if getattr(document, "is_created", True) else ""
    return f"{edition_of(document)} {extent_of(document)} {changed}".strip()


def analyse(analysis: Any, work: Work, start_over: bool) -> Generator[float, None, JsonObject]:
    """Run the kind of work of a Data Analysis on its first input; the others are parameters."""
    inputs: list[Input] = analysis.inputs()
    cursor = work.cursor
    if not start_over and "start_over" not in cursor and not analysis.is_behind():
        return {"is_new": False}
    kind, inner = _prepared(analysis, work, inputs)
    target: Any = inner.target  # Any: a document, or what hands rows on
    if "start_over" not in cursor:
        if why := _why_not(kind, inner.document):
            _look(inputs, [mark_of(one.document) for one in inputs])
            analysis.course.wait(why)
            return {"waits": why}
        must = kind.follows and (kind.must_start_over(inner) or analysis.is_missed)
        cursor["start_over"] = start_over or must
        inner.indicator.drop_draft()  # of a refresh that was cancelled
        cursor["marks"] = [mark_of(one.document) for one in inputs]
    held = [one.document for one in inputs]
    held += target.held if isinstance(target, HandOn) else [target] if target is not None else []
    result = yield from _relay(kind, work, inner, held)
    if isinstance(target, HandOn):
        target.finish()
        result.pop("array", None)
    if kind.follows:  # it has gone to the end that this transaction sees
        cursor["marks"] = [mark_of(one.document) for one in inputs]
    else:
        inputs[0].indicator.move(extent_of(inner.document), 0, edition_of(inner.document), "")
    _look(inputs, cursor["marks"])
    analysis.course.done(result)
    return result


def _why_not(kind: Kind, document: Document) -> str:
    """Return why there is nothing to do yet; not each kind says so of an array that has no shape yet."""
    if not getattr(document, "is_created", True):
        return "The array has no rows"
    return kind.suits(document)


def _look(inputs: list[Input], marks: list[str]) -> None:
    for one, mark in zip(inputs, marks, strict=True):
        if one.indicator.properties.looked != mark:
            one.indicator.edit(looked=mark)


def _prepared(analysis: Any, work: Work, inputs: list[Input]) -> tuple[Kind, Work]:
    """Return the kind and what it is given; raises HaywainError for what may not be, or makes no sense."""
    portal, first = work.portal, inputs[0]
    kind, given = analysis.transformation.work()
    method = method_of(portal.site.registry, type(first.document), kind.name)
    for one in inputs:
        require(portal.user, "view", one.document)
    require(portal.user, method.permission, first.document)
    outputs = analysis.outputs()
    for document in outputs:
        require(portal.user, "edit", document)
    return kind, Work(
        portal,
        first.document,
        method.checked(given | {one.name: one.document.path for one in inputs[1:]}),
        work.cursor.setdefault("work", {}),
        work.kept,
        work.id,
        work.rows,
        HandOn(analysis, work.cursor) if analysis.hands_on else outputs[0] if outputs else None,  # type: ignore[arg-type]
        first.indicator,
        work.on_check,
        work.lines,
    )


def _relay(kind: Kind, work: Work, inner: Work, held: list[Document]) -> Generator[float, None, JsonObject]:
    """Go through the steps of the kind, as those of this activity, with what is read and written held."""
    found: Any = kind.follow(inner, work.cursor["start_over"]) if kind.follows else kind.run(inner)
    if not isinstance(found, Generator):
        return dict(found)
    with closing(found):
        while True:
            for document in held:
                require(work.portal.user, "view", document)
                work.hold(document)
            try:
                progress = next(found)
            except StopIteration as stop:
                return dict(stop.value)
            work.kept, work.rows = inner.kept, inner.rows
            yield progress
