"""Documents, the Modules that hold them, and the root of the Portal: what is persistent and has a path."""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from BTrees.OOBTree import OOBTree
from persistent import Persistent
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)
from ZODB.utils import u64

from haywain import clock
from haywain.errors import DuplicateError, InvalidError, NotFoundError
from haywain.ids import check_id, new_id
from haywain.store.database import read_current
from haywain.store.moment import tid_at
from haywain.validation import explain
from haywain.values import Path, Reference, Tid

if TYPE_CHECKING:
    from haywain.activity.activation import Activation

NAMED = "named"
"""Kind of the unique keys by which `PortalRoot.named` finds documents."""

NAME_LENGTH = 255
"""Most characters of a reference or a title."""


def _in_utc(value: datetime) -> datetime:
    """Return a moment in UTC, which a time without a zone is taken to be in."""
    try:
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("the year is between 1 and 9999 in UTC") from None


Moment = Annotated[datetime, AfterValidator(_in_utc)]
"""Type of a property that is a point in time: always in UTC, and of a class that the database may load."""


class Properties(BaseModel):
    """What every document has; a kind adds its own fields.  Drives validation, JSON, forms and pages."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    reference: Annotated[str, StringConstraints(strip_whitespace=False)] = Field(  # it may be a tag
        "", max_length=NAME_LENGTH, description="The name by which people find it."
    )
    title: str = Field("", max_length=NAME_LENGTH, description="A line about it.")
    description: str = Field("", max_length=10_000, description="All there is to say about it.")

    @field_validator("reference", "title", mode="before")
    @classmethod
    def _is_plain(cls, value: Any) -> Any:  # Any: what was given; pydantic checks the type
        if not isinstance(value, str):
            return value
        value = unicodedata.normalize("NFC", value)
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
            raise ValueError("must have no control characters")
        return value


class Document(Persistent):  # type: ignore[misc]  # persistent has no types
    """One thing in the portal: it has a path, typed properties, a state and a history."""

    portal_type: ClassVar[str] = ""
    module_id: ClassVar[str] = ""
    schema: ClassVar[type[Properties]] = Properties
    workflow_name: ClassVar[str] = "validation"
    view_permission: ClassVar[str] = "view"
    edit_permission: ClassVar[str] = "edit"
    is_addable: ClassVar[bool] = True
    is_editable: ClassVar[bool] = True
    in_navigation: ClassVar[bool] = True
    in_search: ClassVar[bool] = True  # of people, who may still choose the kind; programs find all
    line_type: ClassVar[str] = ""  # Portal Type of its lines, each of which names it by `line_property`
    line_property: ClassVar[str] = ""
    icon: ClassVar[str] = "document"

    id: str = ""
    owner: str = ""
    state: str = "draft"
    created: float = 0.0
    edited: float = 0.0
    history: tuple[tuple[str, str, str, float], ...] = ()  # (transition, user, comment, seconds)
    categories: tuple[tuple[str, str], ...] = ()  # (name, path of the other document)
    claims: tuple[str, ...] = ()  # unique keys in the root that it holds
    _values: dict[str, Any] = {}  # noqa: RUF012  # replaced as a whole, never changed in place
    __parent__: "Module | None" = None

    def __init__(self, /, **properties: Any) -> None:  # Any: the schema knows the types
        """Take the properties, checked by the schema; raises InvalidError."""
        self._set(properties)
        self.created = self.edited = clock.now_s()

    # -- where it is
    @property
    def __name__(self) -> str:  # Pyramid's location protocol
        return self.id

    @property
    def path(self) -> Path:
        """Where it lies, without a slash at either end."""
        return Path(f"{self.__parent__.id}/{self.id}" if self.__parent__ is not None else self.id)

    @property
    def uid(self) -> int:
        """Its number in the object database."""
        return cast(int, u64(self._p_oid))

    # -- what it says
    @property
    def properties(self) -> Properties:
        """All properties, those never set with their defaults."""
        cached = getattr(self, "_v_properties", None)
        if not isinstance(cached, Properties):
            cached = self._v_properties = self.schema.model_construct(**self._values)
        return cached

    @property
    def reference(self) -> Reference:
        """The human's name of it."""
        return Reference(self.properties.reference)

    @property
    def title(self) -> str:
        """A line about it."""
        return self.properties.title

    @property
    def size(self) -> int:
        """The bytes it holds; 0 for kinds that hold none."""
        return 0

    @property
    def modified(self) -> float:
        """When it or its content last changed, in seconds since 1970 UTC."""
        return self.edited

    def edit(self, /, **changes: Any) -> None:  # Any: the schema knows the types
        """Change properties; raises InvalidError, and then nothing is changed."""
        self._set({**self._values, **changes})
        self.edited = clock.now_s()
        self.reindex()

    def preferred_id(self) -> str | None:
        """Return the id it should have in its module; None for one that is made up."""
        return None

    def after_add(self, root: "PortalRoot") -> None:
        """Claim what must be unique, once it is in its module; raises DuplicateError."""

    def before_change(self, properties: Properties) -> None:
        """Refuse, before they are set, properties that make no sense here and now; raises InvalidError."""

    def before_remove(self) -> None:
        """Refuse to be removed, before anything is changed; raises InvalidError."""

    def before_transition(self, name: str) -> None:
        """Refuse a transition of its workflow, before anything is changed; raises InvalidError."""

    def after_transition(self, name: str) -> None:
        """Do what a transition of its workflow brings with it."""

    def shown_once(self) -> dict[str, str]:
        """Return what only the one who made it may see, and only now."""
        return {}

    def link(self, name: str, other: "Document") -> None:
        """Add the category `name` to another document."""
        if (name, other.path) not in self.categories:
            self.categories = (*self.categories, (name, other.path))

    def linked(self, name: str) -> list[Path]:
        """Return the paths of the documents of a category."""
        return [Path(path) for category, path in self.categories if category == name]

    def note(self, transition: str, user: str, comment: str = "") -> None:
        """Add a line to the history."""
        plain = "".join(c for c in comment[:1000] if unicodedata.category(c) not in ("Cc", "Cs"))
        self.history = (*self.history, (transition, user, plain, clock.now_s()))

    def activate(self, /, **options: Any) -> "Activation":  # Any: its Options know the types
        """Return what queues background work on this document: `document.activate(tag="x").spectrum()`.

        It runs once this transaction has committed, as the user who acts here.  Raises InvalidError for
        options that make no sense.
        """
        portal = getattr(self._p_jar, "portal", None)
        if portal is None:
            raise InvalidError(f"{self.portal_type} {self.id!r} is in no portal that is open")
        activation: Activation = portal.site.workers.activate(portal, self, options)
        return activation

    def reindex(self) -> None:
        """Have the catalog's row of this document made anew when the transaction commits.

        Conflicts with whoever changes or deletes it first: a row would stay of what is gone.  Raises
        NotFoundError if it was deleted: what is written to it would be lost.
        """
        catalog = getattr(self._p_jar, "catalog", None)
        if catalog is not None:
            if self.__parent__ is None or self.__parent__.documents.get(self.id) is not self:
                raise NotFoundError(f"{self.path} was deleted")
            read_current(self)
            catalog.changed(self)

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it."""
        head = {"path": self.path, "id": self.id, "portal_type": self.portal_type, "state": self.state}
        tail = {
            "size": self.size,
            "owner": self.owner,
            "created": clock.iso(self.created),
            "modified": clock.iso(self.modified),
            "categories": [list(category) for category in self.categories],
        }
        return head | self.public_properties() | tail

    def public_properties(self) -> dict[str, Any]:  # Any: JSON
        """Return the properties without those that stay secret (`exclude=True` in the schema)."""
        return self.properties.model_dump(mode="json")

    def _set(self, values: dict[str, Any]) -> None:
        try:
            model = self.schema.model_validate(values)
        except ValidationError as error:
            raise InvalidError(explain(error, self.schema)) from error
        self.before_change(model)
        self._values = {name: getattr(model, name) for name in model.model_fields_set}
        self._v_properties = model


class Module(Persistent):  # type: ignore[misc]  # persistent has no types
    """A folder of documents of one kind."""

    __parent__: "PortalRoot | None" = None

    def __init__(self, id: str) -> None:
        """Begin empty."""
        self.id = id
        self.documents = OOBTree()

    @property
    def __name__(self) -> str:  # Pyramid's location protocol
        return self.id

    def __getitem__(self, id: str) -> Document:
        """Return the document of an id; raises KeyError."""
        return cast(Document, self.documents[id])

    def __contains__(self, id: str) -> bool:
        """Return whether there is a document of this id."""
        return id in self.documents

    def add(self, document: Document, id: str | None = None) -> None:
        """Take a document in; raises DuplicateError if the id is taken."""
        document.id = check_id(id) if id else self._free_id()
        if document.id in self.documents:
            raise DuplicateError(f"There is already a {self.id}/{document.id}")
        document.__parent__ = self
        self.documents[document.id] = document

    def remove(self, document: Document) -> None:
        """Let a document go."""
        del self.documents[document.id]

    def _free_id(self) -> str:
        id = new_id()
        while id in self.documents:
            id = new_id()
        return id


class PortalRoot(Persistent):  # type: ignore[misc]  # persistent has no types
    """The root: modules by id, and what must be unique across the portal.

    Uniqueness (the sink of a tag, a login, a token's hash) lives here in a BTree, never in the catalog: two
    transactions that claim one key conflict.
    """

    __name__ = ""
    __parent__ = None
    packed_until = Tid("")
    """What was before this transaction may be packed away."""
    packed_at = 0.0
    """When one of several portals last packed the database, in seconds since 1970 UTC."""

    key: str = ""
    """By which what is derived from this database, such as a catalog, is known to be its own."""

    def __init__(self) -> None:
        """Begin without modules."""
        self.modules = OOBTree()
        self.unique = OOBTree()
        self.tools = OOBTree()

    def __getitem__(self, id: str) -> Module:
        """Return a module; raises KeyError."""
        return cast(Module, self.modules[id])

    def __iter__(self) -> Iterator[Module]:
        """Yield the modules by id."""
        return iter(self.modules.values())

    def module(self, id: str) -> Module:
        """Return a module, made if it is not there."""
        if id not in self.modules:
            module = self.modules[id] = Module(id)
            module.__parent__ = self
        return self[id]

    def note_pack(self, until_s: float) -> None:
        """Note, before it is done, that what was before a time may be packed away."""
        until = tid_at(until_s)
        if until > self.packed_until:
            self.packed_until = until

    def note_packed(self, now_s: float) -> None:
        """Note, after it is done, when that was."""
        self.packed_at = now_s

    def find(self, kind: str, key: str) -> Document | None:
        """Return the document that holds a unique key."""
        return cast("Document | None", self.unique.get(f"{kind}:{key}"))

    def named(self, portal_type: str, reference: str) -> list[Document]:
        """Return the documents of a kind that has its references here, by id: older ones come first."""
        begin = f"{NAMED}:{portal_type}\0{reference}\0"
        return list(self.unique.values(begin, f"{begin}\U0010ffff"))

    def claim(self, kind: str, key: str, document: Document) -> None:
        """Give a unique key to a document; raises DuplicateError if another has it."""
        holder = self.find(kind, key)
        if holder is not None and holder is not document:
            raise DuplicateError(f"There is already a {holder.portal_type} with the {kind} {key!r}")
        self.unique[f"{kind}:{key}"] = document
        document.claims = (*document.claims, f"{kind}:{key}")

    def release(self, document: Document) -> None:
        """Free the unique keys of a document."""
        for key in document.claims:
            self.unique.pop(key, None)
        document.claims = ()
