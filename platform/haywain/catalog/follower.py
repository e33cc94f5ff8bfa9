"""Follower: keeps the catalog of this process up with what other processes commit.

Each process has a catalog of its own, in its data directory.  What others commit is found by its token in the
database's log, as what a crash took is.  It is looked for before each search: who was told that a document is
made finds it, in whichever process he asks.
"""

import threading

from ZODB.utils import u64

from haywain.catalog.repair import repair
from haywain.catalog.store import CatalogStore
from haywain.store.database import Database


class Follower:
    """Brings a catalog up to the database; may be used by any thread."""

    def __init__(self, store: CatalogStore, database: Database) -> None:
        """Follow a database."""
        self._store, self._database = store, database
        self._lock, self._reached = threading.Lock(), 0

    def catch_up(self) -> None:
        """Return when the catalog has all that is known here to be committed."""
        tid = u64(self._database.storage.lastTransaction())
        if tid > self._reached:
            with self._lock:
                if tid > self._reached:
                    self._store.missed.clear()  # the repair finds these too
                    repair(self._store, self._database)
                    self._reached = tid
