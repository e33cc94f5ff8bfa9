"""Errors that a user can act on; each knows its HTTP status and its exit code.

The message says what happened and what to do.  `status` is the HTTP status of the answer,
`exit_code` that of the command line (0 ok, 1 failed, 2 usage, 3 partly done, 69 unreachable,
75 try again, 77 not allowed, 78 configuration).
"""

import errno
from collections.abc import Iterable
from difflib import get_close_matches


class HaywainError(Exception):
    """Anything that Haywain refuses or fails at, said so that a person can act on it."""

    status = 500
    exit_code = 1
    title = "Internal error"

    @property
    def detail(self) -> str:
        """Return the message."""
        return str(self)


class InvalidError(HaywainError):
    """A value from outside makes no sense."""

    status, exit_code, title = 400, 2, "Bad request"


def near(name: str, known: Iterable[str]) -> str:
    """Say which known names are near one that is not known, all of them where none is.

    >>> near("sise", ["size", "title"]), near("x", ["size", "title"]), near("x", [])
    ('did you mean size?', 'known are: size, title', 'there are none')
    """
    names = sorted(known)
    found = get_close_matches(name, names, n=3)
    if found:
        return f"did you mean {' or '.join(found)}?"
    return f"known are: {', '.join(names)}" if names else "there are none"


class UnknownNameError(InvalidError):
    """A name that is not one of those known; the message names the near ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Say which `kind` of thing `name` is not, and which known names are near it."""
        super().__init__(f"There is no {kind} {name[:100]!r}; {near(name, known)}")


class UnauthorizedError(HaywainError):
    """No or wrong credentials."""

    status, exit_code, title = 401, 77, "Unauthorized"


class ForbiddenError(HaywainError):
    """The user may not do this."""

    status, exit_code, title = 403, 77, "Forbidden"


class NotFoundError(HaywainError):
    """There is nothing under this path, id or name."""

    status, exit_code, title = 404, 1, "Not found"


class MethodError(HaywainError):
    """The resource exists but does not know this HTTP method."""

    status, exit_code, title = 405, 2, "Method not allowed"

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        """Name the method that was tried and those that are `allowed`."""
        self.allowed = ", ".join(allowed)
        super().__init__(f"{method[:40]} cannot be done here; use {self.allowed}")


class NotAcceptableError(HaywainError):
    """The resource exists, but in none of the media types that the client takes."""

    status, exit_code, title = 406, 2, "Not acceptable"


class DuplicateError(HaywainError):
    """Something unique exists already."""

    status, exit_code, title = 409, 1, "Conflict"


class OffsetError(HaywainError):
    """The offset is not where the bytes end; `actual` is."""

    status, exit_code, title = 409, 1, "Conflict"

    def __init__(self, expected: int, actual: int) -> None:
        """Name the offset that was sent and the one that holds, both in bytes."""
        super().__init__(f"Upload-Offset is {expected}, but the bytes end at {actual}; continue from there")
        self.expected, self.actual = expected, actual


class SequenceError(HaywainError):
    """A producer's request that cannot come next; `due` is the number that can, None in an old epoch."""

    status, exit_code, title = 409, 1, "Conflict"

    def __init__(self, message: str, due: int | None = None) -> None:
        """Say why, and which number is due."""
        super().__init__(message)
        self.due = due


class GoneError(HaywainError):
    """It was there, and no more: packed away, or expired."""

    status, exit_code, title = 410, 1, "Gone"


class ExpiredError(GoneError):
    """The bytes were let go by the stream's retention; `start` is the first offset there still is."""

    def __init__(self, offset: int, start: int) -> None:
        """Name the offset that was asked for and where the bytes begin now."""
        super().__init__(
            f"The bytes from offset {offset} on have expired. The stream begins at {start}, offsets stay:"
            f" ask for Range: bytes={start}- or ?start={start}"
        )
        self.start = start


class PreconditionError(HaywainError):
    """A header demands what does not hold."""

    status, exit_code, title = 412, 1, "Precondition failed"


class TooLargeError(HaywainError):
    """More bytes than the limit."""

    status, exit_code, title = 413, 1, "Content too large"


class UnsupportedMediaError(HaywainError):
    """A content type or encoding that is not understood here."""

    status, exit_code, title = 415, 2, "Unsupported media type"


class RangeError(HaywainError):
    """No byte of the asked range exists; `size` is the number of bytes there are."""

    status, exit_code, title = 416, 1, "Range not satisfiable"

    def __init__(self, size: int) -> None:
        """Tell the size in bytes."""
        super().__init__(f"The range lies outside of the {size} bytes there are")
        self.size = size


class UploadLockedError(HaywainError):
    """Another connection is writing to this upload."""

    status, exit_code, title = 423, 75, "Locked"


class ChecksumError(HaywainError):
    """Bytes are not those that were sent; 460 is the status that tus has for it."""

    status, exit_code, title = 460, 1, "Checksum mismatch"


class ThrottledError(HaywainError):
    """Too many tries; wait `retry_after_s` seconds."""

    status, exit_code, title = 429, 75, "Too many requests"

    def __init__(self, message: str, retry_after_s: int) -> None:
        """Say why and for how many seconds."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnreachableError(HaywainError):
    """No portal answers at the address."""

    status, exit_code, title = 502, 69, "Unreachable"


class TemporaryError(HaywainError):
    """It may succeed later: overload, conflicts, a full disk, a stop under way."""

    status, exit_code, title = 503, 75, "Temporarily unavailable"

    def __init__(self, message: str, retry_after_s: int = 2) -> None:
        """Say why, and after how many seconds to try again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageTroubleError(TemporaryError):
    """The disk is full or fails; what was to be stored was not."""

    def __init__(self, error: OSError) -> None:
        """Say what the system says, and what helps."""
        self.is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        message = f"The storage has trouble: {error.strerror or error}; try again"
        if self.is_full:
            message = "The disk is full, so this was not stored: make room on it, then try again"
        super().__init__(message, 10)


class DatabaseServerError(TemporaryError):
    """The server of the database does not answer."""

    exit_code, title = 69, "Database server unreachable"

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        """Say which one, and after how many seconds to try again."""
        super().__init__(message, retry_after_s)


class InDoubtError(DatabaseServerError):
    """The server went away in the middle of a commit: whether it was kept is not known."""


class DeliveryError(HaywainError):
    """A request that can never be delivered as it is."""

    status, exit_code, title = 422, 1, "Not deliverable"


class NotSentError(HaywainError):
    """A message to elsewhere was not taken; `is_final` if it would not be the next time either."""

    status, exit_code, title = 502, 69, "Not sent"

    def __init__(self, message: str, is_final: bool = False) -> None:
        """Say who did not take it, and why."""
        super().__init__(message)
        self.is_final = is_final


class CorruptDataError(HaywainError):
    """Stored bytes do not match their checksum."""

    status, exit_code, title = 500, 1, "Corrupt data"


class RegistryError(HaywainError):
    """A content file cannot be used: two of one name, no class, a bad schema."""

    exit_code, title = 78, "Configuration error"


class DataDirectoryError(HaywainError):
    """The data directory is not ours, of a newer version or damaged."""

    exit_code, title = 78, "Configuration error"


class DataDirectoryInUseError(DataDirectoryError):
    """Another process has the data directory open."""

    status, exit_code, title = 503, 75, "In use"


class DataDirectoryReadOnlyError(DataDirectoryError):
    """The data directory cannot be written to."""

    exit_code, title = 77, "Not allowed"


class PortInUseError(HaywainError):
    """Another program listens on the address."""

    exit_code, title = 75, "In use"


class AddressError(HaywainError):
    """The address cannot be listened on."""

    exit_code, title = 78, "Configuration error"


class AgentConfigurationError(HaywainError):
    """The configuration of an agent cannot be used."""

    status, exit_code, title = 400, 78, "Configuration error"


class SpoolInUseError(HaywainError):
    """Another agent runs on the spool."""

    status, exit_code, title = 503, 75, "In use"


class GapError(HaywainError):
    """The portal waits for an earlier chunk of the stream: that of the number `expected`."""

    status, title = 409, "Conflict"

    def __init__(self, message: str, expected: int) -> None:
        """Say which number comes next."""
        super().__init__(message)
        self.expected = expected


class FencedError(HaywainError):
    """Another agent with the same identity has sent under a later epoch: this one must stop."""

    status, exit_code, title = 409, 78, "Conflict"
