"""What commands print, and what is piped in."""

import os
import sys
import threading
from pathlib import Path

import psutil
import pytest
from tests.agent.conftest import Setup
from tests.agent.numbered import NumberedListener
from tests.functional.program import until

from haywain.agent.pipe import pieces


def source(*command: str, more: str = "") -> str:
    words = ", ".join(f"'{word}'" for word in command)
    return f'cmd]\ntype = "command"\ntag = "cmd"\ncommand = [{words}]\n{more}'


def test_output_is_sent_each_time(setup: Setup, listener: NumberedListener) -> None:
    running = setup.start(source("echo", "hello $HOME", more="interval_s = 0.02"))
    until(lambda: listener.tag("cmd").count(b"hello") > 3, "some runs")
    running.stop()
    assert set(listener.tag("cmd").splitlines()) == {b"hello $HOME"}, "no shell is between"


def test_once_runs_it_once(setup: Setup, listener: NumberedListener) -> None:
    assert setup.once(source("echo", "hello")) == 0
    assert listener.tag("cmd") == b"hello\n"


def test_failure_is_told_with_what_it_says_and_its_output_is_sent(
    setup: Setup, listener: NumberedListener, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import sys; print(1); sys.exit('no sensor')"
    assert setup.once(source(sys.executable, "-c", code.replace("'", '"'))) == 3
    assert listener.tag("cmd") == b"1\n"
    assert "ended with 1: no sensor" in caplog.text


def test_missing_program_is_told(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    assert setup.once(source("no-such-program")) == 3
    assert "no-such-program cannot be run: No such file" in caplog.text


def test_command_that_takes_too_long_is_ended(
    setup: Setup, listener: NumberedListener, caplog: pytest.LogCaptureFixture
) -> None:
    assert setup.once(source("sh", "-c", "echo began; sleep 60", more="timeout_s = 0.2")) == 3
    assert "took longer than 0.2 s" in caplog.text
    assert listener.tag("cmd") == b"began\n"


def test_command_that_keeps_running_is_read_and_ended_with_the_agent(
    setup: Setup, listener: NumberedListener
) -> None:
    others = psutil.Process().children()  # of fixtures that last longer
    running = setup.start(source("sh", "-c", "echo 0; echo 1; echo 2; printf 9; sleep 60"))
    until(lambda: listener.tag("cmd") == b"0\n1\n2\n", "whole lines")
    children = [child for child in psutil.Process().children() if child not in others]
    assert children
    assert running.stop() == 0
    assert listener.tag("cmd") == b"0\n1\n2\n9"
    assert not [child for child in children if child.is_running()]


def test_command_that_ends_is_started_again(
    setup: Setup, listener: NumberedListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = setup.start(source("echo", "again"))
    until(lambda: listener.tag("cmd").count(b"again") >= 2, "a second run")
    running.stop()


def test_standard_input_is_sent_to_its_end(
    setup: Setup, listener: NumberedListener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(b"1\n2\nno end")
    with (tmp_path / "in").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert setup.start('in]\ntype = "stdin"\ntag = "in"').end() == 0
    assert listener.tag("in") == b"1\n2\nno end"


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as reads, os.fdopen(writer, "wb", 0) as writes:
        yield reads, writes


def test_pieces_end_with_a_line_and_are_no_longer_than_the_limit(pipe) -> None:
    reads, writes = pipe
    writes.write(b"aaa\nbbb\nccc")
    writes.close()
    found = list(pieces(reads.fileno(), 6, lambda: False))
    assert b"".join(found) == b"aaa\nbbb\nccc"
    assert found[0] == b"aaa\n" and all(len(piece) <= 6 for piece in found)


def test_half_a_line_is_yielded_when_it_is_to_stop(pipe) -> None:
    reads, writes = pipe
    writes.write(b"whole\nhalf")
    stop = threading.Event()
    found = []
    for piece in pieces(reads.fileno(), 100, stop.is_set, linger_s=0.01):
        found.append(piece)
        stop.set()
    assert found == [b"whole\n", b"half"]
