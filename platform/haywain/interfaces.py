"""What the layers promise each other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from zope.interface import Interface

from haywain.values import Offset, RecordLimits

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


USUAL_SINK = "Data Stream"
"""Kind of document into which most is delivered."""


@dataclass(frozen=True)
class Route:
    """Where the bytes of a tag go: into the sink of this reference, as this product by this supply.

    `also` are further sinks; a rule finds each among its targets by its `name`.  `portal_type` is the kind of
    the sink; where it is the usual one, the product may name another.  `batch` groups what several tags
    deliver; `content_type` is that of the bytes, where the name of the sink is not to tell.
    """

    sink: str
    product: str
    supply: str
    portal_type: str = USUAL_SINK
    name: str = field(default="sink", kw_only=True)
    also: "tuple[Route, ...]" = field(default=(), kw_only=True)
    batch: str = field(default="", kw_only=True)
    content_type: str = field(default="", kw_only=True)

    @classmethod
    def of_tag(cls, tag: str, portal_type: str = USUAL_SINK, *, content_type: str = "") -> Self:
        """Return the route of `sensor.product`: a sink named like the tag, the rest by its first dot.

        A tag without a dot is its own product and its own supply.

        >>> Route.of_tag("turbine-7.vibration").supply, Route.of_tag("mast").product
        ('turbine-7', 'mast')
        """
        supply, _, product = tag.partition(".")
        if not supply or not product:
            supply = product = tag
        return cls(tag, product, supply, portal_type, content_type=content_type)

    def each(self) -> "tuple[Route, ...]":
        """Return the routes to all sinks, this one first."""
        return (self, *self.also)


@dataclass(frozen=True)
class Chunk:
    """What an agent sent in one request, decoded; of the headers those that say what the body is."""

    tag: str
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: RecordLimits = field(default_factory=RecordLimits)

    @property
    def filename(self) -> str:
        """The name of the file that the body is, of `Content-Disposition`; "" if none is said."""
        said = Message()
        said["Content-Disposition"] = self.headers.get("Content-Disposition", "")
        return (said.get_filename() or "").replace("\\", "/").rpartition("/")[2].strip()


class Targets:
    """The sinks of a delivery, the main one first: iterate over them, or ask for one by its name.

    `targets.sink` is the main one; `targets["alarms"]` that of the route named `alarms`.
    """

    def __init__(self, sinks: "Mapping[str, Document]") -> None:
        """Take them by their names, the main one first."""
        self._sinks = dict(sinks)

    @property
    def sink(self) -> Any:  # Any: what the rule asked for, a Data Stream unless its route says otherwise
        """The main sink, which the receipt names."""
        return next(iter(self._sinks.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sinks."""
        return tuple(self._sinks)

    def append(self, data: bytes) -> Offset:
        """Add bytes at the end of the main sink; return where they begin."""
        return cast(Offset, self.sink.append(data))

    def __getitem__(self, name: str) -> Any:  # Any: as above
        """Return a sink by its name; raises KeyError, which names those there are."""
        try:
            return self._sinks[name]
        except KeyError:
            raise KeyError(f"{name}: this route has {', '.join(self._sinks)}") from None

    def __iter__(self) -> Iterator[Any]:  # Any: as above
        """Yield the sinks."""
        return iter(self._sinks.values())

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._sinks)


class IngestionRule(Protocol):
    """One file of `ingestion_policies/`: deterministic, no effects but on the database.

    A rule that needs more than the tag to choose a sink has `route_chunk(chunk)` too, which is asked instead.
    """

    name: str
    title: str

    def route(self, tag: str) -> Route | None:
        """Return where a tag goes, or None if this policy does not know it."""

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Put the chunk into its sinks, in the running transaction; an error quarantines it."""
