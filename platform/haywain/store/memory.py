"""A storage in memory: for demos and tests, gone with its process.  It keeps no blobs."""

from typing import Any

from ZODB.DemoStorage import DemoStorage
from ZODB.MappingStorage import MappingStorage


class MemoryStorage(DemoStorage):  # type: ignore[misc]  # ZODB has no types
    """A MappingStorage that resolves conflicts, as those on disk do."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__("memory", changes=MappingStorage())

    def pack(self, t: float, references: Any, gc: bool = True) -> None:  # Any: as ZODB calls it
        """Remove what nothing refers to since `t`, in seconds since 1970 UTC."""
        self.changes.pack(t, references, gc)
