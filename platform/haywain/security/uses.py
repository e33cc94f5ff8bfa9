"""When tokens were used: noted in memory by each request, kept in the database now and then."""

import threading

from haywain import clock
from haywain.security.user import User

KEEP_EVERY_S = 3600
"""A Token tells its last use to the hour: so often at most its record is written."""


class TokenUses:
    """What this process has not kept yet; a kill loses it, and the next use makes it good."""

    def __init__(self) -> None:
        """Begin without any."""
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, user: User) -> None:
        """Remember that a user acts now, if by a token."""
        if user.token:
            with self._lock:
                self._used[user.token] = clock.now_s()

    def take(self) -> dict[str, float]:
        """Return the paths of the tokens used since the last call, and when, in seconds since 1970 UTC."""
        with self._lock:
            used, self._used = self._used, {}
        return used
