"""The SQL database of the catalog: SQLite in WAL mode, in the data directory, rebuildable."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, delete, event, insert, select
from sqlalchemy.exc import DatabaseError, OperationalError

from haywain.catalog.rows import writing
from haywain.catalog.schema import TEXT, VERSION, applied, documents, metadata, origin, watermark
from haywain.errors import DataDirectoryError

_log = logging.getLogger(__name__)

Announced = tuple[int, bytes, list[int]]
"""A transaction that changed documents: its tid, its token, their uids."""


class CatalogStore:
    """A process's connections to it.

    `catch_up` is called before each search: it adds what was missed, by a failure or in other processes.
    """

    catch_up: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, path: Path) -> None:
        """Open or create it; one of another version, or damaged, is emptied: `is_new` asks for a reindex.

        Raises DataDirectoryError if the file cannot be used.
        """
        self.missed = deque[Announced]()
        """Transactions whose rows could not be kept, on a full disk say; `mend` takes them."""
        self.mending, self.mends_after = threading.Lock(), 0.0
        try:
            self._open(path)
        except OperationalError as error:
            raise DataDirectoryError(f"The catalog {path} cannot be opened: {error.orig}") from error
        except DatabaseError as error:
            _log.warning("the catalog %s is damaged (%s); it is made anew", path, error.orig)
            self.engine.dispose()
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            self._open(path)

    def _open(self, path: Path) -> None:
        self.engine = _engine(path)
        with self.engine.connect() as connection:
            found = connection.exec_driver_sql("pragma user_version").scalar()
            self.is_new = found != VERSION
            if found not in (0, VERSION):
                connection.exec_driver_sql("drop table if exists documents_text")
                metadata.drop_all(connection)
            metadata.create_all(connection)
            connection.exec_driver_sql(TEXT.format(name="documents_text"))

    def mark_complete(self) -> None:
        """Note that the rows of all documents are there."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql(f"pragma user_version = {VERSION}")
        self.is_new = False

    def belong_to(self, key: str) -> None:
        """Belong to the database with this key; the rows of another one are dropped, and `is_new` is true."""
        with self.engine.connect() as connection:
            found = connection.execute(select(origin.c.key)).scalar()
            if found == key:
                return
            if found is not None:
                self.is_new = True
                connection.exec_driver_sql("pragma user_version = 0")
            with writing(connection):
                for table in (documents, applied, watermark, origin) if found is not None else ():
                    connection.execute(delete(table))
                if found is not None:
                    connection.exec_driver_sql("delete from documents_text")
                connection.execute(insert(origin).values(key=key))

    def close(self) -> None:
        """Close all SQL connections."""
        self.engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        isolation_level="AUTOCOMMIT",
        pool_size=80,
        max_overflow=-1,
        connect_args={"timeout": 20},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:  # Any: sqlite3's connection, SQLAlchemy's record
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")  # repair makes good what a power cut takes

    return engine
