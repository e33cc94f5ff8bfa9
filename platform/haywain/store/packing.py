"""Packing: pack a database, tell what came of it, and remember when that was.

DIR/pack.json    what the last pack did, and when; without it the age of the directory counts
"""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haywain import clock
from haywain.errors import TemporaryError
from haywain.store.database import Database
from haywain.store.durable import DurableFileStorage
from haywain.store.fsync import write_durably
from haywain.store.usage import Usage, usage

NAME = "pack.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Packed:
    """What a pack did: history before `until`, in seconds since 1970 UTC, is gone.

    Before and after are unknown where a database server has the files.
    """

    until: float
    finished: float
    before: Usage | None = None
    after: Usage | None = None

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON."""
        found: dict[str, Any] = {"until": clock.iso(self.until), "finished": clock.iso(self.finished)}
        if self.before is not None and self.after is not None:
            found |= {"before": self.before.as_dict(), "after": self.after.as_dict()}
        return found


def pack_database(database: Database, until: float) -> Packed:
    """Pack a database; raises DataDirectoryInUseError, CorruptDataError, TemporaryError on a full disk."""
    storage = database.storage
    count: Callable[[], Usage | None] = lambda: (  # noqa: E731
        usage(storage) if isinstance(storage, DurableFileStorage) else None
    )
    before = count()
    try:
        database.pack(until)
    except OSError as error:
        raise TemporaryError(f"The database could not be packed: {error}", 60) from error
    packed = Packed(until, clock.now_s(), before, count())
    _log.info("packed the database: %s", packed.as_dict())
    return packed


def note_pack(directory: Path, packed: Packed) -> None:
    """Remember what a pack did, durably; raises OSError."""
    write_durably(directory / NAME, json.dumps(packed.as_dict()).encode())


def last_packed_s(directory: Path) -> float:
    """Return when a database was last packed, or else when its directory was made, in seconds since 1970."""
    for name in (NAME, "haywain.json"):
        with suppress(OSError):
            return (directory / name).stat().st_mtime
    return clock.now_s()
