"""What becomes of closed generations: which are sealed, compressed and gone, without looking at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transaction import TransactionManager

from haywain import clock
from haywain.errors import ExpiredError, InvalidError
from haywain.store.compressed import CompressedChunk
from haywain.store.database import Database, PortalConnection
from haywain.store.stream import Generation, Stream

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]
COUNT = 200


@pytest.fixture
def set_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    return lambda now_s: monkeypatch.setattr(clock, "now_s", lambda: now_s)


@pytest.fixture
def stream(small: None, unsynced: None, begin: Begin, set_time: Callable[[float], None]) -> Stream:
    """A stream of 200 full generations of bytes that compress well, one came each minute; none is sealed."""
    connection, _ = begin()
    found = connection.root()["stream"] = Stream()
    connection.add(found)
    for number in range(COUNT):
        set_time(60.0 * number)
        found.append(bytes([number]) * 64)
    found.close_tail()
    return found


def settled(stream: Stream) -> None:
    for start in stream.unsealed():
        stream.seal(start)
    while (start := stream.cold(float("inf"))) is not None:
        stream.compress(start)


def looked_at(stream: Stream, ask: Callable[[], object]) -> int:
    """Return how many generations a question loads."""
    stream._p_jar.transaction_manager.commit()
    stream._p_jar.transaction_manager.begin()
    stream._p_jar.cacheMinimize()
    ask()
    return sum(isinstance(found, Generation) for _, found in stream._p_jar._cache.lru_items())


def test_who_seals_or_compresses_looks_at_few_generations(stream: Stream) -> None:
    settled(stream)
    stream.append(b"x" * 100)
    assert looked_at(stream, stream.unsealed) <= 3
    assert looked_at(stream, lambda: stream.cold(0.0)) <= 12
    assert looked_at(stream, lambda: stream.stored) <= 12
    assert looked_at(stream, lambda: stream.expire(64)) <= 12


def test_a_generation_has_a_limit_of_records(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("haywain.store.stream.GENERATION_RECORDS", 5)
    first = stream.size
    for number in range(12):
        stream.append(bytes([number]))
        stream._p_jar.transaction_manager.commit()  # each has a Record of its own
        stream._p_jar.transaction_manager.begin()
    assert [g.size for g in stream.generations.values(first)] == [5, 5, 2]


def test_seals_in_any_order_are_seen(stream: Stream) -> None:
    for start in reversed(stream.unsealed()):
        stream.seal(start)
    assert stream.unsealed() == []
    stream.append(b"x" * 64)
    stream.close_tail()
    assert stream.unsealed() == [64 * COUNT]


def test_cold_is_what_is_sealed_and_old(stream: Stream) -> None:
    assert stream.cold(1e9) is None  # the first one is not sealed yet
    stream.seal(0)
    stream.seal(64)
    assert [stream.cold(at) for at in (0.0, 0.5, 1e9)] == [None, 0, 0]
    assert not stream.compress(64)  # in order, so that the first that is left is found by halving
    assert stream.compress(0)
    assert [stream.cold(at) for at in (60.0, 60.5)] == [None, 64]


def test_what_compression_spares_is_told(stream: Stream) -> None:
    settled(stream)
    stream.append(b"tail")
    chunks = [g.chunk for g in stream.generations.values() if g.size > 4]
    assert all(isinstance(chunk, CompressedChunk) for chunk in chunks)
    assert stream.stored == sum(chunk.stored for chunk in chunks) + 4
    stream.expire(64 * 50)
    assert stream.stored == sum(chunk.stored for chunk in chunks[50:]) + 4


def test_what_does_not_shrink_is_left_and_not_tried_again(begin: Begin, small: None) -> None:
    connection, _ = begin()
    stream = connection.root()["noise"] = Stream()
    connection.add(stream)
    stream.append(bytes(range(128)))
    stream.append(b"z" * 64)
    stream.close_tail()
    for start in stream.unsealed():
        stream.seal(start)
    assert [stream.compress(start) for start in (0, 64, 128)] == [False, False, True]
    assert stream.cold(1e12) is None
    assert stream.read() == bytes(range(128)) + b"z" * 64


def test_a_range_over_all_forms_is_read(stream: Stream) -> None:
    stream.seal(0)
    stream.seal(64)
    stream.compress(0)
    assert stream.read(30, 150) == bytes([0]) * 34 + bytes([1]) * 64 + bytes([2]) * 22


@pytest.mark.parametrize(
    ("before", "start"),
    [(0, 0), (63, 0), (64, 64), (65, 64), (200, 192), (64 * COUNT, 64 * COUNT), (10**9, 64 * COUNT)],
)
def test_whole_generations_expire_and_offsets_stay(stream: Stream, before: int, start: int) -> None:
    size = stream.size
    assert stream.expire(before) == stream.start == start
    assert (
        stream.size == size
        and stream.read(start, start + 3) == bytes([min(start // 64, 255)] * 3)[: size - start]
    )
    if start:
        with pytest.raises(ExpiredError, match=f"begins at {start}") as caught:
            stream.chunks(start - 1, start + 1)
        assert caught.value.start == start
        with pytest.raises(ExpiredError):
            stream.read()
    assert stream.append(b"next") == size and stream.read(size) == b"next"


def test_the_tail_stays_unless_it_is_closed(stream: Stream) -> None:
    stream.append(b"tail")
    assert stream.expire(stream.size) == 64 * COUNT
    stream.close_tail()
    assert stream.expire(stream.size) == stream.size == 64 * COUNT + 4
    assert stream.read(stream.start) == b"" and stream.modified == 60.0 * (COUNT - 1)


def test_time_is_found_in_what_is_left(stream: Stream) -> None:
    stream.expire(64 * 10)
    assert [stream.at_time(60 * m) for m in (0, 9, 10, 11, COUNT)] == [640, 640, 640, 704, 64 * COUNT]


@pytest.mark.parametrize("size", [0, 1, 16, 64, 100, 64 * COUNT - 1])
@pytest.mark.parametrize("care", [0, 1, 2], ids=["records", "sealed", "compressed"])
def test_a_cut_forgets_the_rest_and_appends_go_on_there(
    stream: Stream, set_time: Callable[[float], None], size: int, care: int
) -> None:
    for start in stream.unsealed()[: 2 * care]:
        stream.seal(start)
        if care == 2:
            stream.compress(start)
    before = stream.read()
    set_time(1e6)
    stream.truncate(size)
    assert (stream.size, stream.read(), stream.modified) == (size, before[:size], 1e6)
    assert stream.append(b"on") == size
    assert stream.read() == before[:size] + b"on"
    settled(stream)
    assert stream.read() == before[:size] + b"on"


def test_a_cut_changes_the_tree_of_generations_and_no_reader(stream: Stream) -> None:
    tree, reader = stream.generations, stream.open()
    assert reader.read(10) == bytes(10)
    stream.truncate(5)
    assert stream.generations is not tree
    assert reader.read(100) == bytes(54) + bytes([1]) * 46
    stream.truncate(5)
    kept = stream.generations
    stream.truncate(5)
    assert stream.generations is kept


def test_time_behind_a_cut_is_found(stream: Stream, set_time: Callable[[float], None]) -> None:
    stream.truncate(64 * 10 + 5)
    set_time(60.0 * COUNT)
    stream.append(b"x")
    assert [stream.at_time(60 * m) for m in (9, 10, 11, COUNT)] == [576, 640, 645, 645]


@pytest.mark.parametrize("size", [-1, 639, 64 * COUNT + 1])
def test_a_cut_outside_of_the_bytes_is_refused(stream: Stream, size: int) -> None:
    stream.expire(640)
    with pytest.raises(InvalidError, match="640 to 12800"):
        stream.truncate(size)
    stream.truncate(640)
    assert (stream.start, stream.size) == (640, 640)
    assert stream.append(b"x") == 640


def test_bytes_that_expire_go_with_the_next_pack(
    database: Database, begin: Begin, unsynced: None, small: None, tmp_path: Path
) -> None:
    connection, manager = begin()
    stream = connection.root()["stream"] = Stream()
    connection.add(stream)
    stream.append(b"x" * 300)
    for start in stream.unsealed():
        stream.seal(start)
    manager.commit()
    manager.begin()
    stream.expire(200)
    manager.commit()
    database.pack()
    manager.begin()
    assert stream.read(192) == b"x" * 108
    assert len(list((tmp_path / "blobs").rglob("*.blob"))) == 1
