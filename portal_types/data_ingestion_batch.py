"""Data Ingestion Batch: parts that belong together, such as the files of one flight."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain import clock
from haywain.activity.offers import Offers
from haywain.document import Document, PortalRoot, Properties
from haywain.errors import NotFoundError
from haywain.portal_types._named import claim_name

if TYPE_CHECKING:
    from haywain.portal import Portal


class DataIngestionBatchProperties(Properties):
    """When it is complete."""

    silence_s: float = Field(
        60.0, ge=0, le=31_536_000, description="It is complete when nothing has come for so many seconds."
    )
    parts: int = Field(2, ge=1, le=1_000_000, description="But not before so many tags have delivered.")


class DataIngestionBatch(Document):
    """What the sinks of several tags have in common: their category `aggregate` names it.

    A rule says which by `Route(..., batch=...)`.  Once it is complete the Data Ingestions of its parts are
    stopped, and what is to be done to them is done, once.
    """

    portal_type = "Data Ingestion Batch"
    module_id = "data_ingestion_batch_module"
    schema = DataIngestionBatchProperties
    icon = "stream"

    @property
    def properties(self) -> DataIngestionBatchProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataIngestionBatchProperties)
        return found

    def after_add(self, root: PortalRoot) -> None:
        """Be found by its reference."""
        claim_name(self)

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        super().edit(**changes)
        claim_name(self)

    def lines(self) -> Iterator[Any]:  # Any: a Data Ingestion Line
        """Yield the lines of the Data Ingestions that deliver its parts."""
        portal = cast("Portal", self._p_jar.portal)
        for path in Offers.of(portal.root).lines(self.path):
            try:
                yield portal[path]
            except NotFoundError:
                continue

    def is_complete(self) -> bool:
        """Return whether all its parts are there, as far as anybody can tell."""
        portal, parts, last_s = cast("Portal", self._p_jar.portal), 0, 0.0
        for line in self.lines():
            for path in line.linked("aggregate"):
                with suppress(NotFoundError):
                    received = getattr(portal[path], "received", None)
                    if received is not None:
                        parts, last_s = parts + 1, max(last_s, received)
        return parts >= self.properties.parts and clock.now_s() - last_s >= self.properties.silence_s
