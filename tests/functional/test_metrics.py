"""`/metrics` of the running program: open to this machine, but not to whom a proxy on it asks for."""

import pytest
from tests.functional.program import Client, Program


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "Via"])
def test_proxy_on_this_machine_is_not_this_machine(program: Program, name: str) -> None:
    nobody = program.client({})
    assert nobody("GET", "/metrics").status == 200
    assert nobody("GET", "/metrics", None, {name: "192.0.2.7"}).status == 401
    nobody.close()


def test_metrics_say_what_the_process_is_and_was_sent(client: Client) -> None:
    assert client.ingest("metrics.sent", b"1\n2\n").is_stored
    lines = client("GET", "/metrics").body.decode().splitlines()
    assert 'haywain_ingest_requests_total{outcome="stored",policy="default"}' in {
        x.rpartition(" ")[0] for x in lines
    }
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
