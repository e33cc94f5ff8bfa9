"""Pickles that may be damaged: what they claim is looked at before they are loaded.

An unpickler keeps a list of what was loaded, and makes it as long as the pickle says.  One flipped bit makes
that up to 64 GB, which ends the process.  What is as long as it says in bytes has to show them.
"""

import io
import pickletools
import re

from ZODB.serialize import referencesf

from haywain.errors import CorruptDataError
from haywain.values import KIB

LONGEST_MEMO = 1 << 20
"""Objects that one pickle may number: 16 MB, and many more than a record of 64 KiB has."""

_MAY_CLAIM = re.compile(rb"r(?:...[^\0]|..[\x10-\xff])|p[0-9]{7}", re.DOTALL)
"""LONG_BINPUT and a large number, in 4 bytes; PUT and one, in digits.  Names have such bytes, too."""

_CLASS = re.compile(rb"c[\w.]+\n\w+\n")
LARGE = 64 * KIB
"""Of more bytes most belong to one text, over which the exact look steps at once."""

_PUTS = ("PUT", "LONG_BINPUT")


def check_claims(data: bytes, pickles: int = 2) -> None:
    """Raise CorruptDataError if one of the first pickles would have the unpickler take much memory.

    A record of a database has two, of its class and of its state.
    """
    if not _may_claim(data):
        return
    file = io.BytesIO(data)
    try:
        for _ in range(pickles):
            for operation, argument, _ in pickletools.genops(file):
                if operation.name in _PUTS and (argument or 0) > LONGEST_MEMO:
                    raise CorruptDataError(f"a pickle numbers {argument} objects, and has {len(data)} bytes")
    except (ValueError, Warning):  # from here on it cannot be loaded either; pickletools warns of texts
        return


def _may_claim(data: bytes) -> bool:
    """Return whether somewhere there are such bytes; those in names of classes do not count."""
    if _MAY_CLAIM.search(data) is None:
        return False
    return len(data) > LARGE or _MAY_CLAIM.search(_CLASS.sub(b"\xff" * 4, data)) is not None


def references(data: bytes) -> list[bytes]:
    """Return the oids that a state refers to; raises what it likes where the pickle is damaged."""
    check_claims(data)
    found: list[bytes] = referencesf(data)
    return found
