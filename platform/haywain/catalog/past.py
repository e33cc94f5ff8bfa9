"""The catalog of a moment that has passed: the rows there are, under those of what has changed since.

The storage's log names the documents that each transaction changed (`index.HEADER`).  What has not changed
since the moment has the row that it had then; of the others the row is made from the object as it was.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, select
from ZODB.utils import p64, u64

from haywain.catalog.index import HEADER, Catalog
from haywain.catalog.repair import row_in
from haywain.catalog.schema import documents
from haywain.catalog.store import CatalogStore
from haywain.store.database import Database, PortalConnection

MOMENTS = 16
"""Of so many moments it is remembered what has changed since."""


class ChangeLog:
    """Which documents have changed since a moment; may be used by any thread."""

    def __init__(self, database: Database) -> None:
        """Look into the log of a database, each transaction once for each moment."""
        self._database = database
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[int, set[int]]] = OrderedDict()

    def since(self, tid: bytes) -> set[int]:
        """Return the uids of the documents that transactions after `tid` have changed."""
        with self._lock:
            last, found = self._known.pop(tid, (u64(tid), set()))
        found = set(found)
        iterator = self._database.storage.iterator(p64(last + 1))
        for record in iterator:
            last = u64(record.tid)
            found.update(record.extension[HEADER][1] if HEADER in record.extension else ())
        if hasattr(iterator, "close"):
            iterator.close()
        with self._lock:
            self._known[tid] = last, found
            while len(self._known) > MOMENTS:
                self._known.popitem(last=False)
        return found


class PastCatalog(Catalog):
    """Searches what there was; nothing can be changed."""

    def __init__(self, store: CatalogStore, connection: PortalConnection, log: ChangeLog, tid: bytes) -> None:
        """Serve a connection to the database as it was at a transaction."""
        super().__init__(store, connection)
        self._log, self._tid = log, tid
        self._rows_then: dict[int, dict[str, Any] | None] = {}

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Hold SQLite's snapshot from before the log is read: what commits meanwhile is in neither."""
        self._store.catch_up()
        with self._store.engine.connect() as sql:
            sql.exec_driver_sql("begin")
            try:
                sql.execute(select(documents.c.uid).limit(1)).first()
                yield sql
            finally:
                sql.exec_driver_sql("rollback")

    def _overlay(self) -> dict[int, dict[str, Any] | None]:
        for uid in self._log.since(self._tid) - self._rows_then.keys():
            self._rows_then[uid] = row_in(self._connection, uid)
        return self._rows_then
