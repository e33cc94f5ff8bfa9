"""`haywain demo`: data that came in through the ingestion URL, once, and a stop without complaints."""

import signal

import pytest
from tests.functional.program import Make, Program, until

LIVE = "comes in live"


@pytest.fixture
def demo(make: Make) -> Program:
    program = make()
    program.verb = "demo"
    return program


def test_demo_fills_a_portal_once_and_stops_without_a_warning(demo: Program) -> None:
    demo.start()
    until(lambda: LIVE in demo.log, "the agent to be done with the recordings", 60)
    assert demo.log.count("bytes stored") == 6
    assert demo.stop() == 0
    client = demo.start().client()
    until(lambda: demo.log.count(LIVE) == 2, "the agent to find that all is there", 60)
    assert demo.log.count("bytes duplicate") == 6
    assert [hit["size"] for hit in client.search(reference="turbine-%.wav")["items"]] == [3_840_044] * 6
    assert demo.stop() == 0
    assert "WARNING" not in demo.log and "Traceback" not in demo.log


def test_interrupt_ends_the_demo_while_it_sends(demo: Program) -> None:
    demo.start()
    assert demo.process is not None
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() == 0
    assert "could not be sent" not in demo.log and "WARNING" not in demo.log
