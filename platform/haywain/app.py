"""Put the layers together: the only module that knows all of them."""

import ctypes
import logging
import secrets
import threading
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from transaction.interfaces import TransientError

from haywain.activity.canary import tend
from haywain.activity.care import Care
from haywain.activity.offers import offers_of
from haywain.activity.outbox import Outbox
from haywain.activity.timetable import Timetable
from haywain.activity.watchers import Watchers
from haywain.activity.workers import Workers
from haywain.document import PortalRoot
from haywain.errors import DatabaseServerError, DataDirectoryError, InvalidError
from haywain.forward import Listener
from haywain.ingestion.forwarding import forward_listener
from haywain.ingestion.ledger import Ledger, is_log
from haywain.ingestion.placement import finish_uploads
from haywain.ingestion.policy import add_missing
from haywain.ingestion.receipts import Receipts
from haywain.ingestion.tally import Tally
from haywain.ingestion.watch import PolicyWatch
from haywain.portal import Portal, Site
from haywain.security import SYSTEM
from haywain.settings import Settings, load
from haywain.store.fsync import write_durably
from haywain.upkeep import WeeklyPack
from haywain.values import KIB
from haywain.web.application import make_application
from haywain.web.server import Server, ServerLimits, make_server
from haywain.when_imported import when_imported

REPAIR_EVERY_S = 60
_M_MMAP_THRESHOLD = -3  # malloc.h
_log = logging.getLogger(__name__)


def __getattr__(name: str) -> object:
    """Make the Celery application when it is asked for: `celery -A haywain.app:celery worker`.

    Nobody else imports Celery.
    """
    if name != "celery":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from haywain.worker import application

    return application()


def open_site(settings: Settings, home: Path | None = None) -> tuple[Site, str]:
    """Open a data directory, filled at the first start; return it and the password made for admin, if any.

    `home` is as `Site` has it.  Raises DataDirectoryError and its kinds, RegistryError.
    """
    site = Site(settings, home)
    site.workers, site.tally = Workers(site), Tally()
    site.receipts = Receipts(site.path / "ledger", _lane(site), is_shared=not site.is_sole)
    site.before_close.append(site.workers.stop)
    try:
        password = _first_start(site)
        with site.open() as portal:
            site.catalog_store.belong_to(portal.root.key)
        site.repair()
        return site, password
    except BaseException:
        site.close()
        raise


def open_portal(where: str, workers: int = 0, data: str | None = None) -> Portal:
    """Return a Portal that owns its Site, with so many Workers: closing it closes everything."""
    name = where.removeprefix("file://" if where.startswith("file:///") else "file:")
    path = Path(name) if "://" not in name else None
    site, _ = open_site(load(data=path) if path is not None else load(database=where, data=data))
    site.workers.start(workers)
    _tell_joblib()
    return _OwningPortal(site)


@cache
def _tell_joblib() -> None:
    """Have joblib know the backend `haywain`, if it is imported, as soon as it is."""
    when_imported("joblib.parallel", _register_backend)


def _register_backend() -> None:
    from joblib.parallel import register_parallel_backend  # joblib itself may be half imported

    def make(**options: Any) -> Any:  # Any: joblib has no types
        from haywain.parallel import HaywainBackend

        return HaywainBackend(**options)

    register_parallel_backend("haywain", make)


class _OwningPortal(Portal):
    """The Portal of a script: it opened the data directory, so it closes it."""

    def close(self) -> None:
        """Forget what is not committed, and let another process open the directory."""
        super().close()
        self.site.close()


def _first_start(site: Site) -> str:
    """Make the root, the modules and admin where they are missing; return the password made for admin.

    That is written down before it is set: else a kill in between would leave one that nobody knows.  Where
    another process on the same database is quicker, its password is the one.
    """
    is_new, _ = site.transact(_make_root)
    given, kept = site.settings.admin_password, site.path / "admin-password"
    made = secrets.token_urlsafe(12) if is_new and not given else ""
    if made:
        write_durably(kept, made.encode() + b"\n", mode=0o600)
    try:
        is_ours, _ = site.transact(lambda portal: _fill(portal, given or made), SYSTEM)
    except InvalidError as error:
        raise DataDirectoryError(f"Setting 'admin_password' cannot be used: {error}") from error
    if made and not is_ours:
        kept.unlink()
    return made if is_ours else ""


def _make_root(portal: Portal) -> bool:
    """Make the root where it is missing; return whether nobody can log in yet."""
    root = portal.connection.root()
    if "portal" not in root:
        root["portal"] = PortalRoot()
    return not _has_people(portal.root)


def _lane(site: Site) -> str:
    """Return by what the ledger knows this data directory among those that share a database."""
    path = site.path / "ledger" / "lane"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write_durably(path, secrets.token_hex(8).encode())
    return path.read_text()


def _has_people(root: PortalRoot) -> bool:
    return "person_module" in root.modules and bool(root["person_module"].documents)


def _fill(portal: Portal, password: str) -> bool:
    """Make what is missing in the root; return whether admin was."""
    root, registry = portal.root, portal.site.registry
    if not root.key:
        root.key = secrets.token_hex(8)
    _add_tools(root)
    for portal_type in registry.portal_types.values():
        root.module(portal_type.module_id)
    add_missing(portal)
    if _has_people(root):
        return False
    portal.new("Person", reference="admin", title="Administrator", roles=("Manager",), password=password)
    return True


def _add_tools(root: PortalRoot) -> None:
    """Make what is missing of what is kept beside documents."""
    if "ledger" not in root.tools:
        root.tools["ledger"] = Ledger()
    if not is_log(root.tools["ledger"]):
        root.tools["ledger"].begin_log()
    if "outbox" not in root.tools:
        root.tools["outbox"] = Outbox()
    Outbox.of(root).list_methods()
    if "care" not in root.tools:
        root.tools["care"] = Care()
    if "schedules" not in root.tools:
        root.tools["schedules"] = Timetable()
    if "watchers" not in root.tools:
        root.tools["watchers"] = Watchers()
    if "offers" not in root.tools:
        root.tools["offers"] = offers_of(root)


class Housekeeping(threading.Thread):
    """What a process does now and then: repair the catalog, see to uploads, uses of tokens, the canary."""

    def __init__(self, site: Site) -> None:
        """Work for a site until it stops."""
        super().__init__(name="housekeeping", daemon=True)
        self._site = site

    def run(self) -> None:
        """Do it every minute; a failure is logged and tried again."""
        while not self._site.stopping.wait(REPAIR_EVERY_S):
            try:
                self._site.repair()
                self._site.keep_uses()
                finish_uploads(self._site)
                self._site.uploads.expire(self._site.settings.upload_hours * 3600)
                if not self._site.is_sole:
                    self._site.transact(tend)
            except (DatabaseServerError, TransientError) as error:  # it went while the catalog followed
                _log.warning("housekeeping waits: %s", error)
            except Exception:  # whatever it is, the next round may succeed
                _log.exception("housekeeping failed; it is tried again in %d s", REPAIR_EVERY_S)


def return_large_memory() -> None:
    """Have the C library give large buffers back to the system as soon as they are freed.

    By default glibc raises its threshold for that to the largest buffer freed so far, up to 32 MiB, and keeps
    what is smaller: after 48 bodies of 8 MiB by 8 threads the process kept 480 MB, with this 160 MB.  A
    fixed threshold costs a system call for each buffer of 256 KiB and more.  mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # elsewhere than in glibc
        mallopt(_M_MMAP_THRESHOLD, 256 * KIB)


class Serving:
    """A portal that listens, from `with` on; `run` serves until SystemExit or `stop`."""

    def __init__(self, settings: Settings) -> None:
        """Open the data directory and the port; raises DataDirectoryError and its kinds, PortInUseError."""
        return_large_memory()
        self.site, self.password = open_site(settings)
        try:
            limits = ServerLimits(
                body_bytes=settings.body_bytes,
                threads=settings.threads,
                connection_limit=settings.connections,
            )
            self.server: Server = make_server(
                make_application(self.site),
                host=settings.host,
                port=settings.port,
                uploads=self.site.uploads,
                limits=limits,
            )
            self.forward = self._listen_for_forward()
        except BaseException:
            self.site.close()
            raise

    @property
    def url(self) -> str:
        """The address, `http://HOST:PORT`."""
        host = self.server.effective_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server.effective_port}"

    def _listen_for_forward(self) -> Listener | None:
        try:
            return forward_listener(self.site)
        except BaseException:
            self.server.close()
            raise

    def run(self) -> None:
        """Serve until told to stop; requests that run then may finish."""
        finish_uploads(self.site)
        Housekeeping(self.site).start()
        WeeklyPack(self.site).start()
        PolicyWatch(self.site).start()
        self.site.workers.start(self.site.settings.workers)
        if self.forward is not None:
            self.forward.start()
        self.server.when_stopping = self._ask_to_stop
        self.server.run()

    def _ask_to_stop(self) -> None:
        """Ask all to stop that works beside the requests."""
        self.site.workers.ask_to_stop()
        if self.forward is not None:
            self.forward.ask_to_stop()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close ports and data directory."""
        if self.forward is not None:
            self.forward.stop()
        self.site.workers.stop()
        self.server.close()
        self.site.close()
