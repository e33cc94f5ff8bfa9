"""Rate: so many a minute of each key, forgotten one by one."""

import pytest

from haywain.security.rate import Rate


def test_as_many_as_allowed_at_once_then_one_by_one(set_clock) -> None:
    rate = Rate(3)
    for _ in range(3):
        assert rate.wait_s("a") == 0
        rate.note("a")
    assert rate.wait_s("a") == 20 and rate.wait_s("b") == 0
    set_clock.forward(12.5)
    assert rate.wait_s("a") == 8
    set_clock.forward(7.5)
    assert rate.wait_s("a") == 0
    rate.note("a")
    assert rate.wait_s("a") == 20
    set_clock.forward(60)
    assert rate.wait_s("a") == 0


@pytest.mark.parametrize("back_s", [1, 1e9])
def test_clock_that_goes_back_makes_nobody_wait_longer(set_clock, back_s: float) -> None:
    rate = Rate(1)
    rate.note("a")
    set_clock.forward(-back_s)
    assert rate.wait_s("a") == 60
    rate.note("a")
    set_clock.forward(120)
    assert rate.wait_s("a") == 0
