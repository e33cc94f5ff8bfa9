"""Job: a kind of work done in parts, on all Workers there are; `portal.map_reduce` makes one."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from pydantic import BaseModel, Field

from haywain.activity.kept import Kept
from haywain.activity.kind import Work, activity
from haywain.activity.map_reduce import MapReduce, Part, cuts_of
from haywain.activity.method import method_of
from haywain.activity.product import check_edition, edition_of
from haywain.activity.reduction import FAN, GROUPS_AT_ONCE, Reduction
from haywain.document import Document, Properties
from haywain.errors import InvalidError, NotFoundError
from haywain.security import require
from haywain.values import GIB


class JobProperties(Properties):
    """What is done, on what."""

    kind: str = Field("", max_length=100, description="The kind of work.")
    source: str = Field("", max_length=600, description="Path of the document it is done on.")
    step_bytes: int = Field(0, ge=0, le=GIB, description="About so many bytes are a part; 0: the kind's.")
    parameters: str = Field("{}", max_length=64_000, description="What the kind is given, JSON.")


class Job(Document):
    """A map-reduce: many activities with one progress and one result.

    Its parts are found, done and put together by activities on this document (`reduction.py` says how), which
    need the rights of who asked for it.
    """

    portal_type = "Job"
    module_id = "job_module"
    schema = JobProperties
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

    def _given(self) -> tuple[MapReduce, Document, BaseModel]:
        """Return the kind, the source and the parameters; raises what forbids the work."""
        portal, source, name = self._portal, self.source, self.properties.kind
        method = method_of(portal.site.registry, type(source), name)
        kind = portal.site.registry.activities.get(name)
        if not isinstance(kind, MapReduce):
            raise InvalidError(f"{name} is not done in parts; run it on {source.path} itself")
        require(portal.user, "view", source)
        require(portal.user, kind.permission, source)
        given = method.checked(json.loads(self.properties.parameters))
        kind.check_given(source, given)
        return kind, source, given

    def begin(self, **options: Any) -> None:  # Any: Options know the types
        """Queue the first activity; raises HaywainError for what cannot be done."""
        self._given()
        self.link("source", self.source)
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
            found.length, found.edition = kind.length(source), edition_of(source)
            step = self.properties.step_bytes or kind.step_bytes
            found.ends = tuple(cuts_of(kind, source, found.length, step, given))
        while groups := list(islice(found.groups(), GROUPS_AT_ONCE)):
            for group in groups:
                for number in group:
                    self.activate(tag=found.tag(self, 0, number))._map_part(number=number)
                self._queue_merge(1, group.start // FAN)
            found.planned = groups[-1].stop
            yield found.planned / len(found.ends)
        for level in range(2, found.levels + 1):
            for number in range(found.count(level)):
                self._queue_merge(level, number)
        found.last = self.activate(after_tag=found.tag(self, found.levels, 0))._turn().id

    def _queue_merge(self, level: int, number: int) -> None:
        found = self._reduction
        below = found.tag(self, level - 1, number * FAN)
        tag = found.tag(self, level, number)
        self.activate(tag=tag, after_tag=below, priority=1)._merge(level=level, number=number)

    @activity
    def _map_part(self, number: int) -> None:
        """Do one part."""
        kind, source, given = self._given()
        found = self._reduction
        check_edition(source, found.edition)
        start, stop = found.span(number)
        arrays = kind.map(Part(source, start, stop, given, found.known.load()))
        found.put(self._p_jar, (found.passed, 0, number), arrays)

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
        if further is None:
            work = Work(self._portal, source, given, {"length": found.length}, {}, self.id)
            found.result = json.dumps(kind.finish(work, known, total), allow_nan=False)
            found.is_done = True
            found.known = Kept()
            return
        found.known.store(self._p_jar, further)
        found.passed, found.planned = found.passed + 1, 0
        found.last = self.activate()._plan().id
