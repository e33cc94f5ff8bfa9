"""The pool of a Celery worker, when the broker is there again and a child has just died."""

import subprocess
import sys

SCRIPT = """
import os, signal, sys, time
from celery import Celery
from kombu.asynchronous import Hub, set_event_loop
from {module} import {name}

hub = Hub()
set_event_loop(hub)
app = Celery("test")
pool = {name}(1, initargs=(app, "test"), threads=False, app=app)
pool.start()
pool.register_with_event_loop(hub)
(process,) = pool._pool._pool
pool._pool._untrack_child_process(process, hub)  # it was seen to die
if sys.argv[1] == "dead":
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.2)
pool.register_with_event_loop(hub)  # the broker is there again
(process,) = pool._pool._pool
assert process._sentinel_poll is not None and process.exitcode is None
print("watched", flush=True)
os.kill(process.pid, signal.SIGKILL)
os._exit(0)
"""


def run(module: str, name: str, how: str) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(module=module, name=name)
    return subprocess.run(
        [sys.executable, "-c", script, how], capture_output=True, text=True, timeout=50, check=False
    )


def test_a_child_that_died_meanwhile_is_watched_or_replaced() -> None:
    for how in ("dead", "dying"):
        done = run("haywain.activity.prefork", "Pool", how)
        assert done.returncode == 0 and "watched" in done.stdout, done.stderr


def test_celery_itself_still_needs_the_mending() -> None:
    assert "file descriptor is None" in run("celery.concurrency.prefork", "TaskPool", "dying").stderr
