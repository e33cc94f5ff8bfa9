"""The portal answers at once while it computes: `/healthz` during a spectrum over a long recording."""

import json
import os
import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.functional.program import Program, until

from haywain.values import MIB

CAMPAIGN_MIB = int(os.environ.get("HAYWAIN_SPECTRUM_MIB", "4000"))
SLOWEST_S = 0.2
"""Of a hundred answers at most one may take longer; the small run does not ask."""

RATE_HZ, TONE_HZ = 48_000, 1200.0


def recording(mib: int) -> Iterator[bytes]:
    """Yield a WAV file of so many MiB: 16 bit, mono, a tone in noise; its header allows 4,095."""
    size = mib * MIB
    yield b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    yield struct.pack("<IHHIIHH", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    yield b"data" + struct.pack("<I", size)
    frames = 4 * RATE_HZ  # a whole number of periods, so that pieces join smoothly
    tone = 8000 * np.sin(2 * np.pi * TONE_HZ / RATE_HZ * np.arange(frames))
    noise = np.random.default_rng(5).normal(0, 1000, frames)
    piece = (tone + noise).astype("<i2").tobytes()
    for start in range(0, size, len(piece)):
        yield piece[: size - start]


@pytest.mark.parametrize(
    "mib",
    [
        pytest.param(24, marks=pytest.mark.timeout(120)),
        pytest.param(CAMPAIGN_MIB, marks=[pytest.mark.campaign, pytest.mark.timeout(120 + CAMPAIGN_MIB)]),
    ],
)
def test_healthz_answers_while_a_spectrum_runs(
    program: Program, report: Callable[..., None], mib: int, request: pytest.FixtureRequest
) -> None:
    client = program.client()
    path = client.stream("long.wav")
    assert client("PUT", f"/{path}/data", recording(mib), {"Content-Type": "audio/wav"}).status == 200
    body = json.dumps({"method": "spectrum", "parameters": {}}).encode()
    began = time.monotonic()
    url = client("POST", f"/{path}/activities", body, {"Content-Type": "application/json"}).json["url"]
    until(lambda: client("GET", url).json["state"] != "queued", "the spectrum to start")
    waits = list[float]()
    while (found := client("GET", url).json)["state"] == "running":
        for _ in range(20):
            asked = time.monotonic()
            assert client("GET", "/healthz").status == 200
            waits.append(time.monotonic() - asked)
            time.sleep(0.01)
    client.close()
    assert found["state"] == "done", found
    assert abs(found["result"]["peak_hz"] - TONE_HZ) < 0.01
    ninety_nine = float(np.quantile(waits, 0.99)) if waits else 0.0
    report(
        mib=mib,
        spectrum_s=round(time.monotonic() - began, 1),
        answers=len(waits),
        median_ms=round(1000 * float(np.median(waits)), 1),
        p99_ms=round(1000 * ninety_nine, 1),
        slowest_ms=round(1000 * max(waits), 1),
    )
    if request.node.get_closest_marker("campaign"):
        assert ninety_nine < SLOWEST_S
