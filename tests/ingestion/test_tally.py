"""Tally: counts of what came, and how fast it comes."""

import pytest

from haywain.errors import SequenceError, TemporaryError
from haywain.ingestion import Request
from haywain.ingestion.boundary import count_records
from haywain.ingestion.producer import Producer
from haywain.ingestion.tally import MOST, RATE_S, Tally
from haywain.values import Offset, Path, Receipt

NOW_S = 1_700_000_000.5


def noted(tally: Tally, status: str = "stored", body: bytes = b"a\nb\n", **options: object) -> None:
    request = Request(**({"policy": "default", "tag": b"t", "agent": "curl"} | options), body=body)
    tally.note(request, Receipt(status, Path("m/1"), Offset(0), len(body)))


def test_rates_are_those_of_the_last_minute(set_clock) -> None:
    set_clock.now_s = NOW_S
    tally = Tally()
    for _ in range(2 * RATE_S):
        noted(tally)
        set_clock.forward(1)
    counts = tally.policies()["default"]
    assert counts.requests["stored"] == counts.records / 2 == 2 * RATE_S
    assert counts.rates(set_clock.now_s - 1) == (2.0, 4.0)
    assert counts.rates(set_clock.now_s + RATE_S) == (0.0, 0.0)


def test_only_what_is_stored_counts_as_records_and_bytes() -> None:
    tally = Tally()
    for status in ("stored", "duplicate", "quarantined"):
        noted(tally, status)
    for error in (TemporaryError("full"), SequenceError("gap", 3), SequenceError("old")):
        tally.refuse(Request("default", b"t", b"x"), error)
    counts = tally.policies()["default"]
    assert set(counts.requests.values()) == {1} and (counts.records, counts.stored_bytes) == (2, 4)


def test_agents_are_told_apart_and_the_last_heard_of_come_first() -> None:
    tally = Tally()
    noted(tally)
    noted(tally, producer=Producer("gate", "1", "0"))
    noted(tally, tag=b"other")
    noted(tally)
    assert [(key.agent, key.tag) for key, _ in tally.agents("default")] == [
        ("curl", "t"),
        ("curl", "other"),
        ("gate", "t"),
    ]
    assert tally.agents("default")[0][1].requests["stored"] == 2 and not tally.agents("another")


def test_agents_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST >= 1000
    monkeypatch.setattr("haywain.ingestion.tally.MOST", 3)
    tally = Tally()
    for number in range(10):
        noted(tally, tag=str(number).encode())
    assert [key.tag for key, _ in tally.agents("default")] == ["9", "8", "7"]


def test_names_of_policies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk a request is refused before its policy is looked for."""
    monkeypatch.setattr("haywain.ingestion.tally.MOST", 3)
    tally = Tally()
    for number in range(10):
        tally.refuse(Request(policy=str(number), tag=b"t", body=b""))
    assert set(tally.policies()) == {"7", "8", "9"}


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 1),
        (b"\n", 1),
        (b"a", 1),
        (b"a\nb", 2),
        (b"\x92\x01\x80" * 3, 3),
        (b"\x92\x01", 1),
        (b"\x80" * 2_000_000, 2_000_000),
        (b"\x92\x01\x80" * 100_000, 100_000),
    ],
    ids=["empty", "newline", "text", "lines", "events", "cut", "maps", "many"],
)
def test_records_of_a_body(body: bytes, count: int) -> None:
    assert count_records(body) == pytest.approx(count, rel=0.001)
