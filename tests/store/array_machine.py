"""A machine that drives Arrays in two connections beside ndarrays, and what the views must show meanwhile."""

import gc
import time
import weakref
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray
from tests.storages import Storage
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.store import extents
from haywain.store.array import Array, StaleViewError
from haywain.store.assignment import assign
from haywain.store.database import PortalConnection
from haywain.store.mapping import Mapping
from haywain.store.upkeep import fragmented, verify

Rows = NDArray[np.int16]
NAMES = ("x", "y")
who, name = st.integers(0, 1), st.sampled_from(NAMES)
part, many = st.floats(0, 1, exclude_max=True), st.sampled_from([1, 3, 300, 1500])


def mapping_of(view: Rows) -> Mapping:
    """Return the memory under a view."""
    found: Any = view
    while isinstance(found, np.ndarray):
        found = found.base
    assert isinstance(found.owner, Mapping)
    return found.owner


@dataclass
class Memory:
    """What a Mapping must show, in all rows that may ever be: as it is, and before the transaction."""

    data: Rows
    base: Rows
    placed: set[int] = field(default_factory=set)
    is_stale: bool = False

    def fill(self, target: Rows, source: Rows, numbers: set[int]) -> None:
        """Copy the bytes of blocks."""
        for number in numbers:
            span = slice(number * extents.BLOCK_SIZE, (number + 1) * extents.BLOCK_SIZE)
            target.reshape(-1).view("u1")[span] = source.reshape(-1).view("u1")[span]


@dataclass
class Change:
    """What a transaction did to an array; `rows` are what it has then, or those that were written."""

    kind: str
    name: str
    rows: Rows
    where: slice = field(default_factory=lambda: slice(0))

    def apply(self, to: Rows) -> Rows:
        if self.kind == "write":
            to = to.copy()
            to[self.where] = self.rows
            return to
        if self.kind == "append":
            return np.concatenate([to, self.rows])
        found = self.rows.copy()
        kept = min(len(found), len(to))
        found[:kept] = to[:kept]
        return found


@dataclass
class Session:
    connection: PortalConnection
    manager: TransactionManager
    work: dict[str, Rows] = field(default_factory=dict)
    found: dict[str, Rows] = field(default_factory=dict)
    version: dict[str, int] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    unseen: list[tuple[Change, Memory]] = field(default_factory=list)
    is_poisoned: bool = False
    is_risky: bool = False
    savepoints: list[tuple[Any, ...]] = field(default_factory=list)
    memories: weakref.WeakKeyDictionary[Mapping, Memory] = field(default_factory=weakref.WeakKeyDictionary)
    views: list[tuple[str, Rows, Memory]] = field(default_factory=list)

    def array(self, name: str) -> Array:
        found = self.connection.root()[name]
        assert isinstance(found, Array)
        return found


class ArrayMachine(RuleBasedStateMachine):
    """`committed` is what everybody must see next; `version` counts the commits that changed an array."""

    storages: ClassVar[Storage]
    are_copies: ClassVar[bool] = False
    most: ClassVar[int] = 4000
    row: ClassVar[tuple[int, ...]] = (7,)

    def __init__(self) -> None:
        super().__init__()
        self.storage = self.storages.fresh()
        self.database = self.storage.open()
        self.committed = {name: self.zeros(0) for name in NAMES}
        self.version = dict.fromkeys(NAMES, 0)
        self.count = 0
        with self.database.transaction() as connection:
            for name in NAMES:
                connection.root()[name] = Array((0, *self.row), "i2")
        self.sessions = [self._opened(), self._opened()]
        self.done: dict[str, int] = {}

    def zeros(self, rows: int) -> Rows:
        return np.zeros((rows, *self.row), "i2")

    def all_rows(self, rows: Rows) -> Rows:
        found = self.zeros(3 * self.most)
        found[: len(rows)] = rows
        return found

    def values(self, rows: int) -> Rows:
        self.count += 1
        size = rows * int(np.prod(self.row))
        return ((np.arange(size) * 7 + self.count * 131) % 30011 + 1).astype("i2").reshape(rows, *self.row)

    def _opened(self) -> Session:
        manager = TransactionManager(explicit=True)
        manager.begin()
        session = Session(self.database.connect(manager), manager)
        self._begin(session)
        return session

    def _begin(self, session: Session) -> None:
        session.work = dict(self.committed)
        session.found, session.version = dict(self.committed), dict(self.version)
        session.changes, session.savepoints, session.unseen = [], [], []
        session.is_poisoned = session.is_risky = False
        for memory in session.memories.values():
            memory.base = memory.data.copy()

    def _note(self, kind: str) -> None:
        self.done[kind] = self.done.get(kind, 0) + 1

    # -- the model of memory
    def view(self, session: Session, name: str) -> tuple[Rows, Memory]:
        """Take `array[:]`; find out whether what was written to older views is in it."""
        view = session.array(name).view()
        if self.are_copies:
            assert not view.flags.writeable and np.array_equal(view, session.work[name]), name
            return view, Memory(self.all_rows(view), self.all_rows(view))
        mapping = mapping_of(view)
        memory = session.memories.get(mapping)
        if memory is None:
            memory = Memory(self.all_rows(session.work[name]), self.all_rows(session.found[name]))
            session.memories[mapping] = memory
        for change, theirs in [u for u in session.unseen if u[0].name == name]:
            session.unseen.remove((change, theirs))
            if theirs is memory:
                self._change(session, change, memory)
            else:
                session.is_poisoned = theirs.is_stale = True
        if len(view) != len(session.work[name]) or not np.array_equal(view, session.work[name]):
            raise AssertionError(f"{name}: array[:] differs")
        memory.data = self.all_rows(session.work[name])
        memory.fill(memory.base, self.all_rows(session.found[name]), set(mapping.placed) - memory.placed)
        memory.placed = set(mapping.placed)
        return view, memory

    def _change(self, session: Session, change: Change, memory: Memory | None) -> None:
        session.changes.append(change)
        session.work[change.name] = change.apply(session.work[change.name])
        for mapping, known in session.memories.items():  # also those that no view is left of
            if known is memory or (mapping.array is session.array(change.name) and not mapping.is_stale):
                known.data = self.all_rows(session.work[change.name])
        self._note(change.kind)

    def _current(self, session: Session, name: str) -> Memory | None:
        """Return the memory under the newest view, if there is one: then all ways of writing show in it."""
        return self.view(session, name)[1] if session.views or self.count % 2 else None

    def _span(self, session: Session, name: str, at: float, length: int) -> slice:
        start = int(at * len(session.work[name]))
        return slice(start, min(start + length, len(session.work[name])))

    # -- writing
    @rule(i=who, n=name, at=part, length=many, step=st.sampled_from([1, 1, 5]))
    def write(self, i: int, n: str, at: float, length: int, step: int) -> None:
        session = self.sessions[i]
        view, memory = self.view(session, n)
        span = self._span(session, n, at, length)
        span = slice(span.start, span.stop, step)
        if len(view):
            rows = self.values(len(range(*span.indices(len(view)))))
            if self.are_copies:
                assign(session.array(n), span, rows)
            else:
                view[span] = rows
            self._change(session, Change("write", n, rows, span), memory)

    @rule(i=who, n=name, at=part, length=many, step=st.sampled_from([1, 5]))
    def assign(self, i: int, n: str, at: float, length: int, step: int) -> None:
        """As `array[span] = rows` does, which may go through a view."""
        session = self.sessions[i]
        span = self._span(session, n, at, length)
        span = slice(span.start, span.stop, step)
        memory = self.view(session, n)[1]
        if span.start < span.stop:
            rows = self.values(len(range(*span.indices(len(session.work[n])))))
            assign(session.array(n), span, rows)
            self._change(session, Change("write", n, rows, span), memory)

    @rule(i=who, n=name, at=part, length=many)
    def write_without_a_view(self, i: int, n: str, at: float, length: int) -> None:
        session = self.sessions[i]
        memory = self._current(session, n)
        if memory is None and session.unseen:
            return
        span, array = self._span(session, n, at, length), session.array(n)
        if span.start < span.stop:
            rows = self.values(span.stop - span.start)
            array.write(span.start * array.row_bytes, memoryview(rows.tobytes()))
            self._change(session, Change("write", n, rows, span), memory)

    @rule(i=who, n=name, length=st.sampled_from([1, 2, 5, 400, 1200]))
    def append(self, i: int, n: str, length: int) -> None:
        session = self.sessions[i]
        if len(session.work[n]) + length <= self.most:
            memory = self._current(session, n)
            if memory is None and session.unseen:
                return
            rows = self.values(length)
            assert session.array(n).append(rows) == len(session.work[n])
            self._change(session, Change("append", n, rows), memory)

    @rule(i=who, n=name, at=part)
    def resize(self, i: int, n: str, at: float) -> None:
        session = self.sessions[i]
        memory = self._current(session, n)
        if memory is None and session.unseen:
            return
        rows = int(at * self.most)
        session.array(n).resize(rows)
        if rows != len(session.work[n]):  # else it does nothing, whatever others do meanwhile
            self._change(session, Change("resize", n, self.zeros(rows)), memory)

    @rule(i=who, n=name)
    def flush(self, i: int, n: str) -> None:
        if not self.sessions[i].is_poisoned and not self.sessions[i].unseen:
            self.sessions[i].array(n).flush()

    @rule(i=who, n=name)
    def compact(self, i: int, n: str) -> None:
        session, array = self.sessions[i], self.sessions[i].array(n)
        if not session.unseen and not session.is_poisoned:
            for number in fragmented(array):
                array.compact_block(number)
                session.changes.append(Change("write", n, self.zeros(0), slice(0, 0)))

    # -- views that are kept
    @rule(i=who, n=name)
    def keep(self, i: int, n: str) -> None:
        session = self.sessions[i]
        view, memory = self.view(session, n)
        session.views = [*session.views[-3:], (n, view, memory)]

    @rule(i=who)
    def let_go(self, i: int) -> None:
        self.sessions[i].views = []

    @rule(i=who)
    def begin_without_views(self, i: int) -> None:
        """Take a savepoint in a transaction of which nobody knows yet that it has views."""
        self.sessions[i].views = []
        self.abort(i)
        self.abort(i)
        assert not self.sessions[i].memories, "memory outlives its views"
        self.savepoint(i)

    @rule(i=who, choice=st.integers(0, 3), at=part, length=st.sampled_from([1, 300]), look=st.booleans())
    def write_to_kept(self, i: int, choice: int, at: float, length: int, look: bool) -> None:
        session = self.sessions[i]
        if not session.views or self.are_copies:
            return
        n, view, memory = session.views[choice % len(session.views)]
        most = min(len(view), len(session.work[n]))
        start = int(at * most)
        span = slice(start, min(start + length, most))
        if span.start == span.stop:
            return
        rows = self.values(span.stop - span.start)
        view[span] = rows
        memory.data[span] = rows
        session.unseen.append((Change("write", n, rows, span), memory))
        session.is_risky = True
        if memory.is_stale:
            session.is_poisoned = True
        self._note("write_to_kept")
        if look:
            self._look(session, n)

    def _look(self, session: Session, n: str) -> None:
        self.view(session, n)

    # -- transactions
    @rule(i=who)
    def savepoint(self, i: int) -> None:
        session = self.sessions[i]
        try:
            made = session.manager.savepoint()
        except ConflictError:
            assert session.is_risky
            self.abort(i)
            return
        assert not session.is_poisoned, "a write to a stale view was lost"
        for change, _ in session.unseen:  # it was stored, so its memory was not stale
            session.changes.append(change)
            session.work[change.name] = change.apply(session.work[change.name])
        session.unseen = []
        states = weakref.WeakKeyDictionary(
            {m: (memory.data.copy(), memory.placed) for m, memory in session.memories.items()}
        )
        session.savepoints.append((made, dict(session.work), len(session.changes), states))

    @rule(i=who, choice=st.integers(0, 3))
    def rollback(self, i: int, choice: int) -> None:
        session = self.sessions[i]
        if not session.savepoints:
            return
        index = choice % len(session.savepoints)
        made, work, changes, states = session.savepoints[index]
        made.rollback()
        self._note("rollback")
        session.savepoints = session.savepoints[: index + 1]
        session.work, session.unseen, session.is_poisoned = dict(work), [], False
        del session.changes[changes:]
        for mapping, memory in session.memories.items():
            (n,) = [n for n in NAMES if session.array(n) is mapping.array]
            then = self.all_rows(work[n])
            data, placed = states.get(mapping, (then, set()))
            memory.data = data.copy()
            memory.fill(memory.data, then, memory.placed - placed)

    @rule(i=who)
    def commit(self, i: int) -> None:
        session = self.sessions[i]
        try:
            session.manager.commit()
        except ConflictError as error:
            changed = any(self.version[c.name] != session.version[c.name] for c in session.changes)
            assert changed or session.is_risky, error
            assert not isinstance(error, StaleViewError) or session.is_risky
            self._note("stale" if isinstance(error, StaleViewError) else "conflict")
            self.abort(i)
        else:
            assert not session.is_poisoned, "a write to a stale view was lost"
            changes = [*session.changes, *(change for change, _ in session.unseen)]
            for change in changes:
                self.committed[change.name] = change.apply(self.committed[change.name])
            for n in {change.name for change in changes}:
                self.version[n] += 1
            self._note("commit")
            self._check_committed()
            session.manager.begin()
            self._begin(session)

    def _check_committed(self) -> None:
        with self.database.transaction() as connection:
            for n in NAMES:
                array = connection.root()[n]
                expected = self.committed[n]
                assert array.shape == expected.shape
                assert np.array_equal(array.view(), expected), n
                assert bytes(array.read(0, array.nbytes)) == expected.tobytes(), n
                verify(array, 0, array.rows)

    @rule(i=who)
    def abort(self, i: int) -> None:
        session = self.sessions[i]
        session.manager.abort()
        for memory in session.memories.values():
            memory.data = memory.base.copy()
        session.manager.begin()
        self._begin(session)

    @rule(i=who)
    def reopen(self, i: int) -> None:
        session = self.sessions[i]
        self.abort(i)
        session.manager.abort()
        kept = [(view, view.copy()) for _, view, _ in session.views]
        session.connection.close()
        assert all(np.array_equal(view, content) for view, content in kept)
        for view, _ in kept if not self.are_copies else ():
            view[...] = 1  # private memory
        self.sessions[i] = self._opened()

    @rule(i=who)
    def minimize(self, i: int) -> None:
        self.sessions[i].connection.cacheMinimize()

    @rule()
    def pack(self) -> None:
        self.abort(0)
        self.abort(1)
        self.database.pack(time.time() + 5)

    @invariant()
    def kept_views_show_what_they_must(self) -> None:
        for session in self.sessions:
            for n, view, memory in session.views:
                assert np.array_equal(view, memory.data[: len(view)]), n

    def teardown(self) -> None:
        for session in self.sessions:
            session.manager.abort()
            session.views, session.memories = [], weakref.WeakKeyDictionary()
            session.connection.close()
        self.database.close()
        gc.collect()  # as in the machine of streams
        assert not self.storage.temporary()
