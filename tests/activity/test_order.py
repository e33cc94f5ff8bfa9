"""What runs when: priority, time, tags, serialization, dedupe keys."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.activity.conftest import claim, content, drain, record_of
from tests.conftest import Clock
from ZODB.Connection import TransactionMetaData

from haywain.activity.kind import Work
from haywain.activity.listing import Wanted, list_activities
from haywain.activity.outbox import Outbox, new_id
from haywain.activity.sweeper import sweep
from haywain.document import Document
from haywain.portal import Portal, Site
from haywain.security import SYSTEM, User
from haywain.settings import load

Whats = dict[str, Callable[[Work], Any]]


def places(portal: Portal) -> list[str]:
    """Return the phases of all activities, in the order in which they were made."""
    portal.abort()
    outbox = Outbox.of(portal.root)
    entries = [entry for shard in outbox.shards for entry in shard.order]
    return [phase for id, phase in sorted((entry[2], entry[0]) for entry in entries)]


def test_first_made_runs_first_and_priority_before_that(site: Site, portal: Portal, stream: Document) -> None:
    for letter in "abcdefgh":
        stream.activate().write(text=letter)
    for letter in "123":
        stream.activate(priority=5).write(text=letter)
    stream.activate(priority=-1).write(text="z")
    portal.commit()
    drain(site)
    assert content(portal, stream) == b"123abcdefghz"


def test_where_others_claim_too_another_of_that_priority_is_next(portal: Portal, stream: Document) -> None:
    for priority in (1, 2):
        for _ in range(40):
            stream.activate(priority=priority).write()
    outbox = Outbox.of(portal.root)
    first = outbox.next_ready()
    found = [outbox.next_ready(is_contended=True) for _ in range(40)]
    assert {record.priority for record in found if record} == {2}
    assert len({record.id for record in found if record}) > 3
    assert outbox.next_ready() is first


def lose(site: Site, portal: Portal, id: str) -> None:
    """Have the database lack the record of an activity."""
    record = record_of(portal, id)
    removal = TransactionMetaData()
    site.storage.tpc_begin(removal)
    site.storage.deleteObject(record._p_oid, record._p_serial, removal)
    site.storage.tpc_vote(removal)
    site.storage.tpc_finish(removal)
    portal.connection.cacheMinimize()


@pytest.mark.parametrize("state", ["claimed", "done", "holder"])
def test_a_sweep_passes_over_an_activity_whose_record_is_lost(
    site: Site, portal: Portal, stream: Document, set_clock: Clock, state: str
) -> None:
    lost = stream.activate(serialization_tag="line").write(text="a")
    portal.commit()
    if state == "claimed":
        claim(site, "of another", lost.id)
    if state == "done":
        drain(site)
    before = content(portal, stream)
    lose(site, portal, lost.id)
    stream.activate(serialization_tag="line").write(text="b")
    portal.commit()
    set_clock.forward(400 * 86_400)
    sweep(site.workers)
    drain(site)
    assert content(portal, stream) == before + b"b"
    page = list_activities(Outbox.of(portal.root), SYSTEM, Wanted(limit=1))
    assert [item.id == lost.id for item in page.items] == [False]
    sweep(site.workers)


def test_an_activity_whose_record_is_lost_stops_no_other(
    site: Site, portal: Portal, stream: Document, caplog: pytest.LogCaptureFixture
) -> None:
    lost = stream.activate(tag="both", dedupe_key="one").write(text="a")
    stream.activate(after_tag="both").write(text="b")
    portal.commit()
    lose(site, portal, lost.id)
    assert [item.id for item in list_activities(Outbox.of(portal.root), SYSTEM, Wanted()).items] != []
    drain(site)
    sweep(site.workers)
    drain(site)
    assert content(portal, stream) == b"b" and f"{lost.id} is lost" in caplog.text
    stream.activate(dedupe_key="one").write(text="c")
    portal.commit()
    drain(site)
    assert content(portal, stream) == b"bc"


def test_nothing_runs_before_its_time(site: Site, portal: Portal, stream: Document, set_clock: Clock) -> None:
    stream.activate(at=set_clock.now_s + 60).write(text="b")
    stream.activate().write(text="a")
    portal.commit()
    drain(site)
    assert content(portal, stream) == b"a"
    set_clock.forward(61)
    drain(site)
    assert content(portal, stream) == b"ab"


def test_after_tag_waits_for_all_that_have_it(site: Site, portal: Portal, stream: Document) -> None:
    last = stream.activate(after_tag=("parts", "others"), priority=9).write(text="!")
    for letter in "abc":
        stream.activate(tag="parts").write(text=letter)
    stream.activate(tag="others", priority=-9).write(text="d")
    portal.commit()
    assert last.state == "queued"
    drain(site)
    assert content(portal, stream) == b"abcd!"


def test_failed_activity_holds_its_tag_until_it_is_cancelled_or_done(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    def refuse(work: Work) -> None:
        raise ValueError("no")

    whats["work"] = refuse
    one, two = (stream.activate(tag="t").call(what="work") for _ in "ab")
    waiter = stream.activate(after_tag="t").write(text="w")
    portal.commit()
    drain(site)
    assert (one.state, two.state, waiter.state) == ("failed", "failed", "queued")
    one.cancel()
    drain(site)
    assert waiter.as_dict()["waits_for"] == "the tag 't'"
    whats["work"] = lambda work: None
    two.retry()
    drain(site)
    assert (two.state, waiter.state) == ("done", "done")


def test_many_waiters_pass_at_once(site: Site, portal: Portal, stream: Document) -> None:
    stream.activate(tag="first").write(text="-")
    for _ in range(120):
        stream.activate(after_tag="first").write()
    portal.commit()
    site.workers.run_next()
    assert places(portal).count("held") == 120
    site.workers.run_next()
    site.workers.run_next()
    site.workers.run_next()
    assert places(portal).count("held") == 0


def test_of_a_serialization_tag_one_is_let_in_at_a_time(site: Site, portal: Portal, stream: Document) -> None:
    for letter in "abc":
        stream.activate(serialization_tag="s").write(text=letter)
    portal.commit()
    assert places(portal) == ["ready", "lined", "lined"]
    site.workers.run_next()
    assert places(portal) == ["done", "ready", "lined"]
    drain(site)
    assert content(portal, stream) == b"abc"
    outbox = Outbox.of(portal.root)
    assert not any(len(shard.serials) for shard in outbox.shards)  # nothing is left of the tag


def test_serialization_tag_is_free_while_its_holder_waits_to_be_tried_again(
    site: Site, portal: Portal, stream: Document, whats: Whats
) -> None:
    def fail(work: Work) -> None:
        raise OSError("no")

    whats["fail"] = fail
    first = stream.activate(serialization_tag="s").call(what="fail")
    second = stream.activate(serialization_tag="s").write()
    portal.commit()
    drain(site)
    assert (first.state, second.state) == ("queued", "done")


def test_cancelled_holder_lets_the_next_in(site: Site, portal: Portal, stream: Document) -> None:
    first, second = (stream.activate(serialization_tag="s").write() for _ in "ab")
    portal.commit()
    first.cancel()
    assert places(portal) == ["cancelled", "ready"]
    assert second.wait().state == "done"


def test_both_tags_hold_in_turn(site: Site, portal: Portal, stream: Document) -> None:
    stream.activate(tag="t", serialization_tag="s").write(text="a")
    stream.activate(after_tag="t", serialization_tag="s").write(text="b")
    stream.activate(serialization_tag="s").write(text="c")
    portal.commit()
    drain(site)
    assert sorted(content(portal, stream)) == sorted(b"abc")


def test_dedupe_key_merges_while_the_first_waits(site: Site, portal: Portal, stream: Document) -> None:
    first = stream.activate(dedupe_key="k").write()
    again = stream.activate(dedupe_key="k").write()
    portal.commit()
    third = stream.activate(dedupe_key="k").write()
    portal.commit()
    assert first.id == again.id == third.id
    drain(site)
    assert content(portal, stream) == b"x"
    fourth = stream.activate(dedupe_key="k").write()
    assert fourth.id != first.id


def test_dedupe_key_is_of_one_user_document_and_method(site: Site, portal: Portal, stream: Document) -> None:
    other = portal.new("Data Stream")
    made = {stream.activate(dedupe_key="k").write().id, other.activate(dedupe_key="k").write().id}
    made.add(stream.activate(dedupe_key="k").call(what="x").id)
    portal.commit()
    with site.open(User("ann", frozenset({"Analyst"}))) as hers:
        made.add(hers[stream.path].activate(dedupe_key="k").write().id)
    assert len(made) == 4


def test_merging_with_one_that_is_claimed_meanwhile_conflicts(
    site: Site, portal: Portal, stream: Document
) -> None:
    """It may have read the state from before this transaction."""
    first = stream.activate(dedupe_key="k").write(text="1")
    portal.commit()

    ids: list[str] = []

    def change(own: Portal) -> None:
        own[stream.path].edit(title="changed")
        ids.append(own[stream.path].activate(dedupe_key="k").write(text="1").id)
        if len(ids) == 1:
            drain(site)

    site.transact(change)
    assert ids[0] == first.id and ids[1] != first.id
    drain(site)
    assert content(portal, stream) == b"11"


def test_archive_ends(site: Site, portal: Portal, stream: Document, set_clock: Clock) -> None:
    jobs = [stream.activate(tag="t").write() for _ in range(60)]
    late = stream.activate(at=set_clock.now_s + 31 * 86_400).write()
    portal.commit()
    drain(site)
    set_clock.forward(days=29)
    sweep(site.workers)
    assert {job.state for job in jobs} == {"done"}
    set_clock.forward(days=1.1)
    sweep(site.workers)
    portal.abort()
    outbox = Outbox.of(portal.root)
    assert [id for shard in outbox.shards for id in shard.activities] == [late.id]
    assert sum(len(shard.order) for shard in outbox.shards) == 1
    assert sum(len(shard.names) for shard in outbox.shards) == 2  # its path and its method
    assert record_of(portal, late.id).state == "queued"


def test_settings_bound_the_archive() -> None:
    with pytest.raises(Exception, match="activity_days"):
        load(activity_days=-1)


def test_ids_grow_even_when_the_clock_does_not(set_clock: Clock) -> None:
    found = [new_id() for _ in range(10_000)]
    set_clock.forward(-5)
    found.append(new_id())
    assert found == sorted(found) and len({id[:14] for id in found}) == len(found)


def test_dedupe_key_is_of_one_credential_and_of_its_parameters(
    site: Site, portal: Portal, stream: Document
) -> None:
    """One that serves others has their rights, and what they asked for."""
    users = [
        User("ann", frozenset({"Analyst"})),
        User("ann", frozenset({"Analyst"}), frozenset({"activity"}), "token_module/1"),
        User("ann", frozenset({"Analyst"}), frozenset({"activity"}), "token_module/2"),
        User("system", frozenset({"Analyst"})),
    ]
    made = {stream.activate(dedupe_key="k").write(text=text).id for text in "ab"}
    for user in users:
        portal.user = user
        made.add(stream.activate(dedupe_key="k").write(text="a").id)
        made.add(stream.activate(dedupe_key="k").write(text="a").id)
    assert len(made) == 6


def test_activities_that_wait_for_each_other_fail_one_by_one(
    site: Site, portal: Portal, stream: Document
) -> None:
    """The first was ready when the second was made, which waits for it."""
    first = stream.activate(tag="ingest", after_tag="analyse").write(text="1")
    portal.commit()
    second = stream.activate(tag="analyse", after_tag="ingest").write(text="2")
    other = stream.activate(after_tag="ingest").write(text="3")
    portal.commit()
    assert second.wait().state == "failed"
    assert "'ingest', and what has that tag waits in the end for 'analyse', its own" in (second.error or "")
    assert (first.state, other.state) == ("queued", "queued")
    second.cancel()
    drain(site)
    assert content(portal, stream) == b"13"


def test_sweep_finds_circles_of_many_tags(site: Site, portal: Portal, stream: Document) -> None:
    """What only waits for a circle is not of it."""
    jobs = [stream.activate(tag=f"t{n}", after_tag=f"t{(n + 1) % 5}").write() for n in range(5)]
    before = stream.activate(tag="before", after_tag="t3").write()
    behind = stream.activate(after_tag="before").write()
    portal.commit()
    site.workers.run_next()
    sweep(site.workers)
    assert [job.state for job in jobs] == [*["queued"] * 4, "failed"]
    assert {job.state for job in (before, behind)} == {"queued"}
    jobs[4].cancel()
    drain(site)
    assert {job.state for job in (*jobs[:4], before, behind)} == {"done"}


def test_waiting_is_not_given_up_while_a_gate_is_open(
    site: Site, portal: Portal, stream: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it waited for ended elsewhere since this thread found nothing to run."""
    first = stream.activate(tag="t").write(text="1")
    second = stream.activate(after_tag="t").write(text="2")
    portal.commit()
    elsewhere = [claim(site, site.workers.process, first.id)]
    run_next = site.workers.run_next

    def and_then() -> float:
        idle_s = run_next()
        while elsewhere:
            elsewhere.pop().run()
        return idle_s

    monkeypatch.setattr(site.workers, "run_next", and_then)
    assert second.wait(30).state == "done"
    assert content(portal, stream) == b"12"
