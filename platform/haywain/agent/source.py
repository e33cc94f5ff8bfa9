"""What a source is, and what it is given.

A source is one class in one file of `sources/`, named like the file; its type in the configuration is the
file's name.  Other packages add theirs as entry points of the group `haywain.sources`.  Nothing lists them.

A source reads, and puts what it read.  `put` returns when it is durable, so a source that has to acknowledge
(a listener to which others send) does so then.
"""

import importlib
import logging
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

import msgspec

from haywain.agent import sources, template
from haywain.agent.frame import Frame, Stream
from haywain.agent.spool import Spool
from haywain.agent.status import SourceStatus
from haywain.errors import AgentConfigurationError, near
from haywain.values import KIB, MIB

log = logging.getLogger(__name__)

BATCH_BYTES = MIB
"""So much a source reads before it puts it, at most one frame more."""

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400 * 366)]
Pause = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class SourceConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every source may set."""

    type: str
    tag: str = ""
    policy: str = ""
    content_type: str = "application/octet-stream"
    frame_bytes: Annotated[int, msgspec.Meta(ge=KIB, le=32 * MIB)] = 512 * KIB

    def anchor(self, base: Path) -> None:
        """Make relative paths those below the folder of the configuration; a type that has paths does."""


class Draft(NamedTuple):
    """Something read: its tag, its bytes, and the position behind it; None forgets the item."""

    tag: str
    payload: bytes
    item: str = ""
    position: Any = None  # numbers, texts and lists of them


class Outlet:
    """Where a source puts what it read."""

    def __init__(
        self,
        name: str,
        config: SourceConfig,
        spool: Spool,
        status: SourceStatus,
        stop: Event,
        is_once: bool = False,
    ) -> None:
        """Begin where the spool says that the source was."""
        self.name, self.config, self.is_once = name, config, is_once
        self.positions = spool.positions(name)
        self._spool, self._status, self._stop = spool, status, stop
        self._drafts: list[Draft] = []
        self._size = 0

    def is_stopping(self) -> bool:
        """Return whether to end: put what was read, and return."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait; return whether to end."""
        return self._stop.wait(seconds)

    def put(self, *drafts: Draft) -> None:
        """Keep these durably, and only then return; waits while the spool is full.  Raises OSError."""
        self._write([*self._take(), *drafts])

    def collect(self, draft: Draft) -> None:
        """Keep this soon: with others, when they are many or `put` is called.  Raises OSError."""
        self._drafts.append(draft)
        self._size += len(draft.payload)
        if self._size >= BATCH_BYTES:
            self.put()

    def tag(self, fields: dict[str, str] | None = None) -> str:
        """Return the tag that the template of this source makes of fields."""
        return template.fill(self.config.tag, self.name, fields)

    def trouble(self, message: str) -> None:
        """Say that something cannot be read; once, until it changes or `fine` is called."""
        if self._status.trouble != message:
            log.warning("%s: %s", self.name, message)
        self._status.note_trouble(message)

    def fine(self) -> None:
        """Say that reading works."""
        if self._status.trouble:
            log.info("%s: reading works again", self.name)
        self._status.trouble = ""

    def _take(self) -> list[Draft]:
        drafts, self._drafts, self._size = self._drafts, [], 0
        return drafts

    def _write(self, drafts: Sequence[Draft]) -> None:
        if not drafts:
            return
        config = self.config
        self._spool.append(
            [
                Frame(
                    epoch=0,
                    seq=0,
                    source=self.name,
                    stream=Stream(config.policy, draft.tag),
                    payload=draft.payload,
                    item=draft.item,
                    position=draft.position,
                    content_type=config.content_type,
                )
                for draft in drafts
            ]
        )
        for draft in drafts:
            if draft.item and draft.position is None:
                self.positions.pop(draft.item, None)
            elif draft.item:
                self.positions[draft.item] = draft.position
        self._status.note_read(drafts[-1].item, sum(len(draft.payload) for draft in drafts))


class Source(Protocol):
    """One kind of source."""

    Config: ClassVar[type[SourceConfig]]
    fields: ClassVar[Sequence[str]]
    """What a template of its tag may name beside the host and the source."""
    default_tag: ClassVar[str]

    def __init__(self, config: Any, outlet: Outlet) -> None:  # Any: its own Config
        """Begin where `outlet.positions` says."""

    @staticmethod
    def describe(config: Any) -> str:  # Any: as above
        """Return in one line what would be read; raise InvalidError where it cannot be."""

    def run(self) -> None:
        """Read and put until the outlet is stopping or there is nothing more; with `is_once` what is there.

        What it raises is logged, and after a pause the source begins anew from its durable positions.
        """


def source_types() -> list[str]:
    """Return the types there are."""
    files = [info.name for info in pkgutil.iter_modules(sources.__path__) if not info.name.startswith("_")]
    return sorted([*files, *_others()])


def source_class(type_: str) -> type[Source]:
    """Return the class of a type of source, and import no other; raises AgentConfigurationError."""
    known = {info.name for info in pkgutil.iter_modules(sources.__path__)}
    if type_ in known and not type_.startswith("_"):
        module = importlib.import_module(f"{sources.__name__}.{type_}")
        for name, value in vars(module).items():
            if isinstance(value, type) and name.lower() == type_.replace("_", ""):
                return value
        raise AgentConfigurationError(f"{module.__file__} has no class named like the file")
    others = _others()
    if type_ in others:
        found: type[Source] = others[type_].load()
        return found
    raise AgentConfigurationError(f"there is no source {type_!r}; {near(type_, [*known, *others])}")


def _others() -> dict[str, Any]:  # Any: entry points, whose module is imported only here, as it is large
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="haywain.sources")}
