"""Delivery: stored once, quarantined, or to be sent again; and nothing in between."""

import errno
import gzip
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from ZODB.POSException import ConflictError, POSKeyError

from haywain.errors import ForbiddenError, NotFoundError, TemporaryError
from haywain.ingestion import quarantine, replay
from haywain.interfaces import Route
from haywain.portal import Portal, Site
from haywain.security import SYSTEM, User
from haywain.security.rate import Rate
from haywain.values import Receipt

Send = Callable[..., Receipt]
BytesOf = Callable[[str], bytes]
OTHER = User("agent", frozenset({"Agent"}), frozenset({"ingest:default"}), "token_module/2")
ODD = {"policy": "odd", "user": User("system", frozenset({"Manager"}))}


def quarantined(site: Site) -> int:
    with site.open() as portal:
        return len(portal.root["quarantine_module"].documents)


def test_first_post_makes_sink_product_and_supply(site: Site, send: Send, bytes_of: BytesOf) -> None:
    receipt = send("first.speed", b"\x00abc")
    assert (receipt.status, receipt.offset, receipt.length, len(receipt.tid)) == ("stored", 0, 4, 16)
    assert bytes_of(receipt.path) == b"\x00abc"
    with site.open() as portal:
        sink = portal[receipt.path]
        product, supply = (portal[sink.linked(name)[0]] for name in ("resource", "specialise"))
        assert (sink.reference, product.reference, supply.reference) == ("first.speed", "speed", "first")
        assert supply.linked("resource") == [product.path]
        assert [hit.path for hit in portal.catalog(reference="first.speed")] == [sink.path]


def test_posts_are_appended_in_order(send: Send, bytes_of: BytesOf) -> None:
    receipts = [send("order", bytes([n]) * 3) for n in range(3)]
    assert [r.offset for r in receipts] == [0, 3, 6] and len({r.path for r in receipts}) == 1
    assert sorted({r.tid for r in receipts}) == [r.tid for r in receipts]
    assert bytes_of(receipts[0].path) == b"\0\0\0\1\1\1\2\2\2"


@pytest.mark.parametrize(
    ("tag", "media_type"),
    [
        ("a.wav", "audio/x-wav"),
        ("x.y", "application/octet-stream"),
        ("data:a/b;c=é,x", None),
        ("http:x.json", "application/json"),
    ],
)
def test_media_type_is_guessed_from_the_tag_and_never_in_the_way(
    site: Site, send: Send, tag: str, media_type: str | None
) -> None:
    receipt = send(tag.replace("/", "|"), b"x")
    assert receipt.status == "stored"
    with site.open() as portal:
        assert media_type in (None, portal[receipt.path].content_type)


def test_tags_that_differ_in_blanks_have_streams_of_their_own(site: Site, send: Send) -> None:
    paths = [send(tag, b"x").path for tag in ("blank", " blank", "blank ")]
    with site.open() as portal:
        assert [portal[path].reference for path in paths] == ["blank", " blank", "blank "]


def test_empty_body_is_stored_as_nothing(site: Site, send: Send) -> None:
    assert send("never.seen", b"") == Receipt("stored", "", 0, 0)
    path = send("seen", b"abc").path
    assert send("seen", b"", content_encoding="gzip") == Receipt("stored", path, 3, 0)
    with pytest.raises(NotFoundError):
        send("seen", b"", policy="none")


@pytest.mark.parametrize("policy", ["none", "", "../default", "Default", "\0", "x" * 70_000], ids=range(6))
@pytest.mark.parametrize("tag", ["fine", "../bad"])
def test_unknown_policy_is_an_error_whatever_else_is_wrong(
    site: Site, send: Send, policy: str, tag: str
) -> None:
    before = quarantined(site)
    with pytest.raises(NotFoundError):
        send(tag, b"x", policy=policy)
    assert quarantined(site) == before


@pytest.mark.parametrize("state", ["invalidated", "deleted"])
def test_policy_that_is_switched_off_is_an_error(site: Site, send: Send, rule: object, state: str) -> None:
    def put(portal: Portal, state: str) -> None:
        portal["portal_ingestion_policies/odd"].state = state

    site.transact(partial(put, state=state))
    with pytest.raises(NotFoundError):
        send("x", b"x", **ODD)
    site.transact(partial(put, state="validated"))


@pytest.mark.parametrize(
    "user",
    [
        User("", frozenset()),
        User("vic", frozenset({"Viewer"})),
        User("ann", frozenset({"Analyst"})),
        User("eve", frozenset({"Manager"}), frozenset({"ingest:other"})),
        User("eve", frozenset({"Manager"}), frozenset({"write"})),
    ],
    ids=["nobody", "viewer", "analyst", "other policy", "no scope"],
)
@pytest.mark.parametrize("tag", ["fine", "../bad"])
def test_who_may_not_ingest_stores_nothing(site: Site, send: Send, user: User, tag: str) -> None:
    before = quarantined(site)
    with pytest.raises(ForbiddenError):
        send(tag, b"x", user=user)
    assert quarantined(site) == before


def test_key_is_stored_once(send: Send, bytes_of: BytesOf) -> None:
    first, again = (send("keyed", b"abc\n", key="k") for _ in range(2))
    assert (first.status, again.status) == ("stored", "duplicate")
    assert (again.path, again.offset, again.length, again.tid) == (
        first.path,
        first.offset,
        first.length,
        first.tid,
    )
    assert bytes_of(first.path) == b"abc\n"


def test_key_is_known_by_the_decoded_body(send: Send) -> None:
    send("zipped", gzip.compress(b"abc", mtime=1), key="z", content_encoding="gzip")
    again = send("zipped", gzip.compress(b"abc", mtime=2), key="z", content_encoding="gzip")
    assert again.status == "duplicate"


@pytest.mark.parametrize(
    "other",
    [
        {"user": User("agent", frozenset({"Agent"}), frozenset({"ingest:default"}), "token_module/2")},
        {"user": User("agent", frozenset({"Agent"}))},
        {"key": "K"},
        {"key": ""},
    ],
    ids=["another token", "no token", "another key", "no key"],
)
def test_key_of_somebody_else_is_another(send: Send, bytes_of: BytesOf, other: dict[str, object]) -> None:
    tag = key = f"scope {other}".replace("/", "|")
    send(tag, b"x", key=key)
    receipt = send(tag, b"x", **({"key": key} | other))
    assert receipt.status == "stored" and bytes_of(receipt.path) == b"xx"


def test_key_of_another_policy_is_another(send: Send, rule: object) -> None:
    assert send("two.policies", b"x", key="k3", user=ODD["user"]).status == "stored"
    assert send("two.policies", b"x", key="k3", **ODD).status == "stored"


def test_chunk_that_grew_has_its_rest_appended(send: Send, bytes_of: BytesOf) -> None:
    first = send("grown", b"one\n", key="g")
    grown = send("grown", b"one\ntwo\n", key="g")
    assert (grown.status, grown.path, grown.offset, grown.length) == ("stored", first.path, 0, 8)
    assert send("grown", b"one\ntwo\n", key="g").status == "duplicate"
    assert bytes_of(first.path) == b"one\ntwo\n"


@pytest.mark.parametrize(
    ("stored", "between", "sent"),
    [
        (b"one\n", b"", b"other\n"),
        (b"one\n", b"x\n", b"one\ntwo\n"),
        (b"on", b"", b"one\n"),
        (b"one\ntwo\n", b"", b"one\n"),
    ],
    ids=["other bytes", "not the end any more", "no record's end", "less"],
)
def test_other_bytes_under_a_key_are_quarantined(
    send: Send, bytes_of: BytesOf, stored: bytes, between: bytes, sent: bytes
) -> None:
    tag = f"clash {stored}{between}{sent}"
    path = send(tag, stored, key=tag).path
    send(tag, between)
    receipts = [send(tag, sent, key=tag) for _ in range(2)]
    assert [r.status for r in receipts] == ["quarantined", "duplicate"] and receipts[0].path == receipts[
        1
    ].path
    assert bytes_of(path) == stored + between and bytes_of(receipts[0].path) == sent


def test_grown_chunk_whose_stream_is_gone_is_quarantined(site: Site, send: Send) -> None:
    path = send("gone", b"one\n", key="gone").path
    site.transact(lambda p: p.delete(p[path]))
    assert send("gone", b"one\ntwo\n", key="gone").status == "quarantined"
    assert send("gone", b"new\n").path != path


@pytest.mark.parametrize(
    ("agent", "age_days", "status"),
    [("Ruby", 31, "quarantined"), ("Ruby", 29, "stored"), ("Ruby", -1, "stored"), ("curl/8", 31, "stored")],
)
def test_fluentd_chunk_older_than_the_ledger_is_quarantined(
    send: Send, set_clock: Any, agent: str, age_days: int, status: str
) -> None:
    microseconds = int((set_clock.now_s - age_days * 86_400) * 1e6)
    key = f"{microseconds:013x}" + "0" * 19
    assert send("fluentd", b"x", key=key, agent=agent).status == status


@pytest.mark.parametrize(
    "options",
    [
        {"tag": None},
        {"tag": b"a\0b"},
        {"tag": b"\xff\xfe"},
        {"tag": b"__class__"},
        {"tag": b"x" * 65_536},
        {"content_encoding": "gzip"},
        {"content_encoding": "br\xff"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"body": gzip.compress(bytes(5_000_000), mtime=0), "content_encoding": "gzip"},
        {"key": "k" * 300},
        {"content_type": "x" * 10_000, "tag": b""},
    ],
    ids=lambda options: str(options)[:40],
)
def test_what_cannot_be_delivered_is_kept_with_its_reason(
    site: Site, send: Send, options: dict[str, Any]
) -> None:
    body = options.pop("body", b"raw")
    receipt = send(options.pop("tag", b"fine"), body, **options)
    assert (receipt.status, receipt.length, len(receipt.tid)) == ("quarantined", len(body), 16)
    with site.open() as portal:
        kept = portal[receipt.path]
        assert kept.read() == body and kept.properties.reason and kept.state == "quarantined"
        assert kept.as_dict()["policy"] == "default"
        assert portal.catalog(path=receipt.path).count() == 1


def test_query_chunk_is_a_body(send: Send, bytes_of: BytesOf) -> None:
    receipt = send("query", b"", query_chunk=b"%00a+b")
    assert bytes_of(receipt.path) == b"\0a b"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a\ud800b"),
        KeyError("x"),
        AttributeError(),
        AssertionError(),
        RuntimeError("x" * 50_000),
        NotFoundError("x"),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("step", ["route_with", "deliver_with"])
def test_what_a_policy_raises_is_quarantined(
    site: Site, send: Send, rule: Any, error: Exception, step: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    setattr(rule, step, fail)
    receipt = send("policy.fails", b"x", **ODD)
    assert receipt.status == "quarantined"
    with site.open() as portal:
        reason = portal[receipt.path].properties.reason
        assert type(error).__name__ in reason and len(reason.encode()) <= 10_000
        assert portal.root.find("sink", "policy.fails") is None


def test_policy_that_fails_half_way_leaves_nothing_of_it(site: Site, send: Send, rule: Any) -> None:
    path = send("half", b"before", **ODD).path

    def fail(chunk: object, target: Any) -> None:
        target.append(b"half")
        raise ValueError("half way")

    rule.deliver_with = fail
    assert send("half", b"xx", **ODD).status == "quarantined"
    with site.open() as portal:
        assert portal[path].read() == b"before"


@pytest.mark.parametrize(
    "route",
    [
        None,
        Route("x" * 300, "p", "s"),
        Route("r1", "p", "s", "No Such Kind"),
        Route("r2", "p", "s", "Data Product"),
    ],
    ids=["none", "long", "unknown kind", "no stream"],
)
def test_route_that_leads_nowhere_is_quarantined(send: Send, rule: Any, route: Route | None) -> None:
    rule.route_with = lambda tag: route
    assert send("lost", b"x", **ODD).status == "quarantined"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left"), TemporaryError("later"), POSKeyError(b"\0" * 8), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_trouble_below_is_no_fault_of_the_request(
    site: Site, send: Send, rule: Any, error: Exception
) -> None:
    before = quarantined(site)

    def fail(*_: object) -> None:
        raise error

    rule.deliver_with = fail
    with pytest.raises((TemporaryError, POSKeyError, MemoryError)):
        send("trouble", b"x", **ODD)
    assert quarantined(site) == before


def test_endless_conflicts_are_temporary(send: Send, rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haywain.portal.time.sleep", lambda seconds: None)
    tries = []

    def conflict(*_: object) -> None:
        tries.append(1)
        raise ConflictError

    rule.deliver_with = conflict
    with pytest.raises(TemporaryError):
        send("conflicts", b"x", **ODD)
    assert 2 < len(tries) <= 20


def test_stopping_site_takes_nothing(site: Site, send: Send) -> None:
    site.stopping.set()
    with pytest.raises(TemporaryError, match="stopping"):
        send("stopping", b"x")
    site.stopping.clear()


def test_full_quarantine_asks_to_come_again(site: Site, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = send(b"../x", b"kept", key="before it was full")
    monkeypatch.setattr(quarantine, "free_bytes", lambda path: (10**9, 20 * 1000))
    with pytest.raises(TemporaryError, match="full"):
        send(b"../x", b"x" * 2000)
    again = send(b"../x", b"kept", key="before it was full")
    assert (again.status, again.path) == ("duplicate", kept.path)


def test_one_token_fills_the_quarantine_slowly(
    site: Site, send: Send, set_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "quarantine_rate", Rate(2))
    first = send(b"../x", b"one", key="of a rate")
    assert send("fine", b"x").status == "stored" and send(b"../x", b"two").status == "quarantined"
    before = quarantined(site)
    with pytest.raises(TemporaryError, match="cannot be delivered") as refused:
        send(b"../x", b"three")
    assert refused.value.retry_after_s == 30 and quarantined(site) == before
    again = send(b"../x", b"one", key="of a rate")
    assert (again.status, again.path) == ("duplicate", first.path)
    assert send("fine", b"x").status == "stored"
    assert send(b"../x", b"x", user=OTHER).status == "quarantined"
    set_clock.forward(30)
    assert send(b"../x", b"three").status == "quarantined"


def test_full_catalog_is_temporary(site: Site, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OperationalError("insert", {}, Exception("database or disk is full"))

    with monkeypatch.context() as patch, pytest.raises(TemporaryError):
        patch.setattr("haywain.catalog.index.write", full)
        send("full", b"x")
    assert send("full", b"x").offset == 0


def test_one_key_many_times_at_once_is_stored_once(
    send: Send, bytes_of: BytesOf, together: Callable[..., list[Any]]
) -> None:
    receipts = together(*[partial(send, "at once", b"abc", key="same")] * 8)
    assert sorted(r.status for r in receipts) == ["duplicate"] * 7 + ["stored"]
    assert bytes_of(receipts[0].path) == b"abc" and len({r.tid for r in receipts}) == 1


def test_one_key_at_once_under_two_tags_is_stored_once(
    site: Site, send: Send, together: Callable[..., list[Any]]
) -> None:
    """The lock is that of the tag; here the ledger alone decides."""
    receipts = together(*[partial(send, f"tag{n}", b"abc", key="one key") for n in range(4)])
    assert sorted(r.status for r in receipts) == ["duplicate"] * 3 + ["stored"]


def test_many_first_posts_make_one_stream_a_tag(
    site: Site, send: Send, together: Callable[..., list[Any]]
) -> None:
    receipts = together(*[partial(send, f"race{n % 2}.shared", b"x") for n in range(12)])
    assert {r.status for r in receipts} == {"stored"} and len({r.path for r in receipts}) == 2
    with site.open() as portal:
        assert portal.catalog(reference="race%", portal_type="Data Stream").count() == 2
        assert portal.catalog(reference="shared", portal_type="Data Product").count() == 1
        assert sorted(hit.size for hit in portal.catalog(reference="race%.shared")) == [6, 6]


def test_bad_request_with_a_key_is_quarantined_once(
    site: Site, send: Send, together: Callable[..., list[Any]]
) -> None:
    before = quarantined(site)
    receipts = together(*[partial(send, b"../x", b"bad", key="bad")] * 4)
    assert sorted(r.status for r in receipts) == ["duplicate"] * 3 + ["quarantined"]
    assert quarantined(site) == before + 1
    assert send(b"../x", b"bad").status == "quarantined" and quarantined(site) == before + 2


@pytest.mark.parametrize("state", ["invalidated", "deleted"])
def test_sink_that_is_switched_off_takes_and_loses_nothing(site: Site, send: Send, state: str) -> None:
    receipt = send(f"off.{state}", b"one")

    def switch(portal: Portal, to: str) -> None:
        portal[receipt.path].state = to

    site.transact(lambda p: switch(p, state))
    kept = send(f"off.{state}", b"two")
    assert kept.status == "quarantined"
    with site.open() as portal:
        assert state in portal[kept.path].properties.reason
        assert portal[receipt.path].size == 3
    site.transact(lambda p: switch(p, "validated"))
    assert replay(site, kept.path, SYSTEM).path == receipt.path


def test_nothing_is_taken_while_the_disk_is_above_its_mark(
    send: Send, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.tally.policies().get("default")
    refused = before.requests["refused"] if before else 0
    monkeypatch.setattr("haywain.ingestion.delivery.has_room", lambda path, length: False)
    with pytest.raises(TemporaryError, match="almost full"):
        send("mark.a", b"x")
    assert site.tally.policies()["default"].requests["refused"] == refused + 1
