"""Publisher: tells Workers of other processes, through a broker, that there is something to do.

A message carries ids, but only rings: who hears it looks into the outbox, where everything stands.  So a
message may be lost, doubled or late.  A commit only puts a note down; one thread sends, and drops what cannot
be sent.  A Worker goes on until it finds nothing more, hence a few messages do for any number of activities;
and where many wait in the broker that nobody takes, another one would tell nothing.
"""

import logging
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from haywain.activity.outbox import Ready

if TYPE_CHECKING:
    from celery import Celery

AT_ONCE = 8
"""Most messages to a queue at a time."""
IDS = 100
"""Most ids of a queue that are noted until they are sent."""
WAITING = 64
"""So many messages that no Worker has taken yet are enough."""
EXPIRES_S = 60
"""A message that is older tells nothing: the sweep was quicker."""
TIMEOUT_S, STOP_S = 2.0, 2.0
RETRY_S = 1.0

RING = "haywain.ring"
"""The task: `ring(ids)`."""

_log = logging.getLogger(__name__)


def name_in_broker(queue: str) -> str:
    """Return how the queue of activities is called in the broker, which may serve others too."""
    return f"haywain.{queue}"


class Publisher:
    """Sends from a thread of its own, which begins with the first thing to tell."""

    def __init__(self, broker: str) -> None:
        """Send to a broker; nothing is connected or imported yet."""
        self._broker, self._process = broker, os.getpid()
        self._changed = threading.Condition()
        self._ready: Ready = {}
        self._thread: threading.Thread | None = None
        self._is_stopping = self._is_away = False
        self._connected = ExitStack()
        self._producer: Any = None  # Any: kombu has no types
        self._app: Celery | None = None

    def tell(self, ready: Mapping[str, list[str]]) -> None:
        """Note what others may run by now; returns at once.

        In a child that was forked it does nothing: the thread is the parent's.
        """
        if self._process != os.getpid():
            return
        with self._changed:
            if self._is_stopping:
                return
            for queue, ids in ready.items():
                noted = self._ready.setdefault(queue, [])
                noted += ids[: IDS - len(noted)]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def stop(self) -> None:
        """End the thread; what is noted it still sends, if the broker takes it in `STOP_S` seconds."""
        with self._changed:
            self._is_stopping = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and self._process == os.getpid():
            thread.join(STOP_S)

    def _run(self) -> None:
        while taken := self._take():
            try:
                self._send(taken)
                self._note_return()
            except Exception as error:  # of whichever broker; nothing is lost but time
                self._note_loss(error)
        self._disconnect()

    def _take(self) -> Ready:
        """Return what there is to tell, once there is; nothing at the end."""
        with self._changed:
            if self._is_away:  # nobody is told faster by asking all the time
                self._changed.wait_for(lambda: self._is_stopping, RETRY_S)
            self._changed.wait_for(lambda: self._ready or self._is_stopping)
            taken, self._ready = self._ready, {}
        return taken

    def _send(self, ready: Ready) -> None:
        producer, app = self._connect()
        for queue, ids in ready.items():
            name = name_in_broker(queue)
            waiting = app.amqp.queues[name](producer.channel).queue_declare().message_count
            count = min(len(ids), AT_ONCE, max(WAITING - waiting, 0))
            for number in range(count):
                app.send_task(
                    RING,
                    args=(ids[number::count],),
                    queue=name,
                    producer=producer,
                    expires=EXPIRES_S,
                    retry=False,
                )

    def _connect(self) -> Any:  # Any: kombu and Celery have no types
        """Return a producer and the application, connected."""
        if self._app is None:
            from haywain.activity.messages import make_celery

            self._app = make_celery(self._broker, timeout_s=TIMEOUT_S)
        if self._producer is None:
            connection = self._connected.enter_context(self._app.connection_for_write())
            self._producer = self._app.amqp.Producer(connection, auto_declare=False)
        return self._producer, self._app

    def _note_loss(self, error: Exception) -> None:
        self._disconnect()
        if not self._is_away:
            self._is_away = True
            _log.warning("the broker does not answer (%s); Workers find activities by themselves", error)

    def _note_return(self) -> None:
        if self._is_away:
            self._is_away = False
            _log.warning("the broker answers again")

    def _disconnect(self) -> None:
        self._producer = None
        connected, self._connected = self._connected, ExitStack()
        try:
            connected.close()
        except Exception:  # it is gone in whichever way
            _log.debug("the broker could not be left in good order", exc_info=True)
