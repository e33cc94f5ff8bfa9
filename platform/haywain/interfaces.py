"""What the layers promise each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from zope.interface import Interface

if TYPE_CHECKING:
    from haywain.document import Document


class IByteStream(Interface):  # type: ignore[misc]  # zope.interface has no types
    """A document with bytes to read: `size`, `read`, `chunks`, `open`, `etag`, `content_type`."""


class IWritableStream(IByteStream):
    """A document to whose bytes people and agents add: `append`, `append_files`, `replace`, `hold`."""


class IArray(Interface):  # type: ignore[misc]  # zope.interface has no types
    """A document with an array to slice: `is_created`, `shape`, `dtype`, `nbytes`, `columns`, `rows_between`.

    And NumPy's indexing; and `read`, which returns rows that leave no view, of each of which it looks at
    `row_bytes`.
    One that has `level_of_detail` too is plotted by it, any other one by looking at all rows.
    """


class IBuckets(Interface):  # type: ignore[misc]  # zope.interface has no types
    """A document with small files by key: `bucket`, `buckets`, `insert`, `insert_file`, `delete`."""


class ByteStream(Protocol):
    """The methods of IByteStream, for the type checker."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    @property
    def etag(self) -> str:
        """A strong entity tag without its quotes: equal tags mean equal bytes."""

    @property
    def content_type(self) -> str:
        """The media type of the bytes."""

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop)."""


@dataclass(frozen=True)
class Route:
    """Where the bytes of a tag go: into the sink of this reference, as this product by this supply."""

    sink: str
    product: str
    supply: str
    portal_type: str = "Data Stream"


@dataclass(frozen=True)
class Chunk:
    """What an agent sent in one request, decoded."""

    tag: str
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


class IngestionRule(Protocol):
    """One file of `ingestion_policies/`: deterministic, no effects but on the database."""

    name: str
    title: str

    def route(self, tag: str) -> Route | None:
        """Return where a tag goes, or None if this policy does not know it."""

    def deliver(self, chunk: Chunk, target: "Document") -> None:
        """Put the chunk into its sink; an error quarantines it."""
