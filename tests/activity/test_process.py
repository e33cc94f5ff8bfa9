"""By its name another process on the machine sees at once that a process is gone."""

import os
import signal
import subprocess
import sys

import pytest

from haywain.activity import process
from haywain.activity.process import is_dead, machine, machine_of, process_name, shown

SLEEPER = "from haywain.activity.process import process_name; print(process_name(), flush=True); input()"


def test_the_name_of_this_process_is_that_of_one_that_lives() -> None:
    name = process_name()
    assert not is_dead(name) and machine_of(name) == machine() != ""
    assert shown(name).endswith(f"-{os.getpid()}") and process_name() != name


def test_a_process_is_dead_as_soon_as_it_is_killed_even_if_nobody_has_waited_for_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert not is_dead(name)
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(name)  # a zombie
    assert is_dead(name)


def test_another_process_under_the_same_id_is_not_taken_for_it() -> None:
    host, where, started, random = process_name().split(":")
    assert is_dead(f"{host}:{where}:{int(started) + 1}:{random}")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("turbine-4194305-5feceb66", id="of a version before"),
        pytest.param("turbine-4194305:0123456789ab:5:5feceb66", id="of another machine"),
        pytest.param("", id="none"),
    ],
)
def test_of_others_nobody_can_tell(name: str) -> None:
    assert not is_dead(name)


def test_where_the_system_tells_nothing_names_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "machine", lambda: "")
    name = process_name()
    assert ":" not in name and not is_dead(name) and shown(name) == name
