"""Deadlock: activities that wait by their tags for each other, so that none of them can ever run.

Each may have been made before the other one's tag was there, or come to wait only as it was about to run.
An activity waits for all that have the tag it stands at, so a circle of tags is certain to last.
"""

from typing import TYPE_CHECKING

from haywain.activity.ending import end_failed
from haywain.activity.outbox import AT_ONCE, Outbox
from haywain.activity.record import Activity

if TYPE_CHECKING:
    from haywain.portal import Portal

_Waits = dict[str, dict[str, str]]
"""By tag, what activities of that tag wait for, and the youngest of them that does."""


def fail_deadlocked(portal: "Portal") -> bool:
    """Fail the youngest activity of each circle, at most `AT_ONCE`; return whether there may be more.

    It keeps its tag, as all that failed do: the others run when somebody has cancelled it.
    """
    outbox = Outbox.of(portal.root)
    for _ in range(AT_ONCE):
        record = youngest_deadlocked(outbox)
        if record is None:
            return False
        record.error = (
            f"It waits for the tag {record.place[1][0]!r}, and what has that tag waits in the end for"
            f" {record.tag!r}, its own: none of them can run before one is cancelled"
        )
        end_failed(portal, record)
    return True


def youngest_deadlocked(outbox: Outbox) -> Activity | None:
    """Return the youngest activity of a circle, None if there is no circle.  Loads no other."""
    waits = _waits(outbox)
    circle = _circle(waits)
    ids = [waits[tag][circle[number - len(circle) + 1]] for number, tag in enumerate(circle)]
    return outbox.find(max(ids)) if ids else None


def _waits(outbox: Outbox) -> _Waits:
    stands_at = {id: key[0] for shard in outbox.shards for _, key, id in shard.places("held")}
    found: _Waits = {}
    for tag in set(stands_at.values()):
        for shard in outbox.shards:
            for _, _, id in shard.named("holds", tag):
                if id in stands_at:
                    ahead = found.setdefault(tag, {})
                    ahead[stands_at[id]] = max(id, ahead.get(stands_at[id], ""))
    return found


def _circle(waits: _Waits) -> list[str]:
    """Return tags each of which waits for the next, and the last for the first; [] where there are none."""
    done: set[str] = set()
    for start in waits:
        path = {start: iter(waits[start])} if start not in done else {}
        while path:
            last = next(reversed(path))
            tag = next(path[last], None)
            if tag is None:
                done.add(last)
                del path[last]
            elif tag in path:
                return list(path)[list(path).index(tag) :]
            elif tag in waits and tag not in done:
                path[tag] = iter(waits[tag])
    return []
