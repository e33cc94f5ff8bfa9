"""The catalog: an SQL index over all documents, written in the same two-phase commit, rebuildable."""

from haywain.catalog.index import Catalog
from haywain.catalog.query import Query, Range
from haywain.catalog.store import CatalogStore

__all__ = ["Catalog", "CatalogStore", "Query", "Range"]
