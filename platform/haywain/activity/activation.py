"""`document.activate(...).method(...)`: check everything at once, queue the activity in this transaction."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from haywain.activity.bell import ring_at_commit
from haywain.activity.job import Job
from haywain.activity.method import method_of
from haywain.activity.outbox import Outbox
from haywain.activity.record import Activity
from haywain.document import NAME_LENGTH, Document, Moment
from haywain.errors import HaywainError, InvalidError
from haywain.security import SYSTEM, require
from haywain.validation import explain
from haywain.values import KIB

if TYPE_CHECKING:
    from haywain.portal import Portal

PARAMETER_BYTES = 64 * KIB
"""Most bytes of an activity's parameters as JSON: what is larger belongs into a document."""


def _check_name(value: str) -> str:
    if any(character < " " or character == "\x7f" for character in value):
        raise ValueError("must have no control characters")
    return value


_Name = Annotated[str, StringConstraints(max_length=NAME_LENGTH), AfterValidator(_check_name)]


class Options(BaseModel):
    """When and in which company an activity runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: _Name = Field("", description="Its label: others may wait for it, people find it by it.")
    after_tag: tuple[_Name, ...] = Field(
        (), max_length=16, description="Wait until no activity of these tags is queued, runs or has failed."
    )
    priority: int = Field(0, ge=-100, le=100, description="The higher, the sooner.")
    at: Moment | None = Field(None, description="Not before this time.")
    serialization_tag: _Name = Field("", description="Of all with this tag only one runs at a time.")
    dedupe_key: _Name = Field("", description="If one like it waits under this key, that one serves both.")
    near: _Name = Field(
        "", description="Those with one key are rather run on one machine, which has the bytes."
    )
    group: _Name = Field(
        "", description="Small activities of a group, of one method and user, may share a transaction."
    )
    max_retries: int | None = Field(None, ge=0, le=100, description="How often it is tried again.")
    is_kept: bool = Field(True, description="Whether it is kept once it is done; what fails is.")
    on_error: _Name = Field("", description="The method that is queued on the document if it fails.")

    @field_validator("after_tag", mode="before")
    @classmethod
    def _may_be_one(cls, value: Any) -> Any:  # Any: what was given; pydantic checks the type
        return (value,) if isinstance(value, str) else value

    @field_validator("tag", "serialization_tag", "dedupe_key", "near", "group", "on_error", mode="after")
    @classmethod
    def _is_text(cls, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("half a character is no text") from None
        return value


class Activation:
    """What `document.activate(...)` returns: its methods queue an activity and return its Job."""

    def __init__(self, portal: "Portal", document: Document, options: dict[str, Any]) -> None:
        """Take the options, checked; raises InvalidError."""
        self._portal, self._document = portal, document
        try:
            self._options = Options.model_validate(options)
        except ValidationError as error:
            raise InvalidError(f"activate: {explain(error, Options)}") from error
        if self._options.tag and self._options.tag in self._options.after_tag:
            raise InvalidError(f"An activity with the tag {self._options.tag!r} would wait for itself")

    def __getattr__(self, name: str) -> Callable[..., Job]:
        """Return a method; raises UnknownNameError, InvalidError or ForbiddenError when it is called."""
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda **parameters: self.queue(name, parameters)

    def queue(self, name: str, parameters: dict[str, Any]) -> Job:  # Any: the method knows the types
        """Queue a method with parameters; nothing runs unless this transaction commits.

        Raises UnknownNameError, InvalidError or ForbiddenError.
        """
        portal, document = self._portal, self._document
        method = method_of(portal.site.registry, type(document), name)
        require(portal.user, "view", document)
        require(portal.user, method.permission, document)
        model = method.checked(parameters)
        self._check_on_error()
        record = Activity()
        record.path, record.uid, record.method = document.path, document.uid, name
        record.parameters = _json(name, model)
        record.login, record.token = portal.user.login, portal.user.token
        record.is_systems = portal.user is SYSTEM
        record.queue = method.queue
        self._set_options(record)
        outbox = Outbox.of(portal.root)
        twin = outbox.twin(record)
        if twin is None:
            outbox.add(record)
            ring_at_commit(portal, record)
        else:  # if that one is claimed before this commits, this conflicts: it may read the old state
            _read_current(portal, twin)
        return Job(portal, (twin or record).id)

    def _set_options(self, record: Activity) -> None:
        options = self._options
        record.tag, record.after_tags, record.priority = options.tag, options.after_tag, options.priority
        record.at = options.at.timestamp() if isinstance(options.at, datetime) else 0.0
        record.serialization_tag, record.dedupe_key = options.serialization_tag, options.dedupe_key
        record.near, record.group = options.near, options.group
        record.max_retries, record.on_error = options.max_retries, options.on_error
        record.is_kept = options.is_kept

    def _check_on_error(self) -> None:
        """Raise InvalidError for an `on_error` that could not be queued."""
        portal, document, name = self._portal, self._document, self._options.on_error
        if not name:
            return
        try:
            method = method_of(portal.site.registry, type(document), name)
            require(portal.user, method.permission, document)
            method.checked({"activity": "0" * 16, "error": "It failed"})
        except HaywainError as error:
            raise InvalidError(
                f"on_error: {name!r} must be a method that you may run on {document.path}, with the"
                f" parameters activity (an id) and error (a text): {error.detail}"
            ) from error


def _read_current(portal: "Portal", twin: Activity) -> None:
    if twin._p_jar is not None:  # else it is of this transaction
        twin._p_activate()  # a ghost has no serial yet
        portal.connection.readCurrent(twin)


def _json(name: str, model: BaseModel) -> str:
    try:
        text = json.dumps(model.model_dump(mode="json"), allow_nan=False)
    except ValueError as error:  # pydantic's own errors of serialization are such
        raise InvalidError(f"The parameters of {name} are no JSON: {error}") from error
    if len(text) > PARAMETER_BYTES:
        raise InvalidError(f"The parameters of {name} are longer than {PARAMETER_BYTES} bytes")
    return text
