"""Terms: bodies and records that are known again without a name from their sender."""

import json
from collections.abc import Callable

import msgpack
import pytest

from haywain.errors import InvalidError
from haywain.ingestion import replay
from haywain.ingestion.producer import Producer
from haywain.portal import Site
from haywain.security import User
from haywain.values import Receipt

Send = Callable[..., Receipt]
BytesOf = Callable[[str], bytes]
MANAGER = User("system", frozenset({"Manager"}))


@pytest.fixture
def to(site: Site, send: Send, request: pytest.FixtureRequest) -> Callable[..., Callable[..., Receipt]]:
    """Call it with the terms of a policy for what sends to it."""

    def make(**terms: object) -> Callable[..., Receipt]:
        reference = f"terms-{abs(hash(request.node.name))}"
        site.transact(
            lambda portal: portal.new("Ingestion Policy", reference=reference, rule="append_as_is", **terms)
        )
        return lambda body, tag=reference, **options: send(
            tag, body, **({"policy": reference, "user": MANAGER} | options)
        )

    return make


def test_same_body_is_a_duplicate_for_its_time(to, bytes_of: BytesOf, set_clock) -> None:
    post = to(same_body_seconds=60)
    first, again = post(b"same"), post(b"same")
    assert (first.status, again.status, again.offset, again.tid) == ("stored", "duplicate", 0, first.tid)
    assert post(b"other").status == post(b"same", tag="terms.elsewhere").status == "stored"
    assert post(b"same", user=User("other", MANAGER.roles)).status == "stored"
    assert post(b"same", key="a name counts more").status == "stored"
    set_clock.forward(61)
    assert post(b"same").status == "stored"
    set_clock.forward(-61)  # transactions have the time of the system
    assert post(b"same").status == "duplicate"
    assert bytes_of(first.path) == b"sameothersamesamesame"


def test_equal_bodies_are_stored_where_nobody_says_otherwise(to) -> None:
    post = to()
    assert [post(b"same").status for _ in range(2)] == ["stored"] * 2


@pytest.mark.parametrize(
    ("demand", "named", "status"),
    [
        ("key", {}, "quarantined"),
        ("key", {"key": "k"}, "stored"),
        ("key", {"producer": Producer("p", "1", "0")}, "stored"),
        ("producer", {"key": "k"}, "quarantined"),
        ("producer", {"producer": Producer("p", "1", "0")}, "stored"),
    ],
    ids=["nothing", "key", "more than a key", "only a key", "producer"],
)
def test_policy_may_demand_a_name(to, demand: str, named: dict[str, object], status: str) -> None:
    assert to(demand=demand)(b"x", **named).status == status


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps({"n": n, "sensor": "a"}).encode() + b"\n" for n in numbers)


def test_records_are_stored_once_in_whatever_chunk(to, bytes_of: BytesOf) -> None:
    post = to(record_key=("sensor", "n"))
    first = post(lines(1, 2))
    assert post(lines(2, 3, 3, 4)).length == len(lines(3, 4))
    assert post(lines(1, 4)).status == "duplicate"
    assert post(lines(5), key="k").status == "stored" and post(lines(5, 6), key="other").length == len(
        lines(6)
    )
    assert bytes_of(first.path) == lines(1, 2, 3, 4, 5, 6)


def test_records_are_stored_once_also_in_what_a_chunk_gains(to, bytes_of: BytesOf) -> None:
    post = to(record_key=("n",))
    post(lines(3), key="other")
    post(lines(1, 2), key="grows")
    assert post(lines(1, 2, 2, 3, 4), key="grows").length == len(lines(1, 2, 4))
    again = post(lines(4))
    assert again.status == "duplicate" and bytes_of(again.path) == lines(3, 1, 2, 4)


def test_records_are_stored_once_also_by_a_replay(site: Site, to, bytes_of: BytesOf) -> None:
    post = to(record_key=("n",))
    sink = post(lines(1, 2)).path

    def set_state(state: str) -> None:
        site.transact(lambda portal: setattr(portal[sink], "state", state))

    set_state("invalidated")
    kept = post(lines(2, 3), key="k")
    assert kept.status == "quarantined"
    set_state("validated")
    assert replay(site, kept.path, User("admin", MANAGER.roles)).length == len(lines(3))
    assert post(lines(3)).status == "duplicate"
    assert bytes_of(sink) == lines(1, 2, 3)


def test_records_of_msgpack_and_json_keep_their_bytes(to, bytes_of: BytesOf) -> None:
    post = to(record_key=("n",))
    events = [msgpack.packb([1_700_000_000 + n, {"n": n, "data": b"\xff"}]) for n in range(4)]
    first = post(b"".join(events[:2]), content_type="application/msgpack")
    post(b"".join(events[1:]), content_type="application/msgpack")
    assert bytes_of(first.path) == b"".join(events)
    posted = post(b'[{"n": 3}, {"n": 9}]', content_type="application/json")
    assert bytes_of(first.path)[posted.offset :] == b'[{"n":9}]'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"m": 1}\n', "application/x-ndjson"),
        (b"[1, 2]\n", "application/x-ndjson"),
        (b"n,m\n1,2\n", "text/csv"),
        (b"{", "application/json"),
    ],
    ids=["field lacks", "no map", "csv", "malformed"],
)
def test_what_has_no_record_keys_is_quarantined(to, body: bytes, content_type: str) -> None:
    assert to(record_key=("n",))(body, content_type=content_type).status == "quarantined"


def test_numbered_requests_go_on_where_all_records_are_known(to) -> None:
    post = to(record_key=("n",))
    assert post(lines(1)).status == "stored"
    found = [post(lines(n), producer=Producer("p", "1", str(seq))).status for seq, n in enumerate((1, 1, 2))]
    assert found == ["duplicate", "duplicate", "stored"]


def test_demand_that_makes_no_sense_is_refused(to) -> None:
    with pytest.raises(InvalidError):
        to(demand="everything")
