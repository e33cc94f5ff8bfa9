"""Write rows, their words and the tokens of their transactions; inside SQLite's write lock."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text

from haywain.catalog.schema import applied, documents


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
    sql.execute(insert(applied).prefix_with("or ignore").values(token=token, tid=tid))
    for uid in gone:
        sql.execute(delete(documents).where(documents.c.uid == uid))
        sql.execute(text("delete from documents_text where rowid = :uid"), {"uid": uid})
    for row in rows:
        write_row(sql, row)


def write_row(sql: Connection, row: dict[str, Any]) -> None:
    """Write one row; its text only when that changed, so that an append updates one row and no more."""
    columns = (documents.c.reference, documents.c.title, documents.c.description)
    before = sql.execute(select(*columns).where(documents.c.uid == row["uid"])).first()
    sql.execute(insert(documents).prefix_with("or replace").values(**row))
    if before is None or tuple(before) != (row["reference"], row["title"], row["description"]):
        sql.execute(text("delete from documents_text where rowid = :uid"), {"uid": row["uid"]})
        write_text(sql, "documents_text", row)


def write_text(sql: Connection, table: str, row: dict[str, Any]) -> None:
    """Add the words of a row to a full-text table."""
    values = {name: row[name] for name in ("uid", "reference", "title", "description")}
    names = "rowid, reference, title, description"
    statement = f"insert into {table}({names}) values (:uid, :reference, :title, :description)"  # noqa: S608  # ours
    sql.execute(text(statement), values)
