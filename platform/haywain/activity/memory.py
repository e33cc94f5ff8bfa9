"""Memory: what the parts of a Job came to, for the next Job that does the same on the same document.

It lies in the Reduction of the last such Job, which holds the key of what it did.  What a part rests on is
told by the source (`fingerprint`), by what is known of the passes before, and by the version of its kind: as
long as that is equal, the part need not be done again.
"""

from hashlib import blake2b
from typing import Any, cast

from BTrees.OOBTree import OOBTree
from pydantic import BaseModel

from haywain.activity.map_reduce import MapReduce, is_for_parts
from haywain.activity.reduction import Reduction
from haywain.document import Document, PortalRoot

MEMORY_SHARE = 16
"""What a part came to is remembered if it has at most this share of the bytes of a step."""

_KIND = "memory"


def digest_of(
    kind: MapReduce, source: Document, reduction: Reduction, span: tuple[int, int], given: BaseModel
) -> bytes:
    """Return what a part rests on; b"" where that is not known."""
    told = kind.rests_on(source, *span, given)
    if not told:
        return b""
    found = blake2b(repr((kind.name, kind.version, reduction.passed, span)).encode(), digest_size=16)
    found.update(told)
    found.update(reduction.known.told(is_for_parts))
    return found.digest()


def memory_of(root: PortalRoot, key: str) -> OOBTree | None:
    """Return what the parts of the last Job with a key came to."""
    job: Any = root.find(_KIND, key)  # Any: a Job, of a layer above
    return None if job is None else cast(OOBTree, job.reduction.memory)


def remember(root: PortalRoot, key: str, job: Document) -> None:
    """Have a Job be the last one with a key."""
    before: Any = root.find(_KIND, key)  # Any: as above
    if before is not None:
        del root.unique[f"{_KIND}:{key}"]
        before.claims = tuple(claim for claim in before.claims if claim != f"{_KIND}:{key}")
        before.reduction.memory = OOBTree()
    root.claim(_KIND, key, job)
