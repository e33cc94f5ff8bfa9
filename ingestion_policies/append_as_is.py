"""Append as it is: a stream for each tag, whatever the tag looks like."""

from haywain.interfaces import Chunk, Route, Targets


class AppendAsIs:
    """Each tag has one Data Stream of its name; the body is appended untouched.

    A dot in a tag means nothing: the tag is its own product and its own supply.
    """

    name = "append_as_is"
    title = "By tag, body untouched"

    def route(self, tag: str) -> Route | None:
        """Return the sink of a tag; every valid tag has one."""
        return Route(sink=tag, product=tag, supply=tag)

    def deliver(self, chunk: Chunk, targets: Targets) -> None:
        """Append the body as it is."""
        targets.append(chunk.body)
