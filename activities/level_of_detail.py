"""Level of detail: bring the pyramid of a Data Array up to date, so that plots of any length are quick."""

from collections.abc import Generator
from typing import Any, cast

from pydantic import Field

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.document import Document
from haywain.portal_types.data_array import DataArray
from haywain.store.summary import tables_of
from haywain.values import MIB


class _Parameters(NoParameters):
    start_over: bool = Field(False, description="Sum up all rows again, also those that it has seen.")


class LevelOfDetail(Kind):
    """Sum up the rows of an array that are new or have changed, 256 and more together, in steps of 256 MiB.

    What it has not seen yet is read from the rows by whoever asks, so answers are the same before and after.
    It writes nothing that an append writes; a kill costs a step.
    """

    name = "level_of_detail"
    title = "Update the level of detail"
    portal_types = ("Data Array",)
    parameters = _Parameters
    step_bytes = 256 * MIB

    def suits(self, document: Document) -> str:
        """Say that there are no rows, or no columns of numbers."""
        array = cast(DataArray, document)
        if not array.is_created or not array.shape or not len(array):
            return "The array has no rows"
        return "" if tables_of(array.dtype, array.shape[1:]) else "The array has no columns of numbers"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Go once through the Blocks of 64 MiB there are; the result tells how many rows were looked at."""
        array, given = cast(DataArray, work.document), cast(_Parameters, work.parameters)
        end, following = work.cursor.setdefault("end", array.nbytes), work.cursor.get("next", 0)
        if given.start_over and not following:
            array.forget_level_of_detail()
        while True:
            work.check()
            rows, following = array.update_level_of_detail(following, self.step_bytes)
            work.cursor["rows"] = work.cursor.get("rows", 0) + rows
            if following is None or following >= end:
                return {"rows": work.cursor["rows"]}
            work.cursor["next"] = following
            yield following / end
