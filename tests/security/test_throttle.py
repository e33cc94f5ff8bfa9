"""Throttle: who guesses waits longer and longer, others do not."""

import pytest

from haywain.errors import ThrottledError
from haywain.security import throttle
from haywain.security.throttle import FREE_TRIES, WINDOW_S, Throttle


def fail(throttle: Throttle, times: int, key: str = "k") -> None:
    for _ in range(times):
        throttle.failed(key)


def wait_s(throttle: Throttle, *keys: str) -> int:
    try:
        throttle.check(*keys)
    except ThrottledError as error:
        return error.retry_after_s
    return 0


def test_some_tries_are_free_then_the_wait_doubles_up_to_a_minute(set_clock) -> None:
    tried = Throttle()
    fail(tried, FREE_TRIES - 1)
    assert wait_s(tried, "k") == 0
    waits = []
    for _ in range(9):
        fail(tried, 1)
        waits.append(wait_s(tried, "k"))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_wait_ends_when_it_says(set_clock) -> None:
    tried = Throttle()
    fail(tried, FREE_TRIES + 3)
    set_clock.forward(7.5)
    assert wait_s(tried, "k") == 1
    set_clock.forward(0.5)
    assert wait_s(tried, "k") == 0


def test_others_do_not_wait_and_success_forgets(set_clock) -> None:
    tried = Throttle()
    fail(tried, 20)
    assert wait_s(tried, "other") == 0 and wait_s(tried, "other", "k") > 0
    tried.succeeded("k")
    assert wait_s(tried, "k") == 0


def test_failures_are_forgotten_after_a_while(set_clock) -> None:
    tried = Throttle()
    fail(tried, 20)
    set_clock.forward(WINDOW_S + 1)
    assert wait_s(tried, "k") == 0


def test_memory_is_bounded(set_clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_MOST_KEYS", 5)
    tried = Throttle()
    for number in range(50):
        fail(tried, 50, f"k{number}")
    assert len(tried._failures) <= 5 and max(map(len, tried._failures.values())) <= 21
