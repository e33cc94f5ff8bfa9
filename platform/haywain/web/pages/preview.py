"""Bytes to look at: 4 KiB of a stream as hex or as text, from any offset, however long the stream is."""

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlencode

from pyramid.request import Request

from haywain.errors import InvalidError
from haywain.interfaces import ByteStream
from haywain.values import KIB
from haywain.web.expired import first_of

STEP = 4 * KIB
_ROW = 16
_FORMS = ("hex", "text")
_KEPT = "\n\t"
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@dataclass(frozen=True)
class Preview:
    """Bytes [start, stop) in a form, and the addresses of their neighbours ("" where there are none)."""

    form: str
    start: str
    stop: str
    content: str
    offset: int
    forms: tuple[tuple[str, str, bool], ...]
    first: str
    previous: str
    next: str
    last: str


def preview_of(stream: ByteStream, request: Request) -> Preview | None:
    """Return the bytes that the address asks for, None of an empty stream; raises InvalidError."""
    begin = first_of(stream)
    if stream.size <= begin:
        return None
    form = request.GET.get("as", "")
    if form not in _FORMS:
        form = "text" if _is_text(_read(stream, begin, 512)) else "hex"
    start = min(_offset(request.GET.get("offset", "0")), stream.size - 1)
    start = max(start - (start % _ROW if form == "hex" else 0), begin)
    data = _read(stream, start, STEP)
    stop, last = start + len(data), (stream.size - 1) // STEP * STEP

    def link(offset: int, form: str = form) -> str:
        return f"?{urlencode({'as': form, 'offset': offset})}"

    return Preview(
        form=form,
        start=f"{start:,}",
        stop=f"{stop:,}",
        content=hex_rows(data, start, stream.size) if form == "hex" else as_text(data),
        offset=start,
        forms=tuple((one.capitalize(), link(start, one), one == form) for one in _FORMS),
        first=link(begin) if start > begin else "",
        previous=link(max(begin, start - STEP)) if start > begin else "",
        next=link(stop) if stop < stream.size else "",
        last=link(last) if stop < stream.size else "",
    )


def hex_rows(data: bytes, start: int, size: int) -> str:
    """Return bytes as hexadecimal, 16 in a row, with their offset and as ASCII.

    >>> hex_rows(b"RIFF", 0, 4)
    '00000000  52 49 46 46                                     RIFF'
    """
    width = max(8, len(f"{size:x}"))
    rows = []
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start + at:0{width}x}  {left:<23} {right:<23} {plain}")
    return "\n".join(rows)


def as_text(data: bytes) -> str:
    r"""Return bytes as UTF-8 text; what cannot be seen becomes a dot, a character cut at an end is left out.

    >>> as_text("\u20acab\0".encode()[1:])
    'ab·'
    """
    start = next((i for i, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
    text = _without_cut_end(data[start:]).decode("utf-8", "replace")
    return "".join(
        c if c in _KEPT or unicodedata.category(c) not in _UNSEEN else "·" for c in text.replace("\r\n", "\n")
    )


def _without_cut_end(data: bytes) -> bytes:
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if length > back else data
        if byte < 0x80:
            break
    return data


def _is_text(data: bytes) -> bool:
    try:
        text = _without_cut_end(data).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(c in "\n\r\t" or unicodedata.category(c) != "Cc" for c in text)


def _offset(value: str) -> int:
    try:
        return max(0, int(value.replace(",", "").replace(" ", "") or "0", 0))
    except ValueError:
        raise InvalidError("offset is a number of bytes, such as 4096 or 0x1000") from None


def _read(stream: ByteStream, start: int, length: int) -> bytes:
    return b"".join(stream.chunks(start, start + length))
