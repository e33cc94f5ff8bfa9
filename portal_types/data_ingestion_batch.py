"""Data Ingestion Batch: parts that belong together, such as the files of one flight."""

from haywain.document import Document, PortalRoot
from haywain.portal_types._named import claim_name


class DataIngestionBatch(Document):
    """What the sinks of several tags have in common: their category `aggregate` names it.

    A rule says which by `Route(..., batch=...)`.
    """

    portal_type = "Data Ingestion Batch"
    module_id = "data_ingestion_batch_module"
    icon = "stream"

    def after_add(self, root: PortalRoot) -> None:
        """Be found by its reference."""
        claim_name(self)

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        super().edit(**changes)
        claim_name(self)
