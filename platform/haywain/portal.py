"""Site: one process's handle on a data directory.  Portal: one user's session with the objects in it."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from pathlib import Path as FilePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from transaction import TransactionManager
from transaction.interfaces import NoTransaction, TransientError
from ZODB.POSException import ConflictError, POSKeyError, ReadConflictError
from ZODB.utils import p64

from haywain import clock
from haywain.catalog import Catalog, CatalogStore, Query
from haywain.catalog.follower import Follower
from haywain.catalog.past import ChangeLog
from haywain.catalog.repair import mend, reindex, repair, watermark_tid
from haywain.document import Document, PortalRoot
from haywain.errors import DataDirectoryError, HaywainError, NotFoundError, TemporaryError
from haywain.registry import Registry, load_registry
from haywain.security import SYSTEM, User, hidden_portal_types
from haywain.security.rate import Rate
from haywain.security.uses import KEEP_EVERY_S, TokenUses
from haywain.settings import Settings
from haywain.store.database import Database, NamedLocks, PortalConnection, open_storage
from haywain.store.directory import DataDirectory
from haywain.store.group import Group
from haywain.store.packing import Packed, note_pack, pack_database
from haywain.store.upload import Uploads
from haywain.values import Tid

if TYPE_CHECKING:
    from haywain.activity.job import Job
    from haywain.activity.map_reduce_job import MapReduceJob
    from haywain.activity.workers import Workers
    from haywain.ingestion.receipts import Receipts
    from haywain.ingestion.tally import Tally
    from haywain.past import Past

T = TypeVar("T")
_log = logging.getLogger(__name__)

TRIES = 12
"""How often a transaction is tried before the sender is asked to come again."""


class Hits:
    """What a search found: iterates over the documents, loading them one by one."""

    def __init__(self, portal: "Portal", query: Query) -> None:
        """Search; raises UnknownNameError or InvalidError."""
        self._portal, self._query = portal, query
        self._uids, self.next = portal.catalog_index.search(query)

    def __iter__(self) -> Iterator[Document]:
        """Yield the documents; one that this transaction's snapshot does not have is skipped."""
        for uid in self._uids:
            try:
                document = self._portal.connection.get(p64(uid))
            except (POSKeyError, ReadConflictError):  # removed; made after the snapshot
                continue
            if isinstance(document, Document):
                yield document

    def __len__(self) -> int:
        """Return the number of hits on this page."""
        return len(self._uids)

    def count(self) -> int:
        """Return how many documents match, whatever the limit."""
        return self._portal.catalog_index.count(self._query)


class Portal:
    """One user's transactional session; for one thread.  Nothing is kept without `commit()`."""

    def __init__(self, site: "Site", user: User = SYSTEM, manager: TransactionManager | None = None) -> None:
        """Open a connection; begin a transaction, unless the manager given has begun one."""
        self.site, self.user = site, user
        self._own_manager = manager is None
        self.manager = manager or TransactionManager(explicit=True)
        if self._own_manager:
            self.manager.begin()
        self.connection: PortalConnection = self._connect()
        self.catalog_index = cast(Catalog, self.connection.catalog)
        self.connection.portal = self  # so that a document knows who acts

    def _connect(self) -> PortalConnection:
        """Return a connection with its catalog."""
        connection = self.site.database.connect(self.manager)
        if connection.catalog is None:
            connection.catalog = Catalog(self.site.catalog_store, connection)
        return connection

    @property
    def root(self) -> PortalRoot:
        """The root of the object database."""
        return cast(PortalRoot, self.connection.root()["portal"])

    # Any: the schema of the kind knows the types
    def new(self, portal_type: str, /, id: str | None = None, **properties: Any) -> Document:
        """Make a document in its module; raises UnknownNameError, InvalidError or DuplicateError.

        Then nothing is left of it.
        """
        cls = self.site.registry.portal_type(portal_type)
        document = cls(**properties)
        document.owner = self.user.login
        module = self.root.module(cls.module_id)
        module.add(document, id or document.preferred_id())
        self.connection.add(document)
        try:
            document.after_add(self.root)
        except HaywainError:
            self.root.release(document)
            module.remove(document)
            raise
        document.reindex()
        return document

    def delete(self, document: Document) -> None:
        """Remove a document, its unique keys and its row; its bytes go with the next pack.

        Raises InvalidError if the document cannot be missed.
        """
        module = document.__parent__
        if module is None:
            raise NotFoundError(f"{document.path} is in no module")
        document.before_remove()
        self.catalog_index.removed(document)
        self.root.release(document)
        module.remove(document)

    def __getitem__(self, path: str) -> Document:
        """Return the document at a path such as `data_stream_module/x`; raises NotFoundError."""
        module, _, id = path.strip("/").partition("/")
        try:
            return self.root[module][id]
        except (KeyError, TypeError):
            raise NotFoundError(f"There is nothing at {path[:200]!r}") from None

    def catalog(
        self,
        /,
        *,
        text: str = "",
        sort_on: str | tuple[str, ...] = "-modified",
        limit: int | None = None,
        cursor: str = "",
        **where: Any,  # Any: a value, a list or a Range
    ) -> Hits:
        """Return the documents that match and that this user may view.

        Values may hold `%`, be a list or a Range; a date may be short (`2026-11`).  Raises UnknownNameError
        for a key that does not exist, InvalidError for a value that makes no sense.
        """
        order = (sort_on,) if isinstance(sort_on, str) else tuple(sort_on)
        hidden = hidden_portal_types(self.user, self.site.registry.portal_types.values())
        return Hits(self, Query(where, text, order, limit, cursor, hidden))

    def commit(self) -> Tid:
        """Keep what was done, durably, and begin anew; return the transaction's id."""
        tid = self.finish()
        self.manager.begin()
        return tid

    def finish(self) -> Tid:
        """Keep what was done, durably; return the transaction's id.  All that can follow is `close`."""
        self.manager.commit()
        return Tid(self.connection.last_tid.hex())

    def abort(self) -> None:
        """Forget what was done since the last commit, and begin anew."""
        self.manager.abort()
        self.manager.begin()

    def refresh(self) -> None:
        """See what others have committed, unless something here waits for a commit."""
        transaction = self.manager.get()
        waits = [found for found in transaction._resources if not getattr(found, "is_idle", False)]
        if not waits and not any(transaction.getBeforeCommitHooks()):
            self.abort()

    def again(self) -> "Portal":
        """Return another session of this user, on the moment that this one shows."""
        return self.site.open(self.user)

    def at(self, when: str | datetime) -> "Past":
        """Return the portal as it was, to be read: at a transaction (16 hexadecimal digits) or a time.

        A time without a zone is in UTC.  It is a session of its own, to be closed.  Raises InvalidError for
        what is no moment or lies in the future, GoneError for what is packed away.
        """
        from haywain.past import Past

        return Past(self.site, when, self.user)

    def map_reduce(
        self,
        kind: str,
        source: Document,
        target: Document | None = None,
        *,
        step: str | int = 0,
        parameters: dict[str, Any] | None = None,  # Any: the kind knows the types
    ) -> "MapReduceJob":
        """Have a kind of work done in parts of about `step` bytes (`64 MiB`; 0: as the kind has it).

        What comes of it goes to `target`, where the kind writes to such a document; else it makes one.  It
        runs once this transaction has committed, on all Workers there are.  Raises UnknownNameError,
        InvalidError or ForbiddenError.
        """
        return self.site.workers.map_reduce(self, kind, source, step, parameters, target)

    def job(self, id: str) -> "Job":
        """Return the handle on an activity of this user, a Manager's on any; raises NotFoundError."""
        return self.site.workers.job(self, id)

    def close(self) -> None:
        """Forget what is not committed and give the connection back."""
        self.connection.portal = None
        if self._own_manager:
            with suppress(NoTransaction):  # after `finish`
                self.manager.abort()
        self.connection.close()

    def __enter__(self) -> Self:
        """Return the portal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Abort and close."""
        self.close()


class Site:
    """What one process holds of a data directory: the lock, the database, the catalog, the registry."""

    def __init__(self, settings: Settings, home: FilePath | None = None) -> None:
        """Open it all; raises DataDirectoryError and its kinds, RegistryError.

        Processes that belong together have a `home`: the directory of their kinds and of a cache of blobs.
        """
        self.settings, self._home = settings, home
        self.directory = DataDirectory(settings.data)
        self.is_new = self.directory.open()
        self.locks = NamedLocks()
        self.group: Group[Portal] = Group(self.transact)
        self.stopping = threading.Event()
        self.opened_s = clock.now_s()
        self.quarantine_rate = Rate(settings.quarantine_per_minute)
        self.token_uses = TokenUses()
        self.asked: dict[str, float] = {}  # path of a document -> when the look begins that is queued for it
        self.refused_uploads: set[tuple[str, str]] = set()  # (id, reason), each told once
        self.workers: Workers  # of the layers above, put here as the site is opened
        self.tally: Tally
        self.receipts: Receipts
        self.before_close: list[Callable[[], None]] = []  # what the layers above have to stop
        try:
            with ExitStack() as opened:
                opened.callback(self.directory.close)
                self._open(opened)
                opened.pop_all()
        except OSError as error:
            raise DataDirectoryError(f"The data directory {self.path} cannot be used: {error}") from error

    def _open(self, opened: ExitStack) -> None:
        path, settings = self.path, self.settings
        home = self._home or path
        self.registry: Registry = load_registry(home)
        self.uploads = Uploads(path / "uploads")
        self.storage = open_storage(settings.database or f"file:{path}", home / "blob-cache")
        opened.callback(self.storage.close)
        self.database = Database(self.storage, 2 * settings.threads + 16, self.registry.modules)
        self.catalog_store = CatalogStore(path / "catalog.sqlite")
        following = Follower(self.catalog_store, self.database).catch_up
        mending = partial(mend, self.catalog_store, self.database)
        self.catalog_store.catch_up = mending if self.is_sole else following
        self.change_log = ChangeLog(self.database)

    @property
    def is_sole(self) -> bool:
        """Whether no other process can have the database open."""
        return not self.settings.database.startswith("zeo:")

    def has_watched(self, seconds: float) -> bool:
        """Return whether this process has been in touch with the database for so long without a break."""
        since: float = getattr(self.storage, "connected_at", time.monotonic())
        return self.is_sole or 0 < since < time.monotonic() - seconds

    @property
    def path(self) -> FilePath:
        """The data directory."""
        return self.directory.path

    def open(self, user: User = SYSTEM, manager: TransactionManager | None = None) -> Portal:
        """Return a session for a user."""
        return Portal(self, user, manager)

    def transact(self, work: Callable[[Portal], T], user: User = SYSTEM, lock: str = "") -> tuple[T, Tid]:
        """Run work in a transaction of its own and commit; return its result and the transaction's id.

        Takes the named lock before the snapshot.  Conflicts are tried again with jitter and shown to nobody;
        raises TemporaryError when the tries are used up, OSError when the disk is full.
        """
        with self.locks.named(lock) if lock else threading.Lock():
            for attempt in range(TRIES):
                if attempt:
                    time.sleep(random.uniform(0, min(0.01 * 2**attempt, 0.5)))  # noqa: S311  # jitter, no secret
                try:
                    with self.open(user) as portal:
                        result = work(portal)
                        return result, portal.finish()
                except (ConflictError, TransientError) as error:
                    conflict = error
        raise TemporaryError(
            f"Too many changes at once, {TRIES} tries met conflicts; try again"
        ) from conflict

    def together(self, work: Callable[[Portal], T], user: User, lock: str, size_bytes: int) -> tuple[T, Tid]:
        """Do as `transact` does, in one transaction with what others store at this moment.

        Many small appends are limited by the disk's fsync, which then serves all.  Raises TemporaryError too
        if too much waits.
        """

        def as_user(portal: Portal) -> T:
            portal.user = user
            return work(portal)

        return self.group.run(as_user, self.locks.named(lock), size_bytes)

    def keep_uses(self) -> None:
        """Keep in the Tokens when they were last used; apart from requests, so that none meets a conflict."""
        used = self.token_uses.take()

        def work(portal: Portal) -> None:
            for path, moment_s in used.items():
                with suppress(NotFoundError):
                    token: Any = portal[path]  # Any: a Token, which this layer does not import
                    if moment_s - token.last_used >= KEEP_EVERY_S:
                        token.last_used = moment_s

        if used:
            self.transact(work)

    def repair(self) -> int:
        """Make good what the catalog missed; rebuild it where it is new, or did not follow for long."""
        if self.catalog_store.is_new or (not self.is_sole and self._misses_what_is_packed()):
            return reindex(self.catalog_store, self.database)
        fixed = repair(self.catalog_store, self.database)
        if fixed and self.is_sole:
            _log.warning("the catalog missed %d transactions; they are indexed now", fixed)
        return fixed

    def _misses_what_is_packed(self) -> bool:
        """Whether a pack may have taken, out of the log, what the catalog has not yet learned from it."""
        with self.open() as portal:
            return watermark_tid(self.catalog_store) < portal.root.packed_until

    def reindex(self, progress: Callable[[int], None] = lambda done: None) -> int:
        """Build the whole catalog anew while everything goes on; return the number of documents."""
        return reindex(self.catalog_store, self.database, progress)

    def pack(self, days: float | None = None) -> Packed:
        """Remove history older than so many days (`pack_days` by default), while everything goes on.

        Raises DataDirectoryInUseError while a backup, a verification or another pack runs, CorruptDataError
        if the database is damaged, TemporaryError if the disk is full; then all is as it was.
        """
        kept_days = self.settings.pack_days if days is None else days
        until = clock.now_s() - kept_days * 86_400
        self.repair()  # what the catalog misses is found in the log, which a pack shortens
        self.transact(lambda portal: portal.root.note_pack(until))
        packed = pack_database(self.database, until)
        note_pack(self.path, packed)
        if not self.is_sole:
            self.transact(lambda portal: portal.root.note_packed(packed.finished))
        return packed

    def close(self) -> None:
        """Close everything; closing twice is fine."""
        self.stopping.set()
        for stop in self.before_close:
            stop()
        self.catalog_store.close()
        self.database.close()
        self.directory.close()
