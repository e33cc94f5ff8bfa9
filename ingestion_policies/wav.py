"""WAV: whole recordings, each a stream of its own."""

from dataclasses import replace

from haywain.analysis.wav import MAGIC, UNKNOWN_SIZE
from haywain.errors import DeliveryError
from haywain.interfaces import Chunk, Route, Targets

_TYPE = "audio/x-wav"


class Wav:
    """Each body is one whole WAV file and becomes one Data Stream, named like the file.

    The name is that of `Content-Disposition: attachment; filename="..."`, else the tag.  The same file again
    is stored once; another one under a name that is taken is refused, so that nothing is overwritten.  So
    is a file that is cut short.
    """

    name = "wav"
    title = "Whole WAV files, a stream each"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a file that has no other name than its tag."""
        return Route.of_tag(tag, content_type=_TYPE)

    def route_chunk(self, chunk: Chunk) -> Route | None:
        """Return the sink of a file: named by its header; who delivers what is told by the tag."""
        by_tag = Route.of_tag(chunk.tag, content_type=_TYPE)
        return replace(by_tag, sink=chunk.filename) if chunk.filename else by_tag

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Store the file, once."""
        _check(chunk.body)
        sink = targets.sink
        if not sink.size:
            sink.append(chunk.body)
        elif sink.size != len(chunk.body) or sink.read() != chunk.body:
            raise DeliveryError(
                f"There is another file {sink.reference!r} at {sink.path}: rename one, then replay this"
            )


def _check(body: bytes) -> None:
    """Raise DeliveryError unless this is a whole WAV file."""
    if body[:4] not in MAGIC or body[8:12] != b"WAVE":
        raise DeliveryError(f"This is no WAV file: it begins with {body[:12]!r}")
    size = int.from_bytes(body[4:8], "big" if body[:4] == b"RIFX" else "little")
    is_known = body[:4] != b"RF64" and size not in (0, UNKNOWN_SIZE)
    if is_known and len(body) < size + 8:
        raise DeliveryError(f"The file is cut short: it says {size + 8} bytes and has {len(body)}")
