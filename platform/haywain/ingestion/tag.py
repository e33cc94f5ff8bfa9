"""Tags: the agent's label on what it sends."""

import unicodedata

from haywain.errors import InvalidError

MOST_CHARACTERS = 255
_FORBIDDEN = ("Cc", "Cs", "Zl", "Zp")


def parse_tag(raw: bytes | None) -> str:
    """Return the tag in NFC; raises InvalidError, whose message says what is wrong with it.

    1 to 255 characters of UTF-8, no control characters, no `/`, not `.` or `..`, no leading `_`.

    >>> parse_tag(b"turbine-7.vibration")
    'turbine-7.vibration'
    """
    if not raw:
        raise InvalidError("The tag is missing: send it as ?reference=TAG")
    try:
        tag = unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidError("The tag is not UTF-8") from None
    if len(tag) > MOST_CHARACTERS:
        raise InvalidError(f"The tag has {len(tag)} characters, more than {MOST_CHARACTERS}")
    if any(unicodedata.category(c) in _FORBIDDEN for c in tag):
        raise InvalidError("The tag holds control characters")
    if "/" in tag:
        raise InvalidError("The tag holds a slash")
    if tag in (".", "..") or tag.startswith("_") or not tag.strip():
        raise InvalidError("The tag is '.', '..' or blank, or begins with an underscore")
    return tag


def printable_tag(raw: bytes | None) -> str:
    """Return any tag, or other text, as one that can be shown and kept, at most 64 KiB of it."""
    text = (raw or b"")[: 1 << 16].decode("utf-8", "backslashreplace")
    return "".join(c if unicodedata.category(c) not in _FORBIDDEN else f"\\x{ord(c):02x}" for c in text)
