"""Make the catalog whole: add what a crash took, or build all of it anew while the portal serves."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import OperationalError
from transaction.interfaces import TransientError
from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64

from haywain.catalog.index import HEADER
from haywain.catalog.rows import remove, write, write_rows, writing
from haywain.catalog.schema import applied, documents, row_of, watermark
from haywain.catalog.store import Announced, CatalogStore
from haywain.document import Document, PortalRoot
from haywain.store.database import Database, PortalConnection
from haywain.values import Tid

BATCH = 200
MEND_EVERY_S = 1.0
"""So long after a failure nothing is mended: each search would wait for the disk."""

_log = logging.getLogger(__name__)


def repair(store: CatalogStore, database: Database) -> int:
    """Index what ZODB committed and the catalog misses; return how many transactions that were.

    Looks for tokens in the storage's transaction log, from the watermark on, that are missing from `applied`.
    Idempotent, and safe beside running writers: rows are made from the current state of the objects while
    SQLite's write lock is held, and nothing is committed to ZODB meanwhile, so there is no cycle of locks.
    """
    fixed = 0
    with store.engine.connect() as sql:
        start = sql.execute(select(func.max(watermark.c.tid))).scalar() or 0
        for last, announced in _announced(database, start):
            fixed += _reindex(sql, database, _unknown(sql, announced)) if announced else 0
            _move_watermark(sql, last)
    return fixed


def mend(store: CatalogStore, database: Database) -> None:
    """Index what this process committed and could not index; where that fails again, a later call does.

    Returns when another thread's mending is over, too.
    """
    if not store.missed:
        return
    with store.mending:
        missed = list(store.missed)
        if not missed or time.monotonic() < store.mends_after:
            return
        try:
            with store.engine.connect() as sql:
                _reindex(sql, database, missed)
        except OperationalError as error:
            _log.warning("the catalog still misses %d transactions: %s", len(missed), error.orig)
            store.mends_after = time.monotonic() + MEND_EVERY_S
            return
        for _ in missed:
            store.missed.popleft()


def watermark_tid(store: CatalogStore) -> Tid:
    """Return the last transaction up to which the catalog misses nothing."""
    with store.engine.connect() as sql:
        return Tid(f"{sql.execute(select(func.max(watermark.c.tid))).scalar() or 0:016x}")


def _announced(database: Database, start: int) -> Iterator[tuple[int, list[Announced]]]:
    """Yield, batch by batch, the last tid looked at after `start` and those that changed documents."""
    found: list[Announced] = []
    last, count = start, 0
    iterator = database.storage.iterator(p64(start + 1))
    for record in iterator:
        last, count = u64(record.tid), count + 1
        if HEADER in record.extension:
            found.append((last, *record.extension[HEADER]))
        if count % BATCH == 0:
            yield last, found
            found = []
    if hasattr(iterator, "close"):
        iterator.close()
    if count % BATCH:
        yield last, found


def _unknown(sql: Connection, announced: list[Announced]) -> list[Announced]:
    tokens = [token for _, token, _ in announced]
    known = {row[0] for row in sql.execute(select(applied.c.token).where(applied.c.token.in_(tokens)))}
    return [found for found in announced if found[1] not in known]


def _reindex(sql: Connection, database: Database, missing: list[Announced]) -> int:
    """Make the rows of transactions, except where the writer was only late; return of how many."""
    if not missing:
        return 0
    with writing(sql), _snapshot(database) as connection:
        missing = _unknown(sql, missing)
        found = {uid: row_in(connection, uid) for _, _, uids in missing for uid in uids}
        gone = [uid for uid, row in found.items() if row is None]
        rows = [row for row in found.values() if row is not None]
        for number, (tid, token, _) in enumerate(missing):
            write(sql, token, [] if number else rows, [] if number else gone, tid)
        return len(missing)


def _move_watermark(sql: Connection, tid: int) -> None:
    with writing(sql):
        if (sql.execute(select(func.max(watermark.c.tid))).scalar() or 0) > tid:
            return  # another thread has looked farther meanwhile
        sql.execute(delete(watermark))
        sql.execute(insert(watermark).values(tid=tid))
        sql.execute(delete(applied).where(applied.c.tid <= tid, applied.c.tid > 0))


def reindex(
    store: CatalogStore, database: Database, progress: Callable[[int], None] = lambda done: None
) -> int:
    """Build the rows of all documents anew, beside running writers; return how many there are.

    Batch by batch, with SQLite's write lock held while a batch's rows are made, so that no writer's newer
    row is lost.  `progress` is called with the number of rows so far.  What was committed before the start
    needs no repair afterwards.
    """
    done, uids = 0, set[int]()
    start = u64(database.storage.lastTransaction())
    with store.engine.connect() as sql:
        for batch in _batches(database):
            with writing(sql), _snapshot(database) as connection:
                rows = [row for uid in batch if (row := row_in(connection, uid))]
                write_rows(sql, rows)
            uids.update(row["uid"] for row in rows)
            done += len(rows)
            progress(done)
        _drop_strangers(sql, database, uids)
        _move_watermark(sql, start)
    store.mark_complete()
    return done


def _drop_strangers(sql: Connection, database: Database, kept: set[int]) -> None:
    """Remove rows of documents that are gone; one made meanwhile has a row and stays."""
    with writing(sql), _snapshot(database) as connection:
        strangers = [row[0] for row in sql.execute(select(documents.c.uid)) if row[0] not in kept]
        remove(sql, [uid for uid in strangers if row_in(connection, uid) is None])


def _batches(database: Database) -> Iterator[list[int]]:
    with _snapshot(database) as connection:
        root: PortalRoot | None = connection.root().get("portal")
        batch: list[int] = []
        for module in root or ():
            for document in module.documents.values():
                batch.append(u64(document._p_oid))
                if len(batch) >= BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch


@contextmanager
def _snapshot(database: Database) -> Iterator[PortalConnection]:
    connection = database.connect()
    connection.transaction_manager.begin()
    try:
        yield connection
    finally:
        connection.transaction_manager.abort()
        connection.close()


def row_in(connection: PortalConnection, uid: int) -> dict[str, Any] | None:
    """Return the row of a document, or None if it is gone, in no module, or damaged: then the log says so."""
    try:
        document = connection.get(p64(uid))
        module = document.__parent__ if isinstance(document, Document) else None
        if module is None or module.documents.get(document.id) is not document:
            return None
        return row_of(document)
    except POSKeyError:
        return None
    except (TransientError, OSError, MemoryError):
        raise
    except Exception:  # a damaged record raises what it likes, and must not keep the portal from starting
        _log.exception("document %016x is damaged; the catalog does without it", uid)
        return None
