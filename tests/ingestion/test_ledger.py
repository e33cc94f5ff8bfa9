"""Ledger: a key is known for its days, and nobody else's key is."""

import pytest
from ZODB.POSException import ConflictError

from haywain.ingestion.ledger import BodyIdentity, Ledger, ledger_key
from haywain.portal import Site
from haywain.values import Offset, Path, Receipt

RECEIPT = Receipt("stored", Path("m/1"), Offset(5), 3)
BODY = BodyIdentity.of([b"abc"])
DAY_S = 86_400
NOON_S = 20_000.5 * DAY_S


@pytest.fixture(autouse=True)
def noon(set_clock) -> None:
    """Near midnight an entry lies in two days."""
    set_clock.now_s = NOON_S


def test_key_is_bound_to_sender_and_policy() -> None:
    keys = {
        ledger_key(s, p, k) for s in ("a", "b", "") for p in ("x", "y") for k in ("1", "2", "\udcff", "é")
    }
    assert len(keys) == 24 and all(len(key) == 16 for key in keys)


def test_body_is_known_again_in_any_pieces() -> None:
    assert BodyIdentity.of([b"a", memoryview(b"bc")]) == BODY
    assert BodyIdentity.of([b"abd"]) != BODY and BodyIdentity.of([]).length == 0


def test_entry_knows_its_body_and_what_it_begins() -> None:
    ledger = Ledger()
    ledger.add(b"k", RECEIPT, BODY, 30)
    entry = ledger.find(b"k")
    assert entry.matches(BODY) and not entry.matches(BodyIdentity.of([b"ab"]))
    assert entry.is_prefix_of(b"abcd") and not entry.is_prefix_of(b"abc") and not entry.is_prefix_of(b"abd+")
    assert ledger.find(b"other") is None


def test_newer_receipt_of_a_key_takes_the_place_of_the_older(set_clock) -> None:
    ledger = Ledger()
    ledger.add(b"k", RECEIPT, BODY, 30)
    set_clock.forward(days=2)
    ledger.add(b"k", Receipt("stored", Path("m/2"), Offset(0), 1), BODY, 30)
    assert ledger.find(b"k").path == "m/2"
    assert sum(len(day) for day in ledger.days.values()) == 1


@pytest.mark.parametrize("window", [1, 30])
def test_days_out_of_the_window_are_dropped_whole(set_clock, window: int) -> None:
    ledger = Ledger()
    ledger.add(b"old", RECEIPT, BODY, window)
    set_clock.forward(days=window)
    ledger.add(b"young", RECEIPT, BODY, window)
    assert ledger.find(b"old") and ledger.find(b"young")
    set_clock.forward(days=1)
    ledger.add(b"today", RECEIPT, BODY, window)
    assert ledger.find(b"old") is None and ledger.find(b"young") and len(ledger.days) == 2


def test_clock_that_goes_back_drops_nothing(set_clock) -> None:
    ledger = Ledger()
    ledger.add(b"k", RECEIPT, BODY, 30)
    set_clock.forward(days=-100)
    ledger.add(b"earlier", RECEIPT, BODY, 30)
    assert ledger.find(b"k") and ledger.find(b"earlier")


@pytest.mark.parametrize("seconds", [(-60, 60), (60, -60), (-1, 0), (-60, -60)], ids=str)
def test_two_processes_add_a_key_once_around_midnight(
    site: Site, set_clock, seconds: tuple[int, int]
) -> None:
    key = ledger_key("", "midnight", str(seconds))
    with site.open() as first, site.open() as second:
        for portal, seconds_after in zip((first, second), seconds, strict=True):
            set_clock.now_s = 20_000 * DAY_S + seconds_after
            ledger = Ledger.of(portal.root)
            assert ledger.find(key) is None
            ledger.add(key, RECEIPT, BODY, 30)
        first.commit()
        with pytest.raises(ConflictError):
            second.commit()
        second.abort()
        assert Ledger.of(second.root).find(key).matches(BODY)


def test_day_begun_before_midnight_drops_the_oldest_when_it_comes(set_clock) -> None:
    ledger = Ledger()
    ledger.add(b"old", RECEIPT, BODY, 30)
    set_clock.now_s = NOON_S + 30.5 * DAY_S - 60
    ledger.add(b"before", RECEIPT, BODY, 30)
    assert ledger.find(b"old") and ledger.find(b"before")
    set_clock.forward(120)
    ledger.add(b"after", RECEIPT, BODY, 30)
    assert ledger.find(b"old") is None and ledger.find(b"before") and ledger.find(b"after")
