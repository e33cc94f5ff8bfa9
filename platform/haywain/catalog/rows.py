"""Write rows, their words and the tokens of their transactions; inside SQLite's write lock."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from haywain.catalog.schema import applied, documents

_WORDS = ("reference", "title", "description")
_OFTEN = ("size", "modified")
_SELDOM = tuple(column.name for column in documents.columns if column.name not in _OFTEN)

# Statements are made once and take many rows: making one costs several times what SQLite does with it.
_APPLY = insert(applied).prefix_with("or ignore").values(token=bindparam("token"), tid=bindparam("tid"))
_NOTE = update(applied).where(applied.c.token == bindparam("which")).values(tid=bindparam("tid"))
_FIND = select(documents).where(documents.c.uid.in_(bindparam("uids", expanding=True)))
_GROW = (
    update(documents)
    .where(documents.c.uid == bindparam("which"))
    .values(size=bindparam("size"), modified=bindparam("modified"))
)
_PUT = insert(documents).prefix_with("or replace")
_FORGET_WORDS = text("delete from documents_text where rowid = :uid")


def begin(sql: Connection) -> None:
    """Take SQLite's write lock; raises OperationalError if it cannot be had in time."""
    sql.exec_driver_sql("begin immediate")


@contextmanager
def writing(sql: Connection) -> Iterator[None]:
    """Hold SQLite's write lock for the block, and keep what it wrote: all of it or, on an error, nothing."""
    begin(sql)
    try:
        yield
    except BaseException:
        sql.exec_driver_sql("rollback")
        raise
    sql.exec_driver_sql("commit")


def write(
    sql: Connection, token: bytes, rows: list[dict[str, Any]], gone: Iterable[int], tid: int = 0
) -> None:
    """Write rows, remove others, and note the token; inside `begin` and commit."""
    sql.execute(_APPLY, {"token": token, "tid": tid})
    remove(sql, list(gone))
    write_rows(sql, rows)


def note(sql: Connection, token: bytes | None, tid: int) -> None:
    """Note which transaction a token was of, once that has committed."""
    sql.execute(_NOTE, {"which": token, "tid": tid})


def write_rows(sql: Connection, rows: list[dict[str, Any]]) -> None:
    """Write rows.

    Of a document that only grew, two columns and their indexes are written; its words only if they changed.
    """
    if not rows:
        return
    known = {row.uid: row for row in sql.execute(_FIND, {"uids": [row["uid"] for row in rows]})}
    grown, changed, words = [], [], []
    for row in rows:
        before = known.get(row["uid"])
        if before is None or any(getattr(before, name) != row[name] for name in _SELDOM):
            changed.append(row)
        else:
            grown.append({"which": row["uid"], "size": row["size"], "modified": row["modified"]})
        if before is None or any(getattr(before, name) != row[name] for name in _WORDS):
            words.append(row)
    for statement, values in ((_GROW, grown), (_PUT, changed)):
        if values:
            sql.execute(statement, values)
    if words:
        sql.execute(_FORGET_WORDS, [{"uid": row["uid"]} for row in words])
        write_texts(sql, "documents_text", words)


def remove(sql: Connection, uids: list[int]) -> None:
    """Remove rows and their words."""
    if uids:
        sql.execute(
            delete(documents).where(documents.c.uid == bindparam("which")), [{"which": u} for u in uids]
        )
        sql.execute(_FORGET_WORDS, [{"uid": uid} for uid in uids])


def write_texts(sql: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    """Add the words of rows to a full-text table."""
    names = "rowid, reference, title, description"
    statement = f"insert into {table}({names}) values (:uid, :reference, :title, :description)"  # noqa: S608  # ours
    sql.execute(text(statement), [{name: row[name] for name in ("uid", *_WORDS)} for row in rows])
