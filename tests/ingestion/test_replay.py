"""Replay: what is in quarantine is delivered once, when its reason is gone."""

import gzip
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from haywain.errors import DeliveryError, ForbiddenError, HaywainError, InvalidError, NotFoundError
from haywain.ingestion import replay
from haywain.portal import Site
from haywain.security import SYSTEM, User
from haywain.values import Receipt
from haywain.workflow import WORKFLOWS

Send = Callable[..., Receipt]


@pytest.fixture
def fail(rule: Any) -> Callable[[bool], None]:
    """Make the policy fail, or work again."""
    works = rule.deliver_with

    def refuse(*_: object) -> None:
        raise ValueError("not yet")

    def set_failing(failing: bool) -> None:
        rule.deliver_with = refuse if failing else works

    set_failing(True)
    return set_failing


def send_odd(send: Send, tag: str, body: bytes, **options: Any) -> Receipt:
    return send(tag, body, policy="odd", user=User("system", frozenset({"Manager"})), **options)


def test_replay_delivers_and_says_so(
    site: Site, send: Send, fail: Any, bytes_of: Callable[[str], bytes]
) -> None:
    kept = send_odd(send, "later", gzip.compress(b"abc"), content_encoding="gzip", key="l")
    with pytest.raises(HaywainError, match="not yet"):
        replay(site, kept.path, SYSTEM)
    fail(False)
    receipt = replay(site, kept.path, SYSTEM)
    assert receipt.status == "stored" and bytes_of(receipt.path) == b"abc"
    with site.open() as portal:
        document = portal[kept.path]
        assert document.state == "replayed" and document.linked("aggregate") == [receipt.path]
        assert document.history[-1][:2] == ("replayed", "system")
        assert [hit.state for hit in portal.catalog(path=kept.path)] == ["replayed"]


def test_sender_that_comes_again_after_the_replay_is_a_duplicate(site: Site, send: Send, fail: Any) -> None:
    kept = send_odd(send, "again", b"abc", key="a")
    assert send_odd(send, "again", b"abc", key="a").status == "duplicate"
    fail(False)
    receipt = replay(site, kept.path, SYSTEM)
    again = send_odd(send, "again", b"abc", key="a")
    assert (again.status, again.path) == ("duplicate", receipt.path)


def test_sender_that_comes_again_before_the_replay_stores_nothing_twice(
    site: Site, send: Send, fail: Any, bytes_of: Callable[[str], bytes]
) -> None:
    kept = send_odd(send, "first", b"abc", key="f")
    fail(False)
    assert send_odd(send, "first", b"abc", key="f").path == kept.path
    assert bytes_of(replay(site, kept.path, SYSTEM).path) == b"abc"


@pytest.mark.parametrize("key", ["", "r"], ids=["no key", "key"])
def test_replays_at_once_deliver_once(
    site: Site, send: Send, fail: Any, together: Any, bytes_of: Callable[[str], bytes], key: str
) -> None:
    kept = send_odd(send, f"race {key}", b"abc", key=key)
    fail(False)
    results = together(*[partial(replay, site, kept.path, SYSTEM)] * 4)
    stored = [r for r in results if isinstance(r, Receipt)]
    assert len(stored) == 1 and all(isinstance(r, InvalidError) for r in results if r not in stored)
    assert bytes_of(stored[0].path) == b"abc"


@pytest.mark.parametrize("raw", [b"a\0b", b"\xff", b"../x", b"", None], ids=range(5))
def test_bad_tag_stays_bad(site: Site, send: Send, raw: bytes | None) -> None:
    kept = send(raw, b"x")
    with pytest.raises(InvalidError, match="tag"):
        replay(site, kept.path, SYSTEM)


def test_what_a_replay_or_a_discard_settled_holds_no_bytes(site: Site, send: Send, fail: Any) -> None:
    """Else the quarantine is full once and for all."""
    replayed, discarded = (send_odd(send, "settled", body).path for body in (b"abc", b"def"))
    fail(False)
    replay(site, replayed, SYSTEM)
    site.transact(lambda p: WORKFLOWS["quarantine"].apply(p[discarded], "discard", "admin"))
    with site.open() as portal:
        for path in (replayed, discarded):
            assert portal[path].size == 0 and portal.catalog(path=path, size=0).count() == 1


def test_two_chunks_under_one_key_are_both_delivered(
    site: Site, send: Send, fail: Any, bytes_of: Callable[[str], bytes]
) -> None:
    """The sender's mistake is no reason to lose the second: who replays it has decided."""
    first, second = (send_odd(send, "one key", body, key="both") for body in (b"one\n", b"two\n"))
    fail(False)
    with pytest.raises(InvalidError, match=f"{first.path} came before"):
        replay(site, second.path, SYSTEM)
    stored, other = replay(site, first.path, SYSTEM), replay(site, second.path, SYSTEM)
    assert (other.status, other.offset, other.length) == ("stored", 4, 4)
    assert bytes_of(stored.path) == b"one\ntwo\n"
    again = [send_odd(send, "one key", body, key="both") for body in (b"one\n", b"two\n")]
    assert [(r.status, r.path, r.offset) for r in again] == [
        ("duplicate", stored.path, 0),
        ("duplicate", stored.path, 4),
    ]


def test_second_chunk_is_delivered_where_the_first_was_discarded(
    site: Site, send: Send, fail: Any, bytes_of: Callable[[str], bytes]
) -> None:
    first, second = (send_odd(send, "discarded", body, key="d") for body in (b"one\n", b"one\ntwo\n"))
    fail(False)
    site.transact(lambda p: WORKFLOWS["quarantine"].apply(p[first.path], "discard", "admin"))
    assert bytes_of(replay(site, second.path, SYSTEM).path) == b"one\ntwo\n"


@pytest.mark.parametrize("between", [b"", b"others\n"], ids=["at the end", "others since"])
def test_chunk_that_grew_in_quarantine_is_stored_once(
    site: Site, send: Send, fail: Any, bytes_of: Callable[[str], bytes], between: bytes
) -> None:
    tag = f"grown {len(between)}"
    first, second = (send_odd(send, tag, body, key=tag) for body in (b"one\n", b"one\ntwo\n"))
    fail(False)
    stored = replay(site, first.path, SYSTEM)
    send_odd(send, tag, between)
    rest = replay(site, second.path, SYSTEM)
    assert (rest.offset, rest.length) == (4 + len(between), 4)
    assert bytes_of(stored.path) == b"one\n" + between + b"two\n"
    assert send_odd(send, tag, b"one\ntwo\n", key=tag).status == "duplicate"


def test_chunk_that_grew_within_a_record_stays(
    site: Site, send: Send, fail: Any, bytes_of: Callable[[str], bytes]
) -> None:
    first, second = (send_odd(send, "within", body, key="w") for body in (b"on", b"one\n"))
    fail(False)
    stored = replay(site, first.path, SYSTEM)
    with pytest.raises(DeliveryError, match="first 2 bytes"):
        replay(site, second.path, SYSTEM)
    assert bytes_of(stored.path) == b"on"


def test_query_chunk_can_be_replayed(
    site: Site, send: Send, fail: Any, bytes_of: Callable[[str], bytes]
) -> None:
    kept = send_odd(send, "chunk", b"", query_chunk=b"%41+b")
    fail(False)
    assert bytes_of(replay(site, kept.path, SYSTEM).path) == b"A b"


@pytest.mark.parametrize("role", ["Viewer", "Analyst", "Agent"])
def test_replay_needs_the_right_to_edit_and_to_ingest(site: Site, send: Send, role: str) -> None:
    kept = send(b"../x", b"x")
    with pytest.raises(ForbiddenError):
        replay(site, kept.path, User("x", frozenset({role})))


def test_only_what_is_in_quarantine_is_replayed(site: Site, send: Send) -> None:
    kept = send(b"../x", b"x")
    site.transact(lambda p: setattr(p[kept.path], "state", "discarded"))
    with pytest.raises(InvalidError, match="discarded"):
        replay(site, kept.path, SYSTEM)
    stored = send("fine", b"x")
    for path in (stored.path, "person_module/admin"):
        with pytest.raises((InvalidError, NotFoundError)):
            replay(site, path, SYSTEM)
    with pytest.raises(NotFoundError):
        replay(site, "quarantine_module/none", SYSTEM)
