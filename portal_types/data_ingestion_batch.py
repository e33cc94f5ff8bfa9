"""Data Ingestion Batch: parts that belong together, such as the files of one flight."""

from haywain.document import Document


class DataIngestionBatch(Document):
    """What the sinks of several tags have in common: their category `aggregate` names it.

    A rule says which by `Route(..., batch=...)`.
    """

    portal_type = "Data Ingestion Batch"
    module_id = "data_ingestion_batch_module"
    icon = "stream"
