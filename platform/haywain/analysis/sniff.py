"""Tell by its first bytes, and by what is said about it, which format a source has."""

import io
import json

from haywain.analysis.delimited import open_delimited
from haywain.analysis.fields import sniff_delimiter
from haywain.analysis.records import RecordReader
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


_RECORD_ENDINGS = {"ndjson": "ndjson", "jsonl": "ndjson", "csv": "csv", "tsv": "csv", "msgpack": "msgpack"}
_RECORD_TYPES = {
    **dict.fromkeys(("application/x-ndjson", "application/ndjson", "application/jsonl"), "ndjson"),
    **{media: format for media, format in _TYPES.items() if media != "text/plain"},
}


def record_reader(head: bytes, content_type: str, name: str, format: str = "auto") -> RecordReader:
    """Return what decodes the objects of a source, of this format if one is said.

    Text is NDJSON if its first line is JSON, CSV if its first lines are rows of numbers, else lines.  Raises
    InvalidError where nothing tells.

    >>> record_reader(b"a;b", "text/csv", "")
    RecordReader(format='csv', delimiter=';')
    """
    said = _RECORD_TYPES.get(content_type.partition(";")[0].strip())
    said = said or _RECORD_ENDINGS.get(name.lower().rpartition(".")[2])
    found = format if format != "auto" else said or _record_format(head)
    if found != "csv":
        return RecordReader(found)
    lines = head.decode("utf-8", "replace").split("\n")
    whole = lines[: max(len(lines) - 1, 1)]
    return RecordReader(found, sniff_delimiter(line for line in whole if line.strip()))


def _record_format(head: bytes) -> str:
    if not head:
        return "lines"
    if 0x80 <= head[0] <= 0x9F or head[0] in (0xDC, 0xDD, 0xDE, 0xDF):  # an array or a map
        return "msgpack"
    if any(byte < 9 for byte in head):
        raise InvalidError(f"Nothing tells what {head[:8]!r} begins; say its record_format")
    return "ndjson" if _is_json(head) else "csv" if _is_table(head) else "lines"


def _is_json(head: bytes) -> bool:
    """Return whether the first line is an object or an array, or begins one."""
    line, newline, _ = head.partition(b"\n")
    if not newline:
        return line.lstrip()[:1] == b"{"
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_table(head: bytes) -> bool:
    """Return whether the lines are rows of several numbers, below a header or not."""
    whole = head[: head.rfind(b"\n") + 1] or head
    try:
        reader = open_delimited(io.BytesIO(whole))
        return len(reader.layout.names) > 1 and len(reader.step(io.BytesIO(whole), 0, len(whole), 0)[0]) > 0
    except InvalidError:
        return False
