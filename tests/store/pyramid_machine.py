"""A machine that changes an Array in two connections in every way, and asks its Pyramid after each."""

import gc
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.store.brute_force import check
from transaction import TransactionManager
from ZODB.POSException import ConflictError, UndoError

from haywain.store.array import Array
from haywain.store.assignment import assign
from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.detail import detail_of
from haywain.store.lanes import lanes_of
from haywain.store.layout import layout_of
from haywain.store.pyramid import Pyramid
from haywain.store.upkeep import fragmented

COLUMNS = 3
MOST = 6000
who, part = st.integers(0, 1), st.floats(0, 1, exclude_max=True)


@dataclass
class Session:
    connection: PortalConnection
    manager: TransactionManager
    is_anew: bool = False
    savepoints: list[Any] = field(default_factory=list)
    views: list[Any] = field(default_factory=list)

    @property
    def array(self) -> Array:
        found = self.connection.root()["array"]
        assert isinstance(found, Array)
        return found

    @property
    def pyramid(self) -> Pyramid:
        found = self.connection.root()["pyramid"]
        assert isinstance(found, Pyramid)
        return found


class PyramidMachine(RuleBasedStateMachine):
    """`done` counts what happened, so that a test can tell that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.database = Database(open_storage(f"file:{self.path}"))
        with self.database.transaction() as connection:
            connection.root()["array"] = Array((0, COLUMNS), "<f4")
            connection.root()["pyramid"] = Pyramid()
        self.sessions = [self._opened(), self._opened()]
        self.random = np.random.default_rng(5)
        self.done: dict[str, int] = {}

    def _opened(self) -> Session:
        manager = TransactionManager(explicit=True)
        manager.begin()
        return Session(self.database.connect(manager), manager)

    def note(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def values(self, rows: int) -> Any:
        found = self.random.normal(size=(rows, COLUMNS)).astype("<f4")
        found[self.random.random(found.shape) < 0.2] = np.nan
        return found

    def span(self, array: Array, at: float, length: int) -> tuple[int, int]:
        start = int(at * array.rows)
        return start, min(start + length, array.rows)

    # -- changes
    @rule(i=who, length=st.sampled_from([1, 5, 300, 1200, 2500]))
    def append(self, i: int, length: int) -> None:
        array = self.sessions[i].array
        if array.rows + length <= MOST:
            self.attempt(i, lambda: array.append(self.values(length)))

    @rule(i=who, at=part, length=st.sampled_from([1, 40, 1500]))
    def write_to_view(self, i: int, at: float, length: int) -> None:
        session = self.sessions[i]
        start, stop = self.span(session.array, at, length)
        view = session.array.view()
        view[start:stop] = self.values(stop - start)
        session.views = [*session.views[-1:], view]

    @rule(i=who, at=part, length=st.sampled_from([1, 40, 1500]))
    def assign(self, i: int, at: float, length: int) -> None:
        array = self.sessions[i].array
        start, stop = self.span(array, at, length)
        self.attempt(i, lambda: assign(array, slice(start, stop), self.values(stop - start)))

    @rule(i=who, at=part)
    def resize(self, i: int, at: float) -> None:
        self.attempt(i, lambda: self.sessions[i].array.resize(int(at * MOST)))

    @rule(i=who)
    def compact(self, i: int) -> None:
        session = self.sessions[i]
        array, pyramid = session.array, session.pyramid

        def work() -> None:
            array.flush()
            for number in fragmented(array):
                before = layout_of(array, number)
                array.compact_block(number)
                pyramid.keep(array, number, before)

        self.attempt(i, work)

    @rule(i=who, most=st.sampled_from([1, 20_000, 10**9]), steps=st.integers(1, 3))
    def update(self, i: int, most: int, steps: int) -> None:
        session = self.sessions[i]

        def work() -> None:
            following: int | None = 0
            for _ in range(steps):
                if following is not None:
                    following = session.pyramid.update(session.array, following, most).next
            if following is None:
                self.note("updated")
                assert not session.pyramid.stale(session.array, 0, session.array.rows)

        self.attempt(i, work)

    @rule(i=who)
    def begin_anew(self, i: int) -> None:
        """As a Data Array does when it is created anew."""
        self.sessions[i].is_anew = True
        root = self.sessions[i].connection.root()
        root["array"], root["pyramid"] = Array((0, COLUMNS), "<f4"), Pyramid()
        self.sessions[i].connection.add(root["array"])
        self.sessions[i].connection.add(root["pyramid"])

    # -- transactions
    def attempt(self, i: int, work: Any) -> None:
        """Do something that may find that somebody else was first."""
        try:
            work()
        except ConflictError:
            self.note("conflict")
            self.abort(i)

    @rule(i=who)
    def commit(self, i: int) -> None:
        session = self.sessions[i]
        try:
            self.keep(session)
        except ConflictError:
            self.note("conflict")
            self.abort(i)
        else:
            session.manager.begin()
            session.savepoints = []

    def keep(self, session: Session) -> None:
        session.manager.get().note("anew" if session.is_anew else "change")
        session.manager.commit()
        session.is_anew = False

    @rule(i=who)
    def abort(self, i: int) -> None:
        session = self.sessions[i]
        session.manager.abort()
        session.manager.begin()
        session.savepoints, session.is_anew = [], False

    @rule(i=who)
    def savepoint(self, i: int) -> None:
        session = self.sessions[i]
        self.attempt(i, lambda: session.savepoints.append(session.manager.savepoint()))

    @rule(i=who)
    def rollback(self, i: int) -> None:
        session = self.sessions[i]
        if session.savepoints:
            session.savepoints[-1].rollback()

    @rule(i=who, back=st.integers(0, 2))
    def undo(self, i: int, back: int) -> None:
        """Take one of the last transactions back, also one that updated, and look from a new snapshot."""
        self.abort(i)
        session, found = self.sessions[i], self.database.undoInfo(0, back + 1)
        last = [one for one in found[back:] if {f["description"] for f in found} == {"change"}]
        try:
            for one in last:
                self.database.undo(one["id"], session.manager.get())
            self.keep(session)
            self.note("undone" if last else "nothing to undo")
        except (UndoError, ConflictError):
            session.manager.abort()
        session.manager.begin()

    @rule()
    def pack_and_open_anew(self) -> None:
        """What is not referred to goes, and its oids may be given away again."""
        self.close()
        self.database.pack()
        self.database.close()
        self.database = Database(open_storage(f"file:{self.path}"))
        self.sessions = [self._opened(), self._opened()]

    def close(self) -> None:
        for session in self.sessions:
            session.views = []
            session.manager.abort()
            session.connection.close()

    # -- questions
    @rule(i=who, at=part, to=part, width=st.sampled_from([1, 2, 7, 50, 10_000]))
    def ask(self, i: int, at: float, to: float, width: int) -> None:
        array = self.sessions[i].array
        start, stop = sorted((int(at * array.rows), int(to * array.rows)))
        self.look(i, start, stop, width)

    @invariant()
    def all_rows_are_as_they_are(self) -> None:
        for i, session in enumerate(self.sessions):
            self.look(i, 0, session.array.rows, 9)

    def look(self, i: int, start: int, stop: int, width: int) -> None:
        array, pyramid = self.sessions[i].array, self.sessions[i].pyramid
        lanes = lanes_of(array.dtype, array.row, columns=[2, 0])
        found = detail_of(array, pyramid, lanes, (start, stop), width)
        view = array.view()
        for name, summary in found.columns.items():
            check(summary, view[:, int(name)], found.edges)
        assert found.edges[0] == start and found.edges[-1] == stop and not found.is_sampled

    def teardown(self) -> None:
        self.close()
        self.database.close()
        shutil.rmtree(self.path)
        gc.collect()
