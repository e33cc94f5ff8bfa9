"""An object database in a temporary directory, and sizes small enough to cross every boundary."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from tests.storages import Storage
from transaction import TransactionManager
from transaction.interfaces import NoTransaction

from haywain.store import block, chunk, extents, growing, stream
from haywain.store.database import Database, PortalConnection

if TYPE_CHECKING:
    from tests.store.two import Two

Begin = Callable[[], tuple[PortalConnection, TransactionManager]]


@pytest.fixture
def database(storage: Storage) -> Iterator[Database]:
    """A new object database; a FileStorage has its blobs in `tmp_path`."""
    opened = storage.open()
    yield opened
    opened.close()


@pytest.fixture
def begin(database: Database) -> Iterator[Begin]:
    """Call it for a connection in a transaction of its own; they are aborted and closed at the end."""
    opened: list[tuple[PortalConnection, TransactionManager]] = []

    def begin() -> tuple[PortalConnection, TransactionManager]:
        manager = TransactionManager(explicit=True)
        manager.begin()
        opened.append((database.connect(manager), manager))
        return opened[-1]

    yield begin
    for connection, manager in opened:
        with suppress(NoTransaction):
            manager.abort()
        connection.close()


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is fsynced: for tests that commit or cut hundreds of times."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(sys.modules["ZODB.FileStorage.FileStorage"], "fsync", None)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Generation of 64 bytes, Records of 16, blocks of 32."""
    monkeypatch.setattr(stream, "GENERATION_SIZE", 64)
    monkeypatch.setattr(stream, "RECORD_SIZE", 16)
    monkeypatch.setattr(growing, "RECORD_SIZE", 16)
    monkeypatch.setattr(chunk, "BLOCK_SIZE", 32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch, unsynced: None) -> None:
    """Blocks of an array of four pages, and a tail of one."""
    monkeypatch.setattr(extents, "BLOCK_SIZE", 4 * extents.PAGE)
    monkeypatch.setattr(extents, "JOIN_GAP", extents.PAGE)
    monkeypatch.setattr(block, "TAIL_SIZE", extents.PAGE)


@pytest.fixture
def two(begin: Begin, database: Database, small_blocks: None) -> "Two":
    """Two connections to one array of four Blocks."""
    from tests.store.two import Two

    return Two(begin, database)
