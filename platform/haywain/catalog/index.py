"""The catalog of one connection: rows in the two-phase commit of the objects, and searching them.

Order of locks, in every process: ZODB's commit lock first, SQLite's write lock second.  Nobody asks for the
first while holding the second, so there is no cycle:

    before commit         the rows are made; a token and the uids go into the transaction's header
    Connection.tpc_vote   takes ZODB's commit lock (FileStorage at tpc_begin)
    Catalog.tpc_vote      BEGIN IMMEDIATE, writes the rows ("~" sorts after every Connection)
    Connection.tpc_finish the transaction is durable
    Catalog.tpc_finish    notes the tid, COMMIT; never raises: what is missing, `mend` adds before the next
                          search, or `repair` finds by its token after a crash
"""

import logging
import os
from contextlib import AbstractContextManager, suppress
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, FromClause, Row, delete, func, insert, select, union_all
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from transaction.interfaces import TransientError
from ZODB.utils import u64

from haywain.catalog.query import Query, encode_cursor, text_condition
from haywain.catalog.rows import begin, note, write, write_texts
from haywain.catalog.schema import TEXT, documents, pending, row_of, temporary
from haywain.catalog.store import CatalogStore
from haywain.document import Document
from haywain.errors import InvalidError, TemporaryError
from haywain.store.database import PortalConnection

HEADER = "catalog"
"""Key of (token, uids) in a transaction's extension."""

MOST_CHANGED = 5000
"""Documents one transaction may change: their uids must fit into its header of 64 KiB."""

_NOTHING = {column.name: "" if column.type.python_type is str else 0 for column in documents.columns}
"""Values of a row that only hides another one."""

_log = logging.getLogger(__name__)


class CatalogBusyError(TransientError, TemporaryError):  # type: ignore[misc]  # transaction has no types
    """The catalog's write lock could not be had in time: abort and try again."""


class Catalog:
    """Rows that the running transaction of one ZODB connection changes, and searches that see them."""

    def __init__(self, store: CatalogStore, connection: PortalConnection) -> None:
        """Serve one ZODB connection, as long as that lives in its pool."""
        self._store, self._connection = store, connection
        self._sql: Connection | None = None
        self._transaction: Any = None  # Any: transaction has no types
        self._documents: dict[int, tuple[Document, bool]] = {}
        self._token: bytes | None = None
        self._rows: list[dict[str, Any]] = []

    # -- in the transaction
    def changed(self, document: Document) -> None:
        """Have the row of a document made anew when the transaction commits."""
        self._note(document, gone=False)

    def removed(self, document: Document) -> None:
        """Have the row of a document removed when the transaction commits."""
        self._note(document, gone=True)

    def _note(self, document: Document, gone: bool) -> None:
        transaction = self._connection.transaction_manager.get()
        if self._transaction is not transaction:
            transaction.join(self)
            transaction.addBeforeCommitHook(self._announce, (transaction,))
            self._transaction = transaction
        if document._p_oid is None:
            self._connection.add(document)
        uid = u64(document._p_oid)
        if uid not in self._documents and len(self._documents) >= MOST_CHANGED:
            raise InvalidError(f"One transaction changes at most {MOST_CHANGED} documents; commit in between")
        if (
            uid not in self._documents
        ):  # the objects are to be in the commit that has the rows, also unchanged
            self._connection.register(document)
        self._documents[uid] = (document, gone)

    def _announce(self, transaction: Any) -> None:  # Any: transaction has no types
        """Make the rows and name them in the transaction's header, before any lock is taken.

        The header is read at Connection.tpc_begin, so this cannot wait for our own tpc_begin.
        """
        if self._transaction is not transaction:  # a rollback to before the first change has let us go
            return
        self._rows = [row_of(document) for document, gone in self._documents.values() if not gone]
        token = os.urandom(8)
        transaction.setExtendedInfo(HEADER, (token, sorted(self._documents)))
        self._token = token  # last: without it the vote refuses

    # -- searching
    def search(self, query: Query) -> tuple[list[int], str]:
        """Return the uids of one page of hits, and the cursor of the next ("" if this is the last)."""
        with self._reading() as sql:
            source, condition = self._source(sql, query)
            order = query.order(source)
            statement = select(source.c.uid, *(column for column, _ in order)).where(
                condition, query.after(source)
            )
            statement = statement.order_by(*(c.desc() if descending else c.asc() for c, descending in order))
            if query.limit is not None:
                statement = statement.limit(query.limit + 1)
            rows = sql.execute(statement).all()
        if query.limit is None or len(rows) <= query.limit:
            return [row[0] for row in rows], ""
        page: list[Row[Any]] = list(rows[: query.limit])
        return [row[0] for row in page], encode_cursor(page[-1][1:])

    def count(self, query: Query) -> int:
        """Return how many documents match, whatever the limit."""
        with self._reading() as sql:
            source, condition = self._source(sql, query)
            return sql.execute(select(func.count()).select_from(source).where(condition)).scalar_one()

    def sums(self, column: str, query: Query) -> dict[str, tuple[int, int]]:
        """Return for each value of a keyword column how many documents match and their bytes."""
        with self._reading() as sql:
            source, condition = self._source(sql, query)
            statement = select(source.c[column], func.count(), func.sum(source.c.size)).where(condition)
            return {row[0]: (row[1], row[2]) for row in sql.execute(statement.group_by(source.c[column]))}

    def _reading(self) -> AbstractContextManager[Connection]:
        """Return an SQL connection to search by."""
        self._store.catch_up()
        return self._store.engine.connect()

    def _overlay(self) -> dict[int, dict[str, Any] | None]:
        """Return rows to be laid over the committed ones, by uid; None hides one."""
        return {uid: None if gone else row_of(document) for uid, (document, gone) in self._documents.items()}

    def _source(self, sql: Connection, query: Query) -> tuple[FromClause, ColumnElement[bool]]:
        """Return the rows to look at, the overlay on top of those that are committed."""
        overlay = self._overlay()
        if not overlay:
            condition = query.conditions(documents)
            if query.text:
                condition &= text_condition(documents, "documents_text", query.text)
            return documents, condition
        _fill_pending(sql, overlay)
        below = select(*documents.c).where(documents.c.uid.not_in(select(pending.c.uid)))
        above = select(*(pending.c[c.name] for c in documents.c)).where(pending.c.gone == 0)
        if query.text:
            below = below.where(text_condition(documents, "documents_text", query.text))
            above = above.where(text_condition(pending, "temp.pending_text", query.text))
        source = union_all(below, above).subquery()
        return source, query.conditions(source)

    # -- two-phase commit
    def sortKey(self) -> str:
        """Return a key behind that of every Connection."""
        return "~catalog"

    def tpc_begin(self, transaction: Any) -> None:
        """Nothing to do: the rows were made before any lock was taken."""

    def commit(self, transaction: Any) -> None:
        """Nothing to do: the rows are written in the vote."""

    def tpc_vote(self, transaction: Any) -> None:
        """Write the rows; raises CatalogBusyError without the lock, TemporaryError on a full disk."""
        if self._token is None:  # hooks are gone once one has raised; a second commit must not pass
            raise RuntimeError("the rows of this transaction were never made; abort it")
        self._sql = self._store.engine.connect()
        try:
            begin(self._sql)
        except OperationalError as error:
            raise CatalogBusyError(f"The catalog is busy: {error.orig}") from error
        gone = [uid for uid, (_, is_gone) in self._documents.items() if is_gone]
        try:
            write(self._sql, self._token, self._rows, gone)
        except OperationalError as error:
            raise TemporaryError(f"The catalog cannot be written: {error.orig}", 10) from error

    def tpc_finish(self, transaction: Any) -> None:
        """Commit the rows.  ZODB has committed already, so nothing here may raise: a 5xx would lie."""
        tid = u64(self._connection.last_tid)
        try:
            if self._sql is not None:
                note(self._sql, self._token, tid)
                self._sql.exec_driver_sql("commit")
        except Exception as error:  # whatever it is, the transaction is stored
            why, is_strange = (error.orig, False) if isinstance(error, OperationalError) else (error, True)
            _log.error("the catalog missed a transaction; a search adds it: %s", why, exc_info=is_strange)
            self._store.missed.append((tid, cast(bytes, self._token), sorted(self._documents)))
        self._reset()

    def abort(self, transaction: Any) -> None:
        """Forget the changes."""
        self._reset()

    def tpc_abort(self, transaction: Any) -> None:
        """Forget the changes and the written rows."""
        self._reset()

    def savepoint(self) -> "_Savepoint":
        """Return what a rollback of the transaction's savepoint restores."""
        return _Savepoint(self, dict(self._documents))

    def _reset(self) -> None:
        sql, self._sql = self._sql, None
        if sql is not None:
            with suppress(SQLAlchemyError):  # its lock goes with it
                sql.close()
        self._transaction, self._token = None, None
        self._documents, self._rows = {}, []


def _fill_pending(sql: Connection, overlay: dict[int, dict[str, Any] | None]) -> None:
    temporary.create_all(sql, checkfirst=True)
    sql.exec_driver_sql(TEXT.format(name="temp.pending_text"))
    sql.execute(delete(pending))
    sql.exec_driver_sql("delete from temp.pending_text")
    rows = [(row or _NOTHING) | {"uid": uid, "gone": int(row is None)} for uid, row in overlay.items()]
    sql.execute(insert(pending), rows)
    if present := [row for row in rows if not row["gone"]]:
        write_texts(sql, "temp.pending_text", present)


class _Savepoint:
    """State of a Catalog to go back to."""

    def __init__(self, catalog: Catalog, noted: dict[int, tuple[Document, bool]]) -> None:
        self._catalog, self._noted = catalog, noted

    def rollback(self) -> None:
        """Forget what was noted since."""
        self._catalog._documents = dict(self._noted)
