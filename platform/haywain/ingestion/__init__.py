"""Ingestion: what agents send becomes bytes in a sink, exactly once where they name their chunks."""

from haywain.ingestion.delivery import deliver
from haywain.ingestion.redelivery import replay
from haywain.ingestion.request import Request

__all__ = ["Request", "deliver", "replay"]
