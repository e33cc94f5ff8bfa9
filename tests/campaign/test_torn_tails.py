"""Torn tails: whatever a crash leaves behind the last transaction, the database opens with all before it."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from haywain.settings import load
from haywain.soundness import verify
from haywain.store.database import Database, open_storage
from haywain.store.stream import Stream

TAILS = int(os.environ.get("HAYWAIN_TAILS", "1000"))
Tear = Callable[[random.Random, bytes], bytes]


def _cut(chosen: random.Random, last: bytes) -> bytes:
    return last[: chosen.randrange(1, len(last))]


def _zeros_at_the_end(chosen: random.Random, last: bytes) -> bytes:
    return last[: chosen.randrange(len(last) - 8)].ljust(len(last), b"\0")


def _zeros_at_the_begin(chosen: random.Random, last: bytes) -> bytes:
    lost = chosen.randrange(17, len(last) - 8)
    return bytes(lost) + last[lost:]


def _zeros(chosen: random.Random, last: bytes) -> bytes:
    return bytes(chosen.randrange(1, 100_000))


def _garbage(chosen: random.Random, last: bytes) -> bytes:
    return chosen.randbytes(chosen.randrange(1, 20_000))


def _voted(chosen: random.Random, last: bytes) -> bytes:
    return last[:16] + b"c" + last[17:]


def _old_bytes(chosen: random.Random, last: bytes) -> bytes:
    """Blocks of a file that was removed: whole transactions, of another place."""
    return last[: chosen.randrange(1, 22)] + last * chosen.randrange(1, 5)


TEARS: tuple[Tear, ...] = (
    _cut, _zeros_at_the_end, _zeros_at_the_begin, _zeros, _garbage, _voted, _old_bytes
)  # fmt: skip


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(42, id="small"),
        pytest.param(TAILS, marks=[pytest.mark.campaign, pytest.mark.timeout(600 + TAILS)], id="many"),
    ],
)
@pytest.mark.usefixtures("unsynced")
def test_a_database_with_a_torn_tail_opens(tmp_path: Path, report: Callable[..., None], count: int) -> None:
    """The storage is opened, read, appended to and opened again; the index is as old as it may be."""
    chosen = random.Random(count)
    states, expected = _written(tmp_path, chosen)
    indexes = [None, *states[1:-1]]
    for number in range(count):
        tear, (content, index) = TEARS[number % len(TEARS)], states[-2]
        last = states[-1][0][len(content) :]
        (tmp_path / "Data.fs").write_bytes(content + tear(chosen, last))
        found = chosen.choice([index, None, *(i for i in indexes if i)])
        _write_index(tmp_path, found[1] if isinstance(found, tuple) else found)
        assert _read(tmp_path, b"more") == expected, tear.__name__
        assert _read(tmp_path, b"") == expected + b"more"
        for aside in tmp_path.glob("Data.fs.tail-*"):
            aside.unlink()
    assert verify(load(data=tmp_path)).ok
    report(tails=count)


def _written(folder: Path, chosen: random.Random) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return Data.fs and its index after each of some commits, and the bytes before the last one."""
    states, expected, last = [], b"", b""
    for _ in range(6):
        expected, last = expected + last, chosen.randbytes(chosen.randrange(100, 3000))
        _read(folder, last)
        states.append(((folder / "Data.fs").read_bytes(), (folder / "Data.fs.index").read_bytes()))
    return states, expected


def _write_index(folder: Path, content: bytes | None) -> None:
    if content is None:
        (folder / "Data.fs.index").unlink(missing_ok=True)
    else:
        (folder / "Data.fs.index").write_bytes(content)


def _read(folder: Path, added: bytes) -> bytes:
    """Return what is in the stream, and append to it."""
    database = Database(open_storage(f"file:{folder}"))
    try:
        with database.transaction() as connection:
            if "stream" not in connection.root():
                connection.root()["stream"] = Stream()
            found: bytes = connection.root()["stream"].read()
            if added:
                connection.root()["stream"].append(added)
        return found
    finally:
        database.close()
