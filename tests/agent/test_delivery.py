"""Delivery: whatever a network and a portal do, each chunk is stored once and in order."""

import json
import logging
import random
from pathlib import Path

import pytest
from tests.agent.conftest import Setup
from tests.agent.numbered import Fault, NumberedListener
from tests.functional.program import until

from haywain.agent import wakefulness
from haywain.errors import FencedError

LINES = [b"%05d\n" % number for number in range(300)]
ALL = b"".join(LINES)


@pytest.fixture
def tail(tmp_path: Path) -> str:
    (tmp_path / "in.log").write_bytes(ALL)
    return (
        f'web]\ntype = "tail"\nfiles = ["{tmp_path}/in.log"]\ntag = "web"\nframe_bytes = 1024\npoll_s = 0.01'
    )


CUTS = [Fault(cut="before"), Fault(cut="after")]
REFUSALS = [Fault(status) for status in (408, 425, 429, 500, 502, 503, 504, 599, 401, 403, 404, 400)]


@pytest.mark.parametrize("seed", range(4))
def test_faults_of_all_kinds_lose_and_double_nothing(
    seed: int, setup: Setup, listener: NumberedListener, tail: str
) -> None:
    chosen = random.Random(seed)
    listener.faults.extend(chosen.choice([*CUTS, *CUTS, *REFUSALS]) for _ in range(40))
    assert setup.once(tail) == 0
    assert listener.tag("web") == ALL
    assert not listener.faults
    bodies = {(sent.epoch, sent.seq): sent.body for sent in listener.requests}
    assert all(sent.body == bodies[sent.epoch, sent.seq] for sent in listener.requests)


def test_retry_after_is_waited_for(setup: Setup, listener: NumberedListener, tail: str) -> None:
    listener.faults.append(Fault(503, (("Retry-After", "3000"),)))
    assert setup.once(tail, give_up_s=0.3) == 75
    assert len(listener.requests) == 1


def test_portal_that_is_away_is_waited_for_at_the_next_start(
    setup: Setup, listener: NumberedListener, tail: str
) -> None:
    listener.always = Fault(cut="before")
    assert setup.once(tail, give_up_s=0.3) == 75
    listener.always = Fault()
    assert setup.once(tail) == 0
    assert listener.tag("web") == ALL


def test_answer_without_a_receipt_is_no_acknowledgement(
    setup: Setup, listener: NumberedListener, tail: str
) -> None:
    listener.faults.append(Fault(200))  # the login page of a hotel's network
    assert setup.once(tail) == 0
    assert listener.tag("web") == ALL


def test_streams_go_side_by_side_one_chunk_each(
    setup: Setup, listener: NumberedListener, tmp_path: Path
) -> None:
    for number in range(12):
        (tmp_path / f"{number}.log").write_bytes(ALL)
    tails = f'web]\ntype = "tail"\nfiles = ["{tmp_path}/*.log"]\ntag = "{{stem}}"\nframe_bytes = 1024'
    assert setup.once(tails) == 0
    assert all(listener.tag(str(number)) == ALL for number in range(12))
    assert listener.most_under_way == 1


def test_refused_policy_holds_up_no_other(
    setup: Setup, listener: NumberedListener, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = tail.replace("web]", "other]").replace('tag = "web"', 'tag = "other"\npolicy = "gone"')
    real = listener.judge

    def judge(policy, *rest):
        return (404, {}) if policy == "gone" else real(policy, *rest)

    listener.judge = judge  # type: ignore[method-assign]
    running = setup.start(tail, other)
    until(lambda: listener.tag("web") == ALL, "the other policy's stream")
    until(lambda: "There is no ingestion policy 'gone'" in caplog.text, "it to be told")
    listener.judge = real  # type: ignore[method-assign]
    until(lambda: listener.tag("other", "gone") == ALL, "the policy's stream, once it is there")
    assert running.stop() == 0


def test_too_large_chunk_is_set_aside_and_the_rest_arrives(
    setup: Setup, listener: NumberedListener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for name, size in (("a", 500), ("b", 5000), ("c", 500)):
        (tmp_path / "in" / name).write_bytes(name.encode() * size)
    listener.limit = 1000
    source = f'x]\ntype = "folder"\nfolder = "{tmp_path}/in"\nsettle_s = 0\ntag = "all"'
    assert setup.once(source) == 0
    assert listener.tag("all") == b"a" * 500 + b"c" * 500
    (kept,) = (setup.spool / "refused").glob("*[0-9]")
    assert kept.read_bytes() == b"b" * 5000
    assert json.loads(kept.with_suffix(".json").read_text())["tag"] == "all"
    assert "set aside as" in caplog.text
    listener.limit = 1 << 20
    (tmp_path / "in" / "d").write_bytes(b"d")
    assert setup.once(source) == 0
    assert listener.tag("all") == b"a" * 500 + b"c" * 500 + b"d"


def test_portal_that_was_set_back_is_sent_what_it_lost(
    setup: Setup, listener: NumberedListener, tail: str
) -> None:
    running = setup.start(tail)
    until(lambda: listener.tag("web") == ALL, "all lines")
    with listener.lock:
        ((key, (epoch, _)),) = listener.state.items()
        listener.state[key] = epoch, 0
        listener.streams["default", "web"] = ALL[:1020]
    with (setup.folder / "in.log").open("ab") as file:
        file.write(b"more\n")
    until(lambda: listener.tag("web") == ALL + b"more\n", "what was lost, and more")
    running.stop()


def test_portal_that_was_set_back_is_sent_files_that_it_lost(
    setup: Setup, listener: NumberedListener, tail: str, tmp_path: Path
) -> None:
    """Of these streams nothing new comes that would show what is missing."""
    (tmp_path / "files").mkdir()
    for name in ("a", "b"):
        (tmp_path / "files" / name).write_bytes(name.encode() * 3000)
    files = f'files]\ntype = "folder"\nfolder = "{tmp_path}/files"\nsettle_s = 0\nframe_bytes = 1024'
    running = setup.start(tail, files)
    until(lambda: sum(map(len, listener.streams.values())) == len(ALL) + 6000, "all bytes")
    whole = dict(listener.streams)
    with listener.lock:
        for key in [key for key in listener.state if key[1] == "a"]:
            del listener.state[key]
        listener.streams["default", "a"] = b""
        for key in [key for key in listener.state if key[1] == "web"]:
            listener.state[key] = listener.state[key][0], 0
        listener.streams["default", "web"] = ALL[:1020]
    with (setup.folder / "in.log").open("ab") as file:
        file.write(b"more\n")
    until(lambda: listener.tag("web") == ALL + b"more\n", "the log")
    until(lambda: listener.tag("a") == whole["default", "a"], "the file")
    assert listener.tag("b") == whole["default", "b"]
    running.stop()


def test_portal_that_lost_everything_is_sent_what_is_there(
    setup: Setup, listener: NumberedListener, tail: str
) -> None:
    assert setup.once(tail) == 0
    listener.state.clear()
    listener.streams.clear()
    with (setup.folder / "in.log").open("ab") as file:
        file.write(b"more\n")
    running = setup.start(tail)
    until(lambda: listener.tag("web").endswith(b"more\n"), "what is new")
    with (setup.folder / "in.log").open("ab") as file:
        file.write(b"and more\n")
    until(lambda: listener.tag("web").endswith(b"and more\n"), "what is newer")
    running.stop()


def test_portal_that_was_set_back_between_two_runs_is_sent_what_it_lost(
    setup: Setup, listener: NumberedListener, tail: str
) -> None:
    """Each run begins an epoch: with its 0 it names the last position of the run before."""
    runs = []
    for number in range(4):
        with (setup.folder / "in.log").open("ab") as file:
            file.write(b"run %d\n" % number)
        if number == 3:
            with listener.lock:
                listener.state, listener.streams = runs[1]
        assert setup.once(tail) == 0
        with listener.lock:
            runs.append((dict(listener.state), listener.streams.copy()))
    assert listener.tag("web") == ALL + b"run 0\nrun 1\nrun 2\nrun 3\n"


def test_copy_of_a_spool_fences_the_older_agent(setup: Setup, listener: NumberedListener, tail: str) -> None:
    running = setup.start(tail)
    until(lambda: listener.tag("web") == ALL, "all lines")
    ((key, (epoch, _)),) = listener.state.items()
    listener.state[key] = epoch + 10**7, 0
    with (setup.folder / "in.log").open("ab") as file:
        file.write(b"more\n")
    with pytest.raises(FencedError, match="Another agent runs on a copy of the spool") as raised:
        running.end()
    assert raised.value.exit_code == 78


def test_sleep_is_seen_by_either_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(0, 0, 0), (1, 1, 1), (100, 2, 2), (200, 102, 102), (201, 103, 103), (202, 104, 900)])
    monkeypatch.setattr(wakefulness, "_clocks", lambda: next(times))
    awake = wakefulness.Wakefulness()
    assert [awake.was_asleep(1.0) for _ in range(5)] == [False, True, True, False, True]


def test_new_connections_are_made_after_a_sleep(setup: Setup, listener: NumberedListener, tail: str) -> None:
    listener.faults.append(Fault(503, (("Retry-After", "3000"),)))
    running = setup.start(tail)
    until(lambda: listener.requests, "the first try")
    until(lambda: running.agent.board.trouble, "it to be known as failed")
    running.agent._wake()
    until(lambda: listener.tag("web") == ALL, "all lines, without the wait")
    with (setup.folder / "in.log").open("ab") as file:
        file.write(b"more\n")
    until(lambda: listener.tag("web") == ALL + b"more\n", "what came after")
    assert listener.requests[-1].epoch > listener.requests[0].epoch and listener.requests[-1].seq == 0
    running.stop()


def test_stop_leaves_what_cannot_be_sent_for_the_next_start(
    setup: Setup, listener: NumberedListener, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    listener.always = Fault(503)
    running = setup.start(tail)
    until(lambda: running.agent.spool.positions("web"), "the lines to be read")
    assert running.stop() == 0
    assert "wait in the spool for the next start" in caplog.text
    listener.always = Fault()
    assert setup.once(tail) == 0
    assert listener.tag("web") == ALL


def test_quarantine_is_delivery_and_told(
    setup: Setup, listener: NumberedListener, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    real = listener._receipt
    listener._receipt = lambda status, body: {**real(status, body), "Ingest-Status": "quarantined"}
    assert setup.once(tail) == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "web: the portal took a chunk into quarantine; see there"
    ]


def test_lasting_trouble_is_told_once(
    setup: Setup, listener: NumberedListener, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    listener.always = Fault(503)
    running = setup.start(tail)
    until(lambda: len(listener.requests) > 5, "some tries")
    listener.always = Fault()
    until(lambda: listener.tag("web") == ALL, "all lines")
    running.stop()
    told = [r for r in caplog.records if r.levelno >= logging.WARNING and "delivery" in r.name]
    assert len(told) == 1 and "answered 503" in told[0].getMessage()
    assert "delivery works again" in caplog.text
