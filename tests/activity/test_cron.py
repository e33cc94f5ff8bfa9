"""Rules: what comes next, in a zone whose clocks are put forward and back."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from haywain.activity.cron import in_words, next_after, zone_of
from haywain.errors import InvalidError

BERLIN = ZoneInfo("Europe/Berlin")


def times(rule: str, zone: str, begin: str, count: int) -> list[str]:
    """Return the next times of a rule as the clocks of the zone show them, with the offset of the zone."""
    found, after_s = [], datetime.fromisoformat(begin).timestamp()
    for _ in range(count):
        after_s = next_after(rule, zone, after_s)
        found.append(datetime.fromtimestamp(after_s, ZoneInfo(zone)).strftime("%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("30 6 * * MON-FRI", ["04 06:30 +0000", "05 06:30 +0000", "08 06:30 +0000"]),
        ("@hourly", ["04 01:00 +0000", "04 02:00 +0000", "04 03:00 +0000"]),
        ("@daily", ["05 00:00 +0000", "06 00:00 +0000", "07 00:00 +0000"]),
        ("@weekly", ["07 00:00 +0000", "14 00:00 +0000", "21 00:00 +0000"]),
        ("@monthly", ["01 00:00 +0000", "01 00:00 +0000", "01 00:00 +0000"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_times_come_in_order(rule: str, expected: list[str]) -> None:
    assert times(rule, "UTC", "2026-06-04T00:00:00+00:00", 3) == expected


@pytest.mark.parametrize(
    ("rule", "begin", "expected"),
    [
        (
            "30 2 * * *",  # 02:30 does not come on the 29th: the clocks go from 02:00 to 03:00
            "2026-03-27T12:00:00+01:00",
            ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"],
        ),
        (
            "30 2 * * *",  # and comes twice on the 25th
            "2026-10-24T12:00:00+02:00",
            ["25 02:30 +0200", "26 02:30 +0100", "27 02:30 +0100"],
        ),
        (
            "30 2 * * *",  # also for whoever was down when it came first
            "2026-10-25T02:10:00+01:00",
            ["26 02:30 +0100", "27 02:30 +0100", "28 02:30 +0100"],
        ),
        ("*/30 * * * *", "2026-10-25T02:15:00+02:00", ["25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100"]),
        ("*/30 * * * *", "2026-03-29T01:15:00+01:00", ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]),
    ],
    ids=["forward", "back", "down meanwhile", "back, every half hour", "forward, every half hour"],
)
def test_clocks_that_are_put_forward_or_back_lose_and_double_nothing(
    rule: str, begin: str, expected: list[str]
) -> None:
    assert times(rule, "Europe/Berlin", begin, 3) == expected


@pytest.mark.parametrize("rule", ["30 6 * * *", "*/7 1-5 * * SUN", "@monthly"])
def test_next_is_always_later(rule: str) -> None:
    after_s = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    for _ in range(1000):
        later_s = next_after(rule, "Europe/Berlin", after_s)
        assert later_s > after_s
        after_s = later_s


@pytest.mark.parametrize(
    "rule", ["", "* * * *", "* * * * * *", "60 * * * *", "@yearly", "x", "0 0 31 2 *", "0 0 29 2 MON#6"]
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(InvalidError, match="is no rule"):
        next_after(rule, "UTC", 0.0)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "Europe", "a\0b", "/etc/localtime"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidError, match="is no time zone"):
        zone_of(zone)


def test_rule_is_told_in_words() -> None:
    assert in_words("0 3 * * *") == "At 03:00 every day"
