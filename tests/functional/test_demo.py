"""`haywain demo`: data that came in through the ingestion URL, once, and a stop without complaints."""

import signal

import pytest
from tests.functional.program import Client, Make, Program, until

LIVE = "comes in live"
WEAR = "how the bearing's fault grows"


@pytest.fixture
def demo(make: Make) -> Program:
    program = make()
    program.verb = "demo"
    return program


def test_demo_fills_a_portal_once_and_stops_without_a_warning(demo: Program) -> None:
    demo.start()
    until(lambda: LIVE in demo.log, "the agent to be done with the recordings", 60)
    assert demo.log.count("bytes stored") == 6
    until(lambda: WEAR in demo.log, "the spectra", 60)
    check_wear(demo.client())
    assert demo.stop() == 0
    client = demo.start().client()
    until(lambda: demo.log.count(WEAR) == 2, "the agent to find that all is there", 60)
    assert client.search(portal_type="Image")["count"] == 6
    assert demo.log.count("bytes duplicate") == 6
    assert [hit["size"] for hit in client.search(reference="turbine-%.wav")["items"]] == [3_840_044] * 6
    assert demo.stop() == 0
    assert "WARNING" not in demo.log and "Traceback" not in demo.log


def check_wear(client: Client) -> None:
    """The fault grows from recording to recording; its spectra are those of six activities."""
    (table,) = client.search(reference="turbine bearing wear")["items"]
    level, peak = zip(*client("GET", f"/{table['path']}/slice", format="json").json, strict=True)
    assert list(level) == sorted(level) and level[5] > 10 * level[0]
    assert set(peak) == {660.0}
    assert client("GET", "/api/v1/activities", tag="turbine-spectra", state="done").json["count"] == 6


def test_interrupt_ends_the_demo_while_it_sends(demo: Program) -> None:
    demo.start()
    assert demo.process is not None
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() == 0
    assert "could not be sent" not in demo.log and "WARNING" not in demo.log
