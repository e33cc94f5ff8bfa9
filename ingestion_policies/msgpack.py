"""msgpack: records of any body as msgpack objects, checked."""

from haywain.ingestion.records import format_of, records_of
from haywain.ingestion.writing import packed_objects
from haywain.interfaces import Chunk, Route, Targets


class Msgpack:
    """The records of the body become msgpack objects in the stream of the tag `sensor.product`.

    A body of msgpack is appended untouched once it is known to be whole and within the limits; NDJSON, JSON
    and CSV with a header are packed.  Events stay `[time, record]`.
    """

    name = "msgpack"
    title = "Records as msgpack"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a tag; every valid tag has one."""
        return Route.of_tag(tag, content_type="application/msgpack")

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Append the records."""
        records = records_of(chunk)
        is_packed = format_of(chunk)[0] == "msgpack"
        targets.sink.append(chunk.body if is_packed else packed_objects(records))
