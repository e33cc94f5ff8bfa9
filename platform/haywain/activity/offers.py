"""Offers: which lines deliver a product, in `root.tools["offers"]`, as the catalog may lag behind.

A line is one of a Data Ingestion, or an output of a Data Analysis.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from BTrees.OOBTree import OOTreeSet
from persistent import Persistent

if TYPE_CHECKING:
    from haywain.document import PortalRoot


class Offers(Persistent):  # type: ignore[misc]  # persistent has no types
    """Who delivers what."""

    def __init__(self) -> None:
        """Begin empty."""
        self.pairs = OOTreeSet()  # (path of a product, path of a line)
        self.fresh = OOTreeSet()  # (path of who takes the product, path of a line that it has not looked at)

    @classmethod
    def of(cls, root: "PortalRoot") -> "Offers":
        """Return the offers of a portal."""
        return cast(Offers, root.tools["offers"])

    def offer(self, product: str, line: str) -> None:
        """Have a line deliver a product, or be a part of a batch, which is found in the same way."""
        if product:
            self.pairs.insert((product, line))

    def withdraw(self, product: str, line: str) -> None:
        """Have it do so no longer."""
        if (product, line) in self.pairs:
            self.pairs.remove((product, line))

    def note(self, taker: str, line: str) -> None:
        """Have somebody look at a line."""
        self.fresh.insert((taker, line))

    def fresh_for(self, taker: str) -> Iterator[str]:
        """Yield the paths of the lines that somebody has not looked at."""
        return (line for _, line in self.fresh.keys(min=(taker,), max=(f"{taker}\0",)))

    def seen(self, taker: str, line: str) -> None:
        """Note that somebody has looked at a line."""
        if (taker, line) in self.fresh:
            self.fresh.remove((taker, line))

    def lines(self, product: str) -> list[str]:
        """Return the paths of the lines that deliver a product, the oldest first within a module."""
        return [line for _, line in self.pairs.keys(min=(product,), max=(f"{product}\0",))]


def offers_of(root: "PortalRoot") -> Offers:
    """Return offers that know each line of a Data Ingestion there is, for a root that has none."""
    found = Offers()
    module = root.modules.get("data_ingestion_line_module")
    for line in module.documents.values() if module is not None else ():
        found.offer(line.properties.resource, line.path)
    return found
