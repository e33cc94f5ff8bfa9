"""Ten times what there is room for, a thousand idle clients and a hundred slow ones: others are served."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.campaign.load import BODY_BYTES, Idlers, send
from tests.functional.program import Program

from haywain.values import MIB

CONNECTIONS = 64
"""As many as the portal has threads: what it is full with."""

MEMORY_BYTES = 1024 * MIB


class Watch(threading.Thread):
    """Asks for `/healthz` and for a page now and then, and looks at the memory of the program."""

    def __init__(self, program: Program) -> None:
        super().__init__(daemon=True)
        assert program.process is not None
        self._client, self._ending = program.client(), threading.Event()
        self._process = psutil.Process(program.process.pid)
        self.waits, self.most_bytes, self.error = list[float](), 0, ""

    def run(self) -> None:
        """Look."""
        while not self._ending.wait(0.2):
            asked = time.monotonic()
            for path in ("/healthz", "/api/v1/search"):
                answer = self._client("GET", path)
                if answer.status != 200:
                    self.error = f"{path}: {answer.status}"
            self.waits.append(time.monotonic() - asked)
            self.most_bytes = max(self.most_bytes, self._process.memory_info().rss)

    def finish(self) -> None:
        """Stop, and say what was wrong."""
        self._ending.set()
        self.join(60)
        self._client.close()
        assert self.waits and not self.error, self.error


@pytest.mark.parametrize(
    ("seconds", "idle", "dripping"),
    [
        pytest.param(2, 200, 20, id="short"),
        pytest.param(60, 1000, 100, marks=[pytest.mark.campaign, pytest.mark.timeout(300)], id="a minute"),
    ],
)
def test_overload_costs_little_and_loses_nothing(
    program: Program, tmp_path: Path, report: Callable[..., None], seconds: int, idle: int, dripping: int
) -> None:
    assert program.process is not None
    client = program.client()
    token = client.make("token_module", reference="load", login="admin", scopes=["ingest:default"])
    headers = {"Authorization": f"Bearer {token['secret']}"}
    os.sched_setaffinity(program.process.pid, {min(os.sched_getaffinity(0))})
    send(tmp_path, program.url, headers, CONNECTIONS, 1, "warm")
    full = send(tmp_path, program.url, headers, CONNECTIONS, max(seconds // 4, 2), "full")
    with Idlers(program.url, idle, dripping) as idlers:
        watch = Watch(program)
        watch.start()
        over = send(tmp_path, program.url, headers, 10 * CONNECTIONS, seconds, "over")
        watch.finish()
    stored = client.search(portal_type="Data Stream", reference="over")["items"][0]["size"]
    client.close()
    report(
        full_per_s=round(full.goodput),
        over_per_s=round(over.goodput),
        refused=over.refused,
        share=round(over.goodput / full.goodput, 2),
        closed=idlers.closed,
        memory_mib=watch.most_bytes // MIB,
        page_median_ms=round(1000 * float(np.median(watch.waits))),
        page_slowest_ms=round(1000 * max(watch.waits)),
    )
    assert stored % BODY_BYTES == 0 and stored >= over.good * BODY_BYTES > 0
    assert watch.most_bytes < MEMORY_BYTES
