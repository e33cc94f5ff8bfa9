"""Seal: pack what a Data Stream holds as records into immutable segments."""

from collections.abc import Generator
from typing import Any, cast

from pydantic import Field

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.document import Document
from haywain.portal_types.data_stream import DataStream


class _Parameters(NoParameters):
    close_tail: bool = Field(
        True, description="Also the last part, which is still appended to; the next bytes begin another."
    )


class Seal(Kind):
    """Pack each closed generation of a stream (64 MiB at most) into one blob, one a step.

    Sealed bytes are read faster and without copying.  Readers and writers go on undisturbed; after a kill the
    generations that are sealed already stay so.
    """

    name = "seal"
    title = "Seal"
    portal_types = ("Data Stream",)
    parameters = _Parameters

    def suits(self, document: Document) -> str:
        """Say that there is nothing to pack."""
        return "" if document.size else "The stream is empty"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Seal; the result tells how many generations were packed."""
        stream, given = cast(DataStream, work.document), cast(_Parameters, work.parameters)
        if given.close_tail and not work.cursor.get("closed"):
            stream.close_tail()
            work.cursor["closed"] = True
            yield 0.0
        left = stream.unsealed()
        total = work.cursor.setdefault("sealed", 0) + len(left)
        for start in left:
            work.check()
            work.cursor["sealed"] += stream.seal(start)
            yield work.cursor["sealed"] / max(total, 1)
        return {"sealed": work.cursor["sealed"]}
