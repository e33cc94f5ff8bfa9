"""Data Bucket Stream: many small files, each addressed by a key."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from zope.interface import implementer

from haywain.document import Document
from haywain.interfaces import IBuckets
from haywain.store.buckets import Bucket, Buckets, Span
from haywain.store.database import tid_of

T = TypeVar("T")


class _Lazy(Generic[T]):
    """What is told of many buckets: looked up while one iterates, anew each time."""

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[T]:
        return self._make()


@implementer(IBuckets)
class DataBucketStream(Document):
    """Small files in a stream: store bytes under a key, read them by the key or by their number.

    Numbers count the keys as they came and stay what they are; deleted ones leave gaps.  Each method takes
    time by the logarithm of the number of buckets, or less; what returns many takes that and what it yields.
    """

    portal_type = "Data Bucket Stream"
    module_id = "data_bucket_stream_module"
    icon = "stream"

    def __init__(self, /, **properties: object) -> None:
        """Begin without buckets."""
        super().__init__(**properties)
        self._buckets = Buckets()

    # -- what it says
    @property
    def size(self) -> int:
        """The bytes of all buckets."""
        return self._buckets.totals.size

    @property
    def count(self) -> int:
        """The number of buckets."""
        return self._buckets.totals.count

    def __len__(self) -> int:
        """Return the number of buckets."""
        return self.count

    def __bool__(self) -> bool:
        """Return True: a document is there, however many buckets it has."""
        return True

    @property
    def received(self) -> float:
        """When a bucket last changed, in seconds since 1970 UTC; 0 where there never was one."""
        return self._buckets.totals.modified

    @property
    def modified(self) -> float:
        """When buckets or properties last changed, in seconds since 1970 UTC."""
        return max(self.edited, self._buckets.totals.modified)

    @property
    def etag(self) -> str:
        """A strong entity tag of all buckets: the transaction that last changed one, and their number."""
        self._buckets.totals._p_activate()
        return f"{tid_of(self._buckets.totals)}-{self.count:x}"

    def as_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document as JSON sees it."""
        return super().as_dict() | {"count": self.count}

    # -- writing
    def insert(self, key: str, data: bytes | memoryview) -> bool:
        """Store bytes (64 MiB at most) under a key, or in place of those there; return whether it is new.

        Raises InvalidError for a key that is none, TooLargeError.
        """
        is_new = self._writable().insert(key, data)
        self.reindex()
        return is_new

    def insert_file(self, key: str, path: Path) -> bool:
        """Store the bytes of a file, which must not change any more; as `insert`."""
        is_new = self._writable().insert_file(key, path)
        self.reindex()
        return is_new

    def delete(self, key: str) -> None:
        """Forget the bucket of a key; raises NotFoundError."""
        self._buckets.delete(key)
        self.reindex()

    def delete_at(self, index: int) -> None:
        """Forget the bucket of a number; raises NotFoundError."""
        self.delete(self.key_at(index))

    def rebuild_index(self) -> None:
        """Give all keys new numbers, from 0 on in their own order."""
        self._buckets.rebuild_index()
        self.reindex()

    # -- one bucket
    def bucket(self, key: str) -> Bucket:
        """Return a bucket: size, tag, time, and bytes that are read when asked for; raises NotFoundError."""
        return self._buckets.bucket(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of a key; raises NotFoundError."""
        return self.bucket(key).read()

    def read_at(self, index: int) -> bytes:
        """Return the bytes of a number; raises NotFoundError."""
        return self.read(self.key_at(index))

    def open(self, key: str) -> io.BufferedReader:
        """Return a seekable file over the bytes of a key; raises NotFoundError."""
        return self._buckets.open(key)

    def md5(self, key: str) -> str:
        """Return the MD5 of the bytes of a key, in hexadecimal; raises NotFoundError."""
        return self._buckets.md5(key)

    def key_at(self, index: int) -> str:
        """Return the key of a number; raises NotFoundError."""
        return self._buckets.key_at(index)

    def index_of(self, key: str) -> int:
        """Return the number of a key; raises NotFoundError."""
        return self._buckets.index_of(key)

    def __contains__(self, key: object) -> bool:
        """Return whether there is a bucket under a key."""
        return isinstance(key, str) and key in self._buckets.by_key

    def has_index(self, index: int) -> bool:
        """Return whether a number has a bucket."""
        return self._buckets.index.key(index) is not None

    def min_key(self, key: str | None = None) -> str | None:
        """Return the first key, or the first from this one on; None if there is none."""
        return self._buckets.edge_key(False, key)

    def max_key(self, key: str | None = None) -> str | None:
        """Return the last key, or the last up to this one; None if there is none."""
        return self._buckets.edge_key(True, key)

    def min_index(self, index: int = 0) -> int | None:
        """Return the first number with a bucket, from this one on; None if there is none."""
        return self._buckets.index.first(index)

    def max_index(self, index: int | None = None) -> int | None:
        """Return the last number with a bucket, up to this one; None if there is none."""
        return self._buckets.index.last(index)

    # -- many: start and stop are included unless excluded, count is how many at most
    def keys(self, *span: Any, **bounds: Any) -> _Lazy[str]:  # Any: as Span has them
        """Return keys in order."""
        found: Span[str] = Span(*span, **bounds)
        return _Lazy(lambda: self._buckets.keys(found))

    def buckets(self, *span: Any, **bounds: Any) -> _Lazy[tuple[str, Bucket]]:  # Any: as above
        """Return keys with their buckets, in the order of the keys."""
        return _Lazy(lambda: self._buckets.buckets(self.keys(*span, **bounds)))

    def items(self, *span: Any, **bounds: Any) -> _Lazy[tuple[str, bytes]]:  # Any: as above
        """Return keys with their bytes, in the order of the keys."""
        return _Lazy(lambda: ((key, found.read()) for key, found in self.buckets(*span, **bounds)))

    def values(self, *span: Any, **bounds: Any) -> _Lazy[bytes]:  # Any: as above
        """Return bytes in the order of their keys."""
        return _Lazy(lambda: (value for _, value in self.items(*span, **bounds)))

    def index_keys(self, *span: Any, **bounds: Any) -> _Lazy[tuple[int, str]]:  # Any: as above
        """Return numbers with their keys, in the order of the numbers."""
        found: Span[int] = Span(*span, **bounds)
        return _Lazy(lambda: self._buckets.entries(found))

    def indexes(self, *span: Any, **bounds: Any) -> _Lazy[int]:  # Any: as above
        """Return numbers in order."""
        return _Lazy(lambda: (index for index, _ in self.index_keys(*span, **bounds)))

    def keys_by_index(self, *span: Any, **bounds: Any) -> _Lazy[str]:  # Any: as above
        """Return keys in the order of their numbers."""
        return _Lazy(lambda: (key for _, key in self.index_keys(*span, **bounds)))

    def index_items(self, *span: Any, **bounds: Any) -> _Lazy[tuple[int, str, bytes]]:  # Any: as above
        """Return numbers with their keys and bytes, in the order of the numbers."""

        def make() -> Iterator[tuple[int, str, bytes]]:
            for index, key in self.index_keys(*span, **bounds):
                for _, found in self._buckets.buckets([key]):
                    yield index, key, found.read()

        return _Lazy(make)

    def index_values(self, *span: Any, **bounds: Any) -> _Lazy[tuple[int, bytes]]:  # Any: as above
        """Return numbers with their bytes, in the order of the numbers."""
        return _Lazy(lambda: ((index, value) for index, _, value in self.index_items(*span, **bounds)))

    def values_by_index(self, *span: Any, **bounds: Any) -> _Lazy[bytes]:  # Any: as above
        """Return bytes in the order of their numbers."""
        return _Lazy(lambda: (value for _, _, value in self.index_items(*span, **bounds)))

    def _writable(self) -> Buckets:
        """Return the buckets with a connection: their blobs begin beside those of the database."""
        if self._buckets._p_jar is None and self._p_jar is not None:
            self._p_jar.add(self._buckets)
        return self._buckets
