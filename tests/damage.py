"""A small portal with bytes in every form, and the means to damage it bit by bit."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from haywain.app import open_site
from haywain.portal import Portal
from haywain.settings import Settings, load
from haywain.store.chunk import Record
from haywain.store.log import open_log
from haywain.store.payload import Payload
from haywain.store.problem import Report


class Span(NamedTuple):
    """Bytes of a file: [start, stop)."""

    path: Path
    start: int
    stop: int


def make_portal(directory: Path) -> Settings:
    """Make a portal in which bytes lie in every form, current and historic; return its settings."""
    settings = load(data=directory, admin_password="correct horse", threads=4)
    site, _ = open_site(settings)
    try:
        site.transact(_fill)
        site.transact(_seal)
        site.transact(_change)
    finally:
        site.close()
    return settings


def _fill(portal: Portal) -> None:
    for name in ("records", "sealed", "replaced"):
        stream: Any = portal.new("Data Stream", reference=name, id=name)
        for number in range(5):
            stream.append(bytes([number]) * 50 + os.urandom(150))
            portal.commit()  # each has a Record of its own
        stream.close_tail()
    array: Any = portal.new("Data Array", reference="array", id="array")
    array.create(shape=(0, 2), dtype="<f8")
    array.append(np.arange(8192.0).reshape(-1, 2))
    array[:1024] = np.ones((1024, 2))
    array.append(np.arange(20.0).reshape(-1, 2))
    stream.activate(tag="later").seal()


def _seal(portal: Portal) -> None:
    sealed: Any = portal["data_stream_module/sealed"]
    assert sealed.seal(0)
    sealed.append(b"behind the segment")


def _change(portal: Portal) -> None:
    replaced: Any = portal["data_stream_module/replaced"]
    replaced.replace(b"other bytes")
    array: Any = portal["data_array_module/array"]
    array[10] = 7.0


def payload_spans(directory: Path) -> list[Span]:
    """Return where bytes under a checksum lie: in Records of Data.fs, and in the files of blobs."""
    data_fs = directory / "Data.fs"
    content, found = data_fs.read_bytes(), list[Span]()
    payload, log = Payload(Report(), lambda oid, tid: os.devnull), open_log(data_fs, lambda *told: None)
    for transaction in log.transactions():
        for record in log.records(transaction):
            cls, state = payload._unpickled(record)
            if cls is Record:
                start = content.index(state["data"], record.position)
                found.append(Span(data_fs, start, start + len(state["data"])))
    log.close()
    blobs = sorted((directory / "blobs").rglob("*.blob"))
    return found + [Span(path, 0, path.stat().st_size) for path in blobs]


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """Flip a bit of a file, and flip it back."""
    _flip(path, bit)
    try:
        yield
    finally:
        _flip(path, bit)


def _flip(path: Path, bit: int) -> None:
    mode = path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (value,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([value ^ 1 << bit % 8]))
    path.chmod(mode)


def copy_of(directory: Path, target: Path) -> Path:
    """Copy a portal's directory."""
    shutil.copytree(directory, target)
    return target
