"""Data Ingestion: that data of a supply is coming in, from its first byte on."""

from contextlib import suppress
from typing import Any

from pydantic import Field

from haywain.document import Document, Properties
from haywain.errors import NotFoundError
from haywain.portal_types._offering import tell_takers


class DataIngestionProperties(Properties):
    """From where to where."""

    source: str = Field("", max_length=255, description="Who or what sends.")
    destination: str = Field("", max_length=255, description="Who or what it is for.")


class DataIngestion(Document):
    """An execution of a Data Supply (category `specialise`): made by the first post of a tag, with its lines.

    Started while the supply is validated; a draft where the default supply had to serve, for a person to look
    at.  It tells what happens and decides nothing: what ends a delivery is to invalidate policy or sink.
    """

    portal_type = "Data Ingestion"
    module_id = "data_ingestion_module"
    schema = DataIngestionProperties
    workflow_name = "simulation"
    line_type, line_property = "Data Ingestion Line", "ingestion"
    in_search = False
    icon = "stream"

    def after_transition(self, name: str) -> None:
        """Have what it delivers be worked on, once it is started, or a batch once it is stopped."""
        portal: Any = getattr(self._p_jar, "portal", None)
        for path in self.linked("line") if portal is not None and name in ("start", "stop") else ():
            with suppress(NotFoundError):
                tell_takers(portal[path])
