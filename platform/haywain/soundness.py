"""Soundness: verify a whole database: its log and bytes, its objects, its catalog and its outbox."""

from itertools import chain
from pathlib import Path

from ZODB.utils import u64

from haywain.activity.agreement import outbox_flaws
from haywain.activity.outbox import Outbox
from haywain.catalog.agreement import Agreement, Announced, DatabaseError, announced_in
from haywain.document import Document, PortalRoot
from haywain.registry import load_registry
from haywain.settings import Settings
from haywain.store.beside import SavedIndex, orphans
from haywain.store.database import PortalConnection
from haywain.store.problem import Problem, Report
from haywain.store.source import FileSource, ServerSource, SourceTransaction
from haywain.store.verification import CHECKS, Progress, Verification, no_progress
from haywain.store.whereabouts import locate


def verify(settings: Settings, progress: Progress = no_progress) -> Report:
    """Verify the database of the settings, also while a portal serves it; nothing is written.

    Raises DataDirectoryError if there is none, DataDirectoryInUseError while a pack runs, TemporaryError if
    a database server does not answer, RegistryError.
    """
    report = Report()
    folder = database_folder(settings)
    if folder is not None:
        source: FileSource | ServerSource = FileSource(folder, lambda *told: _complain(report, *told))
    else:
        source = ServerSource(settings.database)
    try:
        _Whole(source, report, settings.data, progress).verify()
    finally:
        source.close()
    return report


def database_folder(settings: Settings) -> Path | None:
    """Return the directory of the database's files; None if a server has them."""
    scheme, _, rest = settings.database.partition(":")
    if not settings.database:
        return settings.data.absolute()
    return Path(rest.removeprefix("//")).absolute() if scheme == "file" else None


def _complain(report: Report, detail: str, position: int, oid: bytes) -> None:
    report.add(Problem("log", detail, oid, offset=position))


class _Whole:
    """One verification of a database with its catalog, in the directory `data`."""

    def __init__(
        self, source: FileSource | ServerSource, report: Report, data: Path, progress: Progress
    ) -> None:
        modules = load_registry(data if data.is_dir() else None).modules
        self.source, self.report, self.progress = source, report, progress
        self.verification = Verification(
            source, report, modules=modules, is_owner=lambda cls: issubclass(cls, Document), progress=progress
        )
        self.agreement = Agreement(data / "catalog.sqlite")
        self.announced: list[Announced] = []

    def verify(self) -> None:
        catalog = self._catalog_watermark()
        index = (
            SavedIndex(self.source.data_fs.with_name("Data.fs.index"))
            if isinstance(self.source, FileSource)
            else None
        )
        self.verification.read_log(lambda transaction: self._note(transaction, index, catalog))
        self._check_files(index)
        self.verification.read_graph()
        with self.verification.objects() as connection:
            if connection is not None:
                self.verification.read_objects(connection, {**CHECKS, Outbox: ("outbox", outbox_flaws)})
                if catalog is not None:
                    self._check_catalog(connection)
                locate(self.verification, connection, lambda document: str(document.path))

    def _note(self, transaction: SourceTransaction, index: SavedIndex | None, catalog: int | None) -> None:
        if isinstance(self.source, FileSource) and index is not None:
            index.compare(self.source.log, transaction.done)
        if catalog is not None and u64(transaction.tid) > catalog:
            self.announced += announced_in(transaction.tid, transaction.extension)

    def _check_files(self, index: SavedIndex | None) -> None:
        if not isinstance(self.source, FileSource) or index is None:
            return
        log = self.source.log
        index.finish(log)
        if index.fault:
            self.report.add(Problem("index", f"Data.fs.index: {index.fault}; remove it: it is made anew"))
        if (rest := log.size() - log.end) > 0:
            self.report.notes.append(f"{rest} bytes behind the last transaction are not finished")
        if not log.knows_all:
            return
        known = self.verification.payload.blobs
        found = [file.size for file in orphans(self.source.blobs, log.last_tid, known.__contains__)]
        if found:
            self.report.checked["orphan_files"], self.report.checked["orphan_bytes"] = len(found), sum(found)
            self.report.notes.append(
                f"{len(found)} files of blobs belong to nothing; the next pack removes them"
            )

    def _catalog_watermark(self) -> int | None:
        """Return from which transaction on the catalog may miss something; None if there is no catalog."""
        try:
            if self.agreement.is_there():
                return self.agreement.watermark()
            self.report.notes.append("there is no catalog yet; it is made at the next start")
        except DatabaseError as error:
            self._catalog_problem(error)
        return None

    def _check_catalog(self, connection: PortalConnection) -> None:
        root = connection.root().get("portal")
        if not isinstance(root, PortalRoot):
            return
        later = (found for t in self.source.later() for found in announced_in(t.tid, t.extension))
        last = u64(self.source.last_tid)
        try:
            for found in self.agreement.differences(root, last, chain(self.announced, later)):
                detail = f"{found.detail}; `haywain reindex` makes the catalog anew"
                self.report.add(Problem("catalog", detail, found.uid.to_bytes(8, "big"), found.path))
        except DatabaseError as error:
            self._catalog_problem(error)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # a damaged module raises what it likes
            self.report.add(
                Problem("catalog", f"not all documents could be compared with their rows: {error}")
            )
        self.report.checked["rows"] += self.agreement.compared
        if self.agreement.lagging:
            told = "rows of the catalog are older than a change that was written through a view"
            self.report.notes.append(f"{self.agreement.lagging} {told}")

    def _catalog_problem(self, error: DatabaseError) -> None:
        detail = f"catalog.sqlite cannot be read: {error.orig}; remove it: it is made anew at the next start"
        self.report.add(Problem("catalog", detail))
