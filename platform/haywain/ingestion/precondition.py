"""What a sender demands of the bytes that are there before its own are put: RFC 9110, section 13.1."""

from dataclasses import dataclass

from haywain.errors import PreconditionError


@dataclass(frozen=True)
class Precondition:
    """The tags of `If-Match` and of `If-None-Match`, quoted as sent, or `*`; None for what was not sent."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def __bool__(self) -> bool:
        """Return whether anything is demanded."""
        return self.match is not None or self.none_match is not None

    def check(self, etag: str, size: int) -> None:
        """Raise PreconditionError unless the bytes, of this strong tag and so many, are as demanded.

        A stream always exists; `If-None-Match: *` means that nobody has put a byte into it.
        """
        tag = f'"{etag}"'
        if self.match is not None and not self.match & {"*", tag}:
            raise PreconditionError(
                f"The bytes are not those of If-Match, their ETag is {tag}; read them again before you write"
            )
        if self.none_match is None:
            return
        if "*" in self.none_match and size:
            raise PreconditionError(f"If-None-Match: * is for a stream without bytes, and there are {size}")
        if self.none_match & {tag, f"W/{tag}"}:
            raise PreconditionError(f"The bytes are those of If-None-Match, their ETag is {tag}")
