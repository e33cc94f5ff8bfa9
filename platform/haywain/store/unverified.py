"""The mark of an upload whose last bytes are not verified: from where on they do not count yet.

It stands before the first of them is written and goes when their checksum was right, or they are gone.  So
a process that dies in between leaves bytes that the next one drops.
"""

from pathlib import Path

_NAME = "unverified"


def mark(folder: Path, offset: int) -> None:
    """Have the bytes from an offset on not count."""
    new = folder / f"{_NAME}.new"
    new.write_text(str(offset))
    new.replace(folder / _NAME)


def marked(folder: Path) -> int | None:
    """Return from where on bytes do not count, None if all do."""
    try:
        return int((folder / _NAME).read_text())
    except FileNotFoundError:
        return None


def unmark(folder: Path) -> None:
    """Have all bytes count."""
    (folder / _NAME).unlink(missing_ok=True)
