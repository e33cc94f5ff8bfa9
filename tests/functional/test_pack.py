"""`haywain pack` and `haywain verify` beside a portal that serves, and on a directory at rest."""

import json
import threading
from typing import Any

from tests.functional.program import Client, Make, run


def token_of(client: Client) -> str:
    made = client.make("token_module", reference="operator", login="admin", scopes=["admin"])
    return str(made["secret"])


def test_a_portal_that_serves_packs_and_is_verified_while_it_ingests(make: Make) -> None:
    program = make().start()
    client = program.client()
    secret = token_of(client)
    stop, acknowledged = threading.Event(), list[int]()

    def send() -> None:
        while not stop.is_set():
            answer = client.ingest("flow", b"%08d" % len(acknowledged))
            assert answer.is_stored, answer
            acknowledged.append(answer.receipt[2])

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(3):
            packed = run(
                "pack", "--data", program.data, "--days", "1", "--json",
                HAYWAIN_URL=program.url, HAYWAIN_TOKEN=secret,
            )  # fmt: skip
            assert packed.returncode == 0, packed.stderr
            assert json.loads(packed.stdout)["after"]["live_bytes"] > 0
            verified = run("verify", "--data", program.data, "--json")
            assert verified.returncode == 0, verified.stdout
    finally:
        stop.set()
        sender.join()
    assert acknowledged == [8 * n for n in range(len(acknowledged))]
    assert client.data(
        client.search(portal_type="Data Stream", reference="flow")["items"][0]["path"]
    ) == b"".join(b"%08d" % n for n in range(len(acknowledged)))
    assert program.stop() == 0
    assert "Traceback" not in program.log, program.log
    rest: Any = run("pack", "--data", program.data, "--days", "0")
    assert rest.returncode == 0 and "live" in rest.stdout
    assert run("verify", "--data", program.data).returncode == 0


def test_a_directory_in_use_says_what_to_do(make: Make) -> None:
    program = make().start()
    told = run("pack", "--data", program.data)
    assert told.returncode == 75
    assert "HAYWAIN_URL" in told.stderr and "POST /api/v1/pack" in told.stderr


def test_a_portal_that_does_not_answer_or_refuses_has_its_exit_code(make: Make, free_port: int) -> None:
    program = make().start()
    nobody = {"HAYWAIN_URL": f"http://127.0.0.1:{free_port}", "HAYWAIN_TOKEN": "x"}
    assert run("pack", "--data", program.data, **nobody).returncode == 69
    stranger = {"HAYWAIN_URL": program.url, "HAYWAIN_TOKEN": "x"}
    assert run("pack", "--data", program.data, **stranger).returncode == 77
