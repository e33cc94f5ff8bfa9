"""A machine that drives a Stream in two connections beside a `bytearray`, and knows what conflicts."""

import gc
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.errors import ExpiredError
from haywain.store.compressed import CompressedChunk
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.stream import Stream

who = st.integers(0, 1)
part = st.floats(0, 1)
rarely = st.integers(0, 3)  # what undoes most of what was done so far is done at 0
alike = st.builds(lambda byte, count: bytes([byte]) * count, st.integers(0, 255), st.integers(30, 150))
kind = st.sampled_from(["append", "append", "replace", "truncate", "expire", "seal", "compress"])
data_of = st.binary(min_size=0, max_size=20) | st.binary(min_size=60, max_size=150) | alike


@dataclass(frozen=True)
class Pending:
    """What a transaction has done so far, and the bytes it sees; those before `start` have expired."""

    view: bytes = b""
    start: int = 0
    kinds: frozenset[str] = frozenset()  # append, cut (another tree), expire, care (of single generations)
    cared: frozenset[int] = frozenset()  # starts of the generations that were sealed or compressed
    new_from: float = math.inf  # generations from here on are this transaction's own objects
    blobs: int = 0


@dataclass
class Session:
    connection: PortalConnection
    manager: TransactionManager
    seen: int = 0
    pending: Pending = field(default_factory=Pending)
    holds: bool = False  # also after a rollback
    savepoints: list[tuple[Any, Pending]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def stream(self) -> Stream:
        found = self.connection.root()["stream"]
        assert isinstance(found, Stream)
        return found

    def write(self, kind: str, **changes: Any) -> None:
        """Note a write; an append behind a cut writes nothing that others have."""
        done = self.pending
        kinds = done.kinds if kind == "append" and "cut" in done.kinds else done.kinds | {kind}
        self.pending = replace(done, kinds=kinds, **changes)


@dataclass
class Reader:
    """Somebody who reads at leisure, across transactions."""

    chunks: Iterator[memoryview]
    expected: bytes
    at: int

    def step(self) -> bool:
        """Read a piece; return whether there may be more."""
        try:
            piece = bytes(next(self.chunks, b""))
        except ExpiredError as error:
            assert error.start > self.at
            return False
        assert self.expected.startswith(piece) and (piece or not self.expected)
        self.expected, self.at = self.expected[len(piece) :], self.at + len(piece)
        return bool(piece)


class StreamMachine(RuleBasedStateMachine):
    """`committed` is what everybody must see next; `log` is what each commit did."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.committed, self.start, self.blobs = bytes(range(200)), 0, 0
        self.before: tuple[bytes, int] | None = None  # the last transaction, if that can be undone
        self.log: list[Pending] = []
        self.readers: list[Reader] = []
        self._open()
        with self.database.transaction() as connection:
            stream = connection.root()["stream"] = Stream()
            stream.append(self.committed)
        self._begin()

    def _open(self) -> None:
        self.database = Database(open_storage(f"file:{self.path}"))
        managers = [TransactionManager(explicit=True) for _ in range(2)]
        self.sessions = [Session(self.database.connect(manager), manager) for manager in managers]

    def _begin(self, *sessions: Session) -> None:
        for session in sessions or self.sessions:
            session.manager.begin()
            session.seen, session.pending = len(self.log), Pending(self.committed, self.start)
            session.holds, session.savepoints = False, []
            for path in session.files:
                path.unlink()
            session.files = []

    # -- writing
    @rule(who=who, data=data_of)
    def append(self, who: int, data: bytes) -> None:
        session = self.sessions[who]
        assert session.stream.append(data) == len(session.pending.view)
        if data:
            session.write("append", view=session.pending.view + data)

    @rule(
        who=who, pieces=st.lists(st.binary(min_size=1, max_size=64) | alike.map(lambda b: b[:64]), max_size=3)
    )
    def append_files(self, who: int, pieces: list[bytes]) -> None:
        session, done = self.sessions[who], self.sessions[who].pending
        paths = [Path(tempfile.mkstemp(dir=self.path)[1]) for _ in pieces]
        for path, piece in zip(paths, pieces, strict=True):
            path.write_bytes(piece)
        assert session.stream.append_files(paths) == len(done.view)
        assert [path.read_bytes() for path in paths] == pieces
        session.files += paths
        if pieces:
            session.write("append", view=done.view + b"".join(pieces), blobs=done.blobs + len(pieces))

    @rule(who=who, rarely=rarely)
    def replace(self, who: int, rarely: int) -> None:
        if rarely:
            return
        session = self.sessions[who]
        session.stream.replace()
        session.write("cut", view=b"", start=0, new_from=0)

    @rule(who=who, where=part)
    def truncate(self, who: int, where: float) -> None:
        session, done = self.sessions[who], self.sessions[who].pending
        size = done.start + round(where * (len(done.view) - done.start))
        holding = session.stream.holding(size).start
        session.holds |= "cut" not in done.kinds
        session.stream.truncate(size)
        if size < len(done.view):
            session.write("cut", view=done.view[:size], new_from=min(done.new_from, holding))

    @rule(who=who, where=part)
    def expire(self, who: int, where: float) -> None:
        session, done = self.sessions[who], self.sessions[who].pending
        before = round(where * len(done.view))
        starts = [start for start in session.stream.generations if start <= before]
        expected = max([*starts, done.start])
        assert session.stream.expire(before) == expected
        if expected > done.start:
            session.write("expire", start=expected)

    @rule(who=who)
    def close_tail(self, who: int) -> None:
        session = self.sessions[who]
        if session.stream.last.size:
            session.write("append")
        session.stream.close_tail()

    @rule(who=who, choice=st.integers(0, 3))
    def seal(self, who: int, choice: int) -> None:
        session = self.sessions[who]
        starts = session.stream.unsealed()
        if starts:
            start = starts[choice % len(starts)]
            assert session.stream.seal(start)
            assert not session.stream.seal(start)
            self._care(session, start, 1)

    @rule(who=who)
    def compress(self, who: int) -> None:
        session = self.sessions[who]
        start = session.stream.cold(math.inf)
        if start is not None:
            is_smaller = session.stream.compress(start)
            assert isinstance(session.stream.generations[start].chunk, CompressedChunk) == is_smaller
            assert not session.stream.compress(start)
            self._care(session, start, int(is_smaller))

    def _care(self, session: Session, start: int, blobs: int) -> None:
        done = session.pending
        cared = done.cared | ({start} if start < done.new_from else frozenset())
        session.write("care", cared=cared, blobs=done.blobs + blobs)

    # -- transactions
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

    @rule(who=who)
    def commit(self, who: int) -> None:
        session = self.sessions[who]
        done, others = session.pending, self.log[session.seen :]
        theirs: frozenset[str] = frozenset().union(*(other.kinds for other in others))
        try:
            session.manager.commit()
        except ConflictError:
            session.manager.abort()
            may = "expire" in done.kinds and "append" in theirs  # the same node of the tree
            assert may or self._conflicts(session, others)
        else:
            assert not self._conflicts(session, others)
            if done.kinds:
                self._note(done)
        self._begin(session)

    @rule(rounds=st.lists(st.tuples(who, kind, kind, part, part), min_size=1, max_size=5))
    def at_once(self, rounds: list[tuple[int, str, str, float, float]]) -> None:
        """Again and again both do one thing more, and commit one after the other."""
        for first, *kinds_and_wheres in rounds:
            for who in range(2):
                self._do(who, str(kinds_and_wheres[who]), float(kinds_and_wheres[2 + who]))
            self.commit(first)
            self.commit(1 - first)

    def _do(self, who: int, kind: str, where: float) -> None:
        calls = {
            "append": lambda: self.append(who, b"at once" * 5),
            "replace": lambda: self.replace(who, 0),
            "truncate": lambda: self.truncate(who, where),
            "expire": lambda: self.expire(who, where),
            "seal": lambda: self.seal(who, round(3 * where)),
            "compress": lambda: self.compress(who),
        }
        calls[kind]()

    @rule(who=who, data=data_of, where=part)
    def cut_and_go_on(self, who: int, data: bytes, where: float) -> None:
        self.truncate(who, where)
        self.append(who, data)

    @rule(who=who, count=st.integers(1, 5))
    def settle(self, who: int, count: int) -> None:
        """Seal, then compress."""
        for _ in range(count):
            self.seal(who, 0)
        for _ in range(count):
            self.compress(who)

    def _note(self, done: Pending) -> None:
        self.before = (self.committed, self.start)
        if done.kinds & {"append", "cut"}:
            self.committed, self.start = done.view, done.start
        elif "expire" in done.kinds:
            self.start = done.start
        self.blobs += done.blobs
        self.log.append(done)

    def _conflicts(self, session: Session, others: list[Pending]) -> bool:
        """Whatever forgot bytes meanwhile; an append beside an append or a hold; the same care."""
        done = session.pending
        theirs: frozenset[str] = frozenset().union(*(other.kinds for other in others))
        cared = done.cared.intersection(*[frozenset().union(*(other.cared for other in others))])
        return bool(
            done.kinds
            and (
                theirs & {"cut", "expire"}
                or (("append" in done.kinds or session.holds) and "append" in theirs)
                or cared
            )
        )

    @rule(who=who, rarely=rarely)
    def abort(self, who: int, rarely: int) -> None:
        if rarely:
            return
        self.sessions[who].manager.abort()
        self._begin(self.sessions[who])

    @rule(rarely=rarely)
    def reopen(self, rarely: int) -> None:
        if rarely:
            return
        self._close()
        self._open()
        self._begin()

    @precondition(lambda self: self.before is not None)
    @rule(rarely=rarely)
    def undo(self, rarely: int) -> None:
        """Undo the last transaction, which may be an undo itself."""
        if rarely:
            return
        self._let_go()
        manager = TransactionManager(explicit=True)
        self.database.undo(self.database.undoLog(0, 1)[0]["id"], manager.begin())
        manager.commit()
        assert self.before is not None
        self.before, (self.committed, self.start) = (self.committed, self.start), self.before
        self.blobs = self._blobs_there()  # what is undone stays until a pack, what is done again is copied
        self._begin()

    @rule(rarely=rarely)
    def pack(self, rarely: int) -> None:
        """Remove what is no longer of use, and no more."""
        if rarely:
            return
        self._let_go()
        self.database.pack(time.time() + 5)
        self.before = None
        with self.database.transaction() as connection:
            chunks = [generation.chunk for generation in connection.root()["stream"].generations.values()]
        self.blobs = sum(chunk is not None for chunk in chunks)
        assert self._blobs_there() == self.blobs
        self._begin()

    def _let_go(self) -> None:
        for reader in self.readers:
            while reader.step():
                pass
        self.readers = []
        for session in self.sessions:
            session.manager.abort()

    # -- reading
    @rule(who=who, start=st.integers(0, 300), length=st.integers(0, 200))
    def read(self, who: int, start: int, length: int) -> None:
        session, done = self.sessions[who], self.sessions[who].pending
        stop = start + length
        if start < min(stop, len(done.view), done.start):
            try:
                session.stream.chunks(start, stop)
                raise AssertionError("what has expired was read")
            except ExpiredError as error:
                assert error.start == done.start
            return
        expected = done.view[start:stop]
        assert session.stream.read(start, stop) == expected
        with session.stream.open() as file:
            assert file.seek(start) == start
            assert file.read(length) == expected

    @rule(who=who, ahead=st.integers(0, 40))
    def begin_to_read(self, who: int, ahead: int) -> None:
        session, done = self.sessions[who], self.sessions[who].pending
        if not done.kinds:
            at = min(done.start + ahead, len(done.view))
            self.readers.append(Reader(session.stream.chunks(at), done.view[at:], at))

    @rule(count=st.integers(1, 3))
    def go_on_reading(self, count: int) -> None:
        for _ in range(count):
            self.readers = [reader for reader in self.readers if reader.step()]

    @invariant()
    def everybody_sees_the_bytes(self) -> None:
        for session in self.sessions:
            stream, done = session.stream, session.pending
            assert (stream.start, stream.size) == (done.start, len(done.view))
            assert stream.read(done.start) == done.view[done.start :]

    @invariant()
    def what_it_takes_is_known(self) -> None:
        for session in self.sessions:
            sizes = [
                g.chunk.stored if isinstance(g.chunk, CompressedChunk) else g.size
                for g in session.stream.generations.values()
            ]
            assert session.stream.stored == sum(sizes)

    @invariant()
    def what_is_unsealed_is_known(self) -> None:
        for session in self.sessions:
            every = session.stream.generations.values()
            assert session.stream.unsealed() == [g.start for g in every if g.closed and g.chunk is None]

    # -- the end
    def _blobs_there(self) -> int:
        return len(list((self.path / "blobs").rglob("*.blob")))

    def _close(self) -> None:
        self._let_go()
        for session in self.sessions:
            session.connection.close()
            for path in session.files:
                path.unlink()
        self.database.close()

    def teardown(self) -> None:
        try:
            self._close()
            gc.collect()  # ZODB's ObjectWriter is a cycle; after a conflict it holds what was not yet written
            assert not list((self.path / "blobs/tmp").iterdir())
            assert self._blobs_there() == self.blobs
            assert {path.name for path in self.path.iterdir()} <= {
                "Data.fs", "Data.fs.index", "Data.fs.lock", "Data.fs.tmp", "blobs", "pack.lock"
            }  # fmt: skip
        finally:
            shutil.rmtree(self.path)
