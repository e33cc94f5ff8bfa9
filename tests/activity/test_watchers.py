"""Watchers: who is asked to look when a document changes, and how often."""

from typing import Any

import pytest

from haywain.activity.outbox import Outbox
from haywain.activity.watchers import Watchers, tell_watchers
from haywain.portal import Portal, Site
from haywain.portal_types.data_array import DataArray


@pytest.fixture
def pair(site: Site) -> tuple[str, str]:
    """An array, and an Alert that watches it."""

    def make(portal: Portal) -> tuple[str, str]:
        array, alert = portal.new("Data Array").path, portal.new("Alert").path
        Watchers.of(portal.root).watch(array, alert)
        return str(array), str(alert)

    return site.transact(make)[0]


def queued(site: Site) -> list[tuple[str, str]]:
    with site.open() as portal:
        found = [r for shard in Outbox.of(portal.root).shards for r in shard.activities.values()]
        return [(record.path, record.method) for record in found]


def test_those_who_watch_look_once_for_many_changes(site: Site, pair: tuple[str, str]) -> None:
    array, alert = pair
    for _ in range(3):
        site.transact(lambda portal: tell_watchers(portal[array]))
    assert queued(site) == [(alert, "look")]
    site.transact(lambda portal: tell_watchers(portal[alert]))
    assert len(queued(site)) == 1


def test_who_appends_meets_no_conflict_with_a_look(site: Site, pair: tuple[str, str]) -> None:
    """The look is claimed between the append and its commit."""
    with site.open() as portal:
        array: Any = portal[pair[0]]
        array.create((0,), "<f8")
        portal.commit()
        array.append([1.0])
        site.transact(lambda other: tell_watchers(other[pair[0]]))
        array.append([2.0])
        portal.commit()
        assert len(array) == 2


def test_one_that_is_deleted_or_watches_no_longer_is_not_asked(site: Site, pair: tuple[str, str]) -> None:
    array, alert = pair
    site.transact(lambda portal: portal.delete(portal[alert]))
    site.transact(lambda portal: tell_watchers(portal[array]))
    assert queued(site) == []
    with site.open() as portal:
        watchers = Watchers.of(portal.root)
        for _ in "ab":
            watchers.leave(array, alert)
        assert watchers.of_path(array) == {}


def test_one_that_looks_by_itself_is_not_told(site: Site, pair: tuple[str, str]) -> None:
    array, alert = pair
    site.transact(lambda portal: Watchers.of(portal.root).watch(array, alert, is_told=False))
    site.transact(lambda portal: tell_watchers(portal[array]))
    assert queued(site) == []
    with site.open() as portal:
        assert Watchers.of(portal.root).of_path(array) == {alert: False}


def test_outside_of_a_portal_nobody_is_told() -> None:
    tell_watchers(DataArray())
