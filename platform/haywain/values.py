"""Names for the plain values that pass between the layers."""

from dataclasses import dataclass
from typing import NamedTuple, NewType
from urllib.parse import quote

Offset = NewType("Offset", int)
"""A position in a stream, in bytes."""

Path = NewType("Path", str)
"""Where a document lies, `data_stream_module/1`: no slash at either end."""

Reference = NewType("Reference", str)
"""The human's name of a document."""

Tid = NewType("Tid", str)
"""A transaction id as 16 hexadecimal digits."""

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


class Column(NamedTuple):
    """What a column of an array is: its name, its unit (`m/s2`), and a line about it."""

    name: str
    unit: str = ""
    description: str = ""


@dataclass(frozen=True)
class RecordLimits:
    """What the records of one body may be: how deep, how many elements, how long a key (bytes of UTF-8)."""

    nesting: int = 64
    elements: int = 1_000_000
    key_bytes: int = 255


@dataclass(frozen=True)
class Receipt:
    """What became of bytes that were sent: where they are and in which transaction.

    `status` is `stored`, `duplicate` or `quarantined`; offset and length are in bytes.
    """

    status: str
    path: Path
    offset: Offset
    length: int
    tid: Tid = Tid("")

    def headers(self) -> list[tuple[str, str]]:
        """Return the receipt as the HTTP headers of the answer; the path as it stands in a URL."""
        return [
            ("Ingest-Status", self.status),
            ("Ingest-Stream", quote(self.path)),
            ("Ingest-Offset", str(self.offset)),
            ("Ingest-Length", str(self.length)),
            ("Ingest-Tid", self.tid),
        ]
