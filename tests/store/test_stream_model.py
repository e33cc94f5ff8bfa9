"""A Stream against a `bytearray`, in two connections: writes, commits, aborts and conflicts in any order."""

import gc
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.storages import Storage
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.store.database import PortalConnection
from haywain.store.stream import Stream

who = st.integers(0, 1)
small = st.binary(min_size=0, max_size=20)
large = st.binary(min_size=60, max_size=150)


@dataclass
class Pending:
    """What a transaction has done so far: kinds of writes, generations sealed, blobs made, bytes it sees."""

    view: bytes = b""
    kinds: frozenset[str] = frozenset()
    sealed: frozenset[int] = frozenset()
    blobs: int = 0


@dataclass
class Session:
    connection: PortalConnection
    manager: TransactionManager
    seen: int = 0
    pending: Pending = field(default_factory=Pending)
    savepoints: list[tuple[Any, Pending]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def stream(self) -> Stream:
        found = self.connection.root()["stream"]
        assert isinstance(found, Stream)
        return found

    def write(self, kind: str, view: bytes, sealed: int | None = None, blobs: int = 0) -> None:
        done = self.pending
        kinds = done.kinds if "replace" in done.kinds else done.kinds | {kind}
        starts = done.sealed if sealed is None or "replace" in done.kinds else done.sealed | {sealed}
        self.pending = Pending(view, kinds, starts, done.blobs + blobs)


class StreamMachine(RuleBasedStateMachine):
    """`committed` is what everybody must see next; `log` is what each commit did."""

    storages: ClassVar[Storage]

    def __init__(self) -> None:
        super().__init__()
        self.storage = self.storages.fresh()
        self.path = self.storage.path
        self.committed, self.blobs = bytes(range(200)), 0
        self.log: list[Pending] = []
        self.readers: list[tuple[Any, bytes]] = []
        self._open()
        with self.database.transaction() as connection:
            stream = connection.root()["stream"] = Stream()
            stream.append(self.committed)
        self._begin()

    def _open(self) -> None:
        self.database = self.storage.open()
        managers = [TransactionManager(explicit=True) for _ in range(2)]
        self.sessions = [Session(self.database.connect(manager), manager) for manager in managers]

    def _begin(self, *sessions: Session) -> None:
        for session in sessions or self.sessions:
            session.manager.begin()
            session.seen, session.pending, session.savepoints = len(self.log), Pending(self.committed), []
            for path in session.files:
                path.unlink()
            session.files = []

    @rule(who=who, data=small | large)
    def append(self, who: int, data: bytes) -> None:
        session = self.sessions[who]
        assert session.stream.append(data) == len(session.pending.view)
        if data:
            session.write("append", session.pending.view + data)

    @rule(who=who, pieces=st.lists(st.binary(min_size=1, max_size=64), max_size=3))
    def append_files(self, who: int, pieces: list[bytes]) -> None:
        session = self.sessions[who]
        paths = [Path(tempfile.mkstemp(dir=self.path)[1]) for _ in pieces]
        for path, piece in zip(paths, pieces, strict=True):
            path.write_bytes(piece)
        assert session.stream.append_files(paths) == len(session.pending.view)
        assert [path.read_bytes() for path in paths] == pieces
        session.files += paths
        if pieces:
            session.write("append", session.pending.view + b"".join(pieces), blobs=len(pieces))

    @rule(who=who)
    def replace(self, who: int) -> None:
        session = self.sessions[who]
        session.stream.replace()
        session.write("replace", b"")

    @rule(who=who)
    def close_tail(self, who: int) -> None:
        session = self.sessions[who]
        if session.stream.last.size:
            session.write("append", session.pending.view)
        session.stream.close_tail()

    @rule(who=who, choice=st.integers(0, 3))
    def seal(self, who: int, choice: int) -> None:
        session = self.sessions[who]
        starts = session.stream.unsealed()
        if starts:
            start = starts[choice % len(starts)]
            assert session.stream.seal(start)
            assert not session.stream.seal(start)
            session.write("seal", session.pending.view, sealed=start, blobs=1)

    @rule(who=who)
    def savepoint(self, who: int) -> None:
        session = self.sessions[who]
        session.savepoints.append((session.manager.savepoint(), session.pending))

    @precondition(lambda self: any(session.savepoints for session in self.sessions))
    @rule(who=who, back=st.integers(1, 2))
    def rollback(self, who: int, back: int) -> None:
        session = self.sessions[who]
        if len(session.savepoints) >= back:
            savepoint, session.pending = session.savepoints[-back]
            savepoint.rollback()
            session.savepoints = session.savepoints[: len(session.savepoints) - back + 1]

    @precondition(lambda self: any(session.pending.kinds for session in self.sessions))
    @rule(who=who)
    def commit(self, who: int) -> None:
        session = self.sessions[who]
        done, others = session.pending, self.log[session.seen :]
        try:
            session.manager.commit()
        except ConflictError:
            session.manager.abort()
            assert self._conflicts(done, others)
        else:
            assert not self._conflicts(done, others)
            if done.kinds - {"seal"}:
                self.committed = done.view
            self.blobs += done.blobs
            self.log.append(done)
        self._begin(session)

    def _conflicts(self, done: Pending, others: list[Pending]) -> bool:
        """An append beside an append; anything beside a replace; two seals of one generation."""
        theirs: frozenset[str] = frozenset().union(*(other.kinds for other in others))
        sealed = done.sealed.intersection(*[frozenset().union(*(other.sealed for other in others))])
        return (
            ("append" in done.kinds and "append" in theirs)
            or (bool(done.kinds) and "replace" in theirs)
            or bool(sealed)
        )

    @rule(who=who)
    def abort(self, who: int) -> None:
        self.sessions[who].manager.abort()
        self._begin(self.sessions[who])

    @rule()
    def reopen(self) -> None:
        self._close()
        self._open()
        self._begin()

    @rule(who=who, start=st.integers(0, 300), length=st.integers(0, 200))
    def read(self, who: int, start: int, length: int) -> None:
        session = self.sessions[who]
        expected = session.pending.view[start : start + length]
        assert session.stream.read(start, start + length) == expected
        assert b"".join(session.stream.chunks(start, start + length)) == expected
        with session.stream.open() as file:
            assert file.seek(start) == start
            assert file.read(length) == expected

    @rule(who=who, ahead=st.integers(0, 40))
    def begin_to_read(self, who: int, ahead: int) -> None:
        session = self.sessions[who]
        if not session.pending.kinds:
            chunks = session.stream.chunks(ahead)
            self.readers.append((chunks, session.pending.view[ahead:]))

    @rule(count=st.integers(1, 3))
    def go_on_reading(self, count: int) -> None:
        for index, (chunks, expected) in enumerate(self.readers):
            for _ in range(count):
                piece = bytes(next(chunks, b""))
                assert expected.startswith(piece)
                assert piece or not expected
                expected = expected[len(piece) :]
            self.readers[index] = (chunks, expected)

    @invariant()
    def everybody_sees_the_bytes(self) -> None:
        for session in self.sessions:
            assert session.stream.size == len(session.pending.view)
            assert session.stream.read() == session.pending.view

    def _close(self) -> None:
        for chunks, expected in self.readers:
            assert b"".join(chunks) == expected
        self.readers = []
        for session in self.sessions:
            session.manager.abort()
            session.connection.close()
            for path in session.files:
                path.unlink()
        self.database.close()

    def teardown(self) -> None:
        self._close()
        gc.collect()  # ZODB's ObjectWriter is a cycle; after a conflict it holds what was not yet written
        assert not self.storage.temporary()
        assert len(self.storage.blobs()) == (0 if self.storage.kind == "no-blobs" else self.blobs)
        assert {path.name for path in self.path.iterdir()} <= {
            "Data.fs", "Data.fs.index", "Data.fs.lock", "Data.fs.tmp", "blobs", "cache", "emptied"
        }  # fmt: skip


@pytest.fixture
def machine(storage: Storage, small: None, unsynced: None) -> type[StreamMachine]:
    """The machine on a kind of storage."""
    return type("Machine", (StreamMachine,), {"storages": storage})


@pytest.mark.storages(each_run=True)
def test_a_stream_is_a_bytearray_with_transactions(machine: type[StreamMachine], storage: Storage) -> None:
    examples = 12 if storage.kind == "file" else 4
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=30))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.storages()
def test_a_stream_is_a_bytearray_for_long(machine: type[StreamMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=50))
