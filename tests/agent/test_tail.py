"""Files that grow, over their rotation."""

import os
import shutil
from pathlib import Path

import pytest
from tests.agent.conftest import Setup
from tests.agent.numbered import NumberedListener
from tests.functional.program import until

from haywain.agent.follow import Follower

LINES = [b"line %d\n" % number for number in range(400)]


def text(start: int, stop: int) -> bytes:
    return b"".join(LINES[start:stop])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "web.log"


@pytest.fixture
def tail(log: Path) -> str:
    return (
        f'web]\ntype = "tail"\nfiles = ["{log.parent}/*.log"]\ntag = "web.{{stem}}"\npoll_s = 0.01\n'
        "rotate_wait_s = 0.05\nframe_bytes = 1024\npartial_s = 60"
    )


def add(path: Path, start: int, stop: int) -> None:
    with path.open("ab") as file:
        file.write(text(start, stop))


def test_lines_arrive_in_order_once(setup: Setup, listener: NumberedListener, log: Path, tail: str) -> None:
    add(log, 0, 200)
    running = setup.start(tail)
    until(lambda: listener.tag("web.web") == text(0, 200), "the lines there were")
    add(log, 200, 400)
    until(lambda: listener.tag("web.web") == text(0, 400), "the lines that came")
    assert running.stop() == 0
    assert all(len(sent.body) <= 1024 and sent.body.endswith(b"\n") for sent in listener.requests)


def test_next_start_goes_on_where_the_last_ended(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    for stop in (100, 200, 300):
        add(log, stop - 100, stop)
        assert setup.once(tail) == 0
    assert listener.tag("web.web") == text(0, 300)
    assert len({sent.epoch for sent in listener.requests}) == 3


def test_half_a_line_waits_for_its_end(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    log.write_bytes(b"whole\nhal")
    running = setup.start(tail)
    until(lambda: listener.tag("web.web") == b"whole\n", "the whole line")
    with log.open("ab") as file:
        file.write(b"f\n")
    until(lambda: listener.tag("web.web") == b"whole\nhalf\n", "the half line")
    assert [sent.body for sent in listener.requests] == [b"whole\n", b"half\n"]
    running.stop()


def test_half_a_line_is_sent_once_it_rests(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    log.write_bytes(b"21.5 ")
    running = setup.start(tail.replace("partial_s = 60", "partial_s = 0.05"))
    until(lambda: listener.tag("web.web") == b"21.5 ", "the half line")
    running.stop()


def test_line_longer_than_a_frame_is_cut(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    log.write_bytes(b"x" * 5000 + b"\n")
    assert setup.once(tail) == 0
    assert listener.tag("web.web") == log.read_bytes()


def rotate_by_rename(log: Path) -> None:
    for number in (2, 1):
        if (older := log.with_name(f"web.log.{number}")).exists():
            older.rename(log.with_name(f"web.log.{number + 1}"))
    log.rename(log.with_name("web.log.1"))


def rotate_by_copy(log: Path) -> None:
    shutil.copyfile(log, log.with_name("web.log.1"))
    os.truncate(log, 0)


@pytest.mark.parametrize("rotate", [rotate_by_rename, rotate_by_copy], ids=["rename", "copytruncate"])
def test_rotation_while_it_runs_loses_and_doubles_nothing(
    rotate, setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    add(log, 0, 100)
    running = setup.start(tail)
    for stop in (100, 200, 300):
        until(lambda stop=stop: listener.tag("web.web") == text(0, stop), f"the first {stop} lines")
        rotate(log)
        add(log, stop, stop + 100)
    until(lambda: listener.tag("web.web") == text(0, 400), "all lines")
    assert running.stop() == 0


@pytest.mark.parametrize("rotate", [rotate_by_rename, rotate_by_copy], ids=["rename", "copytruncate"])
def test_rotation_while_it_was_down_loses_and_doubles_nothing(
    rotate, setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    add(log, 0, 100)
    assert setup.once(tail) == 0
    add(log, 100, 200)
    rotate(log)
    add(log, 200, 300)
    assert setup.once(tail) == 0
    assert listener.tag("web.web") == text(0, 300)


def test_two_rotations_while_it_was_down_lose_and_double_nothing(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    add(log, 0, 100)
    assert setup.once(tail) == 0
    for stop in (100, 200):
        add(log, stop, stop + 50)
        rotate_by_rename(log)
        add(log, stop + 50, stop + 100)
    assert setup.once(tail) == 0
    assert listener.tag("web.web") == text(0, 300)


def test_writer_that_keeps_the_old_file_is_read_to_its_end(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    with log.open("ab") as old:
        old.write(text(0, 100))
        old.flush()
        running = setup.start(tail.replace("rotate_wait_s = 0.05", "rotate_wait_s = 0.5"))
        until(lambda: listener.tag("web.web") == text(0, 100), "the first lines")
        rotate_by_rename(log)
        add(log, 200, 300)
        old.write(text(100, 200))
    until(lambda: listener.tag("web.web") == text(0, 300), "all lines in order")
    running.stop()


def test_file_written_anew_beyond_where_it_was_is_read_from_its_beginning(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    add(log, 0, 50)
    assert setup.once(tail) == 0
    log.write_bytes(text(100, 300))
    assert setup.once(tail) == 3  # said: what the old file may have held is nowhere
    assert listener.tag("web.web") == text(0, 50) + text(100, 300)


def test_reused_inode_is_seen_by_what_the_file_holds(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    add(log, 0, 50)
    assert setup.once(tail) == 0
    with log.open("r+b") as file:  # the same inode, as after delete and create
        file.write(text(300, 400))
    setup.once(tail)
    assert listener.tag("web.web") == text(0, 50) + text(300, 400)


def test_start_at_the_end_leaves_out_what_was_there(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    add(log, 0, 100)
    running = setup.start(tail + '\nstart = "end"')
    until(lambda: running.agent.spool.positions("web"), "the first look")
    add(log, 100, 200)
    (log.parent / "new.log").write_bytes(b"new\n")
    until(lambda: listener.tag("web.web") == text(100, 200), "what came after")
    until(lambda: listener.tag("web.new") == b"new\n", "a new file, from its beginning")
    running.stop()


def test_start_at_the_end_is_for_the_first_start_only(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    tail += '\nstart = "end"'
    running = setup.start(tail)
    until(lambda: running.agent.spool.positions("web"), "the first look")
    running.stop()
    add(log, 0, 100)
    running = setup.start(tail)
    until(lambda: listener.tag("web.web") == text(0, 100), "a file that came meanwhile, from its beginning")
    running.stop()


def test_file_that_is_gone_is_forgotten(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    add(log, 0, 10)
    running = setup.start(tail)
    until(lambda: running.agent.spool.positions("web"), "the file to be read")
    log.unlink()
    until(lambda: not running.agent.spool.positions("web"), "the file to be forgotten")
    add(log, 10, 20)
    until(lambda: listener.tag("web.web") == text(0, 20), "a new file of that name")
    running.stop()


def test_half_a_line_of_a_file_that_is_gone_is_sent(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    log.write_bytes(b"whole\nhalf")
    running = setup.start(tail)
    until(lambda: listener.tag("web.web") == b"whole\n", "the whole line")
    log.rename(log.with_name("web.log.1"))
    until(lambda: listener.tag("web.web") == b"whole\nhalf", "the half line")
    until(lambda: not running.agent.spool.positions("web"), "the file to be forgotten")
    running.stop()


def test_rotated_names_are_no_files_of_their_own(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    for name in ("web.log.1", "web.log.gz", "web.log-20260101", "web.log~"):
        log.with_name(name).write_bytes(b"old\n")
    add(log, 0, 10)
    assert setup.once(tail.replace("*.log", "*")) == 0
    assert list(listener.streams) == [("default", "web.web")]


def test_rotated_file_that_is_truncated_doubles_nothing(log: Path) -> None:
    told: list[str] = []
    follower = Follower(log, told.append)

    def read(patience_s: float = 0) -> bytes | None:
        found = follower.read(4096, is_last=False, patience_s=patience_s, partial_s=60)
        return found and found[0]

    add(log, 0, 100)
    follower.begin(None)
    assert read() == text(0, 100)
    log.rename(log.with_name("web.log.1"))
    add(log, 100, 200)
    assert read(60) is None  # the old file may still be written to
    os.truncate(log.with_name("web.log.1"), 0)
    assert (read(), read()) == (text(100, 200), None)
    add(log, 200, 300)
    assert (read(), read()) == (text(200, 300), None)
    follower.close()


def test_name_that_is_no_utf8_stops_nothing(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    path = Path(os.fsdecode(os.fsencode(log.parent) + b"/a\xe9.log"))
    for stop in (100, 200):
        add(path, stop - 100, stop)
        add(log, stop - 100, stop)
        assert setup.once(tail) == 0
    assert listener.tag("web.web") == listener.tag("web.a-") == text(0, 200)


def test_portal_that_was_set_back_and_has_forgotten_older_epochs_is_sent_what_it_lost(
    setup: Setup, listener: NumberedListener, log: Path, tail: str
) -> None:
    for start in (0, 100):
        add(log, start, start + 100)
        assert setup.once(tail) == 0
    state, streams = dict(listener.state), dict(listener.streams)
    running = setup.start(tail)
    add(log, 200, 300)
    until(lambda: listener.tag("web.web") == text(0, 300), "what is to be lost")
    until(lambda: not len(running.agent.spool.backlog), "its answer to be noted")
    listener.state = state
    listener.streams.update(streams)
    add(log, 300, 400)
    until(lambda: running.code is not None or listener.tag("web.web") == text(0, 400), "all")
    assert running.stop() == 0
    assert listener.tag("web.web") == text(0, 400)
