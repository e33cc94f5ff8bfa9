"""A storage in memory has transactions, conflicts and packs, as the others have."""

import time
from collections.abc import Iterator

import pytest
from BTrees.LOBTree import LOBTree
from transaction import TransactionManager
from ZODB.POSException import ConflictError

from haywain.store.database import Database, PortalConnection, open_storage
from haywain.store.stream import Stream


@pytest.fixture
def memory() -> Iterator[Database]:
    """A database in memory with a tree and a stream."""
    opened = Database(open_storage("memory:"))
    with opened.transaction() as connection:
        connection.root().update(tree=LOBTree(), stream=Stream())
    yield opened
    opened.close()


def begun(database: Database) -> tuple[PortalConnection, TransactionManager]:
    manager = TransactionManager(explicit=True)
    manager.begin()
    return database.connect(manager), manager


def test_changes_of_one_tree_are_merged_and_appends_conflict(memory: Database) -> None:
    (one, manager), (two, others) = begun(memory), begun(memory)
    one.root()["tree"][1] = two.root()["tree"][2] = 5
    manager.commit()
    others.commit()
    for each in (manager, others):
        each.begin()
    assert list(one.root()["tree"].items()) == [(1, 5), (2, 5)]
    one.root()["stream"].append(b"a")
    two.root()["stream"].append(b"b")
    manager.commit()
    with pytest.raises(ConflictError):
        others.commit()
    others.abort()
    for each in (manager, others):
        each.begin()


def test_a_pack_keeps_what_is_referred_to(memory: Database) -> None:
    for number in range(3):
        with memory.transaction() as connection:
            connection.root()["stream"].replace()
            connection.root()["stream"].append(b"%d" % number * 1000)
    records = sum(1 for transaction in memory.storage.iterator() for _ in transaction)
    memory.pack(time.time() + 5)
    assert sum(1 for transaction in memory.storage.iterator() for _ in transaction) < records
    with memory.transaction() as connection:
        connection.cacheMinimize()
        assert connection.root()["stream"].read() == b"2" * 1000
