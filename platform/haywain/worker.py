"""Worker: `haywain worker`, a Celery worker whose children run activities of a served database.

The parent speaks to the broker and keeps the children alive; it opens no database.  Each child opens the
database after it was forked, in a directory of its own below the parent's (`child-0`), and has one ordinary
Worker thread: the code that a portal runs too, which by itself looks every few seconds for what there is to
do.  So without the broker all goes on, later.  A message only rings in the child that gets it.

A pipe tells the children to stop: its other end is closed when the parent stops, and when it dies.
"""

import logging
import os
import signal
import threading
import time
import warnings
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from billiard import current_process
from celery import Celery, signals
from celery.exceptions import SecurityWarning, WorkerLostError
from redis import RedisError
from transaction.interfaces import TransientError

from haywain import errors
from haywain.activity.messages import make_celery
from haywain.activity.method import methods_of
from haywain.activity.publisher import RING
from haywain.activity.shard import DEFAULT_QUEUE
from haywain.activity.workers import STOP_S
from haywain.app import Housekeeping, open_site, return_large_memory
from haywain.errors import DataDirectoryError, DataDirectoryInUseError, HaywainError
from haywain.registry import Registry, load_registry
from haywain.settings import Settings, load
from haywain.store.directory import DataDirectory

if TYPE_CHECKING:
    from haywain.portal import Site

RETRY_S = 5.0
PREDECESSOR_S = 15.0
"""So long a child waits for the directory of one that ends."""

_log = logging.getLogger(__name__)


class Parent:
    """What the children inherit: the directory, and the pipes to hear of the end and to tell of the start."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet."""
        self.settings = settings
        self.concurrency = settings.concurrency or len(os.sched_getaffinity(0))
        self.directory = DataDirectory(settings.data)
        self.pid = 0
        self.failure: HaywainError | None = None
        self.is_told_to_stop = self._is_ready = False

    def open(self) -> None:
        """Lock the directory; doing so twice is fine.  Raises DataDirectoryError and its kinds."""
        if self.pid:
            return
        if not self.settings.database.startswith("zeo:"):
            raise DataDirectoryError(
                "A worker needs a database that is served: start `haywain zeo`, and name it with --database"
            )
        self.directory.open()
        self.pid = os.getpid()
        self.stop_read, self._stop_write = os.pipe()
        self._told_read, self.told_write = os.pipe()
        threading.Thread(target=self._listen, name="children", daemon=True).start()

    def leave_in_child(self) -> None:
        """Close, in a child, what is the parent's alone."""
        if self._stop_write >= 0:
            with suppress(OSError):  # the parent stops, and closed it just before the fork
                os.close(self._stop_write)
        os.close(self._told_read)
        self.directory.close()

    def stop(self, *, is_told: bool = False) -> None:
        """Have the children stop, each run at its next step; doing so twice is fine."""
        self.is_told_to_stop |= is_told
        if self._stop_write >= 0:
            os.close(self._stop_write)
            self._stop_write = -1

    def _listen(self) -> None:
        """Say that all is ready once all children are; what keeps one from starting ends a fresh worker."""
        ready: set[str] = set()
        with open(self._told_read, encoding="utf-8") as lines:
            for line in lines:
                word, _, rest = line.rstrip("\n").partition(" ")
                if word == "ready":
                    ready.add(rest)
                elif not self._is_ready and self.failure is None:
                    kind, _, detail = rest.partition(" ")
                    self.failure = getattr(errors, kind)(detail)
                    os.kill(self.pid, signal.SIGTERM)
                if len(ready) == self.concurrency and not self._is_ready:
                    self._is_ready = True
                    os.write(1, b"haywain: worker ready\n")  # no lock that a fork could leave taken


class Child:
    """The database in one child, from `start` to `stop`."""

    def __init__(self, parent: Parent, index: int) -> None:
        """Nothing is opened yet."""
        self._parent, self._index = parent, index
        self._settings = parent.settings.model_copy(
            update={"data": parent.directory.path / f"child-{index}", "threads": 4}
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="child", daemon=True)
        self._site: Site | None = None

    def start(self) -> None:
        """Open the database and work on it, in threads: it may take a while, and the server may be gone."""
        self._parent.leave_in_child()
        self._thread.start()
        threading.Thread(target=self._watch_parent, name="parent", daemon=True).start()

    def stop(self) -> None:
        """End the run at its next step, and close the database."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S + PREDECESSOR_S)

    def ring(self) -> None:
        """Have the Worker look; return when it has found nothing more to do, or is to stop.

        While it works the parent sends it no more messages.
        """
        if self._site is None:
            return  # it looks as soon as it is open
        bell = self._site.workers.bell
        bell.ring()
        rung = bell.rung
        while not self._stopping.is_set() and not bell.wait_for_rest(rung, 1.0):
            continue

    def _watch_parent(self) -> None:
        os.read(self._parent.stop_read, 1)  # returns when nobody is left at the other end
        self.stop()
        if os.getppid() != self._parent.pid:
            os._exit(1)

    def _run(self) -> None:
        return_large_memory()
        self._site = self._open()
        if self._site is None:
            return
        Housekeeping(self._site).start()
        self._site.workers.start(1)
        self._tell(f"ready {self._index}")
        self._stopping.wait()
        self._site.close()

    def _open(self) -> "Site | None":
        """Return the site, once it can be opened; None when it is to stop before."""
        began = time.monotonic()
        while not self._stopping.is_set():
            wait_s = RETRY_S
            try:
                site, password = open_site(self._settings, self._parent.directory.path)
                if password:
                    _log.warning("user admin is made; its password lies in %s/admin-password", site.path)
                return site
            except DataDirectoryInUseError as error:
                if time.monotonic() < began + PREDECESSOR_S:
                    wait_s = 0.1
                else:
                    self._tell_failure(error)
            except HaywainError as error:
                self._tell_failure(error)
            except TransientError as error:  # the server went while it was opened
                _log.warning("the database cannot be opened yet: %s", error)
            except Exception:  # whatever it is, the next try may succeed
                _log.exception("the database cannot be opened; it is tried again in %g s", RETRY_S)
            self._stopping.wait(wait_s)
        return None

    def _tell_failure(self, error: HaywainError) -> None:
        text = " ".join(error.detail.split())
        _log.warning("the database cannot be opened: %s", text)
        self._tell(f"failed {type(error).__name__} {text}")

    def _tell(self, line: str) -> None:
        try:
            os.write(self._parent.told_write, f"{line[:1000]}\n".encode())  # so short a line stays whole
        except BrokenPipeError:
            _log.info("the parent is gone")


_child: Child | None = None  # of this process, once it is one


def make_application(parent: Parent) -> Celery:
    """Return the Celery application of a worker; there is one in a process."""
    settings = parent.settings
    queues = set(filter(None, settings.queues.split(",")))
    app = make_celery(settings.broker, queues or _queues_of(load_registry(settings.data.absolute())))
    app.conf.update(
        worker_concurrency=parent.concurrency,
        worker_pool="haywain.activity.prefork:Pool",
        worker_proc_alive_timeout=30.0,
    )
    app.task(_ring, name=RING, ignore_result=True)
    for heard, what in (
        (signals.worker_init, lambda **_: _open_or_exit(parent)),
        (signals.worker_process_init, lambda **_: _start_child(parent)),
        (signals.worker_process_shutdown, lambda **_: _stop_child()),
        (signals.worker_shutting_down, lambda how, **_: parent.stop(is_told=how == "Warm")),
        (signals.worker_shutdown, lambda **_: parent.stop()),
    ):
        heard.connect(what, weak=False)
    return app


@cache
def application() -> Celery:
    """Return the application with the settings of the environment, for `celery -A haywain.app:celery`."""
    return make_application(Parent(load()))


def run(settings: Settings) -> int:
    """Work until SIGTERM or Ctrl-C; return the exit code.  Raises what keeps it from starting."""
    if not settings.broker:
        raise DataDirectoryError("A worker needs a broker: --broker redis://HOST:PORT, or HAYWAIN_BROKER")
    parent = Parent(settings)
    parent.open()
    app = make_application(parent)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # of root, for who accepts pickles: JSON here
    signals.setup_logging.connect(lambda **_: None, weak=False)  # that is done
    for name in ("celery.worker.request", "celery.worker.consumer.consumer"):
        logging.getLogger(name).addFilter(_shortened)
    worker = app.Worker(
        quiet=True, optimization="fair", without_gossip=True, without_mingle=True, without_heartbeat=True
    )
    worker.start()
    if parent.failure is not None:
        raise parent.failure
    return 0 if parent.is_told_to_stop else int(worker.exitcode or 0)


def _shortened(record: logging.LogRecord) -> bool:
    """Tell in a line that a child or the broker was lost: the traceback would be of Celery's bookkeeping."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(getattr(error, "exc", error), WorkerLostError):
        record.msg, record.args, record.exc_info = "a child was lost; another one takes over", (), None
    elif isinstance(error, OSError | RedisError):
        record.exc_info = None
    return True


def _ring(ids: list[str]) -> None:
    """Ring; the ids tell people what for."""
    if _child is not None:
        _child.ring()


def _open_or_exit(parent: Parent) -> None:
    try:
        parent.open()
    except HaywainError as error:  # Celery goes on after any Exception
        _log.error("%s", error)
        raise SystemExit(error.exit_code) from error


def _start_child(parent: Parent) -> None:
    global _child
    _child = Child(parent, getattr(current_process(), "index", 0))
    _child.start()


def _stop_child() -> None:
    if _child is not None:
        _child.stop()


def _queues_of(registry: Registry) -> set[str]:
    """Return all queues that the kinds of work here have."""
    own = {
        method.queue
        for cls in registry.portal_types.values()
        for method in methods_of(registry, cls).values()
    }
    return {DEFAULT_QUEUE} | own | {kind.queue for kind in registry.activities.values()}
