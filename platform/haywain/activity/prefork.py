"""The pool of a Celery worker: prefork, with one thing mended.

When the broker is there again, Celery watches its children anew.  One that has just died, and is not reaped
yet, it has by then stopped to watch: `ValueError: file descriptor is None`, and the worker ends (seen with
Celery 5.7 in one of ten runs that killed both).
"""

from typing import Any

from celery.concurrency.prefork import TaskPool


class Pool(TaskPool):  # type: ignore[misc]  # Celery has no types
    """Children that may die while the broker is away."""

    def register_with_event_loop(self, loop: Any) -> Any:  # Any: Celery has no types
        """Watch all children, whichever have died."""
        self._pool.maintain_pool()
        for process in self._pool._pool:
            if getattr(process, "_sentinel_poll", 0) is None:
                del process._sentinel_poll  # made anew: it tells at once of one that is dead
        return super().register_with_event_loop(loop)
