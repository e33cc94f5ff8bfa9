"""Compact: store the fragmented parts of a Data Array anew."""

from collections.abc import Generator
from typing import Any, cast

from haywain.activity.kind import Kind, Work
from haywain.document import Document
from haywain.portal_types.data_array import DataArray


class Compact(Kind):
    """Store each fragmented Block of an array (64 MiB at most) as one run of bytes, one a step.

    Many small writes leave a Block in many extents, each of which costs a mapping; numbers stay as they are.
    """

    name = "compact"
    title = "Compact"
    portal_types = ("Data Array",)

    def suits(self, document: Document) -> str:
        """Say that there is nothing to store."""
        return "" if document.size else "The array has no rows"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Compact; the result tells how many Blocks were stored anew."""
        array = cast(DataArray, work.document)
        left = array.fragmented()
        total = work.cursor.setdefault("compacted", 0) + len(left)
        for number in left:
            work.check()
            array.compact_block(number)
            work.cursor["compacted"] += 1
            yield work.cursor["compacted"] / total
        return {"compacted": work.cursor["compacted"]}
