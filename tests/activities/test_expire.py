"""Bytes over their retention go in whole generations; offsets stay."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Clock

from haywain.activity.care import Care
from haywain.document import Document
from haywain.portal import Portal, Site
from haywain.store import stream as stream_module

DAY = 86_400


@pytest.fixture(autouse=True)
def small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", 100)


@pytest.fixture
def daily(site: Site, stored: Callable[..., str], set_clock: Clock) -> Callable[..., str]:
    """Store 250 bytes a day for six days, the last of them now."""

    def daily(**properties: Any) -> str:
        path = stored(b"0" * 250, **properties)
        for day in range(1, 6):
            set_clock.forward(days=1)
            site.transact(lambda portal, day=day: portal[path].append(b"%d" % day * 250))
        return path

    return daily


def due(site: Site, set_clock: Clock, *paths: str) -> list[str]:
    """Return which of these are due."""
    with site.open() as portal:
        found = site.registry.activities["expire"].due(portal, 0.0, set_clock.now_s).found
    return [path for path in paths if path in found]


@pytest.mark.parametrize(
    ("retention", "start"),
    [
        ({"retention_days": 2}, 700),
        ({"retention_bytes": 400}, 1100),
        ({"retention_days": 2, "retention_bytes": 400}, 1100),
        ({"retention_days": 4, "retention_bytes": 10_000}, 200),
        ({"retention_days": 100}, 0),
        ({}, 0),
    ],
    ids=["days", "bytes", "both", "larger", "younger", "for-ever"],
)
def test_what_is_over_goes(
    run: Callable[..., Any],
    daily: Callable[..., str],
    reading: Callable[[str], Document],
    retention: dict[str, int],
    start: int,
) -> None:
    path = daily(**retention)
    content: bytes = reading(path).read()
    assert run(path, "expire") == {"start": start, "expired": start}
    stream: Any = reading(path)
    assert (stream.start, stream.size) == (start, 1500)
    assert stream.read(start) == content[start:]
    assert run(path, "expire") == {"start": start, "expired": 0}


def test_a_quiet_stream_is_empty_in_the_end(
    run: Callable[..., Any], daily: Callable[..., str], reading: Callable[[str], Document], set_clock: Clock
) -> None:
    path = daily(retention_days=2)
    set_clock.forward(days=3)
    assert run(path, "expire", kill_after=1) == {"start": 1500, "expired": 1500}
    assert reading(path).size == 1500 and run(path, "expire")["start"] == 1500


def test_a_slow_stream_does_not_stay_one_generation(
    site: Site, run: Callable[..., Any], stored: Callable[..., str], set_clock: Clock
) -> None:
    path = stored(b"0", retention_days=8)
    for _ in range(40):
        set_clock.forward(days=1)
        run(path, "expire")
        site.transact(lambda portal: portal[path].append(b"1"))
    with site.open() as portal:
        kept = portal[path].size - portal[path].start
        assert 8 <= kept <= 11


def test_it_is_due_where_something_is_over(
    site: Site,
    daily: Callable[..., str],
    stored: Callable[..., str],
    set_clock: Clock,
    run: Callable[..., Any],
) -> None:
    path, young, forever = every = daily(retention_days=2), stored(b"x", retention_days=2), stored(b"x")
    assert due(site, set_clock, *every) == [path]
    run(path, "expire")
    assert due(site, set_clock, *every) == []
    set_clock.forward(days=1)
    assert due(site, set_clock, *every) == [path, young]
    site.transact(lambda portal: [portal[one].edit(retention_days=0) for one in (path, young)])
    site.transact(lambda portal: portal[forever].edit(retention_bytes=1))
    assert due(site, set_clock, *every) == [forever]
    site.transact(lambda portal: portal.delete(portal[forever]))
    assert due(site, set_clock, *every) == []


def test_a_stream_without_a_retention_any_more_is_not_looked_at(
    site: Site, stored: Callable[..., str]
) -> None:
    path = stored(b"x", retention_bytes=5)

    def wanted(portal: Portal) -> bool:
        return path in Care.of(portal.root).paths("expire")

    assert site.transact(wanted)[0]
    site.transact(lambda portal: portal[path].edit(title="still"))
    assert site.transact(wanted)[0]
    site.transact(lambda portal: portal[path].edit(retention_bytes=0))
    assert not site.transact(wanted)[0]
