"""Progress Indicator: how far a source is consumed; it moves in the transaction that writes the rows."""

from dataclasses import asdict, dataclass

from pydantic import Field

from haywain.document import Document, PortalRoot, Properties
from haywain.store.array import Array


@dataclass(frozen=True)
class _Position:
    """How far: the offset in bytes, the rows made, the edition of the bytes, and how they are read (JSON)."""

    offset: int = 0
    rows: int = 0
    edition: int = 0
    reading: str = ""


class ProgressIndicatorProperties(Properties):
    """From where to where, and how far."""

    source: str = Field("", max_length=600, description="Path of what is consumed.")
    target: str = Field("", max_length=600, description="Path of what is made of it.")
    key: str = Field("", max_length=1000, description="What it is the only one for.")
    offset: int = Field(0, ge=0, description="Bytes of the source that are consumed.")
    rows: int = Field(0, ge=0, description="Rows made of them.")
    edition: int = Field(0, ge=0, description="Which bytes: the number changes when they are replaced.")
    reading: str = Field("", max_length=10_000, description="How the bytes are read, JSON.")
    looked: str = Field("", max_length=255, description="How the source was when it was last looked at.")


class ProgressIndicator(Document):
    """The position up to which one source has become rows of one target.

    It moves in the transaction that writes the rows: a kill, a conflict or a second run never counts anything
    twice.  While a target is made anew, its rows gather in `draft`, with a position of their own, and `maker`
    is the id of the activity that makes them.
    """

    portal_type = "Progress Indicator"
    module_id = "progress_indicator_module"
    schema = ProgressIndicatorProperties
    is_addable = False
    is_editable = False
    icon = "progress"

    draft: Array | None = None
    _draft_at: tuple[int, int, int, str] = (0, 0, 0, "")
    maker = ""

    @property
    def properties(self) -> ProgressIndicatorProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, ProgressIndicatorProperties)
        return found

    def after_add(self, root: PortalRoot) -> None:
        """Be the only one for its key; raises DuplicateError."""
        if self.properties.key:
            root.claim("progress", self.properties.key, self)

    @property
    def position(self) -> _Position:
        """How far it is."""
        found = self.properties
        return _Position(found.offset, found.rows, found.edition, found.reading)

    def move(self, offset: int, rows: int, edition: int, reading: str) -> None:
        """Set how far it is."""
        self.edit(**asdict(_Position(offset, rows, edition, reading)))

    @property
    def draft_position(self) -> _Position:
        """How far the draft is."""
        return _Position(*self._draft_at)

    def begin_draft(self, draft: Array, maker: str) -> None:
        """Gather rows anew in an array that nobody sees yet, for one activity."""
        self.draft, self._draft_at, self.maker = draft, (0, 0, 0, ""), maker
        if self._p_jar is not None:
            self._p_jar.add(draft)

    def move_draft(self, offset: int, rows: int, edition: int, reading: str) -> None:
        """Set how far the draft is."""
        self._draft_at = (offset, rows, edition, reading)

    def drop_draft(self) -> None:
        """Forget a draft that nobody goes on with."""
        if self.draft is not None:
            self.draft, self._draft_at, self.maker = None, (0, 0, 0, ""), ""

    def end_draft(self) -> Array:
        """Return the draft, now complete, and take over its position."""
        draft = self.draft
        assert draft is not None
        self.move(**asdict(self.draft_position))
        self.draft, self._draft_at, self.maker = None, (0, 0, 0, ""), ""
        return draft
