"""Verification: reads all of a database, also while a server has it open, and reports what is not as written.

Four readings, each of what the one before it has checked:

- the log, transaction by transaction, and each state in it by itself, historic ones too (`log`, `payload`);
- the files beside it: the saved index agrees with the log, each blob file belongs to a record (`beside`);
- the graph of current objects from the root on: none refers to one that is not there (`graph`);
- the objects: trees are in order, and what is registered for their class holds (`structure`, layers above).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from transaction import TransactionManager
from ZODB.utils import z64

from haywain.store.array import Array
from haywain.store.database import Database, PortalConnection
from haywain.store.graph import Graph, check_tree, is_tree
from haywain.store.payload import Payload
from haywain.store.problem import Problem, Report
from haywain.store.pyramid import Level, Pyramid
from haywain.store.source import Source, SourceTransaction, state_of
from haywain.store.stream import Stream
from haywain.store.structure import Check, array_flaws, level_flaws, pyramid_flaws, stream_flaws

Progress = Callable[[str, int, int], object]
"""Called with what is read, how much of it is done, and how much there is (0 if unknown)."""

Checks = Mapping[type, tuple[str, Check]]
"""By class the kind of a Problem of its objects, and what finds their flaws; the last that fits counts."""

CHECKS: Checks = {
    Stream: ("stream", stream_flaws),
    Array: ("array", array_flaws),
    Level: ("pyramid", level_flaws),
    Pyramid: ("pyramid", pyramid_flaws),
}

_AT_ONCE = 100
"""Objects after whose check the connection's cache is emptied."""


def no_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""


class Verification:
    """One verification; call the readings in this order."""

    def __init__(
        self,
        source: Source,
        report: Report,
        *,
        modules: frozenset[str] = frozenset(),
        is_owner: Callable[[type], bool] = lambda cls: False,
        progress: Progress = no_progress,
    ) -> None:
        """Read nothing yet; a class for which `is_owner` holds is one of documents."""
        self.source, self.report, self._modules, self._progress = source, report, modules, progress
        self.payload = Payload(report, source.blob_path, modules, source.forget_blob)
        self.graph = Graph(lambda oid: state_of(source, oid), self.payload.class_of, is_owner)
        self._trees: list[bytes] = []

    def read_log(self, after: Callable[[SourceTransaction], object] = lambda transaction: None) -> None:
        """Check all states by themselves; `after` is called with each transaction, then checked."""
        for transaction in self.source.transactions():
            self.payload.check(transaction.records)
            self.report.checked["transactions"] += 1
            after(transaction)
            self._progress("transactions", transaction.done, transaction.total)

    def read_graph(self) -> None:
        """Find what is referred to and not there; raises nothing for a database without a root."""
        total = len(self.payload.kinds)
        if z64 not in self.payload.kinds:
            if total:
                self.report.add(Problem("reference", "the root of the database is not there", z64))
            return
        for done, (oid, through) in enumerate(self.graph.walk()):
            cls = self.payload.class_of(oid)
            if is_tree(cls) and self.payload.class_of(through) is not cls:
                self._trees.append(oid)
            if done % 1000 == 0:
                self._progress("references", done, total)
        for through, oid in self.graph.missing:
            detail = f"it refers to the object {oid.hex()}, which is not there"
            self.report.add(Problem("reference", detail, through))
        self.report.checked["objects"] += done + 1

    @contextmanager
    def objects(self) -> Iterator[PortalConnection | None]:
        """Open a connection to the current objects as of the last transaction; None without a root."""
        if z64 not in self.graph:
            yield None
            return
        try:
            database = Database(self.source.storage, modules=self._modules)
        except Exception as error:  # a damaged root raises what it likes
            self.report.add(Problem("record", f"the root cannot be loaded: {error}", z64))
            yield None
            return
        manager = TransactionManager(explicit=True)
        manager.begin()
        connection = database.open(manager, at=self.source.last_tid)
        try:
            yield connection
        finally:
            manager.abort()
            connection.close()

    def read_objects(self, connection: PortalConnection, checks: Checks) -> None:
        """Check trees, and the objects of those classes that `checks` names, or of their subclasses."""
        total, done = len(self._trees) + sum(1 for _ in self._checked(checks)), 0
        for oid in self._trees:
            self._check_tree(connection, oid)
            done = self._step(connection, "objects", done, total)
        for oid, kind, check in self._checked(checks):
            self._check_object(connection, oid, kind, check)
            done = self._step(connection, "objects", done, total)

    def _checked(self, checks: Checks) -> Iterable[tuple[bytes, str, Check]]:
        """Yield the reachable objects of classes with a check, each with the kind of its problems."""
        by_number = {
            number: found
            for number, cls in enumerate(self.payload.classes)
            for base, found in checks.items()
            if issubclass(cls, base)
        }
        for oid, number in self.payload.kinds.iteritems():
            if number in by_number and oid in self.graph:
                yield oid, *by_number[number]

    def _check_tree(self, connection: PortalConnection, oid: bytes) -> None:
        self.report.checked["trees"] += 1
        try:
            check_tree(connection.get(oid))
        except MemoryError:
            raise
        except Exception as error:  # an AssertionError, or what a damaged state raises
            self.report.add(Problem("tree", f"{type(error).__name__}: {error}", oid))

    def _check_object(self, connection: PortalConnection, oid: bytes, kind: str, check: Check) -> None:
        self.report.checked[kind + ("es" if kind.endswith("x") else "s")] += 1
        try:
            for flaw in check(connection.get(oid), self.payload.lengths.get):
                self.report.add(Problem(kind, flaw.detail, oid, offset=flaw.offset, rows=flaw.rows))
        except MemoryError:
            raise
        except Exception as error:  # as above
            self.report.add(Problem(kind, f"it cannot be read: {type(error).__name__}: {error}", oid))

    def _step(self, connection: PortalConnection, what: str, done: int, total: int) -> int:
        if done % _AT_ONCE == 0:
            connection.cacheMinimize()
            self._progress(what, done, total)
        return done + 1
