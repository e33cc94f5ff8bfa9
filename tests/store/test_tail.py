"""What a crash leaves behind the last transaction is cut; what was acknowledged never is."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from haywain.errors import DataDirectoryError
from haywain.store.database import Database, open_storage
from haywain.store.stream import Stream
from haywain.store.tail import mend_tail
from haywain.values import MIB

COUNT = 6


@pytest.fixture
def written(tmp_path: Path) -> list[bytes]:
    """The states of a Data.fs after each of a few commits; the last is there, with an index of the third."""
    states = []
    for number in range(COUNT):
        database = Database(open_storage(f"file:{tmp_path}"))
        with database.transaction() as connection:
            stream = connection.root().setdefault("stream", Stream())
            stream.append(f"<{number}>".encode() * 100)
        database.close()
        states.append((tmp_path / "Data.fs").read_bytes())
        if number == 2:
            index = (tmp_path / "Data.fs.index").read_bytes()
    (tmp_path / "Data.fs.index").write_bytes(index)
    return states


@pytest.fixture(params=["old index", "index", "no index"])
def indexed(request: pytest.FixtureRequest, written: list[bytes], tmp_path: Path) -> list[bytes]:
    """The same with each kind of index."""
    if request.param == "index":
        open_storage(f"file:{tmp_path}").close()
    if request.param == "no index":
        (tmp_path / "Data.fs.index").unlink()
    return written


def expected(count: int) -> bytes:
    return b"".join(f"<{number}>".encode() * 100 for number in range(count))


def reopen(folder: Path) -> bytes:
    """Open, read the stream, append to it and read it again after another opening."""
    database = Database(open_storage(f"file:{folder}"))
    with database.transaction() as connection:
        stream = connection.root()["stream"]
        found: bytes = stream.read()
        stream.append(b"later")
    database.close()
    database = Database(open_storage(f"file:{folder}"))
    with database.transaction() as connection:
        assert connection.root()["stream"].read() == found + b"later"
    database.close()
    return found


def starts(content: bytes) -> list[int]:
    """Where each transaction begins."""
    found, position = [], 4
    while position < len(content):
        found.append(position)
        position += struct.unpack_from(">Q", content, position + 8)[0] + 8
    return found


def asides(folder: Path) -> list[Path]:
    return sorted(folder.glob("Data.fs.t[ar]*"))


def test_a_healthy_file_is_not_touched(indexed: list[bytes], tmp_path: Path) -> None:
    before = (tmp_path / "Data.fs").stat()
    assert mend_tail(tmp_path / "Data.fs") is None
    after = (tmp_path / "Data.fs").stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    assert reopen(tmp_path) == expected(COUNT)
    assert not asides(tmp_path)


@pytest.mark.parametrize("content", [b"", b"FS30", b"FS", b"no FileStorage at all"])
def test_what_is_no_file_storage_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "Data.fs").write_bytes(content)
    assert mend_tail(tmp_path / "Data.fs") is None
    assert (tmp_path / "Data.fs").read_bytes() == content
    assert mend_tail(tmp_path / "none") is None


@pytest.mark.parametrize("kind", ["zeros", "garbage"])
@pytest.mark.usefixtures("unsynced")
def test_a_tail_of_any_length_is_cut_and_kept(written: list[bytes], tmp_path: Path, kind: str) -> None:
    data_fs, whole = tmp_path / "Data.fs", written[-1]
    for length in (*range(41), 511, 512, 4096, 10_000):
        tail = bytes(length) if kind == "zeros" else random.Random(length).randbytes(length)
        data_fs.write_bytes(whole + tail)
        cut = mend_tail(data_fs)
        assert data_fs.read_bytes() == whole
        if cut is not None:
            assert (cut.offset, cut.length) == (len(whole), length)
            assert cut.aside.read_bytes() == tail
        assert (cut is None) == (length == 0)
    assert len(asides(tmp_path)) == 44


@pytest.mark.parametrize("length", [1, 22, 23, 24, 40, 4096])
def test_a_storage_with_a_bad_tail_opens_and_says_so(
    indexed: list[bytes], tmp_path: Path, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "Data.fs").write_bytes(indexed[-1] + bytes(length))
    assert reopen(tmp_path) == expected(COUNT)
    (aside,) = asides(tmp_path)
    assert aside.read_bytes() == bytes(length)
    assert f"cut {length} bytes" in caplog.text
    assert str(aside) in caplog.text


@pytest.mark.usefixtures("unsynced")
def test_a_transaction_cut_at_any_byte_is_cut_whole(written: list[bytes], tmp_path: Path) -> None:
    data_fs, (before, whole) = tmp_path / "Data.fs", written[-2:]
    for length in range(len(before) + 1, len(whole)):
        data_fs.write_bytes(whole[:length])
        cut = mend_tail(data_fs)
        assert data_fs.read_bytes() == before
        assert cut is not None
        assert cut.aside.read_bytes() == whole[len(before) : length]
        cut.aside.unlink()
    assert reopen(tmp_path) == expected(COUNT - 1)


@pytest.mark.usefixtures("unsynced")
def test_zeros_instead_of_any_end_of_a_transaction_are_cut(written: list[bytes], tmp_path: Path) -> None:
    """The file has its size, but the last blocks were not written."""
    data_fs, (before, whole) = tmp_path / "Data.fs", written[-2:]
    for length in range(len(before), len(whole) - 3, 7):
        data_fs.write_bytes(whole[:length].ljust(len(whole), b"\0"))
        assert mend_tail(data_fs) is not None
        assert data_fs.read_bytes() == before


@pytest.mark.usefixtures("unsynced")
def test_zeros_instead_of_the_begin_of_a_transaction_are_cut(written: list[bytes], tmp_path: Path) -> None:
    """The last block was written and the first was not."""
    data_fs, (before, whole) = tmp_path / "Data.fs", written[-2:]
    for lost in range(17, len(whole) - len(before) - 8, 7):
        data_fs.write_bytes(before + bytes(lost) + whole[len(before) + lost :])
        assert mend_tail(data_fs) is not None
        assert data_fs.read_bytes() == before


def test_a_transaction_with_a_lost_middle_is_cut(tmp_path: Path) -> None:
    """Its header and its length are there, but not the blocks between: ZODB would panic."""
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        connection.root()["stream"] = Stream()
    before = (tmp_path / "Data.fs").read_bytes()
    with database.transaction() as connection:
        for number in range(200):
            connection.root()["stream"].append(f"{number}".encode() * 20)
    database.close()
    whole = bytearray((tmp_path / "Data.fs").read_bytes())
    (tmp_path / "Data.fs.index").unlink()
    middle = (len(before) // 512 + 8) * 512
    whole[middle : middle + 4096] = bytes(4096)
    (tmp_path / "Data.fs").write_bytes(whole)
    assert reopen(tmp_path) == b""
    assert len(asides(tmp_path)) == 1


@pytest.mark.parametrize("size", [1, 600, 5000, 3 * MIB])
def test_zeros_that_were_acknowledged_stay(tmp_path: Path, size: int) -> None:
    """The Record and the tree that names it lie in one transaction with empty sectors."""
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        connection.root()["stream"] = Stream()
        connection.root()["stream"].append(b"before")
    with database.transaction() as connection:
        connection.root()["stream"].append(bytes(size) + b"end")
        connection.root()["other"] = Stream()
        connection.root()["other"].append(bytes(size))
    database.close()
    (tmp_path / "Data.fs.index").unlink()
    assert reopen(tmp_path) == b"before" + bytes(size) + b"end"
    assert not asides(tmp_path)


def test_a_transaction_that_only_voted_is_cut(written: list[bytes], tmp_path: Path) -> None:
    """Its status is `c`: it was never acknowledged."""
    data_fs, (before, whole) = tmp_path / "Data.fs", written[-2:]
    voted = bytearray(whole)
    voted[len(before) + 16] = ord("c")
    data_fs.write_bytes(voted)
    assert reopen(tmp_path) == expected(COUNT - 1)
    assert asides(tmp_path)[0].read_bytes() == voted[len(before) :]


def damaged(written: list[bytes], position: int, value: int) -> bytes:
    content = bytearray(written[-1])
    content[position] ^= value
    return bytes(content)


Damage = Callable[[int], tuple[int, int]]
DAMAGES: dict[str, Damage] = {
    "length, much larger": lambda start: (start + 10, 1),
    "length, larger": lambda start: (start + 15, 0x40),
    "length, zero bit": lambda start: (start + 14, 1),
    "status": lambda start: (start + 16, 2),
    "status, as if it only voted": lambda start: (start + 16, 0x20 ^ ord("c")),
    "length of the user's name": lambda start: (start + 17, 0x80),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize(("which", "tail"), [(3, 0), (4, 40)])
def test_damage_with_transactions_behind_it_is_refused(
    written: list[bytes], tmp_path: Path, name: str, which: int, tail: int
) -> None:
    """ZODB would cut off everything from a damaged length on."""
    start = starts(written[-1])[which]
    content = damaged(written, *DAMAGES[name](start)) + bytes(tail)
    (tmp_path / "Data.fs").write_bytes(content)
    with pytest.raises(DataDirectoryError, match=f"damaged at byte {start}.*restore it from a backup"):
        open_storage(f"file:{tmp_path}")
    assert (tmp_path / "Data.fs").read_bytes() == content
    assert not asides(tmp_path)


@pytest.mark.parametrize("which", [3, COUNT - 1])
def test_no_flipped_bit_of_a_header_cuts_anything(written: list[bytes], tmp_path: Path, which: int) -> None:
    """A transaction's id is not checked; what else is damaged is refused."""
    start, refused = starts(written[-1])[which], 0
    for bit in range(23 * 8):
        content = damaged(written, start + bit // 8, 1 << bit % 8)
        (tmp_path / "Data.fs").write_bytes(content)
        try:
            mend_tail(tmp_path / "Data.fs")
        except DataDirectoryError:
            refused += 1
        assert (tmp_path / "Data.fs").read_bytes() == content
    assert refused >= 64


@pytest.mark.parametrize("name", [name for name in DAMAGES if "voted" not in name])
def test_damage_of_the_last_transaction_is_refused(indexed: list[bytes], tmp_path: Path, name: str) -> None:
    """Its length at the end of the file says that it was indexed whole, so it was perhaps acknowledged."""
    start = starts(indexed[-1])[-1]
    content = damaged(indexed, *DAMAGES[name](start))
    (tmp_path / "Data.fs").write_bytes(content)
    with pytest.raises(DataDirectoryError, match=f"damaged at byte {start}"):
        open_storage(f"file:{tmp_path}")
    assert (tmp_path / "Data.fs").read_bytes() == content


@pytest.mark.parametrize("back", [1, 4, 5])
def test_damage_of_the_last_length_is_refused(indexed: list[bytes], tmp_path: Path, back: int) -> None:
    content = damaged(indexed, len(indexed[-1]) - back, 1)
    (tmp_path / "Data.fs").write_bytes(content)
    with pytest.raises(DataDirectoryError, match="damaged at byte"):
        open_storage(f"file:{tmp_path}")
    assert (tmp_path / "Data.fs").read_bytes() == content


def test_damage_of_a_record_of_the_last_transaction_is_refused(written: list[bytes], tmp_path: Path) -> None:
    start = starts(written[-1])[-1]
    strings = sum(struct.unpack_from(">HHH", written[-1], start + 17))
    content = damaged(written, start + 23 + strings + 31, 1)  # the offset of its transaction
    (tmp_path / "Data.fs").write_bytes(content)
    with pytest.raises(DataDirectoryError, match=f"damaged at byte {start}"):
        open_storage(f"file:{tmp_path}")
    assert (tmp_path / "Data.fs").read_bytes() == content


def test_a_database_inside_of_a_torn_transaction_is_not_taken_for_transactions(tmp_path: Path) -> None:
    """Somebody's upload of a Data.fs is full of transactions, but they name other offsets."""
    database = Database(open_storage(f"file:{tmp_path}"))
    with database.transaction() as connection:
        connection.root()["stream"] = Stream()
        connection.root()["stream"].append(b"acknowledged")
    before = (tmp_path / "Data.fs").read_bytes()
    with database.transaction() as connection:
        connection.root()["stream"].append(before)
    database.close()
    (tmp_path / "Data.fs.index").unlink()
    whole = (tmp_path / "Data.fs").read_bytes()
    (tmp_path / "Data.fs").write_bytes(whole[:-20])
    assert reopen(tmp_path) == b"acknowledged"


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "cut"])
def test_damaged_index_is_made_anew(written: list[bytes], tmp_path: Path, content: bytes | None) -> None:
    index = tmp_path / "Data.fs.index"
    open_storage(f"file:{tmp_path}").close()
    index.write_bytes(index.read_bytes()[:-3] if content is None else content)
    (tmp_path / "Data.fs").write_bytes(written[-1] + bytes(30))
    assert reopen(tmp_path) == expected(COUNT)


def test_an_index_of_another_file_is_made_anew(written: list[bytes], tmp_path: Path) -> None:
    open_storage(f"file:{tmp_path}").close()
    (tmp_path / "Data.fs").write_bytes(written[3] + bytes(30))
    assert reopen(tmp_path) == expected(4)


def test_an_earlier_copy_aside_is_kept(written: list[bytes], tmp_path: Path) -> None:
    for tail in (b"first", b"second"):
        (tmp_path / "Data.fs").write_bytes(written[-1] + tail)
        mend_tail(tmp_path / "Data.fs")
    assert [path.read_bytes() for path in asides(tmp_path)] == [b"first", b"second"]
