"""Graph: which objects of a database hang together, from its root on, and to which document each belongs."""

from collections.abc import Callable, Iterator
from typing import Any

from BTrees.check import check
from ZODB.fsIndex import fsIndex
from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64, z64

from haywain.errors import CorruptDataError
from haywain.store.chunk import Record
from haywain.store.pickles import references

Load = Callable[[bytes], bytes]
"""Returns the current state of an object by its oid; raises KeyError."""

_OID_BYTES = 8
_TREES = ("BTree", "TreeSet")

ClassOf = Callable[[bytes], type | None]


class Graph:
    """All objects that can be reached from the root; each but the root belongs to an owner, if it has one."""

    def __init__(self, load: Load, class_of: ClassOf, is_owner: Callable[[type], bool]) -> None:
        """Walk nothing yet; a class for which `is_owner` holds owns what is reached through its objects."""
        self._load, self._class_of, self._is_owner = load, class_of, is_owner
        self._owners = fsIndex()
        self.missing: list[tuple[bytes, bytes]] = []
        """(oid that refers, oid that is not there)"""

    def __contains__(self, oid: bytes) -> bool:
        """Return whether an object can be reached."""
        return oid in self._owners

    def owner(self, oid: bytes) -> bytes:
        """Return the oid of the owner of an object; that of the root if it has none or cannot be reached."""
        found: bytes = p64(self._owners.get(oid, 0))
        return found

    def walk(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield each object that can be reached, once, and the one it was reached through."""
        pending = [(z64, z64, z64)]
        while pending:
            oid, through, owner = pending.pop()
            if oid in self._owners:
                continue
            cls = self._class_of(oid)
            if cls is not None and self._is_owner(cls):
                owner = oid
            self._owners[oid] = u64(owner)
            yield oid, through
            if cls is not Record:
                pending += [(found, oid, owner) for found in self._references(oid, through)]

    def _references(self, oid: bytes, through: bytes) -> list[bytes]:
        try:
            data = self._load(oid)
        except (KeyError, POSKeyError):
            self.missing.append((through, oid))
            return []
        except CorruptDataError:  # whoever reads all states says so
            return []
        try:
            found = references(data)
        except Exception:  # it is damaged; whoever reads all states says so
            return []
        self.missing += [(oid, other) for other in found if len(other) != _OID_BYTES]
        return [other for other in found if len(other) == _OID_BYTES and other not in self._owners]


# Any: BTrees has no types
def check_tree(tree: Any) -> None:
    """Check that a BTree hangs together and its keys are in order; raises AssertionError."""
    tree._check()
    check(tree)


def is_tree(cls: type | None) -> bool:
    """Return whether a class is a BTree or TreeSet, of whatever types."""
    return cls is not None and cls.__module__.startswith("BTrees.") and cls.__name__.endswith(_TREES)
