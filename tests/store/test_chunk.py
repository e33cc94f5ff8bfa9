"""Flipped bits, cut files and missing files are said, with the place, and never end the process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from transaction import TransactionManager
from ZODB.POSException import ConnectionStateError
from ZODB.utils import u64

from haywain.errors import CorruptDataError
from haywain.store.chunk import BlobChunk, Record, checked, checksums
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.stream import Stream
from haywain.values import MIB

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]


@pytest.fixture
def sealed(begin: Begin, database: Database, tmp_path: Path) -> tuple[Stream, Path]:
    """A stream of one Segment of 2.5 MiB in a fresh transaction, and its blob's file."""
    with database.transaction() as connection:
        stream = connection.root()["stream"] = Stream()
        connection.add(stream)
        for number in range(5):
            stream.append(bytes([number]) * (MIB // 2))
        stream.close_tail()
        stream.seal(0)
    (blob,) = (tmp_path / "blobs").rglob("*.blob")
    blob.chmod(0o644)
    return begin()[0].root()["stream"], blob


def flip(path: Path, position: int, bit: int = 0) -> None:
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1 << bit]))


def test_a_flipped_bit_in_a_blob_is_said_with_its_block(sealed: tuple[Stream, Path]) -> None:
    stream, blob = sealed
    flip(blob, MIB + 5)
    assert len(stream.read(0, MIB)) == MIB
    assert len(stream.read(2 * MIB)) == MIB // 2
    with pytest.raises(CorruptDataError, match=r"Blob [0-9a-f]{16} .*bytes 1048576 to 2097152"):
        stream.read(MIB, MIB + 1)


@pytest.mark.parametrize("size", [0, 1, MIB + 1, 5 * MIB // 2 - 1])
def test_a_cut_blob_is_an_error_and_not_a_bus_error(sealed: tuple[Stream, Path], size: int) -> None:
    stream, blob = sealed
    os.truncate(blob, size)
    with pytest.raises(CorruptDataError, match="shorter than 2621440 bytes"):
        stream.read()


def test_a_missing_blob_is_corrupt_data(sealed: tuple[Stream, Path]) -> None:
    stream, blob = sealed
    blob.unlink()
    with pytest.raises(CorruptDataError, match=r"Blob [0-9a-f]{16} has no file"):
        stream.read()


def test_who_reads_a_blob_that_goes_meanwhile_reads_it_to_its_end(sealed: tuple[Stream, Path]) -> None:
    stream, blob = sealed
    whole, chunks = stream.read(), stream.chunks()
    first = next(chunks)
    blob.unlink()
    assert b"".join([first, *chunks]) == whole


def test_any_flipped_bit_in_a_record_is_said_with_its_offset(tmp_path: Path) -> None:
    """Each byte of the record's pickle in turn, opcodes and class name included."""
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        stream = connection.root()["stream"] = Stream()
        stream.append(b"before")
    with database.transaction() as connection:
        connection.root()["stream"].append(b"PAYLOAD")
    with database.transaction() as connection:
        records = connection.root()["stream"].generations[0].records
        oid = records[6]._p_oid
    pickle, _ = database.storage.loadBefore(oid, b"\x7f" + b"\xff" * 7)[:2]
    start = (tmp_path / "Data.fs").read_bytes().index(pickle)
    for position in range(start, start + len(pickle)):
        flip(tmp_path / "Data.fs", position, bit=position % 8)
        connection = database.open(TransactionManager(explicit=True))
        connection.transaction_manager.begin()
        connection.cacheMinimize()
        found = connection.root()["stream"]
        assert found.read(0, 6) == b"before"
        try:
            assert found.read() == b"beforePAYLOAD"  # what the flip changed does not matter to the bytes
        except CorruptDataError as error:
            assert oid.hex() in str(error)
            assert "offset 6" in str(error)
        connection.transaction_manager.abort()
        connection.close()
        flip(tmp_path / "Data.fs", position, bit=position % 8)
    database.close()


def test_a_payload_byte_of_a_record_is_always_checked(tmp_path: Path) -> None:
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        connection.root()["stream"] = Stream()
        connection.root()["stream"].append(b"PAYLOAD" * 20)
    start = (tmp_path / "Data.fs").read_bytes().index(b"PAYLOAD" * 20)
    for position in range(start, start + 140):
        flip(tmp_path / "Data.fs", position, bit=position % 8)
        with database.transaction() as connection, pytest.raises(CorruptDataError, match="checksum"):
            connection.cacheMinimize()
            connection.root()["stream"].read()
        flip(tmp_path / "Data.fs", position, bit=position % 8)
    database.close()


def test_a_closed_connection_is_not_corrupt_data(begin: Begin, database: Database) -> None:
    with database.transaction() as connection:
        connection.root()["record"] = Record(b"bytes")
    connection, manager = begin()
    record = connection.root()["record"]
    record._p_deactivate()
    manager.abort()
    connection.close()
    connection.opened = None
    with pytest.raises(ConnectionStateError):
        checked(record)


def test_checksums_cover_each_mebibyte(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * MIB + b"b")
    first, second = path.read_bytes()[:MIB], path.read_bytes()[MIB:]
    assert checksums(path) == b"".join(
        Record(part).checksum.to_bytes(8, "little") for part in (first, second)
    )


def test_views_are_mapped_and_not_copied(begin: Begin, tmp_path: Path) -> None:
    connection, _ = begin()
    chunk = BlobChunk.write(connection, iter([b"0123456789" * 1000]))
    assert bytes(chunk.view(4090, 4105)) == (b"0123456789" * 1000)[4090:4105]
    assert chunk.view(5, 5).nbytes == 0
    assert type(chunk.view(0, 10).obj).__name__ == "mmap"
    assert u64(chunk.blob._p_oid)
