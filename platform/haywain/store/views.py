"""Views: the arrays of one connection as memory, in its transactions.

Nothing marks an object as changed when a page of a view is written, so there is one synchronizer and data
manager for each connection.  It joins each transaction in which a view is alive, first of all, since
savepoints are taken in the order of joining.  It sorts before every Connection: its `tpc_begin`, where
written pages become blobs and changed blocks, runs before any storage takes its commit lock.

The pages that were saved are shown out of their blob at once, also in `tpc_begin`.  So a mapping that cannot
be made fails the commit, and nothing is left to do after it; an abort shows again what the transaction had
replaced.  (A hook before the commit would not do: after a failed hook a second commit passes without it.)
"""

import os
import weakref
from typing import TYPE_CHECKING, Any

from haywain.errors import InvalidError
from haywain.store import extents, joining
from haywain.store.layout import Layout, layout_of
from haywain.store.mapping import Mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from haywain.store.array import Array

_Layouts = dict[bytes, dict[int, Layout]]


class Views:
    """What one connection's views show, and what they showed before its transaction changed arrays."""

    def __init__(self, connection: Any) -> None:  # Any: ZODB has no types
        """Serve a connection, as long as it lives in its pool."""
        self._connection = connection
        self._manager: Any = None  # Any: transaction has no types
        self._transaction: Any = None  # Any: as above
        self._live: weakref.WeakValueDictionary[bytes, Mapping] = weakref.WeakValueDictionary()
        self._retired: weakref.WeakSet[Mapping] = weakref.WeakSet()
        self._pinned: set[Mapping] = set()  # those of this transaction, whether an ndarray is alive or not
        self._checked: set[bytes] = set()  # oids of arrays whose mapping is known to be current
        self._found: list[Mapping] = []  # those that were written when the commit began
        self._failure: Exception | None = None
        self._before: _Layouts = {}  # of the blocks that this transaction changed: as it found them
        self._now: _Layouts = {}  # the same: as they are
        self._pid = os.getpid()

    def sortKey(self) -> str:
        """Return a key before that of every Connection."""
        return "\0haywain.views"

    @property
    def is_idle(self) -> bool:
        """Whether nothing here waits for a commit: views were taken, perhaps, but not written to."""
        written = (mapping.written() for mapping in (*self._live.values(), *self._retired))
        return not self._now and not any(written)

    # -- handing out
    def mapping(self, array: "Array", stop: int) -> Mapping:
        """Return the memory of an array of at least `stop` bytes as this transaction sees it."""
        self._attach()
        mapping = self._current(array)
        if mapping is not None and stop > mapping.space.length:
            mapping.save()
            self._retire(mapping)
            mapping = None
        if mapping is None:
            mapping = self._live[array._p_oid] = Mapping(array)
        mapping.on_pieces = array._v_on_pieces or mapping.on_pieces
        self._checked.add(array._p_oid)
        self._pinned.add(mapping)
        return mapping

    def has(self, array: "Array") -> bool:
        """Return whether views of an array are alive, or were in this transaction; raises InvalidError."""
        self._check_process()
        return array._p_oid in self._live

    def _current(self, array: "Array") -> Mapping | None:
        mapping = self._live.get(array._p_oid)
        if mapping is None or array._p_oid in self._checked:
            return mapping
        if mapping.is_current():
            self._checked.add(array._p_oid)
            return mapping
        self._retire(mapping)  # it stays the snapshot it was
        return None

    def _retire(self, mapping: Mapping) -> None:
        mapping.is_stale = True
        self._retired.add(mapping)
        self._pinned.add(mapping)
        if mapping.array is not None:
            self._live.pop(mapping.array._p_oid, None)

    # -- changes
    def settle(self, array: "Array", low: int = 0) -> None:
        """Save what was written through views, if some of it lies at `low` or behind.

        All of it from 0 on, where blocks are changed: one that is written anew is shown anew as a whole.
        """
        self._attach()
        mapping = self._current(array)
        if mapping is not None and any(stop > low for _, stop in mapping.written()):
            mapping.save()

    def note(self, array: "Array", numbers: "Iterable[int]") -> None:
        """Remember what blocks show that are going to change."""
        self._attach()
        before = self._before.setdefault(array._p_oid, {})
        for number in numbers:
            if number not in before:
                before[number] = layout_of(array, number)

    def changed(self, array: "Array", numbers: "Iterable[int]", spans: "Iterable[extents.Span]") -> None:
        """Show the spans of bytes that have changed, which lie in these blocks."""
        now = self._now.setdefault(array._p_oid, {})
        for number in numbers:
            now[number] = layout_of(array, number)
        mapping = self._live.get(array._p_oid)
        if mapping is not None:
            self._pinned.add(mapping)
            mapping.refresh(spans)
            for number, layout in now.items():
                if number in mapping.placed:
                    mapping.placed[number] = layout

    def flush(self, array: "Array") -> bool:
        """Save what was written through views of an array; return whether there was something."""
        self._attach()
        stale = [mapping for mapping in self._retired if mapping.array is array]
        live = self._live.get(array._p_oid)
        saved = [mapping.save() for mapping in stale]
        return any(saved) or (live is not None and live.save())

    def unsaved(self, array: "Array") -> "list[extents.Span]":
        """Return the spans of bytes that were written through the current views and are not saved."""
        self._attach()
        mapping = self._current(array)
        return [] if mapping is None else mapping.written()

    # -- the connection
    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise InvalidError("A connection cannot be used after a fork: open another one")

    def _attach(self) -> None:
        self._check_process()
        manager = self._connection.transaction_manager
        if self._manager is not manager:
            self._manager = manager
            self._connection.onCloseCallback(self._detach)
            manager.registerSynch(self)
        self._join(manager.get())

    def _join(self, transaction: Any) -> None:  # Any: transaction has no types
        if self._transaction is transaction:
            return
        is_late = not self._connection._needs_to_join
        joining.join(transaction, self, _Savepoint(self, None, {}))
        if is_late:  # savepoints are taken in this order, and ours must come before the Connection's
            joining.put_first(transaction)
        self._transaction = transaction

    def _detach(self) -> None:
        """Let go, as the connection goes back to its pool: views alive become plain private memory."""
        if self._manager is not None:
            self._manager.unregisterSynch(self)
        for mapping in self._mappings():
            mapping.array = mapping.connection = mapping.on_pieces = None
        self._manager = None
        self._live.clear()
        self._retired.clear()
        self._end()

    def _mappings(self) -> list[Mapping]:
        return [*self._live.values(), *self._retired]

    def _end(self) -> None:
        self._transaction, self._found, self._failure = None, [], None
        self._before, self._now = {}, {}
        # what no ndarray holds goes; the rest stays one transaction longer than its last ndarray, so that
        # `view[0] = 1; del view; commit()` is saved
        self._pinned.clear()
        for mapping in self._mappings():
            mapping.touched.clear()
            self._pinned.add(mapping)
        self._checked.clear()

    # -- synchronizer
    def newTransaction(self, transaction: Any) -> None:  # Any: transaction has no types
        """Join, if a view is alive."""
        if os.getpid() == self._pid and self._mappings():
            self._join(transaction)

    def beforeCompletion(self, transaction: Any) -> None:  # Any: as above
        """Find what was written, while joining is allowed; it also runs before an abort, so store nothing."""
        if os.getpid() != self._pid:
            return
        self._found = [m for m in self._mappings() if m.array is not None and m.written()]
        for mapping in self._found:
            self._join(transaction)
            if mapping.array is not None and mapping.array._p_jar is not None:
                self._connection.register(mapping.array)  # joins the Connection, stores nothing

    def afterCompletion(self, transaction: Any) -> None:  # Any: as above
        """Forget the transaction."""
        if self._transaction is transaction:
            self._end()

    # -- data manager
    def tpc_begin(self, transaction: Any) -> None:  # Any: as above
        """Save what was written when joining was still allowed.

        What that raises waits for `commit`: a Connection cannot go back before its own `tpc_begin`.
        """
        if self._transaction is not transaction:
            return
        try:
            self._save(self._found)
        except Exception as error:  # whatever it is, it fails the commit
            self._failure = error

    def _save(self, mappings: list[Mapping]) -> None:
        for mapping in mappings:
            if mapping.array is not None and mapping.array._p_jar is not None:
                mapping.save()

    def commit(self, transaction: Any) -> None:  # Any: as above
        """Raise what the saving raised; the Connection stores the blocks."""
        if self._failure is not None and self._transaction is transaction:
            raise self._failure

    def tpc_vote(self, transaction: Any) -> None:  # Any: as above
        """Nothing to do."""

    def tpc_finish(self, transaction: Any) -> None:  # Any: as above
        """Forget how to go back."""
        self._before, self._now = {}, {}

    def abort(self, transaction: Any) -> None:  # Any: as above
        """Show again what was there before the transaction."""
        if self._transaction is not transaction:
            return
        try:
            self._restore({})
        finally:
            self._retire_new()
            self._end()

    tpc_abort = abort

    def _retire_new(self) -> None:
        """Retire what shows arrays that were made in this transaction."""
        for mapping in self._mappings():
            if mapping.array is not None and mapping.array._p_jar is None:
                self._retire(mapping)

    def savepoint(self) -> "_Savepoint":
        """Save what was written; return how to go back to here."""
        is_joined = not self._connection._needs_to_join
        self._save(self._mappings())
        # If saving made the Connection join, the transaction is not going to ask it for its savepoint.
        inner = None if is_joined or self._connection._needs_to_join else self._connection.savepoint()
        return _Savepoint(self, inner, {oid: dict(layouts) for oid, layouts in self._now.items()})

    def _restore(self, then: _Layouts) -> None:
        """Show the blocks that the transaction changed as `then` or before it; drop what was written."""
        failed: Exception | None = None
        for mapping in self._mappings():
            try:
                mapping.drop()
                self._restore_one(mapping, then)
            except Exception as error:  # a blob is out of reach: this view cannot be put back
                self._retire(mapping)
                failed = error
        self._now = {oid: dict(layouts) for oid, layouts in then.items()}
        if failed is not None:
            raise failed

    def _restore_one(self, mapping: Mapping, then: _Layouts) -> None:
        oid = mapping.array._p_oid if mapping.array is not None else None
        if oid is None:
            return
        for number, layout in self._before.get(oid, {}).items():
            target = then.get(oid, {}).get(number, layout)
            if number in mapping.touched and mapping.placed[number] != target:
                mapping.show(number, 0, extents.BLOCK_SIZE, target)


class _Savepoint:
    """How to go back to a savepoint."""

    def __init__(self, views: Views, inner: Any, then: _Layouts) -> None:  # Any: the Connection's savepoint
        self._views, self._inner, self._then = views, inner, then

    def rollback(self) -> None:
        """Show what was there."""
        self._views._restore(self._then)
        if self._inner is not None:
            self._inner.rollback()


def views_of(array: "Array") -> Views:
    """Return the Views of an array's connection, which owns them; raises InvalidError without one."""
    connection = array._p_jar
    if connection is None:
        raise InvalidError("The array is not in the database yet: add it first")
    found = connection.__dict__.get("_haywain_views")
    if not isinstance(found, Views):
        found = connection._haywain_views = Views(connection)
    return found
