"""Group commit: many threads' work in one transaction; who is refused takes nothing away from the others."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from BTrees.OOBTree import OOBTree
from tests.activity.conftest import until
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.errors import InvalidError, TemporaryError
from haywain.store import group
from haywain.store.database import Database, PortalConnection
from haywain.store.group import Group
from haywain.values import Tid


@dataclass
class Session:
    """A transaction on a tree of the root."""

    connection: PortalConnection
    manager: TransactionManager

    @property
    def tree(self) -> Any:
        return self.connection.root()["tree"]


@dataclass
class Store:
    """A database whose transactions can be held up; counts them."""

    database: Database
    sizes: list[int] = field(default_factory=list)
    commits: int = 0
    may_go_on: threading.Event = field(default_factory=threading.Event)
    conflicts: int = 0

    def transact(self, work: Callable[[Session], list[Any]]) -> tuple[list[Any], Tid]:
        while True:
            manager = TransactionManager(explicit=True)
            manager.begin()
            connection = self.database.connect(manager)
            try:
                results = work(Session(connection, manager))
                assert self.may_go_on.wait(20)
                self.sizes.append(len(results))
                if self.conflicts:
                    self.conflicts -= 1
                    raise ConflictError
                manager.commit()
                manager.begin()
                self.commits += 1
                return results, Tid(connection.last_tid.hex())
            except ConflictError:
                continue
            finally:
                manager.abort()
                connection.close()

    def content(self) -> dict[str, int]:
        with self.database.transaction() as connection:
            return dict(connection.root()["tree"])


@dataclass
class Crowd:
    """Threads that each want something, in the order in which they are asked."""

    group: Group[Session]
    pool: ThreadPoolExecutor
    asked: int = 0

    def ask(self, work: Callable[[Session], Any], lock: Any = None, size: int = 1) -> Future[Any]:
        """Have a thread run a work, and return once it waits or leads."""
        found = self.pool.submit(self.group.run, work, lock or threading.Lock(), size)
        self.asked += 1
        until(lambda: found.done() or len(self.group._waiting) >= self.asked - 1, "the work to wait")
        return found


@pytest.fixture
def store(database: Database) -> Store:
    with database.transaction() as connection:
        connection.root()["tree"] = OOBTree()
    return Store(database)


@pytest.fixture
def crowd(store: Store) -> Iterator[Crowd]:
    """A group whose first transaction is held up until `store.may_go_on`."""
    with ThreadPoolExecutor(300) as pool:
        yield Crowd(Group(store.transact), pool)
        store.may_go_on.set()


def put(key: str, value: int = 1) -> Callable[[Session], str]:
    def work(session: Session) -> str:
        session.tree[key] = value
        return key

    return work


def refuse(key: str) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        session.tree[key] = 0
        raise InvalidError(f"no {key}")

    return work


def test_what_waits_is_committed_together(store: Store, crowd: Crowd) -> None:
    first, *others = [crowd.ask(put(str(n))) for n in range(10)]
    store.may_go_on.set()
    outcomes = [one.result(20) for one in (first, *others)]
    assert [result for result, _ in outcomes] == [str(n) for n in range(10)]
    assert store.sizes == [1, 9]
    assert len({tid for _, tid in outcomes[1:]}) == 1 and outcomes[0][1] < outcomes[1][1]
    assert store.content() == {str(n): 1 for n in range(10)}


def test_who_is_refused_takes_nothing_from_the_others(store: Store, crowd: Crowd) -> None:
    asked = [crowd.ask(work) for work in (put("a"), put("b"), refuse("c"), put("d"), refuse("e"))]
    store.may_go_on.set()
    for number, one in enumerate(asked):
        if number in (2, 4):
            with pytest.raises(InvalidError, match=f"no {'abcde'[number]}"):
                one.result(20)
        else:
            assert one.result(20)[0] == "abcde"[number]
    assert store.content() == {"a": 1, "b": 1, "d": 1} and store.commits == 2


def test_refusal_alone_commits_nothing(store: Store, crowd: Crowd) -> None:
    store.may_go_on.set()
    with pytest.raises(InvalidError):
        crowd.ask(refuse("x")).result(20)
    assert store.commits == 0
    assert crowd.ask(put("y")).result(20)[0] == "y"


def test_conflict_does_the_whole_group_anew(store: Store, crowd: Crowd) -> None:
    def count(session: Session) -> int:
        session.tree["n"] = session.tree.get("n", 0) + 1
        return int(session.tree["n"])

    asked = [crowd.ask(count) for _ in range(6)]
    store.conflicts = 3
    store.may_go_on.set()
    assert sorted(one.result(20)[0] for one in asked) == [1, 2, 3, 4, 5, 6]
    assert store.content() == {"n": 6} and store.commits == 2


def test_error_of_the_commit_is_everybodys(
    store: Store, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(work: Callable[[Session], list[Any]]) -> tuple[list[Any], Tid]:
        if not store.may_go_on.wait(20) or crowd.asked:
            raise OSError(28, "No space left on device")
        raise AssertionError

    monkeypatch.setattr(crowd.group, "_transact", fail)
    asked = [crowd.ask(put(str(n))) for n in range(3)]
    store.may_go_on.set()
    for one in asked:
        with pytest.raises(OSError, match="No space left"):
            one.result(20)
    monkeypatch.undo()
    assert crowd.ask(put("after")).result(20)[0] == "after"


def test_lock_that_somebody_else_has_holds_up_its_own_work_only(store: Store, crowd: Crowd) -> None:
    store.may_go_on.set()
    busy = threading.Lock()
    with busy:
        stuck = crowd.pool.submit(crowd.group.run, put("stuck"), busy, 1)
        for number in range(20):
            assert crowd.group.run(put(str(number)), threading.Lock(), 1)[0] == str(number)
        assert not stuck.done() and "stuck" not in store.content()
    assert stuck.result(20)[0] == "stuck" and len(store.content()) == 21


def test_works_of_one_lock_go_together_and_others_wait_for_it(store: Store, crowd: Crowd) -> None:
    lock = threading.Lock()
    asked = [crowd.ask(put("first"), lock), crowd.ask(put("a"), lock), crowd.ask(put("b"), lock)]
    assert not lock.acquire(blocking=False)
    store.may_go_on.set()
    assert [one.result(20)[0] for one in asked] == ["first", "a", "b"] and store.sizes == [1, 2]
    until(lambda: not lock.locked(), "the lock to be free")


def test_transaction_has_so_many_bytes_at_most(
    store: Store, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "GROUP_BYTES", 10)
    asked = [crowd.ask(put(str(n)), size=size) for n, size in enumerate([1, 4, 4, 4, 99, 1])]
    store.may_go_on.set()
    assert [one.result(20)[0] for one in asked] == list("012345")
    assert store.sizes == [1, 3, 1, 1]


def test_too_much_that_waits_is_refused(store: Store, crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "MOST_WAITING", 3)
    asked = [crowd.ask(put(str(n))) for n in range(4)]
    with pytest.raises(TemporaryError, match="Too much waits"):
        crowd.group.run(put("late"), threading.Lock(), 1)
    monkeypatch.setattr(group, "WAITING_BYTES", 10)
    monkeypatch.setattr(group, "MOST_WAITING", 300)
    with pytest.raises(TemporaryError, match="Too much waits"):
        crowd.group.run(put("large"), threading.Lock(), 11)
    store.may_go_on.set()
    assert [one.result(20)[0] for one in asked] == list("0123")


class Stop(BaseException):
    """What ends a thread, and no error of its work."""


def test_thread_that_is_made_to_end_leaves_nobody_waiting(store: Store, crowd: Crowd) -> None:
    def stop(session: Session) -> None:
        raise Stop

    asked = [crowd.ask(work) for work in (put("first"), stop, put("with it"))]
    late = None
    store.may_go_on.set()
    assert asked[0].result(20)[0] == "first"
    with pytest.raises(Stop):
        asked[1].result(20)
    with pytest.raises(TemporaryError, match="interrupted; send it again"):
        asked[2].result(20)
    late = crowd.ask(put("late"))
    assert late.result(20)[0] == "late" and set(store.content()) == {"first", "late"}


def test_hundreds_of_threads_each_get_their_own(store: Store, crowd: Crowd) -> None:
    store.may_go_on.set()
    locks = [threading.Lock() for _ in range(7)]

    def append(number: int) -> int:
        def work(session: Session) -> int:
            key = f"{number % 7}"
            session.tree[key] = session.tree.get(key, 0) + 1
            if number % 10 == 9:
                raise InvalidError("refused")
            return int(session.tree[key])

        try:
            return int(crowd.group.run(work, locks[number % 7], 1)[0])
        except InvalidError:
            return 0

    found = list(crowd.pool.map(append, range(700)))
    for key in range(7):
        mine = Counter(found[key::7])
        assert mine.pop(0) == 10 and sorted(mine) == list(range(1, 91)) and set(mine.values()) == {1}
    assert store.commits < 700
