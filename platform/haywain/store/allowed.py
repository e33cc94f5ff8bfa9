"""Which classes a record of the database may name: an allowlist of modules, and a few names beside it."""

import re

from persistent import Persistent

_MODULES = re.compile(
    r"haywain\.(store|document|catalog|security|ingestion|activity|portal_types)(\.\w+)*"
    r"|BTrees\.\w+|persistent(\.\w+)*|ZODB\.blob"
)
"""Modules whose classes may be loaded from the database; anything else in a record is refused."""

_NAMES = {
    ("copyreg", "_reconstructor"),
    ("builtins", "object"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
}


def is_allowed(module: str, name: str) -> bool:
    """Return whether a record may name something in a module at all: import nothing else."""
    return (module, name) in _NAMES or _MODULES.fullmatch(module) is not None


def is_class_of(module: str, name: str, found: object) -> bool:
    """Return whether what was found under an allowed name may be called by pickle.

    It must be persistent or defined there: else whatever an allowed module imports, such as a function that
    removes directories, could be named.
    """
    if (module, name) in _NAMES:
        return True
    return isinstance(found, type) and (issubclass(found, Persistent) or found.__module__ == module)
