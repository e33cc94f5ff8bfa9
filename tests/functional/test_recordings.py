"""Real recordings: posted by curl, found, downloaded byte for byte, also after a kill, and read by SciPy."""

import subprocess
from pathlib import Path
from urllib.parse import quote

import numpy as np
import scipy.io.wavfile
from tests.functional.program import INGEST, PASSWORD, Make, Program

import haywain


def curl(*arguments: str | Path) -> bytes:
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--user",
        f"admin:{PASSWORD}",
        *map(str, arguments),
    ]
    return subprocess.run(command, check=True, capture_output=True, timeout=20).stdout


def post(program: Program, sound: Path) -> bytes:
    """Post a file as an agent would; return the headers of the answer."""
    return curl(
        "--data-binary", f"@{sound}", "--header", "Content-Type: application/octet-stream",
        "--header", f"Idempotency-Key: {sound.name}", "--dump-header", "-",
        f"{program.url}{INGEST}?reference={quote(sound.name)}",
    )  # fmt: skip


def test_six_recordings_survive_everything_byte_for_byte(make: Make, sounds: list[Path]) -> None:
    sounds = sounds[:6]
    assert len(sounds) == 6
    program = make().start()
    for sound in sounds:
        assert b"Ingest-Status: stored" in post(program, sound)
    program.kill()
    client = program.start().client()
    for sound in sounds:
        assert b"Ingest-Status: duplicate" in post(program, sound)
    for question in ({"text": "wav"}, {"reference": "%wav"}, {"content_type": "audio/%"}):
        found = client.search(portal_type="Data Stream", **question)
        assert sorted(item["reference"] for item in found["items"]) == [sound.name for sound in sounds]
    paths = {item["reference"]: item["path"] for item in found["items"]}
    for sound in sounds:
        assert curl(f"{program.url}/{paths[sound.name]}/data") == sound.read_bytes()
    program.stop()
    with haywain.open(str(program.data)) as portal:
        for sound in sounds:
            (stream,) = portal.catalog(reference=sound.name, portal_type="Data Stream")
            rate, samples = scipy.io.wavfile.read(stream.open())
            expected_rate, expected = scipy.io.wavfile.read(sound)
            assert (rate, samples.dtype) == (expected_rate, expected.dtype)
            assert np.array_equal(samples, expected)
