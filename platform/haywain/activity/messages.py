"""The Celery application: one task, which rings; imported only where there is a broker.

ZODB is the ledger: no result is kept in the broker, nothing is acknowledged late, nothing waits there for its
time, and what is lost with it is found by the sweep.
"""

from collections.abc import Iterable

from celery import Celery
from kombu.entity import Exchange, Queue

from haywain.activity.publisher import name_in_broker

ANSWER_S = 10.0
"""After so long without an answer the broker counts as gone."""


def make_celery(broker: str, queues: Iterable[str] = (), timeout_s: float = ANSWER_S) -> Celery:
    """Return an application on a broker, whose Workers take these queues of activities."""
    app = Celery("haywain", broker=broker, set_as_current=False)
    app.conf.update(
        task_queues=[_queue(name_in_broker(name)) for name in sorted(queues)],
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=True,  # late ones, and there are none
        worker_enable_remote_control=False,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=timeout_s,
        broker_transport_options={"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s},
    )
    return app


def _queue(name: str) -> Queue:
    # as Celery makes one that it does not know
    return Queue(name, Exchange(name), name)  # type: ignore[no-untyped-call]
