"""`/metrics`: what is counted, and who may see it."""

from collections.abc import Callable

import pytest
from webtest import TestApp

Client = Callable[..., TestApp]
INGEST = "/portal_ingestion_policies/default/ingest?reference=metrics.a"
BYTES = "application/octet-stream"
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}


def value(text: str, name: str) -> float:
    return float(next(line for line in text.splitlines() if line.startswith(name)).rpartition(" ")[2])


def test_requests_are_counted_by_what_became_of_them(program: Client) -> None:
    client = program("manager")
    local = {"REMOTE_ADDR": "127.0.0.1"}
    names = [
        f'haywain_ingest_requests_total{{outcome="{o}",policy="default"}}' for o in ("stored", "duplicate")
    ]
    names += [
        'haywain_ingest_bytes_total{policy="default"}',
        'haywain_ingest_records_total{policy="default"}',
    ]
    client.post(INGEST, b"first\n", content_type=BYTES)
    before = [value(client.get("/metrics", extra_environ=local).text, name) for name in names]
    for _ in range(2):
        client.post(INGEST, b"one\ntwo\nthree\n", content_type=BYTES, headers={"Idempotency-Key": "m"})
    after = [value(client.get("/metrics", extra_environ=local).text, name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 14, 3]


@pytest.mark.parametrize(
    ("login", "environ", "status"),
    [
        (None, {"REMOTE_ADDR": "127.0.0.1"}, 200),
        (None, {"REMOTE_ADDR": "::1"}, 200),
        (None, ELSEWHERE, 401),
        (None, {"REMOTE_ADDR": "127.0.0.1", "haywain.forwarded": True}, 401),
        ("viewer", ELSEWHERE, 403),
        ("manager", ELSEWHERE, 200),
    ],
    ids=["loopback", "loopback-6", "elsewhere", "proxy", "viewer", "manager"],
)
def test_metrics_are_for_this_machine_and_managers(
    program: Client, login: str | None, environ: dict[str, object], status: int
) -> None:
    answer = program(login).get("/metrics", extra_environ=environ, expect_errors=True)
    assert answer.status_int == status
    assert status != 200 or "haywain_disk_free_bytes" in answer.text
