"""What is queued behind a transaction: once, by the portal itself, and never in the transaction's way."""

from typing import Any

import pytest

from haywain.activity.afterwards import activate_afterwards, want_afterwards
from haywain.activity.care import Care
from haywain.activity.outbox import Outbox
from haywain.activity.record import Activity
from haywain.portal import Portal, Site
from haywain.portal_types.data_array import DataArray
from haywain.security import User

ADA = User("ada", frozenset({"Viewer"}))


@pytest.fixture
def path(site: Site) -> str:
    return site.transact(lambda portal: str(portal.new("Data Array").path))[0]


def queued(site: Site, path: str) -> list[Activity]:
    with site.open() as portal:
        shards = Outbox.of(portal.root).shards
        found = [record for shard in shards for record in shard.activities.values() if record.path == path]
        return [record for record in found if record.state == "queued"]


def test_it_is_queued_once_by_the_portal_itself_when_the_transaction_has_committed(
    site: Site, path: str
) -> None:
    """Whoever gave the reason may not have the right to ask for work."""
    with site.open(ADA) as portal:
        for _ in range(3):
            activate_afterwards(portal[path], "compact", priority=-5)
        assert not queued(site, path)
        portal.commit()
        (record,) = queued(site, path)
        assert (record.method, record.priority, record.is_systems) == ("compact", -5, True)
        portal.commit()
        assert len(queued(site, path)) == 1


def test_what_is_aborted_queues_nothing(site: Site, path: str) -> None:
    with site.open() as portal:
        activate_afterwards(portal[path], "compact")
        portal.abort()
        portal.commit()
    assert not queued(site, path)


def test_a_waiting_one_with_the_same_key_serves_both_and_does_not_disturb(site: Site, path: str) -> None:
    """It is claimed by a Worker between the asking and the commit."""

    def ask(portal: Portal) -> None:
        activate_afterwards(portal[path], "compact", dedupe_key="one")

    for _ in range(3):
        site.transact(ask)
    assert len(queued(site, path)) == 1
    with site.open() as portal:
        portal[path].edit(title="changed beside it")
        ask(portal)
        while site.workers.run_next() == 0:
            pass
        portal.commit()
        assert portal[path].title == "changed beside it"
    assert len(queued(site, path)) == 1


def test_the_session_goes_on_as_if_nothing_had_been(site: Site, path: str) -> None:
    with site.open() as portal:
        array: Any = portal[path]  # Any: one kind of document
        array.create((3,), "<i8")
        view = array[:]
        view[1] = 5
        activate_afterwards(array, "compact")
        tid = portal.commit()
        assert portal.connection.last_tid.hex() == tid
        assert view.tolist() == array[:].tolist() == [0, 5, 0]
        view[2] = 6
        array.append([7])
        portal.commit()
    with site.open() as portal:
        assert portal[path][:].tolist() == [0, 5, 6, 7]  # type: ignore[index]


def test_a_document_that_is_gone_needs_nothing(
    site: Site, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with site.open() as portal:
        activate_afterwards(portal[path], "compact")
        site.transact(lambda other: other.delete(other[path]))
        portal.commit()
    assert not queued(site, path) and not caplog.records


def test_what_cannot_be_queued_is_told_in_the_log(
    site: Site, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with site.open() as portal:
        activate_afterwards(portal[path], "no_such_work")
        portal.commit()
    assert "no_such_work" in caplog.text and path in caplog.text


def test_outside_of_a_portal_nothing_is_done() -> None:
    activate_afterwards(DataArray(), "compact")


def test_what_a_document_wants_afterwards_disturbs_nobody(site: Site, path: str) -> None:
    """Two that commit at the same time do not conflict, as they would if each noted it."""
    with site.open() as one, site.open() as other:
        for portal in (one, other):
            want_afterwards(portal[path], "compact")
        one.commit()
        other.commit()
        assert Care.of(other.root).paths("compact") == [path]


def test_what_is_forgotten_beside_a_transaction_that_wants_it_is_wanted(site: Site, path: str) -> None:
    """It is asked behind the commit, not as the transaction saw it."""
    site.transact(lambda p: Care.of(p.root).want("compact", path))
    with site.open() as portal:
        assert Care.of(portal.root).paths("compact") == [path]
        want_afterwards(portal[path], "compact")
        site.transact(lambda p: Care.of(p.root).want("compact", path, False))
        portal.commit()
        assert Care.of(portal.root).paths("compact") == [path]


def test_what_is_wanted_already_writes_nothing(site: Site, path: str) -> None:
    site.transact(lambda p: Care.of(p.root).want("compact", path))
    before = site.database.lastTransaction()
    with site.open() as portal:
        want_afterwards(portal[path], "compact")
        portal.commit()
    assert site.database.lastTransaction() == before
