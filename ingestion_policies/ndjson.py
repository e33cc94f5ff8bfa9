"""NDJSON: records of any body as lines of JSON."""

from haywain.ingestion.records import records_of
from haywain.ingestion.writing import json_lines
from haywain.interfaces import Chunk, Route, Targets


class Ndjson:
    """Each record of the body becomes a line of JSON in the stream of the tag `sensor.product`.

    The body may be msgpack (as fluentd and Wendelin send it), NDJSON, JSON or CSV with a header.  The time of
    an event becomes its field `time`; a field of that name stays, and the time is `event_time`.
    """

    name = "ndjson"
    title = "Records as lines of JSON"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a tag; every valid tag has one."""
        return Route.of_tag(tag, content_type="application/x-ndjson")

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Append a line for each record."""
        targets.sink.append(json_lines(records_of(chunk)))
