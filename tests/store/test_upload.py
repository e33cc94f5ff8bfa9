"""Uploads on disk: what arrived stays, and one connection at a time adds to it."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from haywain import clock
from haywain.errors import (
    ChecksumError,
    CorruptDataError,
    InvalidError,
    NotFoundError,
    OffsetError,
    TemporaryError,
    UploadLockedError,
)
from haywain.store.checksum import ALGORITHMS, Checksum
from haywain.store.pieces import Pieces
from haywain.store.upload import UploadInfo, Uploads


def info(length: int = 100, mode: str = "append") -> UploadInfo:
    return UploadInfo("data_stream_module/1", length, mode, "sound.wav", "admin", 1.5, "token_module/2")


def content(pieces: Pieces) -> bytes:
    return b"".join(pieces.chunks())


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", piece_size=10)


def test_an_upload_is_what_was_created(uploads: Uploads) -> None:
    upload = uploads.get(uploads.create(info()))
    assert upload.info == info()
    assert (upload.offset, upload.is_complete, len(upload.id)) == (0, False, 32)


def test_an_empty_upload_is_complete(uploads: Uploads) -> None:
    upload = uploads.get(uploads.create(info(0)))
    assert upload.is_complete
    assert upload.pieces.paths() == []


@pytest.mark.parametrize("bad", [info(-1), info(1, "overwrite")], ids=["length", "mode"])
def test_create_refuses_nonsense(uploads: Uploads, bad: UploadInfo) -> None:
    with pytest.raises(InvalidError):
        uploads.create(bad)
    assert list(uploads.path.iterdir()) == []


@pytest.mark.parametrize(
    "upload_id",
    ["", "..", "../../etc", "0" * 31, "0" * 32, "A" * 32, "body-1", "0" * 31 + "\n"],
    ids=["empty", "parent", "path", "short", "unknown", "capitals", "body", "newline"],
)
def test_unknown_ids_are_not_found(uploads: Uploads, upload_id: str) -> None:
    with pytest.raises(NotFoundError):
        uploads.get(upload_id)
    uploads.discard(upload_id)


def test_a_damaged_description_is_said(uploads: Uploads) -> None:
    upload_id = uploads.create(info())
    (uploads.path / upload_id / "info.json").write_text(json.dumps({"path": "x"}))
    with pytest.raises(CorruptDataError, match=upload_id):
        uploads.get(upload_id)


def test_a_writer_continues_where_the_bytes_end(uploads: Uploads) -> None:
    upload_id = uploads.create(info(30))
    for offset in (0, 12, 24):
        writer = uploads.writer(upload_id, offset)
        writer.append(b"x" * min(12, 30 - offset))
        writer.close()
        writer.close()
    assert uploads.get(upload_id).is_complete


def test_a_writer_elsewhere_is_told_the_offset(uploads: Uploads) -> None:
    upload_id = uploads.create(info())
    with pytest.raises(OffsetError) as caught:
        uploads.writer(upload_id, 5)
    assert (caught.value.expected, caught.value.actual) == (5, 0)
    uploads.writer(upload_id, 0).close()


def test_only_one_writes(uploads: Uploads) -> None:
    upload_id = uploads.create(info())
    first = uploads.writer(upload_id, 0)
    with pytest.raises(UploadLockedError):
        uploads.writer(upload_id, 0)
    first.close()
    uploads.writer(upload_id, 0).close()


def test_a_silent_writer_gives_way(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, stale_s=-1)
    upload_id = uploads.create(info())
    first = uploads.writer(upload_id, 0)
    first.append(b"abc")
    with pytest.raises(OffsetError):
        uploads.writer(upload_id, 0)
    second = uploads.writer(upload_id, 3)
    with pytest.raises(UploadLockedError):
        first.append(b"late")
    first.close()
    second.append(b"def")
    second.seal()
    with pytest.raises(UploadLockedError):
        uploads.writer(upload_id, 6)
    second.close()
    assert content(uploads.get(upload_id).pieces) == b"abcdef"


def test_no_more_than_the_announced_bytes_are_stored(uploads: Uploads) -> None:
    upload_id = uploads.create(info(5))
    writer = uploads.writer(upload_id, 0)
    writer.append(b"abc")
    with pytest.raises(InvalidError):
        writer.append(b"def")
    writer.close()
    assert content(uploads.get(upload_id).pieces) == b"abc"


def test_a_finished_upload_is_complete_without_its_bytes(uploads: Uploads) -> None:
    upload_id = uploads.create(info(12))
    writer = uploads.writer(upload_id, 0)
    writer.append(b"x" * 12)
    writer.close()
    uploads.finish(upload_id)
    upload = Uploads(uploads.path).get(upload_id)
    assert (upload.offset, upload.is_complete, upload.info.finished) == (12, True, True)
    assert upload.pieces.paths() == []
    uploads.writer(upload_id, 12).close()


@pytest.mark.parametrize("gone", [(), ("000000",), ("000001",)], ids=["none", "first", "second"])
def test_start_removes_what_a_finish_that_was_killed_left(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    upload_id, other, damaged = uploads.create(info(25)), uploads.create(info(25)), uploads.create(info(25))
    for written in (upload_id, other, damaged):
        writer = uploads.writer(written, 0)
        writer.append(bytes(25))
        writer.close()
    (uploads.path / damaged / "info.json").write_text("")

    def die(pieces: Pieces, size: int) -> None:
        for name in gone:
            (pieces.path / name).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pieces, "truncate", die)
        uploads.finish(upload_id)
    again = Uploads(uploads.path, piece_size=10)
    assert [path.name for path in (uploads.path / upload_id).iterdir()] == ["info.json"]
    assert again.get(upload_id).is_complete and again.get(upload_id).info.finished
    assert again.get(other).pieces.size == 25 and [upload.id for upload in again.complete()] == [other]


def test_a_discarded_upload_takes_no_more_bytes(uploads: Uploads) -> None:
    upload_id = uploads.create(info())
    writer = uploads.writer(upload_id, 0)
    writer.append(b"abc")
    uploads.discard(upload_id)
    with pytest.raises(UploadLockedError):
        writer.append(b"def")
    writer.close()
    with pytest.raises(NotFoundError):
        uploads.get(upload_id)


def test_uploads_at_rest_expire(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    old, busy = uploads.create(info()), uploads.create(info())
    writer = uploads.writer(busy, 0)
    assert uploads.expire(3600) == []
    now_s = clock.now_s()
    monkeypatch.setattr(clock, "now_s", lambda: now_s + 3601)
    assert uploads.expire(3600) == [old]
    writer.close()
    assert uploads.expire(3600) == [busy]


def test_bodies_of_a_killed_process_are_removed_and_uploads_stay(uploads: Uploads) -> None:
    upload_id = uploads.create(info())
    body = uploads.temporary()
    body.append(b"x" * 25)
    body.close()
    (uploads.path / "new-0").mkdir()
    (uploads.path / "gone-0").mkdir()
    again = Uploads(uploads.path)
    assert [path.name for path in again.path.iterdir()] == [upload_id]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    Uploads(tmp_path).check_room(1)
    with pytest.raises(TemporaryError, match="nearly full"):
        Uploads(tmp_path).check_room(1 << 60)
    with pytest.raises(TemporaryError, match="nearly full"):
        Uploads(tmp_path, reserve_bytes=1 << 60).check_room(0)


_WRITE_FOR_EVER = """
import sys
from pathlib import Path
from haywain.store.upload import Uploads
writer = Uploads(Path(sys.argv[1]), piece_size=1 << 16).writer(sys.argv[2], 0)
number = 0
while True:
    writer.append(number.to_bytes(4, "big") * 1000)
    number += 1
    print(number * 4000, flush=True)
"""


def test_a_killed_writer_leaves_what_it_wrote(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, piece_size=1 << 16)
    upload_id = uploads.create(info(1 << 40))
    command = [sys.executable, "-c", _WRITE_FOR_EVER, str(tmp_path), upload_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while (written := int(process.stdout.readline())) < 400_000:
            pass
        process.kill()
    upload = uploads.get(upload_id)
    assert upload.offset >= written
    model = b"".join(number.to_bytes(4, "big") * 1000 for number in range(upload.offset // 4000 + 1))
    assert content(upload.pieces) == model[: upload.offset]
    uploads.writer(upload_id, upload.offset).close()


def checksum(data: bytes, name: str = "sha1") -> Checksum:
    return Checksum(f"{name} {base64.b64encode(hashlib.new(name, data).digest()).decode()}")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_bytes_with_a_checksum_count_once_it_is_right(uploads: Uploads, name: str) -> None:
    upload_id = uploads.create(info(25))
    for offset, data in ((0, b"x" * 12), (12, b"y" * 13)):
        writer = uploads.writer(upload_id, offset, checksum(data, name))
        writer.append(data[:6])
        writer.append(data[6:])
        assert uploads.get(upload_id).offset == offset and uploads.complete() == []
        writer.seal()
        writer.close()
        assert uploads.get(upload_id).offset == offset + len(data)
    assert content(uploads.get(upload_id).pieces) == b"x" * 12 + b"y" * 13


def test_bytes_with_a_wrong_checksum_are_dropped(uploads: Uploads) -> None:
    upload_id = uploads.create(info(25))
    first = uploads.writer(upload_id, 0)
    first.append(b"x" * 12)
    first.close()
    writer = uploads.writer(upload_id, 12, checksum(b"y" * 13))
    writer.append(b"z" * 13)
    with pytest.raises(ChecksumError, match="sha1"):
        writer.seal()
    writer.close()
    assert content(uploads.get(upload_id).pieces) == b"x" * 12
    again = uploads.writer(upload_id, 12, checksum(b"y" * 13))
    again.append(b"y" * 13)
    again.seal()
    again.close()
    assert uploads.get(upload_id).is_complete


@pytest.mark.parametrize("is_killed", [False, True], ids=["cut", "killed"])
def test_bytes_that_were_never_verified_are_dropped(uploads: Uploads, is_killed: bool) -> None:
    upload_id = uploads.create(info(25))
    writer = uploads.writer(upload_id, 0, checksum(b"x" * 25))
    writer.append(b"x" * 25)
    if is_killed:
        writer.upload.pieces.close()  # as the system does
        uploads = Uploads(uploads.path, piece_size=10)
    else:
        writer.close()
    assert uploads.get(upload_id).offset == 0 and uploads.complete() == []
    other = uploads.writer(upload_id, 0)
    other.append(b"y" * 5)
    other.close()
    assert content(uploads.get(upload_id).pieces) == b"y" * 5


def test_who_was_replaced_verifies_nothing(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, stale_s=-1)
    upload_id = uploads.create(info(10))
    first = uploads.writer(upload_id, 0, checksum(b"first"))
    first.append(b"first")
    second = uploads.writer(upload_id, 0)
    with pytest.raises(UploadLockedError):
        first.seal()
    second.append(b"second")
    first.close()
    second.close()
    assert content(uploads.get(upload_id).pieces) == b"second"


@pytest.mark.parametrize("data", [b"", b"late"], ids=["none", "some"])
def test_checksum_at_the_end_of_a_finished_upload(uploads: Uploads, data: bytes) -> None:
    upload_id = uploads.create(info(0))
    uploads.finish(upload_id)
    writer = uploads.writer(upload_id, 0, checksum(data))
    if data:
        with pytest.raises(ChecksumError):
            writer.seal()
    else:
        writer.seal()
    writer.close()
    assert uploads.get(upload_id).is_complete


@pytest.mark.parametrize(
    "header",
    ["", "sha1", "sha1 !", "crc32 AAAA", "sha1 AAAA", "sha1 \u0436", "SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="],
    ids=range(7),
)
def test_checksum_that_makes_no_sense_is_refused(header: str) -> None:
    with pytest.raises(InvalidError, match="Upload-Checksum"):
        Checksum(header)


def test_upload_begins_with_the_bytes_of_pieces(uploads: Uploads) -> None:
    body = uploads.temporary()
    body.append(b"x" * 25)
    upload = uploads.get(uploads.create(info(40), body))
    body.discard()
    assert upload.offset == 25 and content(upload.pieces) == b"x" * 25
    writer = uploads.writer(upload.id, 25)
    writer.append(b"y" * 15)
    writer.close()
    assert uploads.get(upload.id).is_complete


def test_room_is_what_may_still_come(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.check_room(uploads.room_bytes() // 2)
    assert Uploads(tmp_path, reserve_bytes=1 << 60).room_bytes() == 0


def test_upload_expires_so_long_after_its_last_byte(uploads: Uploads) -> None:
    upload_id = uploads.create(info())
    assert uploads.expires(upload_id, 3600) == pytest.approx(clock.now_s() + 3600, abs=60)
