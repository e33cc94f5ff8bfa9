"""WAV: a file is a stream, stored once, named by its header or its tag."""

import io
import wave
from pathlib import Path

import pytest
from tests.ingestion_policies.conftest import Send, Sink


def wav(frames: bytes = b"\1\2\3\4", rate: int = 8000) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(frames)
    return buffer.getvalue()


def test_tag_names_the_file(send: Send, document_at: Sink) -> None:
    stream = document_at(send("turbine-1.wav", wav()).path)
    assert (stream.reference, stream.content_type) == ("turbine-1.wav", "audio/x-wav")
    with wave.open(stream.open(), "rb") as file:
        assert file.readframes(9) == b"\1\2\3\4"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.wav"', "a b.wav"),
        ("attachment; filename*=UTF-8''W%C3%A4rme.wav", "Wärme.wav"),
        ('attachment; filename="C:\\\\rec\\\\c.wav"', "c.wav"),
        ('attachment; filename="../../d.wav"', "d.wav"),
        ("attachment", "tag.wav"),
    ],
    ids=["quoted", "utf-8", "windows", "path", "none"],
)
def test_header_names_the_file(send: Send, document_at: Sink, disposition: str, name: str) -> None:
    receipt = send("tag.wav", wav(name.encode()), disposition=disposition)
    assert document_at(receipt.path).reference == name and receipt.offset == 0


def test_each_file_is_a_stream_of_one_supply(send: Send, document_at: Sink) -> None:
    paths = [send("mast.wav", wav(name.encode()), disposition=f'a; filename="{name}"').path for name in "xy"]
    streams = [document_at(path) for path in paths]
    assert len(set(paths)) == 2 and streams[0].linked("specialise") == streams[1].linked("specialise")


def test_file_that_comes_again_is_stored_once(send: Send, document_at: Sink) -> None:
    first, second = send("again.wav", wav()), send("again.wav", wav())
    assert (first.status, second.status, first.path, second.length) == ("stored", "stored", second.path, 0)
    assert document_at(first.path).size == len(wav())


def test_another_file_under_a_name_that_is_taken_is_quarantined(send: Send, document_at: Sink) -> None:
    first, second = send("taken.wav", wav(), disposition='a; filename="t.wav"'), send("t.wav", wav(b"other"))
    assert second.status == "quarantined" and "another file" in document_at(second.path).properties.reason
    assert document_at(first.path).read() == wav()


@pytest.mark.parametrize("body", [wav()[:-1], b"RIFF", b"nonsense" * 9, wav()[:20]], ids=range(4))
def test_what_is_no_whole_file_is_quarantined(send: Send, body: bytes) -> None:
    assert send("broken.wav", body).status == "quarantined"


def test_real_recordings_are_whole(send: Send, document_at: Sink, sounds: list[Path]) -> None:
    for path in sounds[:3]:
        body = path.read_bytes()
        assert document_at(send(f"sound.{path.name}", body).path).read() == body
