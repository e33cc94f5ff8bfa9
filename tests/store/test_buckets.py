"""What Buckets promise, one by one; test_buckets_model.py tries the orders of everything."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.errors import CorruptDataError, InvalidError, NotFoundError, TooLargeError
from haywain.store import buckets as buckets_module
from haywain.store.bucket_index import PAGE, IndexPage
from haywain.store.buckets import Bucket, Buckets, Span
from haywain.store.chunk import BlobChunk, Record
from haywain.store.database import Database, PortalConnection
from haywain.values import MIB

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]
Open = Callable[[], tuple[Buckets, TransactionManager]]
BLOB = bytes(range(256)) * (5 * 1024)  # 1.25 MiB


@pytest.fixture(autouse=True)
def made(database: Database, unsynced: None) -> None:
    with database.transaction() as connection:
        connection.root()["buckets"] = Buckets()


@pytest.fixture
def open_buckets(begin: Begin) -> Open:
    """Call it for the buckets in a transaction of its own."""

    def open_buckets() -> tuple[Buckets, TransactionManager]:
        connection, manager = begin()
        return connection.root()["buckets"], manager

    return open_buckets


def keys(open_buckets: Open) -> list[str]:
    return [key for _, key in open_buckets()[0].entries(Span())]


@pytest.fixture
def some(open_buckets: Open) -> None:
    """Keys from which on BTrees merge: the first of a node, and a tree from nothing, conflict with them."""
    buckets, manager = open_buckets()
    for key in ("0", "1", "2"):
        buckets.insert(key, b"")
    manager.commit()


def test_inserts_at_once_do_not_conflict_and_are_numbered_as_they_commit(
    open_buckets: Open, some: None
) -> None:
    sessions = [open_buckets() for _ in range(5)]
    for number, (buckets, _) in enumerate(sessions):
        buckets.insert(f"key {number}", bytes(number))
    for _, manager in reversed(sessions):
        manager.commit()
    assert keys(open_buckets)[3:] == ["key 4", "key 3", "key 2", "key 1", "key 0"]
    buckets, _ = open_buckets()
    assert [buckets.index_of(f"key {number}") for number in range(5)] == [7, 6, 5, 4, 3]
    assert (buckets.totals.count, buckets.totals.size) == (8, 10)


def test_who_reads_by_number_misses_nothing_that_commits_later(open_buckets: Open, some: None) -> None:
    slow, slows_manager = open_buckets()
    slow.insert("began first", b"")
    quick, quicks_manager = open_buckets()
    quick.insert("committed first", b"")
    quicks_manager.commit()
    seen = open_buckets()[0].index.last()
    slows_manager.commit()
    assert list(open_buckets()[0].entries(Span(seen, exclude_start=True))) == [(4, "began first")]


def test_inserts_beside_each_other_conflict_where_a_page_is_full(open_buckets: Open) -> None:
    buckets, manager = open_buckets()
    for number in range(PAGE - 1):
        buckets.insert(f"{number:03}", b"")
    manager.commit()
    (one, ones_manager), (other, others_manager) = open_buckets(), open_buckets()
    one.insert("one", b"")
    other.insert("other", b"")
    ones_manager.commit()
    with pytest.raises(ConflictError):
        others_manager.commit()
    assert keys(open_buckets)[-1] == "one"


def test_an_insert_beside_a_delete_of_another_key_does_not_conflict(open_buckets: Open, some: None) -> None:
    (one, ones_manager), (other, others_manager) = open_buckets(), open_buckets()
    one.delete("1")
    other.insert("c", b"333")
    ones_manager.commit()
    others_manager.commit()
    found, _ = open_buckets()
    assert list(found.entries(Span())) == [(0, "0"), (2, "2"), (3, "c")]
    assert (found.totals.count, found.totals.size) == (3, 3)


@pytest.mark.parametrize("first", ["insert", "delete"])
def test_new_bytes_beside_a_delete_of_the_same_key_conflict(open_buckets: Open, first: str) -> None:
    buckets, manager = open_buckets()
    buckets.insert("a", b"1")
    manager.commit()
    (one, ones_manager), (other, others_manager) = open_buckets(), open_buckets()
    one.insert("a", b"22")
    other.delete("a")
    managers = [ones_manager, others_manager] if first == "insert" else [others_manager, ones_manager]
    managers[0].commit()
    with pytest.raises(ConflictError):
        managers[1].commit()


@pytest.mark.parametrize(
    ("old", "saved", "new", "expected"),
    [
        (("a",), ("a", "b"), ("a", "c"), ("a", "b", "c")),
        (("a", "b"), (None, "b"), ("a", None), (None, None)),
        (("a",), (None,), ("a", "b"), (None, "b")),
        (("a",), ("a", "b", None), ("a",), ("a", "b", None)),
    ],
    ids=["both-add", "both-delete", "delete-and-add", "one-only"],
)
def test_pages_merge(
    old: tuple[str, ...], saved: tuple[str, ...], new: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    states = [{"keys": keys} for keys in (old, saved, new)]
    assert IndexPage()._p_resolveConflict(*states) == {"keys": expected}


@pytest.mark.parametrize("data", [b"", b"x", bytes(MIB), BLOB], ids=["empty", "byte", "MiB", "blob"])
def test_bytes_come_back(open_buckets: Open, data: bytes) -> None:
    buckets, manager = open_buckets()
    assert buckets.insert("key", data) and not buckets.insert("key", data)
    manager.commit()
    found = open_buckets()[0].bucket("key")
    assert found.read() == data and found.size == len(data)
    assert isinstance(found.content, Record if len(data) <= MIB else BlobChunk)
    assert b"".join(found.chunks(3, MIB + 5)) == data[3 : MIB + 5]
    assert list(found.chunks(len(data), len(data) + 9)) == []


def test_a_file_becomes_a_bucket_by_link(open_buckets: Open, tmp_path: Path) -> None:
    buckets, manager = open_buckets()
    path = tmp_path / "file"
    path.write_bytes(BLOB)
    buckets.insert_file("large", path)
    manager.commit()
    assert path.stat().st_nlink == 2
    path.write_bytes(b"small")  # another inode would be needed for a large one
    manager.begin()
    buckets.insert_file("small", path)
    manager.commit()
    assert open_buckets()[0].bucket("small").read() == b"small"


def test_the_same_bytes_have_the_same_tag(open_buckets: Open, tmp_path: Path) -> None:
    buckets, _ = open_buckets()
    (tmp_path / "file").write_bytes(BLOB)
    buckets.insert("a", BLOB)
    buckets.insert_file("b", tmp_path / "file")
    assert buckets.bucket("a").etag == buckets.bucket("b").etag
    buckets.insert("b", BLOB[:-1] + b"x")
    assert buckets.bucket("a").etag != buckets.bucket("b").etag
    buckets.rebuild_index()
    assert buckets.bucket("a").etag == buckets.bucket("a").etag != ""


def test_damage_is_said(open_buckets: Open) -> None:
    buckets, manager = open_buckets()
    buckets.insert("a", b"bytes")
    manager.savepoint()
    buckets.bucket("a").content.data = b"Bytes"
    with pytest.raises(CorruptDataError):
        buckets.bucket("a").read()


def test_a_bucket_is_a_file(open_buckets: Open) -> None:
    buckets, _ = open_buckets()
    buckets.insert("a", BLOB)
    with buckets.open("a") as file:
        assert file.seek(MIB) == MIB and file.read(10) == BLOB[MIB : MIB + 10]
        assert file.seek(-3, 2) and file.read() == BLOB[-3:]


@pytest.mark.parametrize("key", ["", "x" * 1025, "\ud800", b"bytes", None, 5])
def test_what_is_no_key_is_refused(open_buckets: Open, key: str) -> None:
    with pytest.raises(InvalidError, match="key"):
        open_buckets()[0].insert(key, b"")


@pytest.mark.parametrize("key", [".", "..", "a/../b", "/", "//", "%2F", "\x00", "\n", "é", "x" * 1024])
def test_any_text_is_a_key(open_buckets: Open, key: str) -> None:
    buckets, manager = open_buckets()
    buckets.insert(key, b"1")
    manager.commit()
    assert open_buckets()[0].bucket(key).read() == b"1"


def test_too_many_bytes_are_refused(
    open_buckets: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(buckets_module, "BUCKET_SIZE", 10)
    (tmp_path / "file").write_bytes(bytes(11))
    buckets, _ = open_buckets()
    for insert in (
        lambda: buckets.insert("a", bytes(11)),
        lambda: buckets.insert_file("a", tmp_path / "file"),
    ):
        with pytest.raises(TooLargeError):
            insert()


def test_what_is_not_there_is_said(open_buckets: Open) -> None:
    buckets, _ = open_buckets()
    for ask in (buckets.bucket, buckets.delete, buckets.index_of, buckets.md5, buckets.open):
        with pytest.raises(NotFoundError, match="no bucket 'none'"):
            ask("none")
    for number in (-1, 0, 5):
        with pytest.raises(NotFoundError):
            buckets.key_at(number)


def test_who_iterates_may_delete_and_insert(open_buckets: Open) -> None:
    buckets, _ = open_buckets()
    for number in range(300):
        buckets.insert(f"{number:03}", b"x")
    seen = []
    for key in buckets.keys(Span()):
        seen.append(key)
        buckets.delete(key)
        if len(seen) < 10:
            buckets.insert(f"z{key}", b"y")
    assert len(seen) >= 300 and seen == sorted(seen)
    seen = [key for _, key in buckets.entries(Span()) if buckets.delete(key) is None]
    assert buckets.totals.count == 0 and buckets.index.last() is None


def test_numbers_are_never_given_twice(open_buckets: Open) -> None:
    buckets, manager = open_buckets()
    for number in range(3 * PAGE):
        buckets.insert(str(number), b"")
        if number % PAGE == PAGE - 1:
            for key in list(buckets.keys(Span())):
                buckets.delete(key)
    manager.commit()
    assert len(open_buckets()[0].index.pages) == 1
    buckets, _ = open_buckets()
    buckets.insert("next", b"")
    assert buckets.index_of("next") == 3 * PAGE


def test_each_question_loads_few_objects(open_buckets: Open) -> None:
    buckets, manager = open_buckets()
    for number in range(5000):
        buckets.insert(f"{number:05}", b"x")
    manager.commit()
    manager.begin()
    questions: list[Callable[[], object]] = [
        lambda: buckets.bucket("02500").read(),
        lambda: buckets.index_of("02500"),
        lambda: buckets.key_at(2500),
        lambda: buckets.edge_key(True),
        lambda: buckets.edge_key(False, "02500x"),
        lambda: (buckets.index.first(2500), buckets.index.last(2600)),
        lambda: buckets.totals.count,
        lambda: list(buckets.keys(Span("02500", count=3))),
        lambda: list(buckets.entries(Span(2500, 2502))),
        lambda: buckets.insert("02500", b"other"),
        lambda: buckets.insert("new", b"x"),
        lambda: buckets.delete("03000"),
    ]
    for ask in questions:
        buckets._p_jar.cacheMinimize()
        buckets._p_jar.newTransaction(None)
        before = set(dict(buckets._p_jar._cache.lru_items()))
        ask()
        loaded = set(dict(buckets._p_jar._cache.lru_items())) - before
        assert len(loaded) <= 14


def test_a_list_of_sizes_loads_no_bytes(open_buckets: Open) -> None:
    buckets, manager = open_buckets()
    for number in range(50):
        buckets.insert(f"{number:05}", b"x" * number)
    manager.commit()
    manager.begin()
    buckets._p_jar.cacheMinimize()
    assert sum(bucket.size for _, bucket in buckets.buckets(buckets.keys(Span()))) == 50 * 49 / 2
    loaded = [found for _, found in buckets._p_jar._cache.lru_items()]
    assert any(isinstance(found, Bucket) for found in loaded)
    assert not any(isinstance(found, Record) and found._p_changed is not None for found in loaded)
