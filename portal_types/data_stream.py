"""Data Stream: an endless file to which agents and people append."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field
from ZODB.utils import u64
from zope.interface import implementer

from haywain.document import Document, Properties
from haywain.interfaces import IWritableStream
from haywain.store.database import tid_of
from haywain.store.stream import Stream
from haywain.values import Offset


class DataStreamProperties(Properties):
    """What a person may say about a stream."""

    content_type: str = Field(
        "application/octet-stream",
        max_length=255,
        pattern=r"^[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+(; ?[A-Za-z0-9_.+-]+=[A-Za-z0-9_.+-]+)*$",
        examples=["text/csv"],
        description="Media type of the bytes.",
    )


@implementer(IWritableStream)
class DataStream(Document):
    """Bytes without an end: append some, read any range.

    Its own record changes only when its properties do; the bytes lie in a Stream beside it.
    """

    portal_type = "Data Stream"
    module_id = "data_stream_module"
    schema = DataStreamProperties
    icon = "stream"

    def __init__(self, /, **properties: object) -> None:
        """Begin without bytes."""
        super().__init__(**properties)
        self._stream = Stream()

    @property
    def properties(self) -> DataStreamProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataStreamProperties)
        return found

    @property
    def content_type(self) -> str:
        """The media type of the bytes."""
        return self.properties.content_type

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._stream.size

    @property
    def modified(self) -> float:
        """When bytes or properties last changed, in seconds since 1970 UTC."""
        return max(self.edited, self._stream.modified)

    @property
    def etag(self) -> str:
        """A strong entity tag: the bytes' last transaction and their number."""
        self._stream.last._p_activate()
        self._stream._p_activate()
        return f"{max(tid_of(self._stream), tid_of(self._stream.last))}-{self.size:x}"

    @property
    def edition(self) -> int:
        """A number that changes when the bytes are replaced, and stays when some are appended."""
        return u64(self._stream.generations._p_oid) if self._stream.generations._p_oid else 0

    def hold(self) -> None:
        """Conflict with whoever adds or replaces bytes before this transaction commits."""
        self._stream.hold()

    def append(self, data: bytes | memoryview) -> Offset:
        """Add bytes at the end; return the offset of the first of them."""
        offset = self._stream.append(data)
        self.reindex()
        return offset

    def append_files(self, paths: Iterable[Path]) -> Offset:
        """Make each file (of 1 byte to 64 MiB) a Segment at the end; return the offset of the first byte.

        The files stay until the caller removes them, and must not change any more.
        """
        offset = self._writable().append_files(paths)
        self.reindex()
        return offset

    def replace(self, data: bytes | memoryview = b"") -> Offset:
        """Start over with these bytes; who reads the old ones finishes undisturbed.  Returns 0."""
        self._stream.replace()
        return self.append(data)

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop), or fewer where the stream ends."""
        return self._stream.read(start, stop)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces of at most 1 MiB, each checked."""
        return self._stream.chunks(start, stop)

    def open(self) -> io.BufferedReader:
        """Return a seekable file over the bytes there are now; `scipy.io.wavfile.read` and `wave` take it."""
        return self._stream.open()

    def at_time(self, moment_s: float) -> Offset:
        """Return the offset of the first byte received in or after the minute of a moment."""
        return self._stream.at_time(moment_s)

    def close_tail(self) -> None:
        """Close the generation at the end, so that it can be sealed."""
        self._stream.close_tail()

    def unsealed(self) -> list[int]:
        """Return the starts of the generations that can be sealed."""
        return self._stream.unsealed()

    def seal(self, start: int) -> bool:
        """Pack a closed generation into one immutable Segment; return whether there was one to pack."""
        self._writable()
        return self._stream.seal(start)

    def _writable(self) -> Stream:
        """Return the stream with a connection: its blobs begin beside those of the database."""
        if self._stream._p_jar is None and self._p_jar is not None:
            self._p_jar.add(self._stream)
        return self._stream
