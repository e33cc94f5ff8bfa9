"""Sealing packs closed generations, one a step, and changes no byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Clock

from haywain import clock
from haywain.activities import seal
from haywain.activity.care import Caretaker
from haywain.activity.kind import Due
from haywain.document import Document
from haywain.portal import Site
from haywain.store import stream as stream_module


@pytest.fixture(autouse=True)
def small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "GENERATION_SIZE", 100)


@pytest.mark.parametrize("kill_after", [0, 1])
def test_all_is_sealed_and_reads_the_same(
    run: Callable[..., Any], stored: Callable[..., str], reading: Callable[[str], Document], kill_after: int
) -> None:
    data = bytes(range(250)) * 2
    path = stored(data)
    assert run(path, "seal", kill_after=kill_after) == {"sealed": 5}
    assert reading(path).read() == data and not reading(path).unsealed()
    assert run(path, "seal") == {"sealed": 0}


def test_tail_may_stay_open(run: Callable[..., Any], stored: Callable[..., str], site: Site) -> None:
    path = stored(bytes(250))
    assert run(path, "seal", close_tail=False) == {"sealed": 2}
    site.transact(lambda portal: portal[path].append(b"x" * 50))
    assert run(path, "seal", close_tail=True) == {"sealed": 1}


def test_empty_stream_has_nothing_to_seal(run: Callable[..., Any], stored: Callable[..., str]) -> None:
    assert run(stored(b""), "seal") == {"sealed": 0}


def due(site: Site, since_s: float = 0.0) -> Due:
    with site.open() as portal:
        return site.registry.activities["seal"].due(portal, since_s, clock.now_s())


@pytest.fixture
def only_small(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    """A tail is worth sealing from 50 bytes or 5 Records on; and no stream of another test is there."""
    monkeypatch.setattr(seal, "_LEAST_BYTES", 50)
    monkeypatch.setattr(seal, "_LEAST_RECORDS", 5)
    site.transact(lambda p: [p.delete(one) for one in p.catalog(portal_type="Data Stream")])


def test_a_generation_that_was_closed_is_sealed(
    site: Site, stored: Callable[..., str], run: Callable[..., Any], only_small: None
) -> None:
    path, _ = stored(bytes(101)), stored(bytes(100))
    found = due(site)
    assert (found.found, found.settled) == ({path: {"close_tail": False}}, [path])
    run(path, "seal", close_tail=False)
    assert due(site).found == {}


def test_a_tail_is_sealed_when_it_came_to_rest_and_is_worth_it(
    site: Site, stored: Callable[..., str], set_clock: Clock, only_small: None
) -> None:
    large, many, small = stored(bytes(50)), stored(b"x"), stored(bytes(49))
    for _ in range(4):
        site.transact(lambda portal: portal[many].append(b"x"))
    assert due(site).found == {}
    set_clock.forward(seconds=599)
    site.transact(lambda portal: portal[large].append(b"x"))
    set_clock.forward(seconds=2)
    assert due(site).found == {many: {"close_tail": True}}
    set_clock.forward(seconds=600)
    found = due(site)
    assert (
        found.found == {many: {"close_tail": True}, large: {"close_tail": True}} and small not in found.found
    )
    assert due(site, found.looked_s).found == {}


def test_what_an_upload_made_is_sealed_already(
    site: Site, stored: Callable[..., str], set_clock: Clock, only_small: None, tmp_path: Path
) -> None:
    path = stored(b"")
    (tmp_path / "piece").write_bytes(bytes(100))
    site.transact(lambda portal: portal[path].append_files([tmp_path / "piece"]))
    set_clock.forward(days=1)
    assert due(site).found == {} and due(site).settled == []


def test_many_streams_at_rest_are_looked_at_in_pages(
    site: Site,
    stored: Callable[..., str],
    set_clock: Clock,
    only_small: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(seal, "_PAGE", 2)
    paths = []
    for _ in range(5):
        set_clock.forward(seconds=1)
        paths.append(stored(bytes(60)))
    set_clock.forward(seconds=700)
    found, since_s, pages = set(), 0.0, 0
    while True:
        page = due(site, since_s)
        found |= set(page.found)
        since_s, pages = page.looked_s, pages + 1
        if page.is_all:
            break
    assert found == set(paths) and pages <= 5


def test_the_portal_seals_by_itself(
    site: Site,
    stored: Callable[..., str],
    set_clock: Clock,
    only_small: None,
    reading: Callable[[str], Document],
) -> None:
    path = stored(bytes(260))
    set_clock.forward(seconds=700)
    site.workers.caretaker = Caretaker(site)
    site.workers.caretaker.look()
    while not site.workers.run_next():
        pass
    generations = list(reading(path)._stream.generations.values())
    assert [(g.size, g.chunk is not None) for g in generations] == [
        (100, True),
        (100, True),
        (60, True),
        (0, False),
    ]


def test_a_damaged_stream_does_not_keep_others_from_being_sealed(
    site: Site,
    stored: Callable[..., str],
    set_clock: Clock,
    only_small: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damaged, path = stored(bytes(60)), stored(bytes(60))
    site.transact(lambda portal: setattr(portal[damaged]._stream.last, "size", "no number"))
    set_clock.forward(seconds=700)
    assert due(site).found == {path: {"close_tail": True}}
    assert "could not be looked at" in caplog.text
    site.transact(lambda portal: portal.delete(portal[damaged]))
