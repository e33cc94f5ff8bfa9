"""Data Bucket Stream: what the original's can do, under our names."""

import hashlib
from typing import Any

import pytest

from haywain.errors import NotFoundError
from haywain.portal import Portal, Site


@pytest.fixture
def stream(portal: Portal) -> Any:
    """Keys c, a, e, b, d in this order, of which e was deleted."""
    made: Any = portal.new("Data Bucket Stream", reference="flights")
    for key in "caebd":
        made.insert(key, key.encode() * 3)
    made.delete("e")
    return made


def test_one_bucket_by_key_and_by_number(stream: Any) -> None:
    assert stream.read("a") == stream.read_at(1) == b"aaa"
    assert stream.key_at(3) == "b" and stream.index_of("b") == 3
    assert "a" in stream and "e" not in stream and 5 not in stream
    assert stream.has_index(4) and not stream.has_index(2) and not stream.has_index(5)
    assert stream.md5("a") == hashlib.md5(b"aaa").hexdigest()
    assert stream.open("d").read() == b"ddd" and stream.bucket("d").size == 3
    assert (stream.count, len(stream), stream.size) == (4, 4, 12)


def test_edges(stream: Any) -> None:
    assert (stream.min_key(), stream.max_key(), stream.min_index(), stream.max_index()) == ("a", "d", 0, 4)
    assert (stream.min_key("bb"), stream.max_key("bb"), stream.min_index(2), stream.max_index(2)) == (
        "c", "b", 3, 1
    )  # fmt: skip
    assert stream.min_key("x") is None and stream.max_key("A") is None
    assert stream.min_index(5) is None and stream.max_index(-1) is None


def test_sequences_by_key(stream: Any) -> None:
    assert list(stream.keys()) == ["a", "b", "c", "d"]
    assert list(stream.keys("b", "d", exclude_start=True, exclude_stop=True)) == ["c"]
    assert list(stream.keys("b", count=2)) == ["b", "c"]
    assert list(stream.items("c")) == [("c", b"ccc"), ("d", b"ddd")]
    assert list(stream.values(stop="b")) == [b"aaa", b"bbb"]
    assert [(key, bucket.size) for key, bucket in stream.buckets(count=1)] == [("a", 3)]


def test_sequences_by_number(stream: Any) -> None:
    assert list(stream.indexes()) == [0, 1, 3, 4]
    assert list(stream.keys_by_index(1, 3)) == ["a", "b"]
    assert list(stream.index_keys(1, 4, exclude_start=True, exclude_stop=True)) == [(3, "b")]
    assert list(stream.index_values(count=1)) == [(0, b"ccc")]
    assert list(stream.values_by_index(3)) == [b"bbb", b"ddd"]
    assert list(stream.index_items(4)) == [(4, "d", b"ddd")]


def test_a_sequence_is_looked_up_when_it_is_iterated_over_and_anew_each_time(stream: Any) -> None:
    keys, items = stream.keys(), stream.index_items()
    assert len(list(keys)) == len(list(keys)) == 4
    one_by_one = iter(items)
    assert next(one_by_one) == (0, "c", b"ccc")
    stream.delete("a")
    stream.insert("f", b"later")
    assert [key for _, key, _ in one_by_one] == ["b", "d"]  # the page was looked up already
    assert list(keys) == ["b", "c", "d", "f"]


def test_deleting(stream: Any) -> None:
    stream.delete_at(0)
    assert list(stream.index_keys()) == [(1, "a"), (3, "b"), (4, "d")]
    for forget in (lambda: stream.delete("c"), lambda: stream.delete_at(0)):
        with pytest.raises(NotFoundError):
            forget()


def test_a_key_that_comes_again_keeps_its_number_and_one_that_was_deleted_gets_another(stream: Any) -> None:
    assert not stream.insert("a", b"again") and stream.index_of("a") == 1 and stream.read("a") == b"again"
    assert stream.insert("e", b"e") and stream.index_of("e") == 5
    assert (stream.count, stream.size) == (5, 15)


def test_the_index_is_rebuilt_in_the_order_of_the_keys(stream: Any) -> None:
    stream.rebuild_index()
    assert list(stream.index_keys()) == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert stream.index_of("d") == 3 and stream.count == 4


def test_it_is_found_by_its_bytes_and_its_tag_changes(site: Site) -> None:
    path, made = site.transact(lambda p: p.new("Data Bucket Stream").path)
    tags = set()
    for change in (
        lambda s: s.insert("a", b"12345"),
        lambda s: s.insert("a", b"54321"),
        lambda s: s.delete("a"),
    ):
        site.transact(lambda p, change=change: change(p[path]))
        with site.open() as portal:
            stream: Any = portal[path]
            tags.add(stream.etag)
            assert portal.catalog(path=path, size=stream.size).count() == 1
            assert stream._p_serial.hex() == made
    assert len(tags) == 3


def test_an_empty_one_is_true_and_tells_nothing(portal: Portal) -> None:
    stream: Any = portal.new("Data Bucket Stream")
    assert bool(stream) and not list(stream.keys()) and not list(stream.index_keys())
    assert stream.min_key() is stream.max_index() is stream.min_index() is None
    assert stream.as_dict()["count"] == 0
