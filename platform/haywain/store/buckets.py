"""Buckets: many small files, each under a key, in the order of the keys and in that in which they came.

    Buckets ── by_key: OOBTree key -> Bucket ── content: Record up to 1 MiB, BlobChunk above
           └─ index: BucketIndex                number -> key, in pages that merge
           └─ totals: Totals                    how many, how many bytes; merged by adding

Every write changes the Totals, which merge with any but a rebuild of the index: that conflicts with all.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from BTrees.OOBTree import OOBTree
from persistent import Persistent
from xxhash import xxh3_64_intdigest
from ZODB.POSException import ConflictError

from haywain import clock
from haywain.errors import InvalidError, NotFoundError, TooLargeError
from haywain.store.bucket_index import BucketIndex
from haywain.store.chunk import RECORD_SIZE, BlobChunk, Record, checked
from haywain.store.reader import StreamReader
from haywain.values import MIB

BUCKET_SIZE = 64 * MIB
"""Most bytes of a bucket."""

KEY_LENGTH = 1024
"""Most characters of a key."""

_AT_ONCE = 100
"""Keys that are looked up in one step of a sequence."""

T = TypeVar("T", str, int)
Content = Record | BlobChunk


class Totals(Persistent):  # type: ignore[misc]  # persistent has no types
    """How many buckets there are, their bytes, when one last changed, how often the index was rebuilt."""

    count = 0
    size = 0
    modified = 0.0
    rebuilt = 0

    def add(self, count: int, size: int) -> None:
        """Count more of them, or fewer."""
        self.count += count
        self.size += size
        self.modified = clock.now_s()

    def _p_resolveConflict(
        self, old: dict[str, Any], saved: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:  # Any: states, as ZODB has them
        """Add what both sides counted."""
        if not old.get("rebuilt", 0) == saved.get("rebuilt", 0) == new.get("rebuilt", 0):
            raise ConflictError("the index was rebuilt meanwhile")
        sums = {name: saved.get(name, 0) + new.get(name, 0) - old.get(name, 0) for name in ("count", "size")}
        return {**new, **sums, "modified": max(saved.get("modified", 0.0), new.get("modified", 0.0))}


@dataclass(frozen=True)
class Span(Generic[T]):
    """From where to where, both included unless excluded, and how many at most; None is no bound."""

    start: T | None = None
    stop: T | None = None
    count: int | None = None
    exclude_start: bool = False
    exclude_stop: bool = False


class Bucket(Persistent):  # type: ignore[misc]  # persistent has no types
    """One file: where its key stands in the index, and its bytes; these are loaded when they are read."""

    is_deleted = False

    def __init__(self, page: int, content: Content, size: int) -> None:
        """Begin with bytes, on a page of the index."""
        self.page = page
        self.fill(content, size)

    def fill(self, content: Content, size: int) -> None:
        """Have these bytes from now on."""
        is_record = isinstance(content, Record)
        self.checksum = content.checksum if is_record else xxh3_64_intdigest(content.sums)
        self.content, self.size, self.modified = content, size, clock.now_s()

    @property
    def etag(self) -> str:
        """A strong entity tag of the bytes, which are the same where it is the same."""
        return f"{self.checksum:016x}-{self.size:x}"

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[memoryview]:
        """Yield the bytes [start, stop) in pieces, each checked; raises CorruptDataError."""
        stop = self.size if stop is None else min(stop, self.size)
        content = self.content
        if start >= stop:
            return
        if isinstance(content, Record):
            yield memoryview(checked(content))[start:stop]
            content._p_deactivate()
        else:
            yield from content.blocks(start, stop)

    def read(self) -> bytes:
        """Return all bytes."""
        return b"".join(self.chunks())


class Buckets(Persistent):  # type: ignore[misc]  # persistent has no types
    """Small files by key; its own record changes only when the index is rebuilt."""

    def __init__(self) -> None:
        """Begin empty."""
        self.by_key = OOBTree()
        self.index = BucketIndex()
        self.totals = Totals()

    # -- writing
    def insert(self, key: str, data: bytes | memoryview) -> bool:
        """Store bytes under a key, also in place of others; return whether the key is new.

        A key that is not new keeps its place.  Raises InvalidError for a key that is none, TooLargeError.
        """
        size = len(data)
        check_bucket(key, size)
        if size <= RECORD_SIZE:
            return self._put(key, Record(bytes(data)), size)
        return self._put(key, BlobChunk.write(self._p_jar, iter([data])), size)

    def insert_file(self, key: str, path: Path) -> bool:
        """Store the bytes of a file, by a link where it lies beside the blobs; as `insert`."""
        size = path.stat().st_size
        check_bucket(key, size)
        if size <= RECORD_SIZE:
            return self.insert(key, path.read_bytes())
        return self._put(key, BlobChunk.link(self._p_jar, path), size)

    def _put(self, key: str, content: Content, size: int) -> bool:
        found = cast("Bucket | None", self.by_key.get(key))
        if found is None:
            self.by_key[key] = Bucket(self.index.add(key), content, size)
            self.totals.add(1, size)
        else:
            self.totals.add(0, size - found.size)
            found.fill(content, size)
        return found is None

    def delete(self, key: str) -> None:
        """Forget a bucket; raises NotFoundError."""
        bucket = self.bucket(key)
        bucket.is_deleted = True  # who stores other bytes there beside this conflicts
        del self.by_key[key]
        self.index.drop(bucket.page, key)
        self.totals.add(-1, -bucket.size)

    def rebuild_index(self) -> None:
        """Give all keys new numbers, 0, 1, 2 in their own order; it conflicts with every write beside it."""
        self.index = BucketIndex()
        for key in self.keys(Span()):
            self.by_key[key].page = self.index.add(key)
        self.totals.rebuilt += 1
        self.totals.add(0, 0)

    # -- one bucket
    def bucket(self, key: str) -> Bucket:
        """Return a bucket; raises NotFoundError."""
        found = self.by_key.get(key)
        if found is None:
            raise NotFoundError(f"There is no bucket {str(key)[:200]!r}")
        return cast(Bucket, found)

    def key_at(self, index: int) -> str:
        """Return the key of a number; raises NotFoundError."""
        found = self.index.key(index)
        if found is None:
            raise NotFoundError(f"There is no bucket of the number {index}")
        return found

    def index_of(self, key: str) -> int:
        """Return the number of a key; raises NotFoundError."""
        return self.index.place(self.bucket(key).page, key)

    def open(self, key: str) -> io.BufferedReader:
        """Return a seekable file over a bucket; raises NotFoundError."""
        return io.BufferedReader(StreamReader(self.bucket(key)), buffer_size=RECORD_SIZE)

    def md5(self, key: str) -> str:
        """Return the MD5 of a bucket in hexadecimal: for comparison with other programs, not for safety."""
        found = hashlib.md5(usedforsecurity=False)
        for piece in self.bucket(key).chunks():
            found.update(piece)
        return found.hexdigest()

    # -- all of them
    def edge_key(self, is_last: bool, key: str | None = None) -> str | None:
        """Return the last key up to this one, or the first from this one on; None if there is none."""
        edge = self.by_key.maxKey if is_last else self.by_key.minKey
        try:
            return cast(str, edge() if key is None else edge(key))
        except ValueError:
            return None

    def keys(self, span: Span[str]) -> Iterator[str]:
        """Yield the keys of a span in order.

        What is inserted or deleted meanwhile does no harm; it may be seen or not.
        """
        low, left, excludes = span.start, span.count, span.exclude_start and span.start is not None
        while left is None or left > 0:
            most = _AT_ONCE if left is None else min(left, _AT_ONCE)
            excludes_stop = span.exclude_stop and span.stop is not None
            some = list(islice(self.by_key.keys(low, span.stop, excludes, excludes_stop), most))
            yield from some
            if len(some) < most:
                return
            low, excludes, left = some[-1], True, None if left is None else left - most

    def entries(self, span: Span[int]) -> Iterator[tuple[int, str]]:
        """Yield the numbers and keys of a span in the order of the numbers."""
        start = 0 if span.start is None else span.start + int(span.exclude_start)
        found = self.index.entries(start)
        if span.stop is not None:
            end = span.stop + int(not span.exclude_stop)
            found = takewhile(lambda entry: entry[0] < end, found)
        return islice(found, span.count)

    def buckets(self, keys: Iterable[str]) -> Iterator[tuple[str, Bucket]]:
        """Yield keys with their buckets, but for those that were deleted since the key was looked up."""
        for key in keys:
            found = self.by_key.get(key)
            if found is not None:
                yield key, found


def check_bucket(key: object, size: int) -> None:
    """Raise InvalidError for a key that is none, TooLargeError for too many bytes."""
    if not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH:
        raise InvalidError(f"A key is a text of 1 to {KEY_LENGTH} characters, not {str(key)[:40]!r}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidError("A key with half a character is no text") from None
    if size > BUCKET_SIZE:
        raise TooLargeError(f"A bucket has at most {BUCKET_SIZE} bytes, this one has {size}")
