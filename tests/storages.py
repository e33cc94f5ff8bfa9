"""The kinds of storage on which the store promises the same: who opens an empty database asks here.

A test that uses the fixture `storage` or `site` runs on a FileStorage in this process.  With the marker
`storages()` it runs on all kinds: on the others in `make campaign`, with `storages(each_run=True)` always;
with `storages("file", "zeo-shared")` on these alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.functional.program import DatabaseProgram
from ZODB.FileStorage import FileStorage

from haywain.store.database import Database, open_storage

KINDS = ("file", "zeo-shared", "zeo-private", "no-blobs")


def chosen(marker: pytest.Mark | None) -> list[Any]:
    """Return the parameters of a test with a marker."""
    if marker is None:
        return []
    always = KINDS if marker.kwargs.get("each_run") else ("file",)
    kinds = marker.args or KINDS
    return [pytest.param(k, id=k, marks=[] if k in always else [pytest.mark.campaign]) for k in kinds]


@dataclass
class Storage:
    """A place of one kind for one database at a time, empty at first."""

    kind: str
    path: Path
    server: DatabaseProgram | None = None
    _known: set[Path] = field(default_factory=set)

    @property
    def uri(self) -> str:
        """The URI for a Site of its own."""
        if self.server is None:
            return "memory:" if self.kind == "no-blobs" else f"file:{self.path}"
        return self.server.url + (f"?shared={self.server.data}/blobs" if self.kind == "zeo-shared" else "")

    @property
    def folder(self) -> Path:
        """Where the database's file lies."""
        return self.path if self.server is None else self.server.data

    def empty(self) -> None:
        """Forget everything; before a test, since a server serves many."""
        self._known = set(self._all_blobs())
        if self.server is not None:
            database = self.open("emptied")
            with database.transaction() as connection:
                connection.root().clear()
            database.close()

    def fresh(self) -> "Storage":
        """Return an empty storage of the same kind: one after the other, for the examples of one test."""
        path = self.path / f"{len(list(self.path.iterdir())):06d}"
        path.mkdir()
        made = Storage(self.kind, path, self.server)
        made.empty()
        return made

    def open(self, cache: str = "cache") -> Database:
        """Open the database; a client keeps its blobs in `cache`."""
        if self.kind == "no-blobs":
            return Database(FileStorage(str(self.path / "Data.fs")))
        return Database(open_storage(self.uri, self.path / cache))

    def blobs(self) -> list[Path]:
        """Return the files of the blobs that were committed."""
        return [path for path in self._all_blobs() if path not in self._known]

    def temporary(self) -> list[Path]:
        """Return the files of blobs that wait for a commit."""
        places = [self.folder / "blobs" / "tmp", *self.path.glob("cache*")]
        found = [p for place in places for p in place.rglob("*") if p.is_file()]
        return [
            p
            for p in found
            if p.name not in (".lock", ".layout", ".in-use") and p.suffix not in (".blob", ".lock")
        ]

    def _all_blobs(self) -> Iterator[Path]:
        return (self.folder / "blobs").rglob("*.blob")
