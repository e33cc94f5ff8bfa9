"""BucketIndex: keys in the order in which they came, each under a number that stays its own.

Numbers are given at the commit: a page appends, and of two transactions that append to one page the second
puts its keys behind those of the first.  So who has read up to a number misses nothing that commits later,
and inserts do not conflict but where a page is full (BTrees do where a bucket is).
"""

from collections.abc import Iterator
from typing import Any, cast

from BTrees.LOBTree import LOBTree
from persistent import Persistent
from ZODB.POSException import ConflictError

PAGE = 64
"""Keys of a page: each insert writes one anew."""


class IndexPage(Persistent):  # type: ignore[misc]  # persistent has no types
    """Up to `PAGE` keys; None where one was deleted."""

    def __init__(self) -> None:
        """Begin empty."""
        self.keys: tuple[str | None, ...] = ()  # replaced, never changed in place

    @property
    def is_full(self) -> bool:
        """Whether no key can be added; those deleted count."""
        return len(self.keys) >= PAGE

    @property
    def is_spent(self) -> bool:
        """Whether it was full and all its keys are deleted."""
        return self.is_full and not any(key is not None for key in self.keys)

    def drop(self, key: str) -> None:
        """Leave a gap where a key was."""
        at = self.keys.index(key)
        self.keys = (*self.keys[:at], None, *self.keys[at + 1 :])

    def _p_resolveConflict(
        self, old: dict[str, Any], saved: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:  # Any: states, as ZODB has them
        """Take over the gaps of both sides, and put our keys behind theirs."""
        before, theirs, ours = old["keys"], saved["keys"], new["keys"]
        if min(len(theirs), len(ours)) < len(before):
            raise ConflictError("an index page was written anew")
        kept = []
        for was, their, our in zip(before, theirs, ours, strict=False):
            if was != their and was != our:
                raise ConflictError("two deleted the same bucket")
            kept.append(their if was == our else our)
        added = theirs[len(before) :] + ours[len(before) :]
        if len(kept) + len(added) > PAGE:
            raise ConflictError("an index page is full")
        return {**new, "keys": (*kept, *added)}


class BucketIndex(Persistent):  # type: ignore[misc]  # persistent has no types
    """Keys by number: `number // PAGE` is that of a page, the rest the place in it."""

    def __init__(self) -> None:
        """Begin empty."""
        self.pages = LOBTree()

    def add(self, key: str) -> int:
        """Give a key the next number; return that of its page, since the place is known after the commit."""
        last = self.pages.maxKey() if self.pages else -1
        if last < 0 or self.pages[last].is_full:
            if last >= 0 and self.pages[last].is_spent:
                del self.pages[last]
            last += 1
            self.pages[last] = IndexPage()
        page = self.pages[last]
        page.keys = (*page.keys, key)
        return int(last)

    def drop(self, number: int, key: str) -> None:
        """Forget a key of a page; the last page stays, so that no number is given twice."""
        page = self.pages[number]
        page.drop(key)
        if page.is_spent and number != self.pages.maxKey():
            del self.pages[number]

    def place(self, number: int, key: str) -> int:
        """Return the number of a key of a page."""
        return int(number * PAGE + self.pages[number].keys.index(key))

    def key(self, index: int) -> str | None:
        """Return the key of a number, None if it has none."""
        page = self.pages.get(index // PAGE) if index >= 0 else None
        return page.keys[index % PAGE] if page is not None and index % PAGE < len(page.keys) else None

    def first(self, index: int) -> int | None:
        """Return the first number from this one on that has a key."""
        return next((found for found, _ in self.entries(index)), None)

    def last(self, index: int | None = None) -> int | None:
        """Return the last number that has a key, up to this one."""
        most = PAGE * (self.pages.maxKey() + 1) - 1 if self.pages else -1
        index = most if index is None else min(index, most)
        while index >= 0 and self.pages.minKey() * PAGE <= index:
            number = self.pages.maxKey(index // PAGE)
            keys = cast(IndexPage, self.pages[number]).keys[: index - number * PAGE + 1]
            found = next((at for at in reversed(range(len(keys))) if keys[at] is not None), None)
            if found is not None:
                return int(number * PAGE + found)
            index = number * PAGE - 1
        return None

    def entries(self, start: int = 0) -> Iterator[tuple[int, str]]:
        """Yield numbers and keys from a number on; what changes meanwhile is seen from the next page on."""
        start = max(start, 0)
        while self.pages and start // PAGE <= self.pages.maxKey():
            number = self.pages.minKey(start // PAGE)
            begin = max(start - number * PAGE, 0)
            for at, key in enumerate(self.pages[number].keys[begin:], start=number * PAGE + begin):
                if key is not None:
                    yield at, key
            start = (number + 1) * PAGE
