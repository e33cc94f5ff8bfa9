"""Record keys: records that name themselves are stored once, whichever chunks they come in.

A policy names the fields, such as `sensor` and `seq`; their values with the tag are a key in the ledger.
This closes the gap before the chunk: an agent that lost its buffer, or that read a file anew, sends the same
records in other chunks.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from haywain.errors import DeliveryError
from haywain.ingestion.ledger import Known, Ledger, ledger_key
from haywain.ingestion.records import format_of, pieces_of
from haywain.ingestion.request import Delivery


class Fresh(NamedTuple):
    """What of a chunk is new: its bytes, the keys of its records, and what is known of the others."""

    body: bytes
    keys: list[bytes]
    known: Known | None


_JOINED: dict[str, Callable[[Sequence[bytes]], bytes]] = {
    "msgpack": b"".join,
    "ndjson": b"".join,
    "json": lambda pieces: b"[" + b",".join(pieces) + b"]",
}


def fresh_of(ledger: Ledger, delivery: Delivery, fields: Sequence[str], scope: str) -> Fresh:
    """Return what of a chunk, sent in a scope, the ledger does not know by these fields; all, without any.

    Raises InvalidError or TooLargeError for a chunk without records, DeliveryError for a record without the
    fields or in a format that cannot be cut.
    """
    if not fields:
        return Fresh(delivery.body, [], None)
    chunk = delivery.chunk(delivery.body)
    format = format_of(chunk)[0]
    if format not in _JOINED:
        raise DeliveryError(f"Records with keys are sent as msgpack, NDJSON or JSON, not as {format}")
    kept, keys, known = [], dict[bytes, None](), None
    pieces = pieces_of(chunk)
    for value, piece in pieces:
        key = _key(delivery, value, fields, scope)
        entry = None if key in keys else ledger.find(key)
        if entry is None and key not in keys:
            keys[key] = None
            kept.append(piece)
        known = known or entry
    body = delivery.body if len(kept) == len(pieces) else _JOINED[format](kept)
    return Fresh(body if kept else b"", list(keys), known)


def _key(
    delivery: Delivery,
    value: Any,  # Any: a record, of any type
    fields: Sequence[str],
    scope: str,
) -> bytes:
    if not isinstance(value, dict):
        raise DeliveryError(f"A record is no map, so it has no {', '.join(fields)}: {str(value)[:60]!r}")
    lacking = [name for name in fields if name not in value]
    if lacking:
        raise DeliveryError(f"A record lacks {', '.join(lacking)}, by which this policy knows it again")
    values = msgspec.json.encode([_plain(value[name]) for name in fields]).decode()
    return ledger_key(scope, delivery.request.policy, f"record\0{delivery.tag}\0{values}")


def _plain(value: Any) -> Any:  # Any: as above
    """Return a value as JSON tells it apart from others: bytes and texts are not the same."""
    return {"bytes": value.hex()} if isinstance(value, bytes) else value
