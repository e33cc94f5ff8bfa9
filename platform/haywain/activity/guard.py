"""Guard: the limits of one run, and how it is made to stop.

Three steps, each for code that did not heed the one before:

1. `check` (the kind calls it) and the end of a step raise.
2. After `GRACE_S` the watchdog raises the same in the thread, which ends loops of Python.  Only while the
   kind's code runs: raised within a commit it could leave the storage locked.  `leave` takes back what has
   not arrived yet.
3. After `GRACE_S` more the thread is abandoned: it computes in C.  Another takes its place, the activity ends
   without it, and should it ever come back, `leave` raises.  Its connection it keeps until then.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

GRACE_S = 2.0


class Interrupted(BaseException):
    """A run has to end; no error of the work, so that no `except Exception` in it swallows this."""


class Cancelled(Interrupted):
    """Somebody cancelled it."""


class Stopping(Interrupted):
    """The Worker stops."""


class OverLimit(Interrupted):
    """It ran too long or took too much memory."""


class Crowded(Interrupted):
    """The process took too much memory while several ran: it is to run again, alone."""


class Abandoned(Interrupted):
    """Its thread did not react; whatever it still does is nobody's."""


class Guard:
    """Watches over one run of one activity, from the thread that makes it."""

    def __init__(self, id: str, claim: str, time_left_s: float, memory_limit_bytes: int) -> None:
        """Begin; nothing runs yet."""
        self.id, self.claim = id, claim
        self.claims = {id: claim}
        """All that this run has claimed; more than one are a batch."""
        self.memory_limit_bytes = memory_limit_bytes
        self._lap = time.monotonic()
        self.deadline = self._lap + time_left_s
        self.memory_before = 0
        self.was_alone = False
        """Whether nothing else has run here since."""
        self.asked_at = 0.0
        self.why: Interrupted | None = None
        self.is_abandoned = False
        self.thread = threading.get_ident()
        self._lock = threading.Lock()
        self._is_inside = self._is_raised = False
        self._raised_at = 0.0

    def lap_s(self) -> float:
        """Return the seconds since this was last asked, or since the beginning."""
        before, self._lap = self._lap, time.monotonic()
        return self._lap - before

    def ask(self, why: Interrupted) -> None:
        """Make it stop, for this reason, unless there is one already."""
        with self._lock:
            if self.why is None:
                self.why, self.asked_at = why, time.monotonic()

    def check(self) -> None:
        """Go on, or raise why not."""
        if self.is_abandoned:
            raise Abandoned
        if self.why is None and time.monotonic() > self.deadline:
            self.ask(OverLimit("It ran longer than its time limit"))
        if self.why is not None:
            raise self.why

    def inside(self, call: Callable[[], T]) -> T:
        """Run the kind's code, in which alone it may be interrupted; raises what `check` does.

        What had ended when it was asked to stop has ended well, and may be committed.
        """
        self.check()
        with self._lock:
            self._is_inside = True
        try:
            return call()
        except Interrupted:
            self.check()  # the error raised in the thread bears no reason
            raise
        finally:
            self.leave()

    def leave(self) -> None:
        """Be outside; what was raised in the thread and has not arrived is taken back."""
        while True:
            try:
                with self._lock:
                    self._is_inside = False
                    if self._is_raised:
                        _raise_in(self.thread, None)
                        self._is_raised = False
                break
            except Interrupted:  # it arrives here
                continue
        if self.is_abandoned:
            raise Abandoned

    def press(self) -> bool:
        """Raise in the thread, or abandon it, when it is time to; return whether it was abandoned.

        However late this is called, a thread is interrupted first, and has `GRACE_S` to heed that: abandoned
        at once, a loop of Python would go on for ever.
        """
        now = time.monotonic()
        with self._lock:
            if self.why is None or not self._is_inside or self.is_abandoned:
                return False
            if not self._is_raised and now - self.asked_at > GRACE_S:
                self._is_raised, self._raised_at = True, now
                _raise_in(self.thread, Interrupted)
            elif self._is_raised and now - self._raised_at > GRACE_S:
                self.is_abandoned = True
        return self.is_abandoned


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise in another thread at its next bytecode; None takes it back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(error) if error else ctypes.c_void_p()
    )
