"""Wendelin's policy: the tag `sensor.product` names who delivers what."""

from haywain.interfaces import Chunk, Route, Targets


class Wendelin:
    """Each tag has one sink of its name, made at first use; the body is appended untouched.

    `sensor.product`: the supply is what stands before the first dot, the product what stands behind it.  A
    tag without a dot is its own product and its own supply.
    """

    name = "default"
    title = "By tag sensor.product, body untouched"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a tag; every valid tag has one.

        >>> Wendelin().route("turbine-7.vibration").supply
        'turbine-7'
        """
        return Route.of_tag(tag)

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Append the body as it is."""
        targets.append(chunk.body)
