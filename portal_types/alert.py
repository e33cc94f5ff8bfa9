"""Alert: sends mail or a request when numbers go over a threshold, or nothing comes any more."""

import re
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from haywain import clock
from haywain.activity.actor import acting_as, user_of
from haywain.activity.care import want
from haywain.activity.job import Job
from haywain.activity.kind import Work, activity
from haywain.activity.watchers import Watchers
from haywain.analysis.crossing import Limit
from haywain.document import Document, Moment, PortalRoot, Properties
from haywain.errors import HaywainError, InvalidError
from haywain.notice.webhook import Hosts, split_url
from haywain.portal_types._alert_course import Change, Course
from haywain.portal_types._alert_look import MOST, Look, lane_of
from haywain.portal_types._alert_message import change_text, message_of, rule_text
from haywain.portal_types._alert_sending import mail_it, mail_server, post_it
from haywain.portal_types._linked import connect_links
from haywain.security import SYSTEM, User, require
from haywain.security.accounts import new_secret

if TYPE_CHECKING:
    from haywain.portal import Portal

TRIES = 12
"""A message that is not taken is tried again so often, over some three hours."""

TOKEN_S = 7200.0
"""The least silence of a Token that can be told: its last use is known to the hour."""

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_NO_WORK = frozenset(("reference", "title", "description", "snoozed_until"))
_LINKS: dict[str, tuple[str, ...]] = {"document": ()}


class AlertProperties(Properties):
    """What it watches, when it fires, and whom it tells."""

    document: str = Field(
        "",
        max_length=600,
        examples=["data_array_module/turbine-7"],
        description="Path of what it watches: a Data Array, for silence also a Data Stream, a Data Bucket"
        " Stream or the Token of an agent.",
    )
    watches: Literal["threshold", "silence"] = Field(
        "threshold", description="The numbers of an array, or that something comes at all."
    )
    column: str = Field(
        "", max_length=255, description="Name or number of the column; not needed where there is one only."
    )
    direction: Literal["above", "below"] = Field("above", description="On which side of the threshold.")
    threshold: float = Field(0.0, allow_inf_nan=False, description="It fires beyond this number.")
    clear: float | None = Field(
        None,
        allow_inf_nan=False,
        description="It ends at this number, on the other side of the threshold; at the threshold if empty.",
    )
    for_rows: int = Field(
        1, ge=1, le=1_000_000_000, description="So many rows in a row have to be beyond it."
    )
    for_s: float = Field(
        0.0,
        ge=0,
        le=31_536_000,
        title="For seconds",
        description="For so many seconds, from when the first of them was seen.",
    )
    silent_s: float = Field(
        300.0,
        ge=1,
        le=31_536_000,
        title="Silent after seconds",
        description="It is silent when nothing has come for so many seconds.",
    )
    fires_if_never: bool = Field(
        False,
        title="Fires if nothing ever came",
        description="Also if nothing ever came; counted from when it began.",
    )
    mail_to: tuple[str, ...] = Field((), max_length=50, description="Addresses that get a mail.")
    webhook: str = Field(
        "", max_length=1000, examples=["https://example.org/hook"], description="Address that gets a POST."
    )
    webhook_secret: str = Field(
        "", max_length=255, exclude=True, description="What its requests are signed with; made up if empty."
    )
    reminder_hours: float = Field(
        0.0,
        ge=0,
        le=8760,
        title="Reminder after hours",
        description="While it fires it says so again after so many hours; 0: it does not.",
    )
    snoozed_until: Moment | None = Field(None, description="Until then nothing is sent.")

    @field_validator("document", mode="after")
    @classmethod
    def _is_path(cls, value: str) -> str:
        return value.strip("/")

    @field_validator("mail_to", mode="after")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if len(address) > 254 or not _ADDRESS.fullmatch(address):
                raise ValueError(f"{address[:100]!r} is no address such as ann@example.org")
        return value

    @field_validator("webhook", mode="after")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            return split_url(value).geturl() if value else value
        except InvalidError as error:
            raise ValueError(error.detail) from None

    @model_validator(mode="after")
    def _is_clear_behind(self) -> "AlertProperties":
        clear, is_above = self.clear, self.direction == "above"
        if clear is not None and clear != self.threshold and (clear > self.threshold) == is_above:
            raise ValueError(f"clear: must be {'at most' if is_above else 'at least'} the threshold")
        return self

    @property
    def limit(self) -> Limit:
        """What is over, and what is clear."""
        clear = self.threshold if self.clear is None else self.clear
        return Limit(self.direction == "above", self.threshold, clear, self.for_rows)


class Alert(Document):
    """A threshold or a silence that is watched while it is validated.

    It reads and sends with the rights, at that time, of its owner: of who last said what it does, and by the
    token that this was said with.
    """

    portal_type = "Alert"
    module_id = "alert_module"
    schema = AlertProperties
    icon = "alert"

    token: str = ""  # path of the Token with which it was said what it does
    is_systems: bool = False  # said by the portal itself, or by the owner of its directory
    _course: Course | None = None

    def __init__(self, /, **properties: Any) -> None:  # Any: the schema knows the types
        """Take the properties; a secret is made up if there is none."""
        if not properties.get("webhook_secret"):
            properties["webhook_secret"] = self._v_secret = new_secret()
        super().__init__(**properties)
        self._course = Course()

    def shown_once(self) -> dict[str, str]:
        """Return the secret that was made up; only in the transaction that made it."""
        return {"webhook_secret": self._v_secret} if hasattr(self, "_v_secret") else {}

    @property
    def properties(self) -> AlertProperties:
        """All properties."""
        found = super().properties
        assert isinstance(found, AlertProperties)
        return found

    @property
    def course(self) -> Course:
        """How far it has looked, whether it fires, what was sent."""
        return self._course if self._course is not None else Course()

    @property
    def condition(self) -> str:
        """`firing` or `ok`, `off` while it is not validated."""
        return "off" if self.state != "validated" else "firing" if self.course.is_firing else "ok"

    @property
    def in_words(self) -> str:
        """What makes it fire, as people say it."""
        return rule_text(self.properties)

    @property
    def is_snoozed(self) -> bool:
        """Whether nothing is sent by now."""
        until = self.properties.snoozed_until
        return until is not None and clock.now_s() < until.timestamp()

    @property
    def _portal(self) -> "Portal":
        return cast("Portal", self._p_jar.portal)

    @property
    def _is_in_portal(self) -> bool:
        return getattr(self._p_jar, "portal", None) is not None and self.__parent__ is not None

    # -- what it does
    def after_add(self, root: PortalRoot) -> None:
        """Check what it is to do, and belong to who said so; raises HaywainError."""
        self._check(self.properties)
        self._belong()

    def before_change(self, properties: Properties) -> None:
        """Check what it is to do, once it is in a portal; raises HaywainError."""
        assert isinstance(properties, AlertProperties)
        if self._is_in_portal:
            self._check(properties)

    def edit(self, /, **changes: Any) -> None:  # Any: the schema knows the types
        """Change properties; who changes what it does owns it from now on.  Raises HaywainError."""
        before, is_on = self.properties, self.state == "validated"
        super().edit(**changes)
        if before.model_dump(exclude=set(_NO_WORK)) == self.properties.model_dump(exclude=set(_NO_WORK)):
            return
        self._belong()
        if is_on:
            is_same = (before.document, before.watches) == (self.properties.document, self.properties.watches)
            Watchers.of(self._portal.root).leave(before.document, self.path)
            self._begin(is_same)

    def before_transition(self, name: str) -> None:
        """Refuse to be validated where it could not look; raises HaywainError."""
        if name == "validate":
            self._check(self.properties)

    def after_transition(self, name: str) -> None:
        """Watch from now on, or no longer."""
        if name == "validate":
            self._begin()
        else:
            Watchers.of(self._portal.root).leave(self.properties.document, self.path)
            want(self, "look", False)

    def before_remove(self) -> None:
        """Watch no longer."""
        Watchers.of(self._portal.root).leave(self.properties.document, self.path)

    def _begin(self, goes_on: bool = False) -> None:
        """Watch from the last rows on; where it goes on, it fires or not until these say something else."""
        given, course = self.properties, self.course
        Watchers.of(self._portal.root).watch(given.document, self.path, given.watches == "threshold")
        want(self, "look")
        if not goes_on:
            course.begin()
        if given.watches == "threshold" and given.document:
            array: Any = self._portal[given.document]  # Any: a Data Array
            rows = len(array) if array.is_created else 0
            course.look_from(array.edition, max(rows - given.for_rows, 0))

    def _check(self, given: AlertProperties) -> None:
        """Raise HaywainError for what the user who acts here could not watch or send."""
        if given.document:
            self._watched(self._portal.user, given)
        settings = self._portal.site.settings
        if given.mail_to:
            mail_server(settings)
        if given.webhook:
            try:
                Hosts.of(settings.webhook_hosts).check(given.webhook)
            except InvalidError as error:
                raise InvalidError(f"webhook: {error.detail}") from error

    def _watched(self, user: User, given: AlertProperties) -> Any:  # Any: a Data Array or what receives
        """Return what is watched; raises HaywainError if it is gone, not for the user, or does not suit."""
        if not given.document:
            raise InvalidError("document: none is given")
        try:
            document: Any = self._portal[given.document]
        except HaywainError as error:
            raise InvalidError(f"document: {error.detail}") from error
        require(user, "view", document)
        if given.watches == "silence" and not hasattr(document, "received"):
            raise InvalidError(f"document: nothing comes to a {document.portal_type}")
        if given.watches == "silence" and document.portal_type == "Token" and given.silent_s < TOKEN_S:
            raise InvalidError(f"silent_s: a Token's use is noted once an hour; give {TOKEN_S:.0f} or more")
        if given.watches == "threshold":
            if not hasattr(document, "edition"):
                raise InvalidError(f"document: a {document.portal_type} has no rows; give a Data Array")
            if document.is_created:
                lane_of(document, given.column)
        return document

    def _belong(self) -> None:
        user = self._portal.user
        self.owner, self.token, self.is_systems = user.login, user.token, user is SYSTEM
        connect_links(self, _LINKS)

    # -- looking
    def is_due(self) -> bool:
        """Return whether a look would find anything new; it changes nothing."""
        course = self.course
        try:
            look = self._look()
        except HaywainError as error:
            return error.detail != course.problem
        if course.problem:
            return clock.now_s() - course.problem_at >= Look.AGAIN_S
        return look.is_due()

    def look(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Look at what is new, keeping the position with what it brings; the result tells how it is then."""
        while self.state == "validated":
            work.check()
            try:
                look = self._look()
                changes = look.step(max(MOST - work.cursor.get("changes", 0), 1))
            except HaywainError as error:
                if error.status >= 500:
                    raise  # what is damaged is told by the activity that fails
                self.course.trouble(error.detail)
                break
            self.course.trouble("")
            told = work.cursor.get("changes", 0)
            work.cursor["changes"] = told + len(changes)
            for change in changes:
                self._turn(change, look.document, told < MOST)
            if not look.is_behind:
                self._say_what_is_due(look.document)
                break
            yield look.progress
        return {"condition": self.condition, "position": self.course.position}

    def _look(self) -> Look:
        owner = user_of(self._portal.root, self.owner, self.token, self.is_systems)
        require(owner, "edit", self)
        document = self._watched(owner, self.properties)
        return Look(self.properties, self.course, document, self.is_snoozed, self._portal.site.opened_s)

    def _turn(self, change: Change, document: Any, is_told: bool) -> None:  # Any: as above
        """Begin to fire, or end; where that is not told, how it is in the end will be."""
        name = document.reference or document.path
        text = change_text(self.properties, name, change, document.received)
        why = "; not sent, it is snoozed" if self.is_snoozed else "" if is_told else "; not sent, so many are"
        self.course.turn(change, text, why)
        if is_told and not self.is_snoozed:
            self._tell(change, document)

    def _say_what_is_due(self, document: Any) -> None:  # Any: as above
        event = self._look().unsaid
        if event:
            self.course.note(event)
            self._tell(Change(event, self.course.value, self.course.row), document)

    # -- telling
    def test(self) -> list[Job]:
        """Send a test to all whom it tells, as the owner; raises HaywainError, also if there is nobody."""
        require(self._portal.user, "edit", self)
        if not self.properties.mail_to and not self.properties.webhook:
            raise InvalidError("It tells nobody: give it addresses, or a webhook")
        self.course.note("a test is sent")
        return self._queue(Change("test", self.course.value, self.course.row), self._look().document)

    def _tell(self, change: Change, document: Any) -> None:  # Any: as above
        self.course.told, self.course.told_at = self.course.is_firing, clock.now_s()
        self._queue(change, document)

    def _queue(self, change: Change, document: Any) -> list[Job]:  # Any: as above
        """Queue an activity for each way, so that one that fails does not repeat the other."""
        portal, given = self._portal, self.properties
        message = message_of(self, document, change, portal.site.settings.public_url)
        ways = [*(["_send_mail"] if given.mail_to else []), *(["_send_webhook"] if given.webhook else [])]
        with acting_as(portal, user_of(portal.root, self.owner, self.token, self.is_systems)):
            activation = self.activate(tag=self.path, max_retries=TRIES, on_error="_not_sent")
            return [activation.queue(way, {"message": message}) for way in ways]

    @activity
    def _send_mail(self, message: dict[str, Any], work: Work) -> Generator[float, None, dict[str, Any]]:
        """Send a mail."""
        given = self.properties
        if "refused" not in work.cursor:
            work.cursor["refused"] = mail_it(self, message, work.id, self._portal)
            yield 0.9  # what is noted below may meet a conflict; then it is not sent again
        refused = work.cursor["refused"]
        self.course.sent(f"mail sent to {', '.join(one for one in given.mail_to if one not in refused)}")
        if refused:
            self.course.failed("; ".join(f"{address}: {why}" for address, why in refused.items()))
        return {"to": list(given.mail_to), "refused": refused}

    @activity
    def _send_webhook(self, message: dict[str, Any], work: Work) -> Generator[float, None, dict[str, Any]]:
        """Send a request."""
        if "status" not in work.cursor:
            work.cursor["status"] = post_it(self, message, work.id, self._portal)
            yield 0.9  # as above
        self.course.sent(f"webhook answered {work.cursor['status']}")
        return {"status": work.cursor["status"]}

    @activity
    def _not_sent(self, activity: str, error: str) -> None:
        """Note that a message was not sent."""
        self.course.failed(error)

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it, with whether it fires and what was sent."""
        return super().as_dict() | self.course.as_dict() | {"condition": self.condition}
