"""Upkeep: what a serving process does for its database once a week: a pack."""

import logging
import threading

from haywain import clock
from haywain.errors import DatabaseServerError, DataDirectoryInUseError
from haywain.portal import Site
from haywain.store.packing import Packed, last_packed_s

PACK_EVERY_S = 7 * 86_400
LOOK_EVERY_S = 3600
_log = logging.getLogger(__name__)


def pack_if_due(site: Site) -> Packed | None:
    """Pack the database if the last pack is a week ago, whichever of several portals did that."""
    with site.open() as portal:
        packed_at = portal.root.packed_at
    if clock.now_s() - max(last_packed_s(site.path), packed_at) < PACK_EVERY_S:
        return None
    try:
        return site.pack()
    except (DataDirectoryInUseError, DatabaseServerError) as error:
        _log.info("%s: the weekly pack waits", error)
        return None


class WeeklyPack(threading.Thread):
    """Packs the database of a site when it is due, until the site stops."""

    def __init__(self, site: Site) -> None:
        """Work for a site until it stops."""
        super().__init__(name="weekly pack", daemon=True)
        self._site = site

    def run(self) -> None:
        """Look every hour; a failure is logged and tried again."""
        while not self._site.stopping.wait(LOOK_EVERY_S):
            try:
                pack_if_due(self._site)
            except Exception:  # whatever it is, the next hour may be better
                _log.exception("the weekly pack failed; it is tried again in an hour")
