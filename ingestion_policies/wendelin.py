"""Wendelin's policy: the tag `sensor.product` names who delivers what."""

from typing import Protocol, cast

from haywain.document import Document
from haywain.interfaces import Chunk, Route
from haywain.values import Offset


class _Appendable(Protocol):
    def append(self, data: bytes) -> Offset: ...


class Wendelin:
    """Each tag has one sink of its name, made at first use; the body is appended untouched.

    `sensor.product`: the supply is what stands before the first dot, the product what stands behind it.  A
    tag without a dot is its own product and its own supply.
    """

    name = "default"
    title = "By tag sensor.product, body untouched"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a tag; every valid tag has one.

        >>> Wendelin().route("turbine-7.vibration")
        Route(sink='turbine-7.vibration', product='vibration', supply='turbine-7', portal_type='Data Stream')
        """
        supply, dot, product = tag.partition(".")
        if not dot or not supply or not product:
            return Route(sink=tag, product=tag, supply=tag)
        return Route(sink=tag, product=product, supply=supply)

    def deliver(self, chunk: Chunk, target: Document) -> None:
        """Append the body as it is."""
        cast(_Appendable, target).append(chunk.body)
