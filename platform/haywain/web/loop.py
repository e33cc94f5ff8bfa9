"""The main loop: waits for the connections that have something to say or to hear.

Waitress asks each connection at each turn what it waits for; with 64 of them that is twice the work of a
small request, with 1,000 that are idle thirty times.  Here one is asked again only after something has
happened to it: an event, a request that ended, a look by `maintenance`.  Where a request is answered at once
there is nothing to do at all: meanwhile the connection stays armed, and is disarmed only if more comes before
its time.
"""

import select
import selectors
from collections import deque
from typing import Any

from waitress import wasyncore

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_FLAGS = ((READ, select.POLLIN), (WRITE, select.POLLOUT))

Dispatcher = Any
"""What waitress has in its map: a channel, the listening socket or the trigger.  Any: it has no types."""


class Loop:
    """The events of one server's map of sockets; for one thread, but for `touch` and `is_armed`."""

    def __init__(self, map: dict[int, Dispatcher]) -> None:
        """Begin with nothing armed."""
        self._map = map
        self._selector = selectors.DefaultSelector()
        self._armed: dict[int, int] = {}
        self._touched: deque[Dispatcher] = deque()

    def touch(self, dispatcher: Dispatcher) -> None:
        """Have a dispatcher asked again at the next turn, from any thread."""
        self._touched.append(dispatcher)

    def touch_all(self) -> None:
        """Have all asked again."""
        self._touched.extend(list(self._map.values()))

    def is_armed(self, dispatcher: Dispatcher) -> bool:
        """Return whether it is waited for its bytes, from any thread."""
        return bool(self._armed.get(dispatcher._fileno, 0) & READ)

    def turn(self, timeout_s: float) -> None:
        """Wait for events and hand them out."""
        while self._touched:
            self._arm(self._touched.popleft())
        for key, events in self._selector.select(timeout_s):
            dispatcher = self._map.get(key.fd)
            if dispatcher is key.data:
                self._hand_out(dispatcher, events)

    def _hand_out(self, dispatcher: Dispatcher, events: int) -> None:
        if events & READ and dispatcher.stays_armed and not dispatcher.readable():
            self._set(dispatcher, self._armed[dispatcher._fileno] & ~READ)
            events &= ~READ
        flags = sum(flag for event, flag in _FLAGS if events & event)
        if flags:
            wasyncore.readwrite(dispatcher, flags)
        self._arm(dispatcher)  # also what was just disarmed: its request may have ended since

    def _arm(self, dispatcher: Dispatcher) -> None:
        """Ask a dispatcher what it waits for."""
        if dispatcher._fileno not in self._map:  # closed
            return
        wanted = READ if dispatcher.readable() else 0
        if dispatcher._fileno is not None and dispatcher.writable() and not dispatcher.accepting:
            wanted |= WRITE
        if not wanted and dispatcher.stays_armed:  # but not to send, for which there is always room
            wanted = self._armed.get(dispatcher._fileno, 0) & READ
        self._set(dispatcher, wanted)

    def _set(self, dispatcher: Dispatcher, wanted: int) -> None:
        number = dispatcher._fileno
        if number is None or wanted == self._armed.get(number, 0):  # closed while it was asked
            return
        if not wanted:
            self.forget(number)
        elif number in self._armed:
            self._armed[number] = wanted
            self._selector.modify(number, wanted, dispatcher)
        else:
            self._armed[number] = wanted
            self._selector.register(number, wanted, dispatcher)

    def forget(self, number: int) -> None:
        """Wait no longer for the file of this number, which may be closed then."""
        if self._armed.pop(number, 0):
            self._selector.unregister(number)

    def close(self) -> None:
        """Free what the system holds for it."""
        self._selector.close()
