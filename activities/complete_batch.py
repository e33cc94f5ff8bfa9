"""Complete a batch: stop the Data Ingestions of its parts once nothing comes any more."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from haywain.activity.care import want, wanting
from haywain.activity.kind import Due, Kind, Work
from haywain.document import Document
from haywain.portal_types.data_ingestion_batch import DataIngestionBatch
from haywain.workflow import WORKFLOWS

if TYPE_CHECKING:
    from haywain.portal import Portal


class CompleteBatch(Kind):
    """Stop what delivers the parts of a batch, after a silence and not before enough of them are there.

    Then the Data Analyses of these run, once, and are delivered.
    """

    name = "complete_batch"
    title = "Complete the batch"
    portal_types = ("Data Ingestion Batch",)
    permission = "edit"
    every_s = 10.0

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the batches that are silent by now."""
        due = Due()
        for document in wanting(portal, self.name, due):
            if cast(DataIngestionBatch, document).is_complete():
                due.found[document.path] = {}
        return due

    def suits(self, document: Document) -> str:
        """Say that it is not complete yet."""
        return "" if cast(DataIngestionBatch, document).is_complete() else "The batch is not complete yet"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Stop them, in one transaction; the result tells how many."""
        yield from ()
        batch, stopped = cast(DataIngestionBatch, work.document), 0
        if not batch.is_complete():
            return {"stopped": 0}
        for line in batch.lines():
            ingestion = work.portal[line.properties.ingestion]
            if ingestion.state == "started":
                WORKFLOWS["simulation"].apply(ingestion, "stop", work.portal.user.login)
                stopped += 1
        want(batch, self.name, False)
        return {"stopped": stopped}
