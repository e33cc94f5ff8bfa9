"""Data Analysis: a Data Transformation is done to one delivery, again whenever that has grown."""

from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from haywain import clock
from haywain.activity.actor import acting_as
from haywain.activity.afterwards import do_afterwards
from haywain.activity.job import Job
from haywain.activity.kind import Work, activity
from haywain.activity.outbox import Outbox
from haywain.activity.record import ENDED, Activity
from haywain.activity.watchers import REST_S, Watchers
from haywain.document import Document, PortalRoot, Properties
from haywain.errors import DuplicateError, HaywainError, InvalidError, NotFoundError
from haywain.portal_types._analysis_course import Course
from haywain.portal_types._analysis_run import Input, analyse
from haywain.portal_types._linked import check_links, connect_links
from haywain.portal_types._offering import tell_takers
from haywain.portal_types._transient import is_missed
from haywain.portal_types.data_analysis_line import DataAnalysisLine
from haywain.portal_types.data_transformation import DataTransformation
from haywain.portal_types.progress_indicator import ProgressIndicator
from haywain.security import require
from haywain.workflow import WORKFLOWS

if TYPE_CHECKING:
    from haywain.portal import Portal

_KINDS = {"transformation": ("Data Transformation",), "delivery": ("Data Ingestion", "Data Analysis")}


class DataAnalysisProperties(Properties):
    """What is done to what."""

    transformation: str = Field(
        "", max_length=600, description="Path of the Data Transformation that is done."
    )
    delivery: str = Field(
        "", max_length=600, description="Path of the Data Ingestion, or Data Analysis, that it is done to."
    )


class DataAnalysis(Document):
    """An execution of a Data Transformation, made by the portal for each delivery of what that takes.

    While it is started, what comes into its input has it run, behind the commit: from where its Progress
    Indicators are to the present end.  They move in the transaction that writes what comes of it, so that a
    kill, a conflict or a second run never counts anything twice.
    """

    portal_type = "Data Analysis"
    module_id = "data_analysis_module"
    schema = DataAnalysisProperties
    workflow_name = "simulation"
    is_addable = False
    is_editable = False
    icon = "progress"

    is_batch: bool = False  # it runs once, when what it is done to is complete
    _course: Course | None = None

    def __init__(self, /, **properties: Any) -> None:  # Any: the schema knows the types
        """Begin without having run."""
        super().__init__(**properties)
        self._course = Course()

    @property
    def properties(self) -> DataAnalysisProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, DataAnalysisProperties)
        return found

    @property
    def course(self) -> Course:
        """What has become of it."""
        return self._course if self._course is not None else Course()

    @property
    def _portal(self) -> "Portal":
        return cast("Portal", self._p_jar.portal)

    # -- what it does
    def after_add(self, root: PortalRoot) -> None:
        """Be known to what it does and to what it is done to; raises InvalidError."""
        check_links(self, self.properties, _KINDS)
        connect_links(self, _KINDS)

    def before_change(self, properties: Properties) -> None:
        """Refuse to do something else: it runs with the rights of another; raises InvalidError."""
        assert isinstance(properties, DataAnalysisProperties)
        if getattr(self._p_jar, "portal", None) is not None:
            now = self.properties
            if (properties.transformation, properties.delivery) != (now.transformation, now.delivery):
                raise InvalidError("What a Data Analysis does stays as it is")

    @property
    def transformation(self) -> DataTransformation:
        """What it does; raises NotFoundError if that is gone."""
        found = self._portal[self.properties.transformation] if self.properties.transformation else None
        if not isinstance(found, DataTransformation):
            raise NotFoundError("Its Data Transformation is gone")
        return found

    def lines_of(self, direction: str) -> list[DataAnalysisLine]:
        """Return its lines of a direction, `in` or `out`."""
        found = []
        for path in self.linked("line"):
            try:
                line = self._portal[path]
            except NotFoundError:
                continue
            if isinstance(line, DataAnalysisLine) and line.properties.direction == direction:
                found.append(line)
        return found

    def inputs(self) -> list[Input]:
        """Return what it reads, each with how far; raises NotFoundError if one is gone."""
        return [
            Input(
                str(line.reference),
                self._portal[line.properties.document],
                cast(ProgressIndicator, self._portal[line.properties.indicator]),
            )
            for line in self.lines_of("in")
            if line.properties.use != "transient"
        ]

    def outputs(self) -> list[Document]:
        """Return what it makes; raises NotFoundError if one is gone."""
        lines = self.lines_of("out")
        return [self._portal[line.properties.document] for line in lines if line.properties.document]

    @property
    def portal(self) -> "Portal":
        """The portal that it is opened in."""
        return self._portal

    @property
    def hands_on(self) -> bool:
        """Whether what it makes is handed to others in memory, and not stored."""
        return any(line.properties.use == "transient" for line in self.lines_of("out"))

    @property
    def is_missed(self) -> bool:
        """Whether one of those others lacks rows: then all of them are made anew."""
        return self.hands_on and is_missed(self)

    @property
    def giver(self) -> "DataAnalysis | None":
        """Who hands it the rows that it works on, in memory; None where it reads documents."""
        if not any(line.properties.use == "transient" for line in self.lines_of("in")):
            return None
        return cast(DataAnalysis, self._portal[self.properties.delivery])

    @property
    def how_far(self) -> str:
        """How much of what it reads is consumed."""
        try:
            if (giver := self.giver) is not None:
                return giver.how_far
            return ", ".join(one.how_far for one in self.inputs())
        except NotFoundError:
            return "what it reads is gone"

    # -- when it runs
    def begin(self, is_batch: bool = False) -> None:
        """Be started, once its lines are there."""
        self.state, self.is_batch = "started", is_batch
        self._watch()
        self.reindex()

    def after_transition(self, name: str) -> None:
        """Run from now on when something comes, or no longer."""
        if name == "start":
            self.course.clear()
            self._watch()
        else:
            self._leave()
        if name == "stop" and self.is_batch:
            for line in self.lines_of("out"):
                tell_takers(line)

    def before_remove(self) -> None:
        """Run no longer."""
        self._leave()

    def _watch(self) -> None:
        for line in self.lines_of("in"):
            if line.properties.document:
                Watchers.of(self._portal.root).watch(line.properties.document, self.path)
        do_afterwards(self, "look_soon", lambda analysis: cast(DataAnalysis, analysis).look_soon())

    def _leave(self) -> None:
        for line in self.lines_of("in"):
            Watchers.of(self._portal.root).leave(line.properties.document, self.path)
        running = self.last_run
        if running is not None and running.state == "queued":
            Outbox.of(self._portal.root).end(running, "cancelled")

    @property
    def last_run(self) -> Activity | None:
        """The last activity that it was run by, or will be; None where that has left the archive."""
        outbox = Outbox.of(self._portal.root)
        ids = {id for shard in outbox.shards for _, _, id in shard.named("tag", self.path)}
        return outbox.find(max(ids)) if ids else None

    @property
    def is_queued(self) -> bool:
        """Whether a run of it waits or is under way."""
        found = self.last_run
        return found is not None and found.state not in ENDED

    @property
    def is_refreshing(self) -> bool:
        """Whether it is being done anew, or waits for that."""
        found = Outbox.of(self._portal.root).find(self.course.refresh) if self.course.refresh else None
        return found is not None and found.state not in ENDED

    @property
    def waits(self) -> str:
        """Why it does nothing yet; "" where that is not so."""
        with suppress(NotFoundError):
            if self.state == "started" and self.is_held:
                return "the batch is not complete yet"
        return self.course.waits

    def is_behind(self) -> bool:
        """Return whether something has come that it has not looked at; it changes nothing."""
        try:
            return self._is_on() and (any(one.is_behind for one in self.inputs()) or self.is_missed)
        except HaywainError:
            return False

    def look_soon(self) -> None:
        """Have it run, in a transaction of the portal's own: something has come, or may have.

        At once, but at most once a second; after a failure it waits longer each time.
        """
        giver = self.giver
        if giver is not None:
            giver.look_soon()
        if not self.is_behind():
            return
        course = self.course
        try:
            at = max(course.not_before, course.ran + REST_S)
            job = self._queue("new", at if at > clock.now_s() else 0.0, is_kept=False)
            found = Outbox.of(self._portal.root).find(job.id)  # it may have waited, and begin earlier
            note = (self._portal.site.asked, self.path, found.at if found is not None else 0.0)
            self._portal.manager.get().addAfterCommitHook(_note_asked, note)
        except HaywainError as error:
            course.refuse(error.detail)

    def run_now(self) -> Job:
        """Have it run now, also after failures; raises HaywainError.

        Where it is handed rows, who hands them on runs; so it is for a refresh.
        """
        self._check_may_run()
        if (giver := self.giver) is not None:
            return giver.run_now()
        self.course.clear()
        return self._queue("now")

    def refresh(self) -> Job:
        """Have it done anew from the first byte; what there is stays until all is there.

        Raises DuplicateError while it or what it comes of is being done anew, other HaywainErrors.
        """
        self._check_may_run()
        if (giver := self.giver) is not None:
            return giver.refresh()
        for analysis in (self, *self._upstream()):
            if analysis.is_refreshing:
                raise DuplicateError(f"{analysis.path} is being refreshed: wait for that")
        self.course.clear()
        job = self._queue("refresh", start_over=True)
        self.course.refresh = job.id
        return job

    def _check_may_run(self) -> None:
        require(self._portal.user, "view", self)
        require(self._portal.user, "activity")
        if self.state != "started":
            raise InvalidError(f"{self.path} is {self.state}: start it first")
        if self.is_held:
            raise InvalidError(
                f"{self.properties.delivery} is of a batch that is not complete: stop that first"
            )
        if self.transformation.state != "validated":
            raise InvalidError(f"{self.properties.transformation}, which it does, is not validated")

    def _upstream(self) -> "list[DataAnalysis]":
        """Return the analyses that it comes of, the nearest first."""
        found, path = list[DataAnalysis](), self.properties.delivery
        while path:
            try:
                one = self._portal[path]
            except NotFoundError:
                break
            if not isinstance(one, DataAnalysis) or one in found:
                break
            found.append(one)
            path = one.properties.delivery
        return found

    def _queue(
        self, dedupe_key: str, at_s: float = 0.0, *, start_over: bool = False, is_kept: bool = True
    ) -> Job:
        """Queue a run as the owner of what it does."""
        portal = self._portal
        with acting_as(portal, self.transformation.user()):
            activation = self.activate(
                tag=self.path,
                serialization_tag=self.path,
                dedupe_key=dedupe_key,
                at=datetime.fromtimestamp(at_s, UTC) if at_s else None,
                on_error="_failed",
                is_kept=is_kept,
            )
            return activation.queue("analyze", {"start_over": start_over})

    def analyse(self, work: Work, start_over: bool) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Do it to what is new, or to all; the result is that of the kind of work."""
        if not self._is_on() or self.giver is not None:
            return {"state": self.state}
        result = yield from analyse(self, work, start_over)
        self._forget_failed()
        if self.is_batch and not self.is_behind():
            for name in ("stop", "deliver"):
                WORKFLOWS[self.workflow_name].apply(self, name, work.portal.user.login)
        return result

    def _is_on(self) -> bool:
        is_started = self.state == "started" and self.transformation.state == "validated"
        return is_started and not self.is_held

    @property
    def is_held(self) -> bool:
        """Whether it is of a batch that is not complete yet."""
        return self.is_batch and self._portal[self.properties.delivery].state == "started"

    @activity
    def _failed(self, activity: str, error: str) -> None:
        """Note that a run failed, and try it again later."""
        self._forget_failed()
        self.course.trouble(error)
        self.course.failed = activity
        self.look_soon()

    def _forget_failed(self) -> None:
        """Have the last failure be listed no longer: it was tried again."""
        outbox = Outbox.of(self._portal.root)
        found = outbox.find(self.course.failed) if self.course.failed else None
        if found is not None and found.state == "failed":
            outbox.end(found, "cancelled")
        if self.course.failed:
            self.course.failed = ""

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it, with how far it is and what came of it."""
        last = self.last_run
        told = {
            "waits": self.waits or None,
            "is_refreshing": self.is_refreshing,
            "last_activity": {"id": last.id, "state": last.state, "progress": last.progress}
            if last
            else None,
        }
        return super().as_dict() | self.course.as_dict() | told


def _note_asked(is_committed: bool, asked: dict[str, float], path: str, at_s: float) -> None:
    """Have nobody ask again before the run begins."""
    if is_committed:
        asked[path] = at_s
