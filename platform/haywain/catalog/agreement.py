"""Agreement: compares the catalog's rows with those of the documents, while others go on writing both.

What a running transaction changes is left out: documents that the log names in transactions newer than
the objects that are compared, or in those whose rows are not here yet (their token is missing: `repair`
adds them).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, func, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool
from ZODB.utils import u64

from haywain.catalog.index import HEADER
from haywain.catalog.repair import BATCH
from haywain.catalog.schema import VERSION, applied, documents, row_of, watermark
from haywain.document import Document, PortalRoot

_WORDS = ("reference", "title", "description")


Announced = tuple[int, bytes, list[int]]
"""tid, token and uids of a transaction that changed documents."""


class Difference(NamedTuple):
    """A document, by uid and path, whose row is not as it should be, and how."""

    uid: int
    path: str
    detail: str


class Agreement:
    """A comparison of one snapshot of the catalog with one of the documents."""

    def __init__(self, path: Path) -> None:
        """Name the catalog's file; it is only read."""
        self.path = path
        self.compared = 0
        self.lagging = 0
        """Rows with an older time than the document: a view is saved after the row is made."""

    def is_there(self) -> bool:
        """Return whether the catalog is complete; else it is made anew when the portal starts."""
        if not self.path.exists():
            return False
        with self._engine().connect() as sql:
            return bool(sql.exec_driver_sql("pragma user_version").scalar() == VERSION)

    def watermark(self) -> int:
        """Return up to which transaction nothing is missing."""
        with self._engine().connect() as sql:
            return _watermark(sql)

    def differences(
        self, root: PortalRoot, last: int, announced: Iterable[Announced]
    ) -> Iterator[Difference]:
        """Yield what differs; `root` shows the documents as of the transaction `last`.

        `announced` is read once the snapshot of the catalog is taken: all transactions since `watermark()`.
        Raises DatabaseError if the catalog cannot be read.
        """
        with self._engine().connect() as sql:
            sql.exec_driver_sql("begin")
            left_out = _in_flux(sql, last, announced)
            seen = set[int]()
            for document in (d for module in root for d in module.documents.values()):
                seen.add(document.uid)
                if document.uid not in left_out:
                    yield from self._compare(sql, document)
                if len(seen) % BATCH == 0:
                    root._p_jar.cacheMinimize()
            yield from _strangers(sql, seen | left_out)

    def _engine(self) -> Engine:
        """Return what opens it read-only, and makes no file where nobody has it open."""
        has_log = self.path.with_name(f"{self.path.name}-wal").exists()
        mode = "mode=ro" if has_log else "immutable=1"
        return create_engine(
            f"sqlite:///file:{self.path}?{mode}&uri=true", isolation_level="AUTOCOMMIT", poolclass=NullPool
        )

    def _compare(self, sql: Connection, document: Document) -> Iterator[Difference]:
        self.compared += 1
        uid = document.uid
        try:
            path, expected = document.path, row_of(document)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # a damaged state raises what it likes
            yield Difference(uid, "", f"its row cannot be made: {type(error).__name__}: {error}")
            return
        row = sql.execute(select(documents).where(documents.c.uid == uid)).mappings().first()
        if row is None:
            yield Difference(uid, path, "it has no row")
            return
        wrong = sorted(name for name, value in expected.items() if row[name] != value)
        if wrong == ["modified"] and row["modified"] < expected["modified"]:
            self.lagging += 1
        elif wrong:
            yield Difference(uid, path, f"its row differs in {', '.join(wrong)}")
        statement = text(f"select {', '.join(_WORDS)} from documents_text where rowid = :uid")  # noqa: S608  # ours
        words = sql.execute(statement, {"uid": uid}).first()
        if words is None or tuple(words) != tuple(expected[name] for name in _WORDS):
            yield Difference(uid, path, "the words it is found by are others")


def _watermark(sql: Connection) -> int:
    return sql.execute(select(func.max(watermark.c.tid))).scalar() or 0


def _in_flux(sql: Connection, last: int, transactions: Iterable[Announced]) -> set[int]:
    """Return the uids that transactions behind `last` change, or those whose rows are still to be added."""
    complete = _watermark(sql)
    known = {row[0] for row in sql.execute(select(applied.c.token))}
    found = set[int]()
    for tid, token, uids in transactions:
        if tid > last or (tid > complete and token not in known):
            found.update(uids)
    return found


def announced_in(tid: bytes, extension: dict[str, Any]) -> Iterator[Announced]:  # Any: a transaction's header
    """Yield what a transaction says in its header that it changed, if it does."""
    found = extension.get(HEADER)
    if isinstance(found, tuple | list) and len(found) == 2:
        yield u64(tid), *found


def _strangers(sql: Connection, known: Iterable[int]) -> Iterator[Difference]:
    """Yield the rows of documents that are not there."""
    known = set(known)
    for row in sql.execute(select(documents.c.uid, documents.c.path)):
        if row.uid not in known:
            yield Difference(row.uid, row.path, "there is a row and no such document")


__all__ = ["Agreement", "Announced", "DatabaseError", "Difference", "announced_in"]
