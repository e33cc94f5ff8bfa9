"""How long a sender waits."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from haywain import clock
from haywain.agent import backoff


def test_pause_lies_between_zero_and_a_bound_that_doubles():
    for failures, bound_s in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30]):
        pauses = [backoff.pause_s(failures) for _ in range(200)]
        assert 0 <= min(pauses) < 0.2 * bound_s
        assert 0.8 * bound_s < max(pauses) <= bound_s


def test_pause_is_bounded_after_any_number_of_failures():
    assert backoff.pause_s(10_000) <= backoff.LONGEST_PAUSE_S


def test_pause_is_at_least_what_was_asked_for():
    assert 20 <= backoff.pause_s(0, 20) <= 20.5


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("0", 0), (" 12 ", 12), ("99999999", 3600), ("9" * 5000, 0), ("-5", 0), ("1.5", 0), ("", 0),
        ("soon", 0), ("Thu, 01 Jan 1970 00:01:40 GMT", 0), ("Thu, 01 Jan 1970 00:18:20 -0000", 100),
    ],
    ids=["now", "blanks", "too-long", "huge", "negative", "fraction", "empty", "word", "past", "no-zone"],
)  # fmt: skip
def test_retry_after_is_read_as_seconds(value, expected_s, monkeypatch):
    monkeypatch.setattr(backoff, "now_s", lambda: 1000.0)
    assert backoff.retry_after_s({"Retry-After": value}) == expected_s


def test_retry_after_is_read_as_a_date():
    moment = datetime.fromtimestamp(clock.now_s() + 60, UTC)
    assert backoff.retry_after_s({"Retry-After": format_datetime(moment, usegmt=True)}) in (58, 59, 60)


def test_missing_retry_after_asks_for_nothing():
    assert backoff.retry_after_s({}) == 0
