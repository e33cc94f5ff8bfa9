"""Compressed chunks: the same bytes in less room, one block unpacked for one that is asked for."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from transaction import TransactionManager

from haywain.errors import CorruptDataError
from haywain.store import compressed
from haywain.store.chunk import BlobChunk
from haywain.store.compressed import CompressedChunk, is_worth_it
from haywain.store.database import PortalConnection
from haywain.values import KIB, MIB

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]
TEXT = b"".join(b"%07d degrees\n" % n for n in range(140_000))  # a bit more than two blocks
NOISE = random.Random(1).randbytes(MIB)
BYTES = TEXT[:MIB] + NOISE + TEXT[MIB:]


def blocks(data: bytes) -> list[bytes]:
    return [data[at : at + MIB] for at in range(0, len(data), MIB)]


@pytest.fixture
def chunk(begin: Begin) -> CompressedChunk:
    """A chunk of BYTES, committed."""
    connection, manager = begin()
    found = connection.root()["chunk"] = CompressedChunk.write(connection, blocks(BYTES))
    manager.commit()
    manager.begin()
    return found


def file_of(chunk: CompressedChunk) -> Path:
    return Path(chunk.blob.committed())


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, len(BYTES)), (5, 5), (5, 9), (MIB - 1, MIB + 1), (3 * MIB - 5, len(BYTES)), (MIB, 2 * MIB)],
)
def test_any_range_is_what_was_written(chunk: CompressedChunk, start: int, stop: int) -> None:
    assert b"".join(chunk.blocks(start, stop)) == BYTES[start:stop]
    assert chunk.view(start, stop) == BYTES[start:stop]


def test_it_takes_less_and_tells_how_much(chunk: CompressedChunk) -> None:
    assert (chunk.length, chunk.stored) == (len(BYTES), file_of(chunk).stat().st_size)
    assert chunk.stored < MIB + MIB // 2


def test_checksums_are_those_of_the_plain_bytes(begin: Begin, chunk: CompressedChunk) -> None:
    connection, _ = begin()
    assert BlobChunk.write(connection, iter(blocks(BYTES))).sums == chunk.sums


def test_a_block_that_does_not_shrink_lies_there_as_it_is(chunk: CompressedChunk) -> None:
    assert NOISE in file_of(chunk).read_bytes()


def test_one_block_is_unpacked_for_a_byte(chunk: CompressedChunk, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack, unpacked = compressed._unpacked, []
    monkeypatch.setattr(compressed, "_unpacked", lambda *block: unpacked.append(block) or unpack(*block))
    assert chunk.view(3 * MIB + 7, 3 * MIB + 8) == BYTES[3 * MIB + 7 : 3 * MIB + 8]
    assert len(unpacked) == 1


@pytest.mark.parametrize("where", range(16))
def test_a_flipped_bit_is_said(chunk: CompressedChunk, where: int) -> None:
    path = file_of(chunk)
    flip(path, where if where < 8 else where * (path.stat().st_size // 17))
    with pytest.raises(CorruptDataError, match="does not match"):
        list(chunk.blocks(0, len(BYTES)))


@pytest.mark.parametrize("bit", range(0, 64, 3))
def test_a_damaged_index_is_said(chunk: CompressedChunk, bit: int) -> None:
    end = int.from_bytes(chunk.ends[:8], "little") ^ 1 << bit
    chunk.ends = end.to_bytes(8, "little") + chunk.ends[8:]
    with suppress(CorruptDataError):  # bytes behind a frame are no part of it
        assert chunk.view(0, 10) == BYTES[:10]
    with pytest.raises(CorruptDataError, match=r"does not match|damaged"):
        chunk.view(MIB, MIB + 10)


def test_a_short_file_is_said(chunk: CompressedChunk) -> None:
    path = file_of(chunk)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptDataError, match="shorter"):
        chunk.view(0, 10)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(TEXT, True), (NOISE, False), (NOISE + bytes(MIB), True), (b"x", False), (NOISE[: 64 * KIB], False)],
    ids=["text", "noise", "half", "byte", "little-noise"],
)
def test_samples_tell_whether_it_is_worth_it(begin: Begin, data: bytes, expected: bool) -> None:
    connection, _ = begin()
    assert is_worth_it(BlobChunk.write(connection, iter([data]))) is expected
