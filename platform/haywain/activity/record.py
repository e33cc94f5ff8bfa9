"""Activity: what the database keeps of one piece of background work, until its archive is over."""

import json
from hashlib import sha256
from typing import Any

from persistent import Persistent

from haywain import clock
from haywain.activity.kept import Kept
from haywain.security import User
from haywain.store.array import Array

LOG_LINES = 200
"""Lines of its log that an activity keeps, the last ones."""
LINE_LENGTH = 500
ERROR_LENGTH, TRACE_LENGTH = 2_000, 20_000

ENDED = ("done", "failed", "cancelled")
"""States in which nothing happens any more unless somebody asks."""

Place = tuple[str, Any]  # Any: a time, a priority or a tag; one phase has one type
"""Where an activity stands: its phase and what it is sorted by there."""

_STATES = {"claimed": "running", "done": "done", "failed": "failed", "cancelled": "cancelled"}


class Activity(Persistent):  # type: ignore[misc]  # persistent has no types
    """One method, to be run once on one document as the user who asked for it.

    JSON (parameters, cursor, result) is kept as text, so that it is loaded as what was stored.
    """

    id: str = ""
    place: Place = ("", 0)

    path: str = ""
    uid: int = 0  # another document may come to lie at the path
    method: str = ""
    parameters: str = "{}"

    login: str = ""
    is_systems: bool = False  # made by the portal itself, or by the owner of its directory
    token: str = ""  # path of the Token it was asked for with

    tag: str = ""
    after_tags: tuple[str, ...] = ()
    priority: int = 0
    at: float = 0.0
    serialization_tag: str = ""
    dedupe_key: str = ""
    group: str = ""
    is_alone: bool = False  # it is not run with others of its group until it ends
    max_retries: int | None = None
    near: str = ""  # Workers of one machine take those of one key, if they can
    queue: str = "default"  # only Workers that take it claim it
    on_error: str = ""  # the method that is queued on the same document when it fails
    followed_by: str = ""  # the id of that
    is_kept: bool = True  # in the archive, once it is done

    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    spent_s: float = 0.0

    claim: str = ""  # made up anew by each claim: whose number is another's has lost the activity
    process: str = ""
    attempts: int = 0
    failures: int = 0
    deaths: int = 0
    is_cancelled: bool = False  # somebody wants it to be, while it runs

    progress: float = 0.0
    cursor: str = "{}"
    kept: Kept | None = None  # until it is done
    rows: Array | None = None  # the same
    result: str = "null"
    error: str = ""
    trace: str = ""
    log: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """One of queued, running, done, failed, cancelled."""
        return _STATES.get(self.place[0], "queued")

    @property
    def key(self) -> str:
        """Return the dedupe key as the outbox keeps it.

        Others credentials, another document or method, and other parameters have their own.
        """
        who = (str(self.is_systems), self.login, self.token)
        parameters = sha256(self.parameters.encode()).hexdigest()
        return "\0".join((*who, str(self.uid), self.method, parameters, self.dedupe_key))

    @property
    def group_key(self) -> str:
        """Return the name of those that may share a transaction: they differ in document and parameters."""
        who = (str(self.is_systems), self.login, self.token)
        return "\0".join((*who, self.method, self.queue, str(self.priority), self.group))

    @property
    def may_be_grouped(self) -> bool:
        """Return whether it may share a transaction with others of its group."""
        return bool(self.group) and not self.serialization_tag and not self.is_alone

    @property
    def waits_for(self) -> str:
        """Say what holds a queued activity back; "" where nothing does."""
        phase, key = self.place
        if phase == "later":
            return f"the time {clock.iso(key)}"
        if phase == "held":
            return f"the tag {key[0]!r}"
        return f"the serialization tag {key[0]!r}" if phase == "lined" else ""

    def follow_up(self) -> "Activity":
        """Return what is to run now that this one has failed: the method it asked for, as the same user."""
        made = Activity()
        made.path, made.uid, made.method = self.path, self.uid, self.on_error
        made.login, made.is_systems, made.token = self.login, self.is_systems, self.token
        made.priority = self.priority
        made.parameters = json.dumps({"activity": self.id, "error": self.error})
        return made

    def is_seen_by(self, user: User) -> bool:
        """Return whether a user may see it: who made it and Managers may."""
        rights = user.permissions()
        return "manage" in rights or (
            not self.is_systems and self.login == user.login and bool({"view", "activity"} & rights)
        )

    def note(self, lines: list[str]) -> None:
        """Add lines to the log, of which the last stay."""
        added = tuple(line[:LINE_LENGTH] for line in lines[-LOG_LINES:])
        self.log = (*self.log, *added)[-LOG_LINES:]

    def summary(self) -> dict[str, Any]:  # Any: JSON
        """Return what a list shows of it, as JSON."""
        return {
            "id": self.id,
            "url": f"/api/v1/activities/{self.id}",
            "state": self.state,
            "progress": self.progress,
            "result": json.loads(self.result),
            "error": self.error or None,
            "method": self.method,
            "path": self.path,
            "tag": self.tag,
            "user": self.login,
            "attempts": self.attempts,
            "waits_for": self.waits_for or None,
            "created": clock.iso(self.created),
            "started": clock.iso(self.started) if self.started else None,
            "finished": clock.iso(self.finished) if self.finished else None,
            "duration_s": round(self.spent_s, 3),
        }

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return all there is to tell of it, as JSON."""
        return self.summary() | {
            "parameters": json.loads(self.parameters),
            "after_tag": list(self.after_tags),
            "priority": self.priority,
            "queue": self.queue,
            "serialization_tag": self.serialization_tag,
            "dedupe_key": self.dedupe_key,
            "group": self.group,
            "on_error": self.on_error,
            "followed_by": self.followed_by or None,
            "failures": self.failures,
            "deaths": self.deaths,
            "trace": self.trace,
            "log": list(self.log),
        }
