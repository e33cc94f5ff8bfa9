"""The log of a FileStorage is read without trusting it."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transaction import TransactionManager
from ZODB.FileStorage import FileStorage

from haywain.store import tail
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.log import Log, open_log
from haywain.store.stream import Stream

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]
Told = list[tuple[str, int, bytes]]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A Data.fs of six transactions and a few."""
    for number in range(6):
        database = Database(open_storage(f"file:{tmp_path}"))
        with database.transaction() as connection:
            connection.root().setdefault("stream", Stream()).append(b"<%d>" % number * 100)
        database.close()
    return tmp_path / "Data.fs"


Read = Callable[[Path], tuple[Log, Told, list[int]]]


@pytest.fixture
def read() -> Iterator[Read]:
    """Call it for a log that is read, what it complains of, and where its transactions begin."""
    opened: list[Log] = []

    def read(path: Path) -> tuple[Log, Told, list[int]]:
        told: Told = []
        log = open_log(path, lambda *args: told.append(args))
        opened.append(log)
        begins = []
        for transaction in log.transactions():
            begins.append(transaction.position)
            list(log.records(transaction))
        return log, told, begins

    yield read
    for log in opened:
        log.close()


def test_its_index_and_states_are_those_of_the_storage(read: Read, written: Path) -> None:
    log, told, _ = read(written)
    storage = FileStorage(str(written), read_only=True)
    assert not told
    assert (log.end, log.last_tid) == (storage.getSize(), storage.lastTransaction())
    assert list(log.index.items()) == list(storage._index.items())
    for oid in log.index:
        assert log.state(oid) == storage.load(oid)
    assert log.state(b"\xff" * 8) is None
    storage.close()


def damage(path: Path, position: int, value: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= value
    path.write_bytes(content)


@pytest.mark.parametrize("scanned", [1, 7, 64, 1 << 20])
def test_it_goes_on_behind_a_transaction_that_makes_no_sense(
    read: Read, written: Path, monkeypatch: pytest.MonkeyPatch, scanned: int
) -> None:
    """However the pieces lie in which the next one is looked for."""
    monkeypatch.setattr(tail, "_SCANNED", scanned)
    _, _, begins = read(written)
    damage(written, begins[2] + 16, 2)
    _log, told, found = read(written)
    assert found == begins[:2] + begins[3:]
    assert [(position, f"up to byte {begins[3]}" in detail) for detail, position, _ in told] == [
        (begins[2], True)
    ]


@pytest.mark.parametrize("bit", range(64))
def test_no_bit_of_a_length_stops_it(read: Read, written: Path, bit: int) -> None:
    """The first one makes it longer than a file can be."""
    _, _, begins = read(written)
    damage(written, begins[2] + 8 + bit // 8, 0x80 >> bit % 8)
    _log, told, found = read(written)
    assert found == begins[:2] + begins[3:] and told


@pytest.mark.parametrize(
    ("byte", "said"),
    [
        pytest.param(8, "head of a record", id="tid"),
        pytest.param(23, "wrong place of the object's state before it", id="previous"),
        pytest.param(31, "head of a record", id="transaction"),
        pytest.param(33, "head of a record", id="version"),
        pytest.param(36, "head of a record", id="length, far too large"),
    ],
)
def test_each_part_of_a_records_head_is_checked(read: Read, written: Path, byte: int, said: str) -> None:
    _, _, begins = read(written)
    content = written.read_bytes()
    record = begins[3] + 23 + sum(struct.unpack_from(">HHH", content, begins[3] + 17))
    damage(written, record + byte, 1)
    _log, told, found = read(written)
    assert found == begins
    assert said in told[0][0] and told[0][1] == record


def test_a_time_that_goes_back_is_told(read: Read, written: Path) -> None:
    _, _, begins = read(written)
    damage(written, begins[3], 1)
    _, told, _ = read(written)
    assert any("older than the one before it" in detail for detail, _, _ in told)


def test_a_file_that_is_no_file_storage_is_told(read: Read, tmp_path: Path) -> None:
    (tmp_path / "Data.fs").write_bytes(b"thesis" * 100)
    _, told, begins = read(tmp_path / "Data.fs")
    assert "does not begin as a FileStorage does" in told[0][0] and not begins


def test_what_a_server_finishes_meanwhile_is_no_damage(
    read: Read, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its transaction is looked at as unfinished, it is finished and others follow."""
    whole = written.read_bytes()
    _, _, begins = read(written)
    written.write_bytes(whole[: begins[-2] + 50])
    search = tail.find_transaction

    def finishing(*args: object) -> int | None:
        written.write_bytes(whole)
        return search(*args[:1], len(whole), *args[2:])  # type: ignore[arg-type]

    monkeypatch.setattr("haywain.store.log.find_transaction", finishing)
    log, told, found = read(written)
    assert not told and found == begins and log.end == len(whole)


def test_undone_changes_and_repeated_states_are_read(
    read: Read, begin: Begin, database: Database, tmp_path: Path
) -> None:
    """A record of an undo repeats an earlier state by naming where that is."""
    connection, manager = begin()
    for value in (1, 2):
        connection.root()["value"] = value
        manager.commit()
        manager.begin()
    database.undo(database.undoLog(0, 1)[0]["id"], txn := manager.get())
    txn.note("undo")
    manager.commit()
    manager.begin()
    connection.root()["stream"] = Stream()
    manager.commit()
    oid = connection.root()["stream"]._p_oid
    database.undo(database.undoLog(0, 1)[0]["id"], manager.begin())
    manager.commit()
    log, told, _ = read(tmp_path / "Data.fs")
    assert not told
    assert log.state(b"\0" * 8) == database.storage.load(b"\0" * 8)
    assert log.state(oid) is None
    manager.begin()
