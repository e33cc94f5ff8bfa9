"""Tables of the catalog and the row of a document."""

import unicodedata
from typing import Any

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

from haywain.document import Document

VERSION = 2
"""Changes with the tables; another version on disk is rebuilt from the documents."""

metadata = MetaData()


def _columns() -> list[Column[Any]]:
    return [
        Column("uid", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        *(Column(name, String(collation="NOCASE"), nullable=False) for name in KEYWORDS),
        Column("reference_key", String, nullable=False),
        Column("title_key", String, nullable=False),
        Column("description", String, nullable=False),
        Column("size", BigInteger, nullable=False),
        Column("created", Float, nullable=False),
        Column("modified", Float, nullable=False),
    ]


KEYWORDS = ("path", "module", "id", "portal_type", "reference", "title", "state", "owner", "content_type")
"""Columns that are searched by value, list or `%` pattern, without regard to case."""

FOLDED = {"reference": "reference_key", "title": "title_key"}
"""Columns searched and sorted by a copy that went through `fold`; the full text needs them as they are."""

NUMBERS = ("size",)
DATES = ("created", "modified")

documents = Table("documents", metadata, *_columns())
for _name in ("path", "portal_type", "reference_key", "title_key", "size", "created", "modified", "state"):
    Index(f"documents_{_name}", documents.c[_name], documents.c.uid)

applied = Table(
    "applied",
    metadata,
    Column("txn", Integer, primary_key=True, autoincrement=True),
    Column("token", LargeBinary, unique=True, nullable=False),
    Column("tid", BigInteger, nullable=False),
)
"""Tokens of the transactions whose rows are here; what is missing is found in the storage's log."""

watermark = Table("watermark", metadata, Column("tid", BigInteger, nullable=False))
"""Up to this transaction nothing is missing."""

origin = Table("origin", metadata, Column("key", String, nullable=False))
"""Of which database the rows are: the key of its root."""

temporary = MetaData()
pending = Table(
    "pending", temporary, *_columns(), Column("gone", Integer, nullable=False), prefixes=["TEMPORARY"]
)
"""Rows of the running transaction, laid over the others in a query; locks nothing."""

TEXT = "create virtual table if not exists {name} using fts5(reference, title, description)"
"""Full text by words, of the rows in `documents` (or `pending`) with that rowid."""


def fold(text: str) -> str:
    """Return a text of any script as it is compared: without regard to case, and composed.

    >>> fold("STRASSE") == fold("straße")
    True
    """
    return unicodedata.normalize("NFC", text).casefold()


def row_of(document: Document) -> dict[str, Any]:  # Any: an SQL row
    """Return the catalog's row of a document."""
    properties = document.properties
    reference, title = properties.reference, properties.title
    return {
        "uid": document.uid,
        "path": fold(document.path),
        "module": document.module_id,
        "id": fold(document.id),
        "portal_type": document.portal_type,
        "reference": reference,
        "title": title,
        "reference_key": fold(reference),
        "title_key": fold(title),
        "description": properties.description,
        "state": document.state,
        "owner": fold(document.owner),
        "content_type": str(getattr(document, "content_type", "")),
        "size": document.size,
        "created": document.created,
        "modified": document.modified,
    }
