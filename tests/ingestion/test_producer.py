"""Producers: each request of a number once, in order, and older epochs fenced off."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.ingestion.conftest import AGENT

from haywain.errors import InvalidError, SequenceError
from haywain.ingestion.producer import Producer
from haywain.portal import Site
from haywain.security import User
from haywain.values import Receipt

Send = Callable[..., Receipt]
BytesOf = Callable[[str], bytes]


def at(epoch: object, seq: object, id: str = "gate") -> Producer:
    return Producer(id, str(epoch), str(seq))


def statuses(send: Send, tag: str, *places: tuple[int, int]) -> list[str]:
    return [send(tag, f"{e}.{s};".encode(), producer=at(e, s)).status for e, s in places]


def test_each_number_is_stored_once_in_order(send: Send, bytes_of: BytesOf) -> None:
    first = send("numbers.a", b"0", producer=at(1, 0))
    again = send("numbers.a", b"0", producer=at(1, 0))
    assert (again.status, again.path, again.offset, again.length, again.tid) == (
        "duplicate",
        *(first.path, first.offset, first.length, first.tid),
    )
    assert statuses(send, "numbers.a", (1, 1), (1, 1), (1, 2), (1, 1)) == [
        "stored",
        "duplicate",
        "stored",
        "duplicate",
    ]
    assert bytes_of(first.path) == b"01.1;1.2;"


def test_gap_is_refused_with_the_number_that_is_due(send: Send, bytes_of: BytesOf) -> None:
    with pytest.raises(SequenceError, match="must send 0 to 4 of epoch 1") as found:
        send("gap.a", b"x", producer=at(1, 5))
    assert found.value.due == 0
    receipt = send("gap.a", b"0", producer=at(1, 0))
    with pytest.raises(SequenceError) as found:
        send("gap.a", b"2", producer=at(1, 2))
    assert found.value.due == 1 and bytes_of(receipt.path) == b"0"


def test_larger_epoch_begins_at_zero_and_fences_the_older(send: Send) -> None:
    assert statuses(send, "epochs.a", (1, 0), (1, 1), (3, 0), (3, 1)) == ["stored"] * 4
    with pytest.raises(SequenceError, match="epoch 3 and this is of 1") as found:
        send("epochs.a", b"late", producer=at(1, 2))
    assert found.value.due is None
    with pytest.raises(SequenceError) as found:
        send("epochs.a", b"x", producer=at(4, 1))
    assert found.value.due == 0


def test_epoch_waits_for_what_its_producer_was_told_is_kept(send: Send, bytes_of: BytesOf) -> None:
    """A portal that was restored from a backup."""
    path = send("back.a", b"0", producer=at(1, 0)).path
    with pytest.raises(SequenceError, match="must send 1 to 2 of epoch 1") as found:
        send("back.a", b"3", producer=Producer("gate", "3", "0", "1.2"))
    assert found.value.due == 1
    with pytest.raises(SequenceError, match="must send 0 to 4 of epoch 2") as found:
        send("back.a", b"3", producer=Producer("gate", "3", "0", "2.4"))
    assert found.value.due == 0
    assert statuses(send, "back.a", (1, 1), (1, 2)) == ["stored"] * 2
    for status in ("stored", "duplicate"):
        assert send("back.a", b"3", producer=Producer("gate", "3", "0", "1.2")).status == status
    assert send("back.a", b"4", producer=Producer("gate", "4", "0", "2.99")).status == "stored"
    assert bytes_of(path) == b"01.1;1.2;34"


def test_what_the_ledger_has_forgotten_is_still_a_duplicate(send: Send, bytes_of: BytesOf, set_clock) -> None:
    path = send("forgotten.a", b"0", producer=at(1, 0)).path
    assert send("forgotten.a", b"1", producer=at(1, 1)).status == "stored"
    set_clock.forward(days=400)
    other = send("forgotten.a", b"x", key="drops the days out of the window")
    assert other.status == "stored"
    assert send("forgotten.a", b"1", producer=at(1, 1)).status == "duplicate"
    assert bytes_of(path) == b"01x"


def test_tags_producers_and_senders_count_by_themselves(send: Send) -> None:
    other = User("agent", AGENT.roles, AGENT.scopes, "token_module/2")
    ways: list[dict[str, Any]] = [
        {"tag": "own.a"},
        {"tag": "own.b"},
        {"tag": "own.a", "producer": at(1, 0, "other")},
        {"tag": "own.a", "user": other},
    ]
    receipts = [send(body=b"x", **{"producer": at(1, 0), **way}) for way in ways]
    assert {receipt.status for receipt in receipts} == {"stored"}


def test_quarantined_request_has_had_its_turn(send: Send) -> None:
    assert send("turn.a", b"0", producer=at(1, 0)).status == "stored"
    bad = {"producer": at(1, 1), "content_encoding": "gzip"}
    assert send("turn.a", b"no gzip", **bad).status == "quarantined"
    assert send("turn.a", b"no gzip", **bad).status == "duplicate"
    assert send("turn.a", b"2", producer=at(1, 2)).status == "stored"


def test_bad_tag_keeps_its_own_count(send: Send) -> None:
    found = [send("a/b", b"x", producer=at(1, seq)).status for seq in (0, 1, 1)]
    assert found == ["quarantined", "quarantined", "duplicate"]


def test_empty_body_has_its_turn(send: Send) -> None:
    assert [send("empty.a", b"", producer=at(1, n)).status for n in (0, 0, 1)] == [
        "stored",
        "duplicate",
        "stored",
    ]


def test_many_at_once_are_stored_once(send: Send, bytes_of: BytesOf, together: Callable[..., Any]) -> None:
    found = together(*[lambda: send("once.a", b"x", producer=at(1, 0))] * 8)
    assert sorted(receipt.status for receipt in found) == ["duplicate"] * 7 + ["stored"]
    assert bytes_of(found[0].path) == b"x"


@pytest.mark.parametrize(
    "producer",
    [
        at(0, 0),
        at(1, -1),
        at("", 0),
        at(1, "1.0"),
        at("²", 0),
        at(1, 1 << 63),
        at(1, "9" * 5000),
        at(1, 0, ""),
        at(1, 0, "x" * 129),
        at(1, 0, "a\nb"),
        *[
            Producer(f"gate-{previous}", "3", "0", previous)
            for previous in ("1", "1.", ".1", "1.x", "-1.0", "3.0", "4.1", "0.1", "1.2.3")
        ],
    ],
    ids=lambda producer: f"{producer.id[:3]}-{producer.epoch[:3]}-{producer.seq[:3]}-{producer.previous}",
)
def test_headers_that_are_no_position_are_quarantined(send: Send, site: Site, producer: Producer) -> None:
    with pytest.raises(InvalidError):
        producer.position()
        producer.previous_position()
    assert send("senseless.a", b"x", producer=producer).status == "quarantined"
