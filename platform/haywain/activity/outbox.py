"""Outbox: the ledger of activities, in `root.tools["outbox"]`.

Whatever happens to an activity happens in transactions on these trees, so that a kill between any two lines
leaves it in the place it had.  `settle` is the one rule of where it stands; it is asked again when an
activity is made, claimed, given back, and when a *gate* (a tag it waits for, a serialization tag) may open.
Two transactions may each see the other's activity at a gate and both leave it shut: hence whoever commits
tells the Workers which gates to look at, and a sweep looks at all of them now and then.
"""

import logging
import random
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, cast
from zlib import crc32

from BTrees.OOBTree import OOBTree
from persistent import Persistent
from ZODB.POSException import POSKeyError

from haywain import clock
from haywain.activity.record import Activity, Place
from haywain.activity.shard import Entry, Serial, Shard, is_ready, queue_of, ready_phase

if TYPE_CHECKING:
    from haywain.activity.canary import Canary
    from haywain.document import PortalRoot

_log = logging.getLogger(__name__)

SHARDS = 16
AT_ONCE = 50
"""Most activities that one transaction moves past a gate."""

Ready = dict[str, list[str]]
"""Ids of activities that may be claimed, by queue: of each shard the first is enough to wake others."""

Gate = tuple[str, str]
"""A phase (held, lined) and the tag that activities of that phase wait for."""


class Outbox(Persistent):  # type: ignore[misc]  # persistent has no types
    """All activities of a portal."""

    lists_methods: bool = False  # those that were made before methods were listed are not yet

    def __init__(self) -> None:
        """Begin empty."""
        self.lists_methods = True
        self.shards = tuple(Shard() for _ in range(SHARDS))
        self.beats = OOBTree()  # name of a process -> when it last said that it lives, seconds since 1970
        self.presences = OOBTree()  # the same -> what it is, a Presence

    canary: "Canary | None" = None
    presences: OOBTree | None = None  # in outboxes of before, until a process of now says what it is

    @classmethod
    def of(cls, root: "PortalRoot") -> "Outbox":
        """Return the outbox of a portal."""
        return cast(Outbox, root.tools["outbox"])

    # -- finding
    def shard(self, id: str) -> Shard:
        """Return the shard of an activity: ids end at random."""
        return self.shards[int(id[-1], 16)]

    def shard_of_name(self, name: str) -> Shard:
        """Return the shard that keeps a dedupe key or a serialization tag."""
        return self.shards[crc32(name.encode()) % SHARDS]

    def find(self, id: str) -> Activity | None:
        """Return an activity, None if there is none of this id, or its record is lost."""
        record = cast("Activity | None", self.shard(id).activities.get(id)) if is_id(id) else None
        return record if record is not None and _is_there(record) else None

    def firsts(self, phase: str, name: str | None = None) -> list[Entry]:
        """Return the first place of a phase in each shard that has one, the first of all first."""
        return sorted(found for shard in self.shards if (found := shard.first(phase, name)) is not None)

    def ready_firsts(self, queues: frozenset[str] = frozenset()) -> list[Entry]:
        """Return what may be claimed first in each shard and queue, the first of all first."""
        found = [entry for shard in self.shards for entry in shard.ready_firsts(queues)]
        return sorted(found, key=lambda entry: entry[1:])

    def ready_for_others(self, taken: Activity | None = None, before: float = inf) -> Ready:
        """Return, by queue, activities that may be claimed; but one, and those made since a time."""
        found: Ready = {}
        for phase, _, id in self.ready_firsts():
            if (taken is None or id != taken.id) and time_of(id) < before:
                found.setdefault(queue_of(phase), []).append(id)
        return found

    def next_time(self) -> float | None:
        """Return when the next activity that waits for its time may run, in seconds since 1970."""
        found = self.firsts("later")
        return float(found[0][1]) if found else None

    # -- changing
    def add(self, record: Activity) -> None:
        """Take an activity in, under an id made up for it."""
        record.id = new_id()
        while record.id in self.shard(record.id).activities:
            record.id = new_id()
        record.created = clock.now_s()
        shard = self.shard(record.id)
        shard.activities[record.id] = record
        for kind, name in names_of(record):
            shard.names.add((kind, name, record.id))
        if record.tag:
            shard.names.add(("holds", record.tag, record.id))
        if record.dedupe_key:
            self.shard_of_name(record.key).keys[record.key] = record
        self.settle(record)

    def twin(self, record: Activity) -> Activity | None:
        """Return the activity that waits under the dedupe key of another one, not yet added."""
        keys = self.shard_of_name(record.key).keys
        return cast("Activity | None", keys.get(record.key)) if record.dedupe_key else None

    def remove(self, record: Activity) -> None:
        """Forget an activity that has ended."""
        shard = self.shard(record.id)
        shard.order.remove((*record.place, record.id))
        for kind, name in names_of(record):
            if (kind, name, record.id) in shard.names:
                shard.names.remove((kind, name, record.id))
        del shard.activities[record.id]

    def list_methods(self) -> None:
        """Have the activities of an older database be found by their methods; done once."""
        if self.lists_methods:
            return
        for shard in self.shards:
            for id, record in shard.activities.items():
                if _is_there(record):
                    shard.names.add(("method", record.method, id))
        self.lists_methods = True

    def settle(self, record: Activity, at: float | None = None) -> None:
        """Put an activity that is not running where it waits or may be claimed; `at` is not before when."""
        record.claim = record.process = ""
        record.at = record.at if at is None else at
        place = self._place(record)
        if is_ready(place) and record.serialization_tag:
            self._serial(record.serialization_tag).holder = record.id
        self._move(record, place)

    def claim(self, record: Activity, process: str) -> str:
        """Give an activity to a Worker of a process; return the claim, by which the Worker knows it."""
        record.claim, record.process = secrets.token_hex(8), process
        record.started = clock.now_s()
        record.attempts += 1
        self._drop_key(record)
        self._move(record, ("claimed", record.started))
        return record.claim

    def end(self, record: Activity, state: str) -> None:
        """Move an activity to the archive as done, failed or cancelled; a failed one still holds its tag."""
        record.claim = record.process = ""
        record.is_cancelled = record.is_alone = False
        record.finished = clock.now_s()
        self._drop_key(record)
        held = ("holds", record.tag, record.id)
        if state != "failed" and record.tag and held in self.shard(record.id).names:
            self.shard(record.id).names.remove(held)
        self._move(record, (state, record.finished))

    def renew(self, record: Activity) -> None:
        """Queue an activity that ended without success once more; it goes on from its last step."""
        record.failures = record.deaths = 0
        record.spent_s = 0.0
        record.error = record.trace = record.followed_by = ""
        record.finished = 0.0
        if record.tag:
            self.shard(record.id).names.add(("holds", record.tag, record.id))
        self.settle(record, at=0.0)

    def open_gate(self, gate: Gate) -> int:
        """Let those through that need wait no more, at most `AT_ONCE`; return how many."""
        phase, name = gate
        if phase == "lined":
            return int(self._admit_next(name))
        if not self.is_open(gate):
            return 0
        found = [entry for shard in self.shards for entry in islice(shard.places("held", name), AT_ONCE)]
        for entry in sorted(found)[:AT_ONCE]:
            self._settle_at(entry)
        return min(len(found), AT_ONCE)

    def is_open(self, gate: Gate) -> bool:
        """Return whether those that wait at a gate, or the first of them, need wait no more."""
        phase, name = gate
        if phase == "held":
            return not self._is_held(name)
        found = self.firsts("lined", name)
        return bool(found) and self._is_free(name, found[0][2])

    def is_stuck(self) -> bool:
        """Return whether nothing runs or may run, now or later: all that is queued waits."""
        if self.ready_firsts() or any(self.firsts(phase) for phase in ("later", "claimed")):
            return False
        return not any(map(self.is_open, self.gates()))

    def gates(self) -> set[Gate]:
        """Return all gates at which something waits."""
        return {
            (phase, name)
            for phase in ("held", "lined")
            for shard in self.shards
            for name in shard.gates(phase)
        }

    def loaded(self, entry: Entry) -> Activity | None:
        """Return the activity that stands in a place; None if its record is lost, and then none stands there.

        Else it would stay the first, and what waits behind it would wait for ever.
        """
        record = cast(Activity, self.shard(entry[2]).activities[entry[2]])
        if _is_there(record):
            return record
        _log.error("the activity %s is lost: the database lacks its record; start it again", entry[2])
        for shard in self.shards:
            shard.forget(entry, record)
        return None

    def _key_of(self, entry: Entry) -> str:
        """Return the key by which an activity is near somebody; "" if it has none."""
        record = self.find(entry[2])
        return record.near if record is not None else ""

    def _settle_at(self, entry: Entry) -> Activity | None:
        record = self.loaded(entry)
        if record is not None:
            self.settle(record)
        return record

    def next_ready(
        self,
        is_contended: bool = False,
        queues: frozenset[str] = frozenset(),
        is_near: Callable[[str], bool] | None = None,
    ) -> Activity | None:
        """Return what is to run next: the highest priority, then the oldest; None if nothing may run.

        Of these queues, of all if none is named; rather one whose key is near, if that is asked.

        Where another process was quicker to claim, one at random of those that are first in their shards: if
        all went for the oldest, all but one would meet a conflict each time.
        """
        now = clock.now_s()
        for entry in self.firsts("later"):
            if entry[1] <= now:
                self._settle_at(entry)
        while found := self.ready_firsts(queues):
            equals = [entry for entry in found if entry[1] == found[0][1]]
            if is_near is not None:
                equals = [entry for entry in equals if is_near(self._key_of(entry))] or equals
            # since it became ready, something may have come to hold it back
            record = self._settle_at(random.choice(equals) if is_contended else equals[0])  # noqa: S311  # no secret
            if record is not None and is_ready(record.place):
                return record
        return None

    def _place(self, record: Activity) -> Place:
        if record.at > clock.now_s():
            return ("later", record.at)
        held = next((tag for tag in record.after_tags if self._is_held(tag)), None)
        if held is not None:
            return ("held", (held, -record.priority))
        name = record.serialization_tag
        if name and not self._is_free(name, record.id):
            return ("lined", (name, -record.priority))
        return (ready_phase(record.queue), -record.priority)

    def _move(self, record: Activity, place: Place) -> None:
        """Move it; if it had a serialization tag and can use it no more, the next one gets it."""
        had = _has_turn(record.place)
        self.shard(record.id).move(record, place)
        if record.group:
            self._list_in_group(record)
        if had and record.serialization_tag and not _has_turn(place):
            serial = self._serial(record.serialization_tag)
            serial.holder = ""
            if not self._admit_next(record.serialization_tag):
                del self.shard_of_name(record.serialization_tag).serials[record.serialization_tag]

    def _list_in_group(self, record: Activity) -> None:
        """Have those that are ready to be run with others of their group be found by it, and no other."""
        names, entry = self.shard(record.id).names, ("group", record.group_key, record.id)
        if record.may_be_grouped and is_ready(record.place):
            names.add(entry)
        elif entry in names:
            names.remove(entry)

    def _admit_next(self, name: str) -> bool:
        for _ in range(AT_ONCE):
            found = self.firsts("lined", name)
            if not found or not self._is_free(name, found[0][2]):
                return False
            record = self._settle_at(found[0])
            if record is not None and is_ready(record.place):
                return True
        return False

    def _is_held(self, tag: str) -> bool:
        return any(next(shard.named("holds", tag), None) is not None for shard in self.shards)

    def _is_free(self, name: str, id: str) -> bool:
        """Return whether a serialization tag is nobody's else: a holder that cannot run has lost it."""
        serial = cast("Serial | None", self.shard_of_name(name).serials.get(name))
        if serial is None or serial.holder in ("", id):
            return True
        holder = self.find(serial.holder)
        return holder is None or not _has_turn(holder.place)

    def _serial(self, name: str) -> Serial:
        serials = self.shard_of_name(name).serials
        if name not in serials:
            serials[name] = Serial()
        return cast(Serial, serials[name])

    def _drop_key(self, record: Activity) -> None:
        if self.twin(record) is record:
            del self.shard_of_name(record.key).keys[record.key]


def gates_of(records: Iterable[Activity]) -> set[Gate]:
    """Return the gates that a transaction may have opened, or shut while they open, by these activities."""
    found: set[Gate] = set()
    for record in records:
        found |= {("held", tag) for tag in (record.tag, *record.after_tags) if tag}
        found |= {("lined", record.serialization_tag)} if record.serialization_tag else set()
    return found


def names_of(record: Activity) -> Iterator[tuple[str, str]]:
    """Yield the (kind, name) by which an activity is listed."""
    yield "path", record.path
    yield "method", record.method
    if not record.is_systems:
        yield "login", record.login
    if record.tag:
        yield "tag", record.tag


def is_id(text: str) -> bool:
    """Return whether a text has the form of an activity's id.

    >>> is_id("019ab1c2d3e00f4b"), is_id("zzz")
    (True, False)
    """
    return len(text) == 16 and all(c in "0123456789abcdef" for c in text)


def time_of(id: str) -> float:
    """Return when an activity was made, in seconds since 1970.

    >>> time_of("019ab1c2d3e00f4b")
    110244932.926
    """
    return int(id[:11], 16) / 1000


class _Ids:
    """Ids of one process, each greater than those before."""

    def __init__(self) -> None:
        self._lock, self._last = threading.Lock(), (0, 0)

    def next(self) -> str:
        now = int(clock.now_s() * 1000)
        with self._lock:
            millis, number = self._last
            later = (now, 0) if now > millis else (millis + ((number + 1) >> 12), (number + 1) & 0xFFF)
            self._last = later
        return f"{later[0]:011x}{later[1]:03x}{secrets.token_hex(1)}"


_ids = _Ids()


def new_id() -> str:
    """Return an id that grows with time: milliseconds, a number within them, and two digits at random.

    Of two made in this process the later one is the greater: they run in the order in which they were made.
    """
    return _ids.next()


def _has_turn(place: Place) -> bool:
    """Return whether what stands in a place runs or may, and so has its serialization tag."""
    return place[0] == "claimed" or is_ready(place)


def _is_there(record: Activity) -> bool:
    try:
        record._p_activate()
    except POSKeyError:
        return False
    return True
