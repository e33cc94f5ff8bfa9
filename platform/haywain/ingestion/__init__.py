"""Ingestion: what agents send becomes bytes in a sink, exactly once where they name their chunks."""

from haywain.ingestion.delivery import Request, deliver, replay

__all__ = ["Request", "deliver", "replay"]
