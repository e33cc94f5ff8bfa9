"""Buckets against a dict and a list, in two connections: writes, commits, conflicts in any order."""

import shutil
import tempfile
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.store import bucket_index, buckets
from haywain.store.buckets import Buckets, Span
from haywain.store.chunk import BlobChunk
from haywain.store.database import Database, PortalConnection, open_storage

who = st.integers(0, 1)
names = st.sampled_from([f"{letter}{digit}" for letter in "ab/é" for digit in range(6)])
data_of = st.binary(max_size=40)
action = st.tuples(st.sampled_from(["insert", "insert", "delete", "rebuild"]), names)


@dataclass
class Model:
    """Keys with their bytes, and numbers with their keys, where `order` has None for those deleted."""

    content: dict[str, bytes] = field(default_factory=dict)
    order: list[str | None] = field(default_factory=list)

    def copy(self) -> "Model":
        return Model(dict(self.content), list(self.order))

    def apply(self, kind: str, key: str, data: bytes) -> None:
        if kind == "rebuild":
            self.order = sorted(self.content)
        elif kind == "delete":
            del self.content[key]
            self.order[self.order.index(key)] = None
        else:
            if key not in self.content:
                self.order.append(key)
            self.content[key] = data


@dataclass
class Session:
    connection: PortalConnection
    manager: TransactionManager
    seen: int = 0
    model: Model = field(default_factory=Model)
    done: list[tuple[str, str, bytes]] = field(default_factory=list)
    savepoints: list[tuple[Any, Model, int]] = field(default_factory=list)

    @property
    def buckets(self) -> Buckets:
        found = self.connection.root()["buckets"]
        assert isinstance(found, Buckets)
        return found


class BucketsMachine(RuleBasedStateMachine):
    """What a commit did is applied to what is committed, in the order of the commits."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.committed = Model()
        self.log: list[list[tuple[str, str, bytes]]] = []
        self.conflicts = 0
        self._open()
        with self.database.transaction() as connection:
            connection.root()["buckets"] = Buckets()
        self._begin()

    def _open(self) -> None:
        self.database = Database(open_storage(f"file:{self.path}"))
        managers = [TransactionManager(explicit=True) for _ in range(2)]
        self.sessions = [Session(self.database.connect(manager), manager) for manager in managers]

    def _begin(self, *sessions: Session) -> None:
        for session in sessions or self.sessions:
            session.manager.begin()
            session.seen, session.model = len(self.log), self.committed.copy()
            session.done, session.savepoints = [], []

    def _do(self, session: Session, kind: str, key: str = "", data: bytes = b"") -> None:
        session.model.apply(kind, key, data)
        session.done.append((kind, key, data))

    @rule(who=who, some=st.lists(st.tuples(names, data_of), min_size=1, max_size=6))
    def insert(self, who: int, some: list[tuple[str, bytes]]) -> None:
        session = self.sessions[who]
        for key, data in some:
            assert session.buckets.insert(key, data) == (key not in session.model.content)
            self._do(session, "insert", key, data)

    @rule(some=st.tuples(action, action), first=who)
    def at_once(self, some: tuple[tuple[str, str], ...], first: int) -> None:
        """Both do one thing more, and commit one after the other."""
        for who, (kind, key) in enumerate(some):
            session = self.sessions[who]
            if kind == "insert":
                self.insert(who, [(key, f"{key} by {who}".encode())])
            elif kind == "delete" and key in session.model.content:
                session.buckets.delete(key)
                self._do(session, "delete", key)
            elif kind == "rebuild":
                session.buckets.rebuild_index()
                self._do(session, "rebuild")
        self.commit(first)
        self.commit(1 - first)

    @rule(who=who, key=names, data=data_of)
    def insert_file(self, who: int, key: str, data: bytes) -> None:
        session, path = self.sessions[who], self.path / "file"
        path.write_bytes(data)
        session.buckets.insert_file(key, path)
        path.unlink()
        self._do(session, "insert", key, data)

    @rule(who=who, choice=st.integers(0, 30))
    def delete(self, who: int, choice: int) -> None:
        session = self.sessions[who]
        if session.model.content:
            key = sorted(session.model.content)[choice % len(session.model.content)]
            session.buckets.delete(key)
            self._do(session, "delete", key)

    @rule(who=who, rarely=st.integers(0, 3))
    def rebuild(self, who: int, rarely: int) -> None:
        if rarely:
            return
        session = self.sessions[who]
        session.buckets.rebuild_index()
        self._do(session, "rebuild")

    @rule(who=who)
    def savepoint(self, who: int) -> None:
        session = self.sessions[who]
        session.savepoints.append((session.manager.savepoint(), session.model.copy(), len(session.done)))

    @rule(who=who)
    def rollback(self, who: int) -> None:
        session = self.sessions[who]
        if session.savepoints:
            savepoint, model, count = session.savepoints[-1]
            savepoint.rollback()
            session.model, session.done = model.copy(), session.done[:count]

    @rule(who=who)
    def commit(self, who: int) -> None:
        session = self.sessions[who]
        theirs = [change for done in self.log[session.seen :] for change in done]
        try:
            session.manager.commit()
        except ConflictError:
            session.manager.abort()
            assert session.done and theirs
        else:
            assert not session.done or not self._must_conflict(session.done, theirs)
            for change in session.done:
                self.committed.apply(*change)
            self.log.append(session.done)
        self._begin(session)

    def _must_conflict(
        self, ours: list[tuple[str, str, bytes]], theirs: list[tuple[str, str, bytes]]
    ) -> bool:
        """The same key, or a rebuild beside anything; else they may, as BTrees do where a node is split."""
        kinds = {kind for kind, _, _ in (*ours, *theirs)}
        same = {key for _, key, _ in ours if key} & {key for _, key, _ in theirs if key}
        return bool(theirs) and ("rebuild" in kinds or bool(same))

    @rule(who=who, rarely=st.integers(0, 3))
    def abort(self, who: int, rarely: int) -> None:
        if rarely:
            return
        self.sessions[who].manager.abort()
        self._begin(self.sessions[who])

    @rule(rarely=st.integers(0, 3))
    def reopen(self, rarely: int) -> None:
        if rarely:
            return
        self._close()
        self._open()
        self._begin()

    @rule(rarely=st.integers(0, 3))
    def pack(self, rarely: int) -> None:
        if rarely:
            return
        for session in self.sessions:
            session.manager.abort()
        self.database.pack(time.time() + 5)
        self._begin()
        chunks = [bucket.content for bucket in self.sessions[0].buckets.by_key.values()]
        blobs = sum(isinstance(content, BlobChunk) for content in chunks)
        assert len(list((self.path / "blobs").rglob("*.blob"))) == blobs

    # -- reading
    @rule(
        who=who,
        start=st.none() | names,
        stop=st.none() | names,
        count=st.none() | st.integers(0, 5),
        exclude=st.tuples(st.booleans(), st.booleans()),
    )
    def keys(
        self, who: int, start: str | None, stop: str | None, count: int | None, exclude: tuple[bool, bool]
    ) -> None:
        session = self.sessions[who]
        every = sorted(session.model.content)
        low = 0 if start is None else (bisect_right if exclude[0] else bisect_left)(every, start)
        high = len(every) if stop is None else (bisect_left if exclude[1] else bisect_right)(every, stop)
        assert list(session.buckets.keys(Span(start, stop, count, *exclude))) == every[low:high][:count]

    @rule(
        who=who,
        start=st.none() | st.integers(-2, 40),
        stop=st.none() | st.integers(-2, 40),
        count=st.none() | st.integers(0, 5),
        exclude=st.tuples(st.booleans(), st.booleans()),
    )
    def entries(
        self, who: int, start: int | None, stop: int | None, count: int | None, exclude: tuple[bool, bool]
    ) -> None:
        session = self.sessions[who]
        expected = [
            (index, key)
            for index, key in enumerate(session.model.order)
            if key is not None
            and (start is None or index > start or (index == start and not exclude[0]))
            and (stop is None or index < stop or (index == stop and not exclude[1]))
        ]
        assert list(session.buckets.entries(Span(start, stop, count, *exclude))) == expected[:count]

    @rule(who=who, key=names, index=st.integers(0, 40))
    def edges(self, who: int, key: str, index: int) -> None:
        found, model = self.sessions[who].buckets, self.sessions[who].model
        assert found.edge_key(True, key) == max((k for k in model.content if k <= key), default=None)
        assert found.edge_key(False, key) == min((k for k in model.content if k >= key), default=None)
        live = [i for i, k in enumerate(model.order) if k is not None]
        assert found.index.last(index) == max((i for i in live if i <= index), default=None)
        assert found.index.first(index) == min((i for i in live if i >= index), default=None)
        assert (found.index.first(0), found.index.last()) == (
            min(live, default=None),
            max(live, default=None),
        )
        assert found.index.key(index) == (model.order[index] if index < len(model.order) else None)

    @invariant()
    def everybody_sees_the_buckets(self) -> None:
        for session in self.sessions:
            found, model = session.buckets, session.model
            assert {key: bucket.read() for key, bucket in found.by_key.items()} == model.content
            assert found.totals.count == len(model.content)
            assert found.totals.size == sum(map(len, model.content.values()))
            for key in model.content:
                assert found.index_of(key) == model.order.index(key)

    def _close(self) -> None:
        for session in self.sessions:
            session.manager.abort()
            session.connection.close()
        self.database.close()

    def teardown(self) -> None:
        self._close()
        shutil.rmtree(self.path)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, small: None, unsynced: None) -> None:
    """Pages of four keys; bytes above 16 become blobs."""
    monkeypatch.setattr(bucket_index, "PAGE", 4)
    monkeypatch.setattr(buckets, "RECORD_SIZE", 16)
    monkeypatch.setattr(buckets, "_AT_ONCE", 3)


@pytest.mark.usefixtures("tiny")
def test_buckets_are_a_dict_with_transactions() -> None:
    run_state_machine_as_test(BucketsMachine, settings=settings(max_examples=30, stateful_step_count=40))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("tiny")
def test_buckets_are_a_dict_for_long() -> None:
    run_state_machine_as_test(BucketsMachine, settings=settings(stateful_step_count=50))
