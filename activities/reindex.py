"""Reindex: a document's row in the catalog, or the whole catalog, made anew."""

from collections.abc import Generator
from typing import Any, cast

from pydantic import Field

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.document import Document


class _Parameters(NoParameters):
    everything: bool = Field(False, description="Make the whole catalog anew, not only its row.")


class Reindex(Kind):
    """Make the row of a document in the catalog anew, or with `everything` all of them, as `haywain reindex`.

    That is the catalog of the machine on which it runs; the portal serves meanwhile.
    """

    name = "reindex"
    title = "Reindex"
    portal_types = ("Data Stream", "Data Array")
    parameters = _Parameters
    permission = "manage"

    def suits(self, document: Document) -> str:
        """Keep it off the pages: it is for who has a reason not to trust the catalog."""
        return "The catalog follows all changes by itself"

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Return how many documents were indexed."""
        yield 0.0
        if cast(_Parameters, work.parameters).everything:
            return {"documents": work.portal.site.reindex(lambda _done: work.check())}
        work.document.reindex()
        return {"documents": 1}
