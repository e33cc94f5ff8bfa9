"""Agreement: checks that the trees of an Outbox agree with the activities in it."""

from collections.abc import Callable, Iterator

from haywain.activity.outbox import Outbox, names_of
from haywain.activity.record import ENDED, Activity
from haywain.activity.shard import Shard, is_ready
from haywain.store.structure import Flaw

_Name = tuple[str, str, str]


def outbox_flaws(outbox: Outbox, length_of: Callable[[bytes], int | None]) -> Iterator[Flaw]:
    """Yield where an activity does not stand in the trees as it says, or something else stands there."""
    for number, shard in enumerate(outbox.shards):
        names = set[_Name]()
        places = 0
        for id, record in shard.activities.items():
            places += 1
            if record.id != id or outbox.shard(id) is not shard:
                yield Flaw(f"the activity {id} lies where {record.id} does")
            if (*record.place, id) not in shard.order:
                yield Flaw(f"the activity {id} does not stand in its place {record.place}")
            names |= set(_expected(record))
            record._p_deactivate()
        if places != len(shard.order):
            yield Flaw(f"shard {number} has {places} activities in {len(shard.order)} places")
        yield from _name_flaws(shard, names)
        yield from _waiting_flaws(outbox, shard)


def _expected(record: Activity) -> Iterator[_Name]:
    for kind, name in names_of(record):
        yield kind, name, record.id
    if record.tag and record.state not in ("done", "cancelled", "failed"):
        yield "holds", record.tag, record.id
    if record.may_be_grouped and is_ready(record.place):
        yield "group", record.group_key, record.id


def _name_flaws(shard: Shard, expected: set[_Name]) -> Iterator[Flaw]:
    found = set(shard.names)
    for kind, name, id in sorted(expected - found):
        yield Flaw(f"the activity {id} is not found by its {kind} {name!r}")
    for kind, name, id in sorted(found - expected):
        if kind != "holds" or not _may_hold(shard, id):
            yield Flaw(f"the activity {id} is found by the {kind} {name!r}, which it does not have")


def _may_hold(shard: Shard, id: str) -> bool:
    """Return whether an activity is a failed one, which holds its tag or has let go of it."""
    record: Activity | None = shard.activities.get(id)
    return record is not None and record.state == "failed" and bool(record.tag)


def _waiting_flaws(outbox: Outbox, shard: Shard) -> Iterator[Flaw]:
    for key, record in shard.keys.items():
        if (record.key, outbox.find(record.id)) != (key, record) or record.state in ENDED:
            yield Flaw(f"a dedupe key is that of the activity {record.id}, which does not wait under it")
    for name, serial in shard.serials.items():
        holder = outbox.find(serial.holder)
        if holder is not None and holder.serialization_tag != name:
            yield Flaw(f"the serialization tag {name!r} is held by the activity {holder.id} of another one")
