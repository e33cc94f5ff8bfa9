"""Compact: store the fragmented parts of a Data Array anew."""

import logging
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain.activity.care import wanting
from haywain.activity.kind import Due, Kind, NoParameters, Work
from haywain.document import Document
from haywain.errors import TemporaryError
from haywain.portal_types.data_array import DataArray
from haywain.store import extents
from haywain.store.disk import has_room

if TYPE_CHECKING:
    from haywain.portal import Portal

_REST_S = 600
"""A Block that nobody changed for so long is compacted by the portal itself."""

_log = logging.getLogger(__name__)


class _Parameters(NoParameters):
    at_rest: bool = Field(
        False, description="Only Blocks of more than 16 pieces that nobody changed for ten minutes."
    )


class Compact(Kind):
    """Store each fragmented Block of an array (64 MiB at most) as one run of bytes, one a step.

    Many small writes leave a Block in many extents, each of which costs a mapping; numbers stay as they are.
    The portal runs it by itself on Blocks of many extents, once nobody changes them any more: a Block that is
    being written would be stored anew again and again, and each time in the way of who writes.
    """

    name = "compact"
    title = "Compact"
    portal_types = ("Data Array",)
    parameters = _Parameters
    every_s = 300.0

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the arrays with Blocks of many extents at rest; the others of many are looked at again."""
        due = Due()
        for document in wanting(portal, self.name, due):
            try:
                found, are_others = cast(DataArray, document).in_pieces(_REST_S)
            except Exception:  # its records may be damaged; other arrays are not
                _log.exception("%s could not be looked at", document.path)
                continue
            if found:
                due.found[document.path] = {"at_rest": True}
            elif not are_others:
                due.settled.append(document.path)
        if due.found and (reason := _full(portal)):
            _log.warning("%s; arrays that wait for it: %d", reason, len(due.found))
            due.found.clear()
        return due

    def is_settled(self, document: Document) -> bool:
        """Return whether no Block has many extents, which holds when this transaction commits."""
        array = cast(DataArray, document)
        array.hold()
        return array.in_pieces(_REST_S) == ([], False)

    def suits(self, document: Document) -> str:
        """Say that there is nothing to store."""
        return "" if document.size else "The array has no rows"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Compact; the result tells how many Blocks were stored anew.

        Raises TemporaryError on a disk that is almost full, CorruptDataError where a Block is damaged.
        """
        array, given = cast(DataArray, work.document), cast(_Parameters, work.parameters)
        left = array.in_pieces(_REST_S)[0] if given.at_rest else array.fragmented()
        total = work.cursor.setdefault("compacted", 0) + len(left)
        for number in left:
            work.check()
            if reason := _full(work.portal):
                if not given.at_rest:
                    raise TemporaryError(reason, 60)
                work.log(f"{reason}; Blocks left for later: {total - work.cursor['compacted']}")
                break  # no failure: the array wants it still
            array.compact_block(number)
            work.cursor["compacted"] += 1
            yield work.cursor["compacted"] / total
        return {"compacted": work.cursor["compacted"]}


def _full(portal: "Portal") -> str:
    """Say that the disk has no room for another Block beside what must stay free; "" where it has.

    The old blobs stay until the next pack.
    """
    has = has_room(portal.site.path, extents.BLOCK_SIZE)
    return "" if has else "The disk is almost full: compaction would take room before it gives it back"
