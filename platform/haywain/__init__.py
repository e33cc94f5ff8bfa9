"""Haywain: an object-database-backed data platform.

`haywain.open("var")` gives a Portal on a data directory or a database; nothing heavy is imported before.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from haywain.portal import Portal

__version__ = "0.1.0"
__all__ = ["__version__", "open"]


def open(where: str = "var", workers: int = 0, data: str | None = None) -> "Portal":
    """Return a Portal on a data directory, or on a database by its URI, for use with `with`.

    With a `zeo:` URI `data` is the directory of this process's catalog and cache, as `haywain serve` has one.
    `workers` threads run activities; without them `job.wait()` runs the queue.
    Leaving `with` aborts what is not committed and closes.  Raises DataDirectoryError and its
    kinds if the directory is in use, read-only, not ours or of a newer version.
    """
    from haywain.app import open_portal

    return open_portal(where, workers, data)
