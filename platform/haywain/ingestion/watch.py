"""Take up rules of an instance's own folder, `DATA/ingestion_policies/`, without a restart."""

import logging
import threading
from pathlib import Path

from haywain.errors import HaywainError, RegistryError
from haywain.ingestion.policy import add_missing
from haywain.portal import Site

LOOK_EVERY_S = 0.5
_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
"""By which a file is known to be as it was: when it changed, its size, its inode."""


class PolicyWatch(threading.Thread):
    """Looks at the files twice a second; one that has been the same for two looks is taken up.

    A folder of a few files is listed in some 20 us; so nothing has to be told by the system, also where the
    files lie on another machine.  A file that is gone keeps its rule until the next start: editors remove a
    file to replace it.
    """

    def __init__(self, site: Site) -> None:
        """Watch for a site until it stops."""
        super().__init__(name="policy watch", daemon=True)
        self._site, self._folder = site, site.path / "ingestion_policies"
        self._seen: dict[Path, Stamp] = {}
        self._taken: dict[Path, Stamp] = {}

    def run(self) -> None:
        """Look until the site stops; a failure is logged, and tried again."""
        while not self._site.stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
            except (HaywainError, OSError) as error:
                _log.warning("the policies are looked at again: %s", error)
            except Exception:  # whatever it is, the next look may succeed; a database that closes is none
                if not self._site.stopping.is_set():
                    _log.exception("the policies are looked at again")

    def look(self) -> None:
        """Take up what has changed and is complete."""
        stamps = _stamps(self._folder)
        changed = [
            path
            for path, stamp in sorted(stamps.items())
            if self._seen.get(path) == stamp and self._taken.get(path) != stamp
        ]
        self._seen = stamps
        taken = [self._take(path) for path in changed]
        if any(taken):
            self._site.transact(add_missing)
        self._taken |= {path: stamps[path] for path in changed}

    def _take(self, path: Path) -> bool:
        """Take up the rule of a file; return whether that could be done."""
        registry = self._site.registry
        try:
            rule = registry.take_rule(path)
        except RegistryError as error:
            registry.problems[str(path)] = error.detail
            _log.warning("what %s said before still holds: %s", path, error)
            return False
        registry.problems.pop(str(path), None)
        if path in self._taken:
            _log.info("the rule %r is that of %s now", rule.name, path)
        return True


def _stamps(folder: Path) -> dict[Path, Stamp]:
    found = {}
    for path in folder.glob("[!_]*.py"):
        try:
            stat = path.stat()
        except FileNotFoundError:  # just replaced
            continue
        found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found
