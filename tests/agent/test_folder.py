"""Whole files: each once, when it is complete."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.agent.conftest import Setup
from tests.agent.numbered import Fault, NumberedListener
from tests.functional.program import until

from haywain.agent.frame import Frame
from haywain.agent.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def files(folder: Path) -> str:
    return (
        f'rec]\ntype = "folder"\nfolder = "{folder}"\nmatch = ["*.wav"]\nsettle_s = 0\npoll_s = 0.01\n'
        "frame_bytes = 4096"
    )


def test_each_file_is_a_stream_of_its_own_in_a_run_of_chunks(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    contents = {f"{name}.wav": os.urandom(20_000) for name in "abc"}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "notes.txt").write_bytes(b"not wanted")
    assert setup.once(files) == 0
    assert {tag: data for (_, tag), data in listener.streams.items()} == contents
    assert [sent.seq for sent in listener.requests if sent.tag == "a.wav"] == [0, 1, 2, 3, 4]


def test_file_is_sent_once(setup: Setup, listener: NumberedListener, folder: Path, files: str) -> None:
    (folder / "a.wav").write_bytes(b"first")
    assert setup.once(files) == setup.once(files) == 0
    os.utime(folder / "a.wav", (1, 1))
    assert setup.once(files) == 0
    assert listener.tag("a.wav") == b"first"


def test_file_that_is_renamed_into_place_is_sent(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    running = setup.start(files.replace('["*.wav"]', '["*"]'))
    with (folder / "a.wav.part").open("wb") as file:
        file.write(b"half")
        file.flush()
        (folder / "b.wav").write_bytes(b"other")
        until(lambda: listener.tag("b.wav"), "the other file")
        file.write(b" and half")
    (folder / "a.wav.part").rename(folder / "a.wav")
    until(lambda: listener.tag("a.wav") == b"half and half", "the whole file")
    assert ("default", "a.wav.part") not in listener.streams
    running.stop()


def test_file_that_grows_is_waited_for(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    running = setup.start(files.replace("settle_s = 0", "settle_s = 0.4"))
    path = folder / "a.wav"
    seen = running.agent.board.sources
    for number in range(20):
        with path.open("ab") as file:
            file.write(b"%02d" % number)
        until(lambda: "rec" in seen, "the source")
        running.agent._stop.wait(0.03)  # slower than a poll, faster than settle_s
    assert not listener.requests
    until(lambda: listener.tag("a.wav") == path.read_bytes(), "the file")
    assert len(listener.requests) == 1
    running.stop()


def test_file_that_grew_goes_on_and_another_one_is_sent_whole(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    (folder / "a.wav").write_bytes(b"one")
    assert setup.once(files) == 0
    (folder / "a.wav").write_bytes(b"one two")
    assert setup.once(files) == 0
    assert listener.tag("a.wav") == b"one two"
    (folder / "a.wav").write_bytes(b"another recording")
    assert setup.once(files) == 3
    assert listener.tag("a.wav") == b"one two" + b"another recording"


def test_sent_files_are_deleted_if_wanted(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    (folder / "a.wav").write_bytes(b"x" * 10_000)
    (folder / "empty.wav").write_bytes(b"")
    assert setup.once(files + "\ndelete = true") == 0
    assert listener.tag("a.wav") == b"x" * 10_000
    assert list(folder.iterdir()) == []


def test_positions_of_files_that_are_gone_are_forgotten(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    for name in "ab":
        (folder / f"{name}.wav").write_bytes(b"x")
    assert setup.once(files) == 0
    (folder / "a.wav").unlink()
    running = setup.start(files)
    until(lambda: list(running.agent.spool.positions("rec")) == ["b.wav"], "the file to be forgotten")
    running.stop()


def test_folder_that_is_empty_for_a_while_as_an_unmounted_one_doubles_nothing(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    (folder / "a.wav").write_bytes(b"x")
    assert setup.once(files) == 0
    (folder / "a.wav").rename(folder.parent / "away")
    assert setup.once(files) == 0
    (folder.parent / "away").rename(folder / "a.wav")
    assert setup.once(files) == 0
    assert listener.tag("a.wav") == b"x"


def test_files_below_are_found_and_named_by_their_path(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    (folder / "day" / "hour").mkdir(parents=True)
    (folder / "day" / "hour" / "a.wav").write_bytes(b"x")
    assert setup.once(files + "\nrecursive = true") == 0
    assert listener.tag("day.hour.a.wav") == b"x"


def test_stop_in_the_middle_of_a_file_goes_on_there(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    data = os.urandom(300_000)
    (folder / "a.wav").write_bytes(data)
    listener.always = Fault(503)
    running = setup.start(files, spool='bytes = "4 MiB"')
    until(lambda: listener.requests, "the first chunk")
    running.stop()
    listener.always = Fault()
    assert setup.once(files) == 0
    assert listener.tag("a.wav") == data


def test_missing_folder_is_told(setup: Setup, folder: Path, files: str) -> None:
    folder.rmdir()
    assert setup.once(files) == 3


def test_name_that_is_no_utf8_stops_nothing(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    path = os.fsdecode(os.fsencode(folder) + b"/a\xe9.wav")
    Path(path).write_bytes(b"first")
    (folder / "b.wav").write_bytes(b"second")
    assert setup.once(files) == setup.once(files) == 0
    assert {tag: data for (_, tag), data in listener.streams.items()} == {
        "a-.wav": b"first",
        "b.wav": b"second",
    }


def test_file_that_took_the_place_of_the_sent_one_is_not_deleted(
    setup: Setup, listener: NumberedListener, folder: Path, files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.wav").write_bytes(b"first")
    append = Spool.append

    def replace_and_append(spool: Spool, frames: Sequence[Frame]) -> None:
        if any(frame.payload == b"first" for frame in frames):
            (folder / "a.part").write_bytes(b"second")
            (folder / "a.part").rename(folder / "a.wav")
        append(spool, frames)

    monkeypatch.setattr(Spool, "append", replace_and_append)
    running = setup.start(f"{files}\ndelete = true")
    until(lambda: listener.tag("a.wav") == b"firstsecond", "both files")
    until(lambda: not list(folder.iterdir()), "them to be gone")
    running.stop()


def test_file_that_was_sent_before_a_kill_is_deleted_at_the_next_start(
    setup: Setup, listener: NumberedListener, folder: Path, files: str
) -> None:
    (folder / "a.wav").write_bytes(b"first")
    assert setup.once(files) == 0
    assert setup.once(f"{files}\ndelete = true") == 0
    assert not list(folder.iterdir())
    assert listener.tag("a.wav") == b"first"
