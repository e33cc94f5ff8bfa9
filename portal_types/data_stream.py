"""Data Stream: an endless file to which agents and people append."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from ZODB.utils import u64
from zope.interface import implementer

from haywain import chain
from haywain.activity.care import want
from haywain.activity.watchers import tell_watchers
from haywain.analysis.records import Objects, RecordReader
from haywain.analysis.sniff import record_reader
from haywain.chain import ChainProperties
from haywain.document import Document, PortalRoot, Properties
from haywain.interfaces import IWritableStream
from haywain.store.database import tid_of
from haywain.store.stream import Stream
from haywain.values import KIB, Offset

_SAMPLE_BYTES = 64 * KIB


class DataStreamProperties(ChainProperties):
    """What a person may say about a stream."""

    content_type: str = Field(
        "application/octet-stream",
        max_length=255,
        pattern=r"^[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+(; ?[A-Za-z0-9_.+-]+=[A-Za-z0-9_.+-]+)*$",
        examples=["text/csv"],
        description="Media type of the bytes.",
    )
    record_format: Literal["auto", "msgpack", "ndjson", "lines", "csv"] = Field(
        "auto", description="What the bytes hold one after the other; auto looks at them and at the name."
    )
    retention_days: int = Field(
        0, ge=0, le=100_000, description="Bytes that are older expire, in whole segments. 0: never."
    )
    retention_bytes: int = Field(
        0, ge=0, le=1 << 60, description="Of more bytes the oldest expire, in whole segments. 0: never."
    )
    compress_after_days: int = Field(
        0, ge=0, le=100_000, description="Segments that are older are compressed. 0: never."
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

    # -- what it says
    @property
    def properties(self) -> DataStreamProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataStreamProperties)
        return found

    def edit(self, /, **changes: object) -> None:
        """Change properties; raises InvalidError, and then nothing is changed."""
        before = self.properties
        super().edit(**changes)
        chain.connect(self, before)
        self._want_care()

    def before_change(self, properties: Properties) -> None:
        """Refuse a predecessor or a successor that makes no sense; raises InvalidError."""
        assert isinstance(properties, DataStreamProperties)
        chain.check_ends(self, properties, self.properties)

    def after_add(self, root: PortalRoot) -> None:
        """Tell its neighbours, and who is to look after it; raises InvalidError."""
        chain.check_ends(self, self.properties)
        chain.connect(self)
        self._want_care()

    def _want_care(self) -> None:
        found = self.properties
        want(self, "expire", bool(found.retention_days or found.retention_bytes))
        want(self, "compress", bool(found.compress_after_days))

    def predecessors(self) -> list[Document]:
        """Return the streams that this one goes on, the nearest first."""
        return chain.follow(self, "predecessor")

    def successors(self) -> list[Document]:
        """Return the streams that go on this one, the nearest first."""
        return chain.follow(self, "successor")

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it."""
        return super().as_dict() | {"start": self.start, "stored_bytes": self.stored_bytes}

    @property
    def content_type(self) -> str:
        """The media type of the bytes."""
        return self.properties.content_type

    @property
    def start(self) -> Offset:
        """The offset of the first byte there still is; what comes before has expired."""
        return Offset(self._stream.start)

    @property
    def size(self) -> int:
        """The offset after the last byte: the number of bytes, those that have expired included."""
        return self._stream.size

    @property
    def stored_bytes(self) -> int:
        """The bytes that those from `start` on take: fewer where segments are compressed."""
        return self._stream.stored

    @property
    def received(self) -> float:
        """When bytes last came, in seconds since 1970 UTC; 0 where none ever did."""
        return self._stream.modified if self._stream.size else 0.0

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
        """A number that changes when bytes are replaced or cut off, and stays when some are appended."""
        return u64(self._stream.generations._p_oid) if self._stream.generations._p_oid else 0

    # -- writing
    def hold(self) -> None:
        """Conflict with whoever adds or replaces bytes before this transaction commits."""
        self._stream.hold()

    def append(self, data: bytes | memoryview) -> Offset:
        """Add bytes at the end; return the offset of the first of them."""
        before = self._stream.last
        offset = self._stream.append(data)
        self._appended(before.closed)
        return offset

    def append_files(self, paths: Iterable[Path]) -> Offset:
        """Make each file (of 1 byte to 64 MiB) a Segment at the end; return the offset of the first byte.

        The files stay until the caller removes them, and must not change any more.
        """
        before = self._writable().last
        offset = self._stream.append_files(paths)
        self._appended(before.closed and before.chunk is None)
        return offset

    def _appended(self, is_sealable: bool) -> None:
        if is_sealable:
            want(self, "seal")
        self.reindex()
        tell_watchers(self)

    def replace(self, data: bytes | memoryview = b"") -> Offset:
        """Start over with these bytes; who reads the old ones finishes undisturbed.  Returns 0."""
        self._stream.replace()
        return self.append(data)

    def truncate(self, size: int) -> None:
        """Forget the bytes from the offset `size` on; the next ones go there.

        Who reads finishes undisturbed.  Conflicts with whoever appends meanwhile: what is forgotten was seen.
        Raises InvalidError for an offset that is not between `start` and `size`.
        """
        self._stream.truncate(size)
        self.reindex()

    # -- reading
    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop), or fewer where the stream ends; raises what `chunks` raises."""
        return self._stream.read(start, stop)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces of at most 1 MiB, each checked and none copied.

        Raises InvalidError for a negative offset, ExpiredError for one before `start`, CorruptDataError.
        """
        return self._stream.chunks(start, stop)

    def open(self) -> io.BufferedReader:
        """Return a seekable file over the bytes there are now; `scipy.io.wavfile.read` and `wave` take it."""
        return self._stream.open()

    def at_time(self, moment_s: float) -> Offset:
        """Return the offset of the first byte received in or after the minute of a moment."""
        return self._stream.at_time(moment_s)

    def decode(self, start: int | None = None, stop: int | None = None) -> tuple[Objects, Offset]:
        """Return the whole objects of [start, stop), and the offset after the last: where to go on.

        What is cut at `stop` is left for the next call.  Raises InvalidError, which names the offset, if the
        first object is damaged; the next call meets a later one.
        """
        start, stop = self._range(start, stop)
        found, end = self._reader().decode(self.read, start, stop)
        return found, Offset(end)

    def records(self, start: int | None = None, stop: int | None = None) -> Iterator[Any]:
        """Yield the objects of [start, stop) one by one, also a last line without its newline.

        Raises InvalidError, which names the offset of what is no object.  Any: what the bytes hold.
        """
        return self._reader().records(self.read, *self._range(start, stop))

    def _range(self, start: int | None, stop: int | None) -> tuple[int, int]:
        return self.start if start is None else start, self.size if stop is None else min(stop, self.size)

    def _reader(self) -> RecordReader:
        head = self.read(self.start, self.start + _SAMPLE_BYTES)
        return record_reader(head, self.content_type, self.reference, self.properties.record_format)

    def fingerprint(self, start: int, stop: int) -> bytes:
        """Return what stays the same as long as the bytes [start, stop) do."""
        return f"{self.edition} {start} {stop}".encode()

    def cuts(self, step_bytes: int, stop: int | None = None) -> Iterator[int]:
        """Yield where to cut the bytes up to `stop` into parts of about so many bytes, of whole objects.

        The last one is `stop`; each object lies in one part.  Objects are those of `records`.
        """
        start, end = self._range(None, stop)
        return self._reader().cuts(self.read, start, end, step_bytes)

    # -- care
    def close_tail(self) -> None:
        """Close the generation at the end, so that it can be sealed or expire."""
        before = self._stream.last
        self._stream.close_tail()
        if before.closed:
            want(self, "seal")

    @property
    def tail(self) -> tuple[int, int, float]:
        """Bytes and Records of the generation at the end, and when its first byte came (to the minute)."""
        last = self._stream.last
        return last.size, last.count, self._stream.tail_began

    def unsealed(self) -> list[int]:
        """Return the starts of the generations that can be sealed."""
        return self._stream.unsealed()

    def seal(self, start: int) -> bool:
        """Pack a closed generation into one immutable Segment; return whether there was one to pack."""
        return self._writable().seal(start)

    def expiring(self, before: int) -> Offset:
        """Return where bytes would begin after `expire(before)`."""
        return self._stream.expiring(before)

    def expire(self, before: int) -> Offset:
        """Forget the first generations that end at or before an offset; return where bytes begin now.

        Offsets stay as they are.
        """
        return self._stream.expire(before)

    def cold(self, before_s: float) -> int | None:
        """Return the start of the next Segment to compress, if its last byte came before a moment."""
        return self._stream.cold(before_s)

    def compress(self, start: int) -> bool:
        """Compress the Segment that `cold` told; return whether that made it smaller."""
        return self._writable().compress(start)

    def _writable(self) -> Stream:
        """Return the stream with a connection: its blobs begin beside those of the database."""
        if self._stream._p_jar is None and self._p_jar is not None:
            self._p_jar.add(self._stream)
        return self._stream
