"""Whether this machine, or only this process, was asleep: then connections from before lead nowhere."""

import time

GAP_S = 5.0
"""A sleep: the clock that stands still in a suspend falls behind by more, or a tick is that late."""

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


class Wakefulness:
    """Asked each tick, says whether there was a sleep since the tick before."""

    def __init__(self) -> None:
        """Begin awake."""
        self._boottime_s, self._monotonic_s = _clocks()

    def was_asleep(self, tick_s: float) -> bool:
        """Return whether the machine was suspended, or this process stopped, since it was asked last.

        `tick_s` is how long that should be.
        """
        boottime_s, monotonic_s = _clocks()
        slept_s = (boottime_s - self._boottime_s) - (monotonic_s - self._monotonic_s)
        late_s = monotonic_s - self._monotonic_s - tick_s
        self._boottime_s, self._monotonic_s = boottime_s, monotonic_s
        return max(slept_s, late_s) > GAP_S


def _clocks() -> tuple[float, float]:
    monotonic_s = time.monotonic()
    return (time.clock_gettime(_BOOTTIME) if _BOOTTIME is not None else monotonic_s), monotonic_s
