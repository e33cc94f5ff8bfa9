"""Kind: what a file of `activities/` is; Work: what its `run` is given.

A kind is one class, found by the registry like every other kind:

    class Count(Kind):
        name, title, portal_types = "count", "Count bytes", ("Data Stream",)

        def run(self, work: Work) -> Iterator[float]:
            done = work.cursor.get("done", 0)
            while done < work.document.size:
                ...
                work.cursor["done"] = done
                yield done / work.document.size  # commits what was done, and the cursor with it
            return {"bytes": done}

After a kill or a conflict `run` is called again, with the cursor of the last step that was committed, and
the arrays in `work.kept` as they were then.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from haywain.activity.shard import DEFAULT_QUEUE, check_queue
from haywain.store.array import Array
from haywain.store.database import read_current

if TYPE_CHECKING:
    from haywain.document import Document
    from haywain.portal import Portal


@dataclass
class Due:
    """What is due of a kind."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)  # Any: JSON
    """Paths of documents, with the parameters of the work on each."""
    settled: list[str] = field(default_factory=list)
    """Paths that wanted it, and do so no longer."""
    looked_s: float = 0.0
    """Up to which moment was looked, in seconds since 1970 UTC."""
    is_all: bool = True
    """Whether nothing is left to look at by now."""


Result = Mapping[str, Any]
"""What `run` returns: JSON."""

F = TypeVar("F", bound=Callable[..., Any])  # Any: a method of whatever signature


class NoParameters(BaseModel):
    """The parameters of a kind that takes none; those of others derive from it, so that they are strict."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(ABC):
    """One kind of background work."""

    name: ClassVar[str] = ""
    """The method name in `document.activate().spectrum(...)`."""
    title: ClassVar[str] = ""
    """What people read."""
    portal_types: ClassVar[tuple[str, ...]] = ()
    """The kinds of documents it works on."""
    parameters: ClassVar[type[BaseModel]] = NoParameters
    """What it takes: drives validation, the form on pages and the schema for programs."""
    permission: ClassVar[str] = "activity"
    """What its user needs on the document; see `security/user.py`."""
    time_limit_s: ClassVar[float | None] = None
    """How long it may run, all steps together, in seconds; None for the setting `activity_seconds`."""
    memory_limit_bytes: ClassVar[int | None] = None
    """How much the process may grow by it; None for the setting `activity_bytes`."""

    queue: ClassVar[str] = DEFAULT_QUEUE
    """Which Workers run it: those that take this queue, see `haywain worker --queues`."""

    def __init_subclass__(cls, **more: Any) -> None:
        """Check what a class says; raises ValueError."""
        super().__init_subclass__(**more)
        check_queue(cls.queue)

    every_s: ClassVar[float] = 0.0
    """How often the portal asks it what is due, in seconds; 0 for never."""
    is_kept: ClassVar[bool] = True
    """Whether what the portal then queues stays in the archive once it is done."""

    def due(self, portal: "Portal", since_s: float, now_s: float) -> Due:
        """Return the documents that need this work by now; up to `since_s` it has looked before.

        It changes nothing.  Only for kinds that have `every_s`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method due")

    makes: ClassVar[str] = ""
    """The Portal Type of what it writes to, which it may be given as its target."""
    follows: ClassVar[bool] = False
    """Whether it can go on where it was when its document has grown: then it has `follow`."""

    def follow(self, work: "Work", start_over: bool) -> "Generator[float, None, Result]":
        """Append to `work.target` what comes of what is new, from where `work.indicator` is, and move that.

        `start_over` does it all anew, into a draft that the target adopts when it is whole.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method follow")

    def must_start_over(self, work: "Work") -> bool:
        """Return whether it cannot go on: `work.indicator` is of other bytes or rows than there are now."""
        at, document = work.indicator.position, work.document
        return bool(at.offset) and at.edition != getattr(document, "edition", 0)

    def is_settled(self, document: "Document") -> bool:
        """Return whether a document that `due` had as settled still is, in the transaction that forgets it.

        What that rests on is to be held (`read_current`): whoever changes it beside this transaction, and
        wants the kind behind its own, must not find the document still wanting and lose it then.
        """
        return True

    def suits(self, document: "Document") -> str:
        """Say why this cannot be done on a document as it is, at a glance; "" where nothing is known.

        Pages offer only what suits; who asks for it all the same is told by `run`.
        """
        return ""

    @abstractmethod
    def run(self, work: "Work") -> Iterator[float]:
        """Do the work: each `yield progress` (0 to 1) commits a step, `return {...}` is the result, JSON.

        Raises HaywainError or ValueError that says which byte, row or parameter is bad; then nothing of the
        step stays.  It commits nothing itself, and what it wants to know after a kill it puts in the cursor.
        """


@dataclass
class Work:
    """What one run of an activity has in hand."""

    portal: "Portal"
    """The portal, as the user who made the activity."""
    document: "Document"
    """The document it works on."""
    parameters: BaseModel
    """What it was given, validated by the kind's model."""
    cursor: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    """How far it is, JSON; kept with each step."""
    kept: dict[str, NDArray[Any]] = field(default_factory=dict)  # Any: numbers of whatever dtype
    """What it has summed up so far, arrays of at most 256 MiB; kept with each step that has changed it."""
    id: str = ""
    """The activity's id: the idempotency key of what it does outside of the portal."""
    rows: Array | None = None
    """An array that nobody else sees, kept with each step: rows gather here until a document adopts them."""
    target: "Document | None" = None
    """The document that what comes of it goes to, where the user has named one."""
    indicator: Any = None  # Any: a Progress Indicator, of a layer above
    """The Progress Indicator of this work, where a Data Analysis has one for it."""
    on_check: Callable[[], None] = lambda: None
    """What `check` calls; the runner's."""
    lines: list[str] = field(default_factory=list)
    """What was logged since the last step."""

    def check(self) -> None:
        """Go on, or raise if it was cancelled, is over its limits or the Worker stops.

        Cheap enough for inner loops; the error is not to be caught.
        """
        self.on_check()

    def hold(self, document: "Document") -> None:
        """Repeat this step if somebody changes or deletes another document before it is kept.

        The activity's own document is held in each step.
        """
        read_current(document)

    def log(self, text: str) -> None:
        """Add a line to the activity's log, which is kept with the step."""
        self.lines.append(text)


@overload
def activity(method: F) -> F: ...


@overload
def activity(*, queue: str) -> Callable[[F], F]: ...


def activity(method: F | None = None, *, queue: str = DEFAULT_QUEUE) -> F | Callable[[F], F]:
    """Allow a method of a document's class to be run as an activity: `document.activate().method(...)`.

    Its annotations are its parameters' types; one that is annotated with Work is given that, to check, to
    log and to go on by its cursor.  Methods that are not marked are refused.

    With `@activity(queue="gpu")` only Workers that take this queue run it; raises ValueError for no name.
    """
    check_queue(queue)

    def mark(method: F) -> F:
        method.__dict__["is_activity"] = True
        method.__dict__["activity_queue"] = queue
        return method

    return mark if method is None else mark(method)


def is_activity(method: object) -> bool:
    """Return whether a method is marked by `@activity`.

    >>> is_activity(activity(lambda document: None)), is_activity(print)
    (True, False)
    """
    return bool(getattr(method, "is_activity", False))
