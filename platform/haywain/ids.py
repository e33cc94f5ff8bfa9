"""Ids: the last part of a document's path."""

import secrets
import unicodedata

from haywain import clock
from haywain.errors import InvalidError

ID_LENGTH = 255
"""Most characters of an id."""

RESERVED_IDS = frozenset(
    {"data", "buckets", "uploads", "slice", "zarr", "activities", "ingest", "edit", "new", "api", "static"}
) | {"*"}
"""Names of pages, which a document of such an id would hide; `ingest:*` is the scope of all policies."""


def new_id() -> str:
    """Return an id that grows with time: 11 hexadecimal digits of milliseconds, 5 at random.

    Time-ordered ids fill BTrees from the right; random ones touch a bucket each.
    """
    return f"{int(clock.now_s() * 1000):011x}{secrets.token_hex(3)[:5]}"


def check_id(id: str) -> str:
    """Return the id if it can be the last part of a path; raises InvalidError.

    >>> check_id("default")
    'default'
    """
    if not isinstance(id, str):
        raise InvalidError("An id is a text")
    plain = unicodedata.normalize("NFC", id)
    bad = any(unicodedata.category(c)[0] == "C" or c in "/\\" for c in plain)
    if bad or not 0 < len(plain) <= ID_LENGTH or plain[0] in "_@." or plain in RESERVED_IDS:
        raise InvalidError(
            f"{id[:40]!r} cannot be an id: 1 to 255 characters, no slash, no _ @ or . at the start"
        )
    return plain
