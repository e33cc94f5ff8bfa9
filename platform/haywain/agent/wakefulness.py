"""Whether this machine, or only this process, was asleep: then connections from before lead nowhere."""

import time

GAP_S = 5.0
"""A sleep: the clock that stands still in a suspend falls behind by more, or a tick is that late."""

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


class Wakefulness:
    """Asked each tick, says whether there was a sleep since the tick before."""

    def __init__(self) -> None:
        """Begin awake."""
        self._clocks = _clocks()

    def was_asleep(self, tick_s: float) -> bool:
        """Return whether the machine was suspended, or this process stopped, since it was asked last.

        `tick_s` is how long that should be.  A wall clock that jumps counts too: where a machine goes on
        from a snapshot, often nothing else tells.
        """
        before, self._clocks = self._clocks, _clocks()
        boottime_s, monotonic_s, wall_s = (now - then for now, then in zip(self._clocks, before, strict=True))
        return max(boottime_s - monotonic_s, monotonic_s - tick_s, abs(wall_s - monotonic_s)) > GAP_S


def _clocks() -> tuple[float, float, float]:
    monotonic_s = time.monotonic()
    boottime_s = time.clock_gettime(_BOOTTIME) if _BOOTTIME is not None else monotonic_s
    return boottime_s, monotonic_s, time.time()
