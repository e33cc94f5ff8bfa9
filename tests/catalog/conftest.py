"""Compare the catalog with the documents, row by row."""

from collections.abc import Callable

import pytest
from sqlalchemy import select, text

from haywain.catalog.schema import documents, row_of
from haywain.portal import Site


@pytest.fixture
def compare() -> Callable[[Site], None]:
    """Call it to assert that rows and full text are those of the documents."""

    def compare(site: Site) -> None:
        with site.catalog_store.engine.connect() as sql:
            rows = {row.uid: dict(row._mapping) for row in sql.execute(select(documents))}
            texts = {
                row[0]: tuple(row[1:]) for row in sql.execute(text("select rowid, * from documents_text"))
            }
        with site.open() as portal:
            found = [row_of(d) for module in portal.root for d in module.documents.values()]
        assert rows == {row["uid"]: row for row in found}
        assert texts == {r["uid"]: (r["reference"], r["title"], r["description"]) for r in found}

    return compare
