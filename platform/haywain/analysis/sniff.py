"""Tell by its first bytes, and by what is said about it, which format a source has."""

from haywain.analysis.wav import MAGIC
from haywain.errors import InvalidError

_ENDINGS = {"wav": "wav", "csv": "csv", "tsv": "csv", "txt": "csv", "msgpack": "msgpack"}
_TYPES = {
    "text/csv": "csv",
    "text/plain": "csv",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
}


def format_of(head: bytes, content_type: str, name: str) -> str:
    """Return wav, csv or msgpack; raises InvalidError where nothing tells.

    >>> format_of(b"1,2", "application/octet-stream", "x"), format_of(bytes([0x92, 1, 2]), "", "")
    ('csv', 'msgpack')
    """
    if not head:
        raise InvalidError("The stream is empty: there is nothing to make rows of")
    if head[:4] in MAGIC and head[8:12] == b"WAVE":
        return "wav"
    told = _TYPES.get(content_type.partition(";")[0].strip()) or _ENDINGS.get(name.lower().rpartition(".")[2])
    if told:
        return told
    if 0x80 <= head[0] <= 0x9F or head[0] in (0xDC, 0xDD, 0xDE, 0xDF):  # an array or a map
        return "msgpack"
    if head.isascii() and not any(byte < 9 for byte in head):
        return "csv"
    raise InvalidError(
        f"format: nothing tells what {head[:8]!r} begins; say wav, csv, msgpack, or raw with a dtype"
    )
