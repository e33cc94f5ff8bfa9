"""Tags out of templates: `{host}.{stem}` of `/var/log/access.log` on web-1 is `web-1.access`."""

import os
import socket
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import PurePath
from string import Formatter

from haywain.errors import InvalidError, near

CHARACTERS_MAX = 255
FILE_FIELDS = ("name", "stem", "suffix", "folder", "path")
ALWAYS = ("host", "source")
_FORBIDDEN = ("Cc", "Cs", "Zl", "Zp")


def clean_tag(text: str) -> str:
    """Return text as a tag that a portal takes, in NFC: what a tag must not hold becomes `-`.

    >>> clean_tag("a/b"), clean_tag("__x"), clean_tag("..")
    ('a-b', 'x', '-')
    """
    normal = unicodedata.normalize("NFC", text)
    tag = "".join("-" if c == "/" or unicodedata.category(c) in _FORBIDDEN else c for c in normal)
    tag = tag.lstrip("_")[:CHARACTERS_MAX]
    return tag if tag.strip() and tag not in (".", "..") else "-"


def item_of(path: str | PurePath) -> str:
    r"""Return the name of a file as a text that can be written down: what is no UTF-8 in it is escaped.

    >>> item_of("a\udce9.log")
    'a\\xe9.log'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@cache
def host() -> str:
    """Return this machine's name as one word."""
    return word(socket.gethostname())


def word(hostname: str) -> str:
    """Return a machine's name as one word, without dots, since they part sensor and product.

    >>> word("web-1.example.org")
    'web-1-example-org'
    """
    name = unicodedata.normalize("NFC", hostname)
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name).lstrip("_") or "machine"


def check_template(template: str, fields: Iterable[str]) -> None:
    """Raise InvalidError if a template names what is not one of the fields that there are."""
    known = (*ALWAYS, *fields)
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise InvalidError(f"the template {template!r} cannot be read: {error}") from error
    for _, name, form, conversion in parts:
        if name is not None and (name not in known or form or conversion):
            raise InvalidError(
                f"the template {template!r} names {{{name}}}; {near(name, known)}"
                if name not in known
                else f"the template {template!r} may hold {{{name}}} only as it is"
            )
    if not template.strip():
        raise InvalidError("the template of the tag is empty")


def fill(template: str, source: str, fields: dict[str, str] | None = None) -> str:
    """Return the tag that a checked template makes.

    >>> fill("{source}.{stem}", "web", fields_of(PurePath("/var/log/a.log")))
    'web.a'
    """
    return clean_tag(template.format_map({"host": host(), "source": source} | (fields or {})))


def fields_of(path: PurePath, base: PurePath | None = None) -> dict[str, str]:
    """Return what a template may say of a file; its path is that below `base`, with dots for slashes."""
    below = path.relative_to(base) if base is not None else path
    return {
        "name": path.name, "stem": path.stem, "suffix": path.suffix.lstrip("."), "folder": path.parent.name,
        "path": ".".join(part for part in below.parts if part != "/"),
    }  # fmt: skip
