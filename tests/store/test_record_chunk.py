"""Chunks without files: the same bytes and checks as those of blobs."""

import os
import random
from collections.abc import Callable

import pytest
from tests.storages import Storage
from transaction import TransactionManager

from haywain.errors import CorruptDataError
from haywain.store import chunk
from haywain.store.array import Array
from haywain.store.chunk import BlobChunk
from haywain.store.database import Database, PortalConnection
from haywain.store.record_chunk import Chunk, RecordChunk, link_chunk, write_chunk
from haywain.store.stream import Stream

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]
CONTENT = random.Random(1).randbytes(100)


@pytest.fixture(autouse=True)
def small_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 bytes."""
    monkeypatch.setattr(chunk, "BLOCK_SIZE", 16)


@pytest.fixture
def made(begin: Begin) -> Chunk:
    """A chunk of the content, committed, in the form that the storage takes."""
    connection, manager = begin()
    found = write_chunk(connection, iter([CONTENT[:5], memoryview(CONTENT)[5:70], b"", CONTENT[70:]]))
    connection.root()["chunk"] = found
    manager.commit()
    manager.begin()
    connection.cacheMinimize()
    return found


pytestmark = pytest.mark.storages("file", "no-blobs", each_run=True)


@pytest.mark.parametrize(("start", "stop"), [(0, 100), (0, 16), (5, 7), (15, 33), (96, 100), (40, 40)])
def test_every_range_is_the_bytes_that_were_written(made: Chunk, start: int, stop: int) -> None:
    assert made.length == 100
    assert bytes(made.view(start, stop)) == b"".join(made.blocks(start, stop)) == CONTENT[start:stop]
    with made.open(start, stop) as file:
        assert os.pread(file.fileno(), stop - start, start) == CONTENT[start:stop]


def test_the_storage_decides_about_the_form(made: Chunk, storage: Storage) -> None:
    assert type(made) is (RecordChunk if storage.kind == "no-blobs" else BlobChunk)
    assert bool(storage.blobs()) == (storage.kind == "file")


def test_both_forms_have_the_same_checksums(begin: Begin, made: Chunk) -> None:
    other = RecordChunk.write(iter([CONTENT]))
    assert [made.checksum(n) for n in range(7)] == [other.checksum(n) for n in range(7)]


@pytest.mark.storages("no-blobs")
def test_a_file_is_copied_where_there_are_no_blobs(begin: Begin, storage: Storage) -> None:
    path = storage.path / "piece"
    path.write_bytes(CONTENT)
    found = link_chunk(begin()[0], path)
    path.unlink()
    assert b"".join(found.blocks(0, 100)) == CONTENT


@pytest.mark.storages("no-blobs")
def test_only_the_bytes_that_are_asked_for_are_loaded(made: RecordChunk) -> None:
    with made.open(40, 50) as file:
        assert os.fstat(file.fileno()).st_size == 100
        assert os.pread(file.fileno(), 10, 40) == CONTENT[40:50]
        assert os.pread(file.fileno(), 16, 80) == bytes(16)
    assert all(record._p_changed is None for record in made.records)


@pytest.mark.storages("no-blobs")
@pytest.mark.parametrize("use", ["blocks", "view", "open"])
def test_a_flipped_bit_is_said(made: RecordChunk, storage: Storage, use: str) -> None:
    data = bytearray((storage.path / "Data.fs").read_bytes())
    data[data.index(CONTENT[32:48]) + 3] ^= 1
    (storage.path / "Data.fs").write_bytes(data)
    with pytest.raises(CorruptDataError, match="does not match its checksum"):
        _ = b"".join(made.blocks(0, 100)) if use == "blocks" else getattr(made, use)(0, 100)


@pytest.mark.storages("no-blobs")
def test_what_was_stored_is_there_after_a_reopen(database: Database, storage: Storage) -> None:
    with database.transaction() as connection:
        stream, array = Stream(), Array((3000,), "i4")
        connection.root().update(stream=stream, array=array)
        connection.add(array)
        connection.add(stream)
        stream.append(CONTENT)
        stream.close_tail()
        stream.seal(0)
        array.view()[::100] = 7
    database.close()
    again = storage.open()
    with again.transaction() as connection:
        assert connection.root()["stream"].read() == CONTENT
        assert connection.root()["array"].view().sum() == 7 * 30
    again.close()
