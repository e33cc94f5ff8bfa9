"""Who runs activities: what processes say of themselves, the canary, and on which machine work is near."""

import os

import pytest
from tests.activity.conftest import claim, drain
from tests.conftest import Clock

from haywain.activity.canary import MISSED, PERIOD_S, silent_since_s, tend
from haywain.activity.listing import Wanted, list_activities
from haywain.activity.outbox import Outbox
from haywain.activity.presence import Presence, beat, is_near, machines, processes
from haywain.activity.process import machine, machine_of, process_name
from haywain.activity.status import status
from haywain.activity.sweeper import sweep, take_back
from haywain.document import Document
from haywain.portal import Portal, Site
from haywain.security import SYSTEM

FAR = "barn-7:0123456789ab:99:aaaaaaaa"
SELF = Presence(5.0, 2, "gpu")


def test_a_process_says_what_it_is_until_it_is_silent(site: Site, portal: Portal, set_clock: Clock) -> None:
    site.transact(lambda p: beat(Outbox.of(p.root), FAR, SELF))
    portal.abort()
    (found,) = processes(Outbox.of(portal.root))
    assert (found.name, found.presence, found.is_alive, found.runs) == (FAR, SELF, True, ())
    assert machines(Outbox.of(portal.root)) == [machine_of(FAR)]
    set_clock.forward(31)
    assert not found.is_alive and machines(Outbox.of(portal.root)) == []
    set_clock.forward(days=1)
    site.transact(lambda p: beat(Outbox.of(p.root), process_name(), SELF))
    portal.abort()
    assert [process.name for process in processes(Outbox.of(portal.root))] != [FAR]


def test_one_that_is_gone_from_this_machine_is_forgotten_and_what_it_ran_goes_on(
    site: Site, portal: Portal, stream: Document
) -> None:
    job = stream.activate().write()
    portal.commit()
    gone = f"here-{os.getpid()}:{machine()}:1:aaaaaaaa"  # this process began later than that one
    site.transact(lambda p: beat(Outbox.of(p.root), gone, SELF))
    claim(site, gone, job.id)
    portal.abort()
    (found,) = processes(Outbox.of(portal.root))
    assert not found.is_alive and [run.id for run in found.runs] == [job.id]
    site.transact(lambda p: take_back(p, "another", frozenset(), is_sole=False, judges=False))
    assert job.state == "queued" and job.as_dict()["deaths"] == 1
    site.transact(lambda p: beat(Outbox.of(p.root), FAR, SELF))
    portal.abort()
    assert [process.name for process in processes(Outbox.of(portal.root))] == [FAR]


def test_a_sole_process_shows_itself_and_writes_nothing(site: Site, portal: Portal) -> None:
    before = site.storage.lastTransaction()
    for _ in range(3):
        sweep(site.workers)
        site.workers.beat_if_due()
    found = status(portal)
    assert [process.name for process in found.processes] == [site.workers.process]
    assert (found.ready, found.silent_since_s) == (0, None) and site.storage.lastTransaction() == before


def test_the_canary_tells_since_when_nobody_runs_anything(
    site: Site, portal: Portal, set_clock: Clock
) -> None:
    def since() -> float | None:
        portal.abort()
        return silent_since_s(Outbox.of(portal.root))

    for _ in range(5):
        site.transact(tend)
        drain(site)
        set_clock.forward(PERIOD_S)
        assert since() is None and status(portal).canary_s == set_clock.now_s - PERIOD_S
    queued_s = set_clock.now_s
    for _ in range(MISSED + 1):
        site.transact(tend)
        set_clock.forward(PERIOD_S)
    assert since() == queued_s and status(portal).ready == 1
    drain(site)
    assert since() is None
    entries = [entry for shard in Outbox.of(portal.root).shards for entry in shard.order]
    assert len(entries) == 1  # the archive does not fill with them
    assert list_activities(Outbox.of(portal.root), SYSTEM, Wanted()).count == 0


@pytest.mark.parametrize(("queues", "is_there"), [("", True), ("gpu,default", True), ("gpu", False)])
def test_whoever_is_busy_with_what_was_before_is_there(
    site: Site, portal: Portal, stream: Document, set_clock: Clock, queues: str, is_there: bool
) -> None:
    def since() -> float | None:
        portal.abort()
        return silent_since_s(Outbox.of(portal.root))

    job = stream.activate().write()
    portal.commit()
    claim(site, FAR, job.id)
    queued_s = set_clock.now_s
    site.transact(tend)
    set_clock.forward(PERIOD_S * MISSED)
    site.transact(lambda p: beat(Outbox.of(p.root), FAR, Presence(5.0, 1, queues)))
    assert since() == (None if is_there else queued_s)
    set_clock.forward(31)
    assert since() == queued_s


def test_each_key_falls_to_one_machine_and_stays_there_when_another_one_goes() -> None:
    all = ["a", "b", "c"]
    keys = [f"data_stream_module/x {number}" for number in range(300)]
    homes = {key: [here for here in all if is_near(key, here, all)] for key in keys}
    assert all == sorted({home for found in homes.values() for home in found})
    assert {len(found) for found in homes.values()} == {1}
    left = [key for key in keys if homes[key] != ["c"]]
    assert [is_near(key, homes[key][0], ["a", "b"]) for key in left] == [True] * len(left)


def test_what_is_near_is_taken_first_and_what_is_not_all_the_same(
    site: Site, portal: Portal, stream: Document
) -> None:
    jobs = [stream.activate(near=f"k{number % 3}").write(text=str(number)) for number in range(24)]
    urgent = stream.activate(near="k0", priority=1).write()
    portal.commit()
    outbox, taken = Outbox.of(portal.root), []
    while firsts := outbox.ready_firsts():
        keys = {record.near for entry in firsts if (record := outbox.find(entry[2]))}
        found = outbox.next_ready(is_near=lambda key: key == "k1")
        assert found is not None
        outbox.claim(found, "test")
        taken.append(found.id)
        assert found.id == urgent.id if len(taken) == 1 else (found.near == "k1") == ("k1" in keys)
    assert len(taken) == len(jobs) + 1
    portal.abort()
