"""Real recordings become arrays and spectra in the background, each once, whatever is killed meanwhile."""

import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io.wavfile
from numpy.typing import NDArray
from tests.functional.program import Client, Make, Program, until

KILLS = 2
"""A third death at one step would set the activity aside."""

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def program(make: Make) -> Iterator[Program]:
    yield make().start()


def samples(sound: Path) -> tuple[int, NDArray[Any]]:
    rate, found = scipy.io.wavfile.read(sound)
    return rate, found.reshape(len(found), -1)


def peak_hz(sound: Path) -> float:
    """Return where the whole file's spectrum is highest, the mean left out."""
    rate, found = samples(sound)
    magnitude = np.abs(np.fft.rfft(found[:, 0].astype(np.float64)))
    return float(np.fft.rfftfreq(len(found), 1 / rate)[1 + np.argmax(magnitude[1:])])


def activities(client: Client, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client("GET", "/api/v1/activities", limit=100, **wanted).json["items"]
    return found


def has_done(client: Client, count: int) -> bool:
    return len(activities(client, state="done")) >= count


def array_of(client: Client, path: str) -> NDArray[Any]:
    return np.asarray(np.load(io.BytesIO(client("GET", f"/{path}/slice", format="npy").body)))


def test_six_recordings_become_spectra_once_whatever_is_killed(program: Program, sounds: list[Path]) -> None:
    client, sounds = program.client(), sounds[:6]
    paths = {
        sound: client.ingest(sound.name, sound.read_bytes()).headers["Ingest-Stream"] for sound in sounds
    }
    for path in paths.values():
        for method in ("stream_to_array", "spectrum"):
            body = json.dumps({"method": method, "tag": "six"}).encode()
            assert client("POST", f"/{path}/activities", body, JSON).status == 202
    for kill in range(KILLS):
        until(partial(has_done, client, kill + 1), "something to be done")
        program.kill()
        client = program.start().client()
    until(partial(has_done, client, 12), "all to be done", 50)
    for sound, path in paths.items():
        made = {item["method"]: item["result"] for item in activities(client, path=path)}
        assert np.array_equal(array_of(client, made["stream_to_array"]["array"]), samples(sound)[1])
        assert made["spectrum"]["peak_hz"] == pytest.approx(peak_hz(sound), rel=1e-12)
        assert np.isfinite(array_of(client, made["spectrum"]["array"])).all()
        assert client.data(made["spectrum"]["image"]).startswith(b"\x89PNG")
    assert client.search(portal_type="Data Array")["count"] == 12
    assert (
        client.search(portal_type="Image")["count"]
        == client.search(portal_type="Progress Indicator")["count"]
    )
    assert client.search(portal_type="Image")["count"] == 6


def test_recording_cut_short_fails_with_its_byte_and_works_once_mended(
    program: Program, sounds: list[Path]
) -> None:
    client, whole = program.client(), sounds[0].read_bytes()
    path = client.stream("cut.wav", whole[:1001])
    body = json.dumps({"method": "stream_to_array"}).encode()
    url = client("POST", f"/{path}/activities", body, JSON).json["url"]
    until(lambda: client("GET", url).json["state"] == "failed", "the cut to be found")
    assert "byte 1001" in client("GET", url).json["error"] and client.data(path) == whole[:1001]
    assert client("POST", f"/{path}/data", whole[1001:]).status == 200
    assert client("POST", f"{url}/retry").status == 200
    until(lambda: client("GET", url).json["state"] == "done", "the retry")
    found = client("GET", url).json["result"]["array"]
    assert np.array_equal(array_of(client, found), samples(sounds[0])[1])
