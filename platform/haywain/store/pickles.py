"""Pickles that may be damaged: what they claim is looked at before they are loaded.

An unpickler keeps a list of what was loaded, and makes it as long as the pickle says.  One flipped bit makes
that up to 64 GB, which ends the process.  Everything else that a pickle claims, its bytes have to show.
"""

import io
import pickletools
import re

from ZODB.serialize import referencesf

from haywain.errors import CorruptDataError

LONGEST_MEMO = 1 << 20
"""Objects that one pickle may number: 16 MB, and many more than a record of 64 KiB has."""

_MAY_CLAIM = re.compile(rb"r(?:...[^\0]|..[\x10-\xff])", re.DOTALL)  # LONG_BINPUT and a large number


def check_claims(data: bytes) -> None:
    """Raise CorruptDataError if the two pickles of a record would have the unpickler take much memory."""
    if _MAY_CLAIM.search(data) is None:
        return
    file = io.BytesIO(data)
    try:
        for _ in range(2):
            for operation, argument, _ in pickletools.genops(file):
                if operation.name == "LONG_BINPUT" and (argument or 0) > LONGEST_MEMO:
                    raise CorruptDataError(f"a pickle numbers {argument} objects, and has {len(data)} bytes")
    except ValueError:  # from here on it cannot be loaded either
        return


def references(data: bytes) -> list[bytes]:
    """Return the oids that a state refers to; raises what it likes where the pickle is damaged."""
    check_claims(data)
    found: list[bytes] = referencesf(data)
    return found
