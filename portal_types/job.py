"""Job: a kind of work done in parts, on all Workers there are; `portal.map_reduce` makes one."""

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import Any, cast

from pydantic import BaseModel, Field

from haywain.activity.job_parts import JobParts
from haywain.activity.kept import Arrays
from haywain.activity.kind import Work, activity
from haywain.activity.map_reduce import MapReduce, Part, cuts_of, is_for_parts
from haywain.activity.memory import MEMORY_SHARE, digest_of, memory_of, remember
from haywain.activity.method import method_of
from haywain.activity.product import check_edition, edition_of
from haywain.activity.reduction import FAN, GROUPS_AT_ONCE, Reduction, kept_of
from haywain.activity.row_map import RowMap, blocks_in, fill_block
from haywain.document import Document, Properties
from haywain.errors import InvalidError, NotFoundError
from haywain.security import require
from haywain.values import GIB

BLOCKS_AT_ONCE = 64
"""So many Blocks are queued to be copied by one transaction."""

NEIGHBOURS = 4
"""So many parts in a row are rather done on one machine: they may lie in one blob."""


class JobProperties(Properties):
    """What is done, on what."""

    kind: str = Field("", max_length=100, description="The kind of work.")
    source: str = Field("", max_length=600, description="Path of the document it is done on.")
    step_bytes: int = Field(0, ge=0, le=GIB, description="About so many bytes are a part; 0: the kind's.")
    parameters: str = Field("{}", max_length=64_000, description="What the kind is given, JSON.")
    target: str = Field("", max_length=600, description="Path of the document that the result goes to.")


class Job(Document):
    """A map-reduce: many activities with one progress and one result.

    Its parts are found, done and put together by activities on this document (`reduction.py` says how), which
    need the rights of who asked for it.
    """

    portal_type = "Job"
    module_id = "job_module"
    schema = JobProperties
    workflow_name = "job"
    edit_permission = "activity"
    is_addable = False
    is_editable = False
    icon = "progress"

    reduction: Reduction | None = None

    @property
    def properties(self) -> JobProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, JobProperties)
        return found

    @property
    def parts(self) -> JobParts:
        """How it stands by now, and its parts."""
        return JobParts(self._portal, self)

    @property
    def work_state(self) -> str:
        """One of queued, running, done, failed, cancelled; `state` is that of its workflow."""
        return self.parts.work_state

    @property
    def progress(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.parts.progress

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it, with how it stands."""
        return super().as_dict() | self.parts.as_dict()

    def before_transition(self, name: str) -> None:
        """Refuse to be deleted while it is worked on; raises InvalidError."""
        if name == "delete" and self.work_state in ("queued", "running"):
            raise InvalidError(f"{self.path} is {self.work_state}; cancel it first")

    @property
    def source(self) -> Document:
        """The document it is done on; raises NotFoundError."""
        module, _, id = self.properties.source.partition("/")
        try:
            return cast(Document, self._portal.root[module][id])
        except KeyError:
            raise NotFoundError(f"{self.properties.source}, which it is done on, is gone") from None

    @property
    def _portal(self) -> Any:  # Any: the layer above
        return self._p_jar.portal

    @property
    def target(self) -> Document | None:
        """The document that the result goes to; None where the kind makes one.  Raises NotFoundError."""
        path = self.properties.target
        return cast(Document, self._portal[path]) if path else None

    def _given(self) -> tuple[MapReduce, Document, BaseModel]:
        """Return the kind, the source and the parameters; raises what forbids the work."""
        portal, source, name = self._portal, self.source, self.properties.kind
        method = method_of(portal.site.registry, type(source), name)
        kind = portal.site.registry.activities.get(name)
        if not isinstance(kind, MapReduce):
            raise InvalidError(f"{name} is not done in parts; run it on {source.path} itself")
        require(portal.user, "view", source)
        require(portal.user, kind.permission, source)
        self._check_target(kind)
        given = method.checked(json.loads(self.properties.parameters))
        kind.check_given(source, given)
        return kind, source, given

    def _check_target(self, kind: MapReduce) -> None:
        target = self.target
        if target is None:
            return
        if target.portal_type != kind.makes:
            makes = f"makes a {kind.makes}" if kind.makes else "writes to no document"
            raise InvalidError(f"target: {kind.name} {makes}; {target.path} is a {target.portal_type}")
        require(self._portal.user, "edit", target)

    def begin(self, **options: Any) -> None:  # Any: Options know the types
        """Queue the first activity; raises HaywainError for what cannot be done."""
        self._given()
        self.link("source", self.source)
        if self.target is not None:
            self.link("target", self.target)
        self.reduction = Reduction()
        self._p_jar.add(self.reduction)
        self._reduction.last = self.activate(**options)._plan().id

    @property
    def _reduction(self) -> Reduction:
        assert self.reduction is not None
        return self.reduction

    # -- its activities
    @activity
    def _plan(self) -> Iterator[float]:
        """Cut the source into parts, and queue them and what puts them together."""
        kind, source, given = self._given()
        found = self._reduction
        if not found.ends:
            found.length, found.edition = kind.length(source, given), edition_of(source)
            found.tid = self._p_jar.seen_tid.hex()
            found.ends = tuple(cuts_of(kind, source, found.length, self._step_bytes(kind), given))
            found.before = memory_of(self._portal.root, self.key)
        while groups := list(islice(found.groups(), GROUPS_AT_ONCE)):
            for group in groups:
                for number in group:
                    near = f"{source.path} {number // NEIGHBOURS}"
                    self.activate(tag=found.tag(self, 0, number), near=near)._map_part(number=number)
                self._queue_merge(1, group.start // FAN)
            found.planned = groups[-1].stop
            yield found.planned / len(found.ends)
        for level in range(2, found.levels + 1):
            for number in range(found.count(level)):
                self._queue_merge(level, number)
        found.last = self.activate(after_tag=found.tag(self, found.levels, 0))._turn().id

    def _step_bytes(self, kind: MapReduce) -> int:
        return self.properties.step_bytes or kind.step_bytes

    def _queue_merge(self, level: int, number: int) -> None:
        found = self._reduction
        below = found.tag(self, level - 1, number * FAN)
        tag = found.tag(self, level, number)
        self.activate(tag=tag, after_tag=below, priority=1)._merge(level=level, number=number)

    @activity
    def _map_part(self, number: int, work: Work) -> None:
        """Do one part, or take what it came to the last time, where that still holds."""
        kind, source, given = self._given()
        found = self._reduction
        check_edition(source, found.edition)
        start, stop = found.span(number)
        rests_on = digest_of(kind, source, found, (start, stop), given)
        kept = found.remembered(number, rests_on) if rests_on else None
        if kept is not None:
            found.keep(number, rests_on, kept, is_reused=True)
            return
        rows = kind.begin(self._p_jar, source, given) if isinstance(kind, RowMap) else None
        known = found.known.load(is_for_parts)
        part = Part(source, start, stop, found.length, given, known, rows, work.check, work.log)
        kept = kept_of(self._p_jar, kind.map(part))
        if rows is not None:
            found.drafts[number] = rows
        if kept.size_bytes > self._step_bytes(kind) // MEMORY_SHARE:
            rests_on = b""
        found.keep(number, rests_on, kept, is_reused=False)

    @activity
    def _merge(self, level: int, number: int) -> None:
        """Put parts together."""
        kind, _, _ = self._given()
        self._reduction.merge(self._p_jar, kind, (self._reduction.passed, level, number))

    @activity
    def _turn(self) -> None:
        """Begin another pass, or end the Job with its result."""
        kind, source, given = self._given()
        found = self._reduction
        check_edition(source, found.edition)
        known, total = found.known.load(), found.total()
        further = kind.again(known, total)
        if further is not None:
            found.known.store(self._p_jar, further)
            found.passed, found.planned = found.passed + 1, 0
            found.last = self.activate()._plan().id
        elif isinstance(kind, RowMap):
            found.put_together(self._p_jar, total["rows"].tolist())
            found.known.store(self._p_jar, total)
            found.last = self.activate()._assemble().id
        else:
            self._finish(kind, source, given, known, total)

    @activity
    def _assemble(self) -> Iterator[float]:
        """Queue the copying of the rows of all parts into one array."""
        self._given()
        found = self._reduction
        assert found.whole is not None
        blocks = blocks_in(found.whole) if found.starts else 0
        while found.planned < blocks:
            for number in range(found.planned, min(found.planned + BLOCKS_AT_ONCE, blocks)):
                self.activate(tag=f"{self.path} rows")._copy_block(number=number)
            found.planned = min(found.planned + BLOCKS_AT_ONCE, blocks)
            yield found.planned / blocks
        found.last = self.activate(after_tag=f"{self.path} rows")._adopt().id

    @activity
    def _copy_block(self, number: int) -> None:
        """Copy the rows of one Block."""
        found = self._reduction
        self._given()
        assert found.whole is not None
        fill_block(found.whole, number, found.starts, found.drafts.__getitem__)

    @activity
    def _adopt(self) -> None:
        """End a Job that makes rows: from now on they are seen."""
        kind, source, given = self._given()
        check_edition(source, self._reduction.edition)
        self._finish(kind, source, given, {}, self._reduction.known.load())

    def _finish(
        self, kind: MapReduce, source: Document, given: BaseModel, known: Arrays, total: Arrays
    ) -> None:
        found = self._reduction
        cursor = {"length": found.length}
        work = Work(self._portal, source, given, cursor, {}, self.id, found.whole, self.target)
        found.end(json.dumps(kind.finish(work, known, total), allow_nan=False))
        remember(self._portal.root, self.key, self)

    @property
    def key(self) -> str:
        """The same of all Jobs that do the same on the same document in the same parts."""
        found = self.properties
        told = (self.source.uid, found.kind, found.step_bytes, found.parameters)
        return sha256(repr(told).encode()).hexdigest()
