"""Schedule: has work done on a document again and again, at the times of a rule."""

import json
import logging
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, field_validator

from haywain import clock
from haywain.activity.actor import acting_as, user_of
from haywain.activity.cron import in_words, next_after, zone_of
from haywain.activity.job import Job
from haywain.activity.method import method_of, offered
from haywain.activity.outbox import Outbox
from haywain.activity.record import ENDED
from haywain.activity.timetable import Timetable
from haywain.document import Document, PortalRoot, Properties
from haywain.errors import DuplicateError, HaywainError, InvalidError, UnknownNameError
from haywain.portal_types._linked import connect_links
from haywain.security import SYSTEM, require
from haywain.validation import json_object_text

if TYPE_CHECKING:
    from haywain.portal import Portal

LOG_LINES = 50
"""Lines of its log that a Schedule keeps, the last ones."""

_LINKS: dict[str, tuple[str, ...]] = {"document": ()}
_log = logging.getLogger(__name__)


class ScheduleProperties(Properties):
    """What is done, on what, and when."""

    document: str = Field(
        min_length=1,
        max_length=600,
        examples=["data_array_module/turbine-7"],
        description="Path of the document it works on.",
    )
    method: str = Field(min_length=1, max_length=100, description="What is run, such as `statistics`.")
    parameters: str = Field("{}", max_length=64_000, description="What it is given, a JSON object.")
    rule: str = Field(
        min_length=1,
        max_length=200,
        examples=["30 6 * * MON-FRI"],
        description="When: minute, hour, day of the month, month and day of the week as cron has them, or"
        " @hourly, @daily, @weekly, @monthly.",
    )
    time_zone: str = Field(
        "UTC", min_length=1, max_length=60, description="In which the rule is read, such as Europe/Berlin."
    )

    @field_validator("document", mode="after")
    @classmethod
    def _is_path(cls, value: str) -> str:
        return value.strip("/")

    @field_validator("rule", mode="after")
    @classmethod
    def _is_rule(cls, value: str) -> str:
        return _or_value_error(lambda: next_after(value, "UTC", clock.now_s()), value)

    @field_validator("time_zone", mode="after")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        return _or_value_error(lambda: zone_of(value), value)

    @field_validator("parameters", mode="after")
    @classmethod
    def _is_object(cls, value: str) -> str:
        return json_object_text(value)


class Schedule(Document):
    """A method that is run on a document at the times of a rule, while it is validated.

    It runs with the rights, at that time, of its owner: of who last said what it does, and by the token that
    this was said with.  So nobody has another's rights by changing another's Schedule.
    """

    portal_type = "Schedule"
    module_id = "schedule_module"
    schema = ScheduleProperties
    icon = "schedule"

    token: str = ""  # path of the Token with which it was said what it does
    is_systems: bool = False  # said by the portal itself, or by the owner of its directory
    next_run: float = 0.0  # seconds since 1970 UTC; 0 where there is none
    last_run: float = 0.0
    last_activity: str = ""
    problem: str = ""
    """Why the last time that it was due nothing was queued."""
    log: tuple[str, ...] = ()

    @property
    def properties(self) -> ScheduleProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, ScheduleProperties)
        return found

    @property
    def _portal(self) -> "Portal | None":
        return cast("Portal | None", getattr(self._p_jar, "portal", None))

    @property
    def in_words(self) -> str:
        """Return when it is due, as people say it."""
        return f"{in_words(self.properties.rule)}, {self.properties.time_zone}"

    # -- what it does
    def after_add(self, root: PortalRoot) -> None:
        """Check what it is to do, and belong to who said so; raises HaywainError."""
        self._check(self.properties)
        self._belong()

    def before_change(self, properties: Properties) -> None:
        """Check what it is to do, once it is in a portal; raises HaywainError."""
        assert isinstance(properties, ScheduleProperties)
        if self._portal is not None and self.__parent__ is not None:
            self._check(properties)

    def edit(self, /, **changes: Any) -> None:  # Any: the schema knows the types
        """Change properties; who changes what it does owns it from now on.  Raises HaywainError."""
        before = self._work()
        super().edit(**changes)
        if self._work() != before:
            self._belong()
        if self.state == "validated":
            self._plan()

    def before_transition(self, name: str) -> None:
        """Refuse to be validated where it could not run; raises HaywainError."""
        if name == "validate":
            self._check(self.properties)

    def after_transition(self, name: str) -> None:
        """Be due from now on, or no longer."""
        if name == "validate":
            self.problem = ""
        self._plan()

    def _work(self) -> tuple[str, str, str]:
        return self.properties.document, self.properties.method, self.properties.parameters

    def _check(self, properties: ScheduleProperties) -> None:
        """Raise HaywainError for what the user who acts here could not queue."""
        portal, name = self._portal, properties.method
        assert portal is not None
        try:
            document = portal[properties.document]
        except HaywainError as error:
            raise InvalidError(f"document: {error.detail}") from error
        require(portal.user, "view", document)
        require(portal.user, "activity")
        registry = portal.site.registry
        if name.startswith("_"):
            raise UnknownNameError(
                f"activity on {document.portal_type}", name, offered(registry, type(document))
            )
        method = method_of(registry, type(document), name)
        require(portal.user, method.permission, document)
        method.checked(json.loads(properties.parameters))

    def _belong(self) -> None:
        assert self._portal is not None
        user = self._portal.user
        self.owner, self.token, self.is_systems = user.login, user.token, user is SYSTEM
        connect_links(self, _LINKS)

    # -- when
    def _plan(self) -> None:
        """Be due at the next time of the rule, if it is validated."""
        assert self._portal is not None
        rule, zone = self.properties.rule, self.properties.time_zone
        after_s = next_after(rule, zone, clock.now_s()) if self.state == "validated" else 0.0
        Timetable.of(self._portal.root).move(self.path, self.next_run, after_s)
        self.next_run = after_s

    def run_due(self) -> None:
        """Queue the activity that is due, in a transaction of the portal's own, and be due again.

        Times that were missed are made up for by this one.
        """
        self._plan()
        running = self._unended()
        if running:
            self._note(f"not queued: {self.last_activity}, the one before, is still {running}")
            return
        try:
            self._queue()
        except HaywainError as error:
            self.problem = error.detail
            self._note(f"not queued: {error.detail}")

    def run_now(self) -> Job:
        """Queue the activity at once, as the owner; raises HaywainError.

        It is a DuplicateError if the one before is still queued or running.
        """
        assert self._portal is not None
        require(self._portal.user, "view", self)
        require(self._portal.user, "activity")
        running = self._unended()
        if running:
            raise DuplicateError(f"{self.last_activity}, the one before, is still {running}")
        return self._queue()

    def _unended(self) -> str:
        """Return the state of the last activity, "" if it has ended or there is none."""
        assert self._portal is not None
        last = Outbox.of(self._portal.root).find(self.last_activity)
        return last.state if last is not None and last.state not in ENDED else ""

    def _queue(self) -> Job:
        portal = self._portal
        assert portal is not None
        owner = user_of(portal.root, self.owner, self.token, self.is_systems)
        with acting_as(portal, owner):
            activation = portal[self.properties.document].activate(tag=self.path)
            job = activation.queue(self.properties.method, json.loads(self.properties.parameters))
        self.last_run, self.last_activity, self.problem = clock.now_s(), job.id, ""
        self._note(f"queued {job.id}")
        return job

    def _note(self, text: str) -> None:
        _log.info("%s: %s", self.path, text)
        self.log = (*self.log, f"{clock.iso(clock.now_s())} {text}"[:500])[-LOG_LINES:]

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it, with when it is due and what has become of it."""
        return super().as_dict() | {
            "next_run": clock.iso(self.next_run) if self.next_run else None,
            "last_run": clock.iso(self.last_run) if self.last_run else None,
            "last_activity": self.last_activity or None,
            "problem": self.problem or None,
            "log": list(self.log),
        }


def _or_value_error(check: Any, value: str) -> str:  # Any: a function, whose result is not looked at
    try:
        check()
    except InvalidError as error:
        raise ValueError(error.detail) from None
    return value
