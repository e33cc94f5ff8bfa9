"""Kill -9 at random moments: what was acknowledged is there, once and in order; nothing is there twice."""

import os
import random
import time
from collections.abc import Callable

import pytest
from tests.campaign.conftest import Agents
from tests.functional.program import Program

KILLS = int(os.environ.get("HAYWAIN_KILLS", "100"))


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, marks=pytest.mark.timeout(120)),
        pytest.param(KILLS, marks=[pytest.mark.campaign, pytest.mark.timeout(120 + 20 * KILLS)]),
    ],
)
def test_kills_lose_nothing_acknowledged_and_double_nothing(
    program: Program, agents: Agents, report: Callable[..., None], kills: int
) -> None:
    """One kill in eight comes while the program starts, the others up to 0.6 s after it serves."""
    moments, starts = random.Random(kills), list[float]()
    port = program.port
    agents.start()
    for _ in range(kills):
        time.sleep(moments.uniform(0, 0.6))
        program.kill()
        if moments.random() < 1 / 8:
            program.launch(port)
            time.sleep(moments.uniform(0, 1.5))
            program.kill()
        began = time.monotonic()
        program.start(port)
        starts.append(time.monotonic() - began)
    agents.finish()
    assert program.stop() == 0
    assert "Traceback" not in program.log, program.log
    records = agents.check()
    assert records > kills
    report(
        kills=kills,
        records=records,
        chunks=sum(agent.chunks for agent in agents.all),
        retries=sum(agent.retries for agent in agents.all),
        mean_start_s=round(sum(starts) / kills, 2),
        slowest_start_s=round(max(starts), 2),
    )
