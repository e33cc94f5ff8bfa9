"""Quarantine: what could not be delivered, kept with its reason until it is replayed or discarded."""

import io
from collections.abc import Iterator

from pydantic import Field
from zope.interface import implementer

from haywain.document import Document, Properties
from haywain.errors import InvalidError
from haywain.interfaces import IByteStream
from haywain.store.database import tid_of
from haywain.store.stream import Stream


class QuarantineProperties(Properties):
    """A request as it came, and why it was not delivered."""

    policy: str = Field(max_length=255, description="Id of the Ingestion Policy it was sent to.")
    reason: str = Field(max_length=10_000, description="Why it could not be delivered.")
    tag: str = Field("", description="The tag, up to 64 KiB; what is no text in it as \\xXX.")
    headers: tuple[tuple[str, str], ...] = Field((), description="Headers that say how to read the body.")
    key: str = Field("", description="The Idempotency-Key; a replay keeps it.")
    scope: str = Field("", description="Whose key it is: the token or login that sent it.")


@implementer(IByteStream)
class Quarantine(Document):
    """One request whose bytes are kept; *replay* delivers them once the reason is gone.

    Then, and when it is discarded, its bytes are let go: they would fill the quarantine for ever.
    """

    portal_type = "Quarantine"
    module_id = "quarantine_module"
    schema = QuarantineProperties
    workflow_name = "quarantine"
    is_addable = False
    is_editable = False
    icon = "quarantine"
    state = "quarantined"

    content_type = "application/octet-stream"
    raw_tag: bytes | None = None

    def __init__(self, /, body: bytes = b"", raw_tag: bytes | None = None, **properties: object) -> None:
        """Keep the raw body and the raw tag of the request, still encoded as they came."""
        super().__init__(**properties)
        self.raw_tag = raw_tag
        self._stream = Stream()
        self._stream.append(body)

    @property
    def properties(self) -> QuarantineProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, QuarantineProperties)
        return found

    def edit(self, /, **changes: object) -> None:
        """Change what people say about it; what was sent stays as it was; raises InvalidError."""
        for name in sorted(set(changes) & set(QuarantineProperties.__annotations__)):
            if changes[name] != getattr(self.properties, name):
                raise InvalidError(f"{name}: what was sent stays as it was")
        super().edit(**changes)

    def after_transition(self, name: str) -> None:
        """Let the bytes go when it is discarded."""
        if name == "discard":
            self.let_go()

    def let_go(self) -> None:
        """Keep what is known of the request, and its bytes no longer; the next pack frees their room."""
        self._stream.replace()
        self.reindex()

    @property
    def size(self) -> int:
        """The number of bytes of the body; 0 once they were let go."""
        return self._stream.size

    @property
    def etag(self) -> str:
        """A strong entity tag: the transaction that kept the bytes or let them go."""
        self._stream._p_activate()
        return f"{tid_of(self._stream)}-{self.size:x}"

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop), or fewer where the body ends."""
        return self._stream.read(start, stop)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces."""
        return self._stream.chunks(start, stop)

    def open(self) -> io.BufferedReader:
        """Return a seekable file over the body."""
        return self._stream.open()
