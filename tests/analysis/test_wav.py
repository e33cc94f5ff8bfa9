"""WAV: the frames are those of scipy, whatever the format and however the bytes come."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from haywain.analysis import wav
from haywain.analysis.wav import WavCutError, open_wav, read_part
from haywain.errors import InvalidError


def riff(*chunks: tuple[bytes, bytes], magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    order = ">" if magic == b"RIFX" else "<"
    body = b"WAVE"
    for name, data in chunks:
        body += name + struct.pack(f"{order}I", len(data)) + data + b"\0" * (len(data) % 2)
    return magic + struct.pack(f"{order}I", len(body) if size is None else size) + body


def fmt(tag: int, channels: int, container: int, bits: int, order: str = "<", rate: int = 8000) -> bytes:
    frame = channels * container
    return struct.pack(f"{order}HHIIHH", tag, channels, rate, rate * frame, frame, bits)


def extensible(channels: int, container: int, bits: int) -> bytes:
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    return fmt(0xFFFE, channels, container, bits) + struct.pack("<HHI", 22, bits, 0) + guid


BYTES = np.random.default_rng(3).integers(0, 256, 24 * 40, dtype=np.uint8).tobytes()
FLOATS = np.linspace(-1, 1, 240)
CASES = {
    "pcm8": riff((b"fmt ", fmt(1, 2, 1, 8)), (b"data", BYTES)),
    "pcm16": riff((b"fmt ", fmt(1, 2, 2, 16)), (b"data", BYTES)),
    "pcm12-in-16": riff((b"fmt ", fmt(1, 1, 2, 12)), (b"data", BYTES)),
    "pcm24": riff((b"fmt ", fmt(1, 2, 3, 24)), (b"data", BYTES)),
    "pcm24-in-32": riff((b"fmt ", fmt(1, 2, 4, 24)), (b"data", BYTES)),
    "pcm32": riff((b"fmt ", fmt(1, 3, 4, 32)), (b"data", BYTES)),
    "pcm48": riff((b"fmt ", fmt(1, 1, 6, 48)), (b"data", BYTES)),
    "pcm64": riff((b"fmt ", fmt(1, 1, 8, 64)), (b"data", BYTES)),
    "float32": riff((b"fmt ", fmt(3, 2, 4, 32)), (b"data", FLOATS.astype("<f4").tobytes())),
    "float64": riff((b"fmt ", fmt(3, 2, 8, 64)), (b"data", FLOATS.tobytes())),
    "big-endian": riff((b"fmt ", fmt(1, 2, 2, 16, ">")), (b"data", BYTES), magic=b"RIFX"),
    "big-endian-24": riff((b"fmt ", fmt(1, 2, 3, 24, ">")), (b"data", BYTES), magic=b"RIFX"),
    "extensible": riff((b"fmt ", extensible(2, 2, 16)), (b"data", BYTES)),
    "other-chunks": riff(
        (b"LIST", b"odd"),
        (b"fact", b"\0" * 4),
        (b"fmt ", fmt(1, 2, 2, 16)),
        (b"data", BYTES),
        (b"LIST", b"x" * 9),
    ),
    "odd-data": riff((b"fmt ", fmt(1, 1, 1, 8)), (b"data", BYTES[:7])),
    "no-frames": riff((b"fmt ", fmt(1, 2, 2, 16)), (b"data", b"")),
}


def frames(data: bytes, limit: int = 1 << 20, accept_cut: bool = False) -> np.ndarray:
    file = io.BytesIO(data)
    reader, offset, found = open_wav(file, accept_cut), 0, []
    while True:
        rows, after = reader.step(file, offset, limit, 0)
        if after == offset:
            return np.concatenate([reader.layout.empty(), *found], dtype=reader.layout.dtype)
        assert rows.dtype == reader.layout.dtype
        found.append(rows)
        offset = after


def by_scipy(data: bytes) -> np.ndarray:
    _, found = wavfile.read(io.BytesIO(data))
    return found[:, None] if found.ndim == 1 else found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("limit", [1, 100, 1 << 20])
def test_frames_are_those_of_scipy(name: str, limit: int) -> None:
    found, expected = frames(CASES[name], limit), by_scipy(CASES[name])
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.array_equal(found, expected)


def test_recordings_of_debian_are_read(sounds: list[Path]) -> None:
    for path in sounds:
        with path.open("rb") as file:
            reader = open_wav(file)
            assert reader.layout.rate_hz == wavfile.read(path)[0]
        assert np.array_equal(frames(path.read_bytes(), 5000), by_scipy(path.read_bytes()))


def test_rf64_has_wide_sizes() -> None:
    wide = (b"ds64", struct.pack("<QQQI", 80, 8, 2, 0))
    data = riff(wide, (b"fmt ", fmt(1, 2, 2, 16)), (b"data", bytes(range(8))), magic=b"RF64", size=0xFFFFFFFF)
    at = data.index(b"data") + 4
    data = data[:at] + b"\xff" * 4 + data[at + 4 :]
    assert np.array_equal(frames(data), by_scipy(data))


def test_recordings_after_each_other_are_one() -> None:
    both = CASES["other-chunks"] + CASES["pcm16"]
    assert np.array_equal(frames(both, 70), np.concatenate([by_scipy(CASES["pcm16"])] * 2))


def test_another_format_after_the_first_is_refused() -> None:
    begin = len(CASES["pcm16"])
    with pytest.raises(InvalidError, match=f"at byte {begin} has another format"):
        frames(CASES["pcm16"] + CASES["pcm8"])


def test_data_of_unknown_size_goes_to_the_end() -> None:
    whole = CASES["pcm16"]
    at = whole.index(b"data") + 4
    streamed = whole[:at] + b"\xff" * 4 + whole[at + 4 :]
    assert np.array_equal(frames(streamed + b"\1"), by_scipy(whole))


@pytest.mark.parametrize("length", [1, 5, 10, 12, 15, 20, 30, 43])
def test_cut_header_names_its_byte(length: int) -> None:
    with pytest.raises(WavCutError, match=f"cut short at byte {length}, within its header"):
        open_wav(io.BytesIO(CASES["pcm16"][:length]), accept_cut=True)


def test_cut_data_names_its_bytes() -> None:
    whole = CASES["pcm16"]
    with pytest.raises(
        WavCutError, match=f"byte 101: its data should end at byte {len(whole)}; set accept_cut"
    ):
        open_wav(io.BytesIO(whole[:101]))


def test_cut_data_is_taken_where_that_is_accepted() -> None:
    cut = CASES["pcm16"][:101]
    assert np.array_equal(frames(cut, accept_cut=True), by_scipy(CASES["pcm16"])[: (101 - 44) // 4])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ID3\x03" + bytes(60), "This is no WAV: at byte 0 stands"),
        (b"", "This is no WAV: at byte 0 stands"),
        (b"ID3", "This is no WAV: at byte 0 stands"),
        (b"RIFF\0\0\0\0AV", "This is no WAV: at byte 0 stands"),
        (riff((b"data", BYTES)), "no fmt chunk before its data at byte 12"),
        (riff((b"fmt ", b"short"), (b"data", BYTES)), "fmt chunk at byte 20 has 5 bytes"),
        (riff((b"fmt ", fmt(1, 0, 2, 16)), (b"data", BYTES)), "makes no sense: 0 channels"),
        (riff((b"fmt ", fmt(1, 2, 2, 16, rate=0)), (b"data", BYTES)), "makes no sense: 2 channels.* 0 Hz"),
        (riff((b"fmt ", fmt(6, 2, 1, 8)), (b"data", BYTES)), "tag 0x0006, 8 bits"),
        (riff((b"fmt ", fmt(3, 2, 2, 16)), (b"data", BYTES)), "tag 0x0003, 16 bits"),
        (b"RIFF\0\0\0\0WAVE" + bytes(20_000), "no data in its first 1000 chunks"),
    ],
    ids=[
        "magic",
        "empty",
        "short",
        "no-wave",
        "no-fmt",
        "short-fmt",
        "no-channels",
        "no-rate",
        "a-law",
        "half-float",
        "zeros",
    ],
)
def test_what_is_no_wav_is_told(data: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        read_part(io.BytesIO(data))


WHOLE, OTHER = CASES["pcm16"], CASES["other-chunks"]
ROWS, CUT = by_scipy(WHOLE), WHOLE[:-401]
UNKNOWN = WHOLE[:40] + b"\xff\xff\xff\xff" + WHOLE[44:]
UNWRITTEN = WHOLE[:4] + bytes(4) + WHOLE[8:40] + bytes(4) + WHOLE[44:]


@pytest.fixture(params=[1 << 20, 100], ids=["at-once", "in-parts"])
def part_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "PART_BYTES", request.param)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CUT + WHOLE, rf"cut short at byte {len(CUT)}, where another one begins: .* at byte {len(WHOLE)};"),
        (WHOLE[:100] + WHOLE, r"cut short at byte 100, where another one begins"),
        (WHOLE + CUT + OTHER, rf"cut short at byte {len(WHOLE + CUT)}, where another one begins"),
        (WHOLE[:-200] + CASES["no-frames"], rf"cut short at byte {len(WHOLE) - 200}, where another"),
        (WHOLE + b"xxxx" + WHOLE, rf"At byte {len(WHOLE)}, behind the WAV, stands b'xxxxRIFF"),
        (WHOLE + b"x", rf"At byte {len(WHOLE)}, behind the WAV, stands b'x', which begins no WAV"),
        (UNWRITTEN, r"At byte 44, behind the WAV, stands"),
        (WHOLE + b"RI", rf"cut short at byte {len(WHOLE) + 2}, within its header"),
    ],
    ids=["cut", "cut-early", "cut-second", "cut-by-less", "between", "behind", "size-unwritten", "header"],
)
@pytest.mark.usefixtures("part_bytes")
def test_wav_that_does_not_end_where_it_says_is_refused(data: bytes, message: str) -> None:
    """What stands behind it is no sample of it, nor is it passed over in silence."""
    with pytest.raises(InvalidError, match=message):
        frames(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (CUT + WHOLE, [ROWS[:-101], ROWS]),
        (WHOLE[:100] + WHOLE, [ROWS[:14], ROWS]),
        (WHOLE + CUT + OTHER, [ROWS, ROWS[:-101], ROWS]),
        (WHOLE[:-200] + CASES["no-frames"], [ROWS[:-50]]),
        (CUT + CUT, [ROWS[:-101], ROWS[:-101]]),
        (WHOLE + b"xxxx" + WHOLE, [ROWS, ROWS]),
        (WHOLE + b"x", [ROWS]),
        (UNWRITTEN, [ROWS]),
        (UNWRITTEN + WHOLE, [ROWS, ROWS]),
        (UNKNOWN + WHOLE, [ROWS, ROWS]),
        (UNKNOWN + WHOLE[:7], [ROWS]),
        (CUT + WHOLE[:30], [ROWS[:-101]]),
    ],
    ids=[
        "cut",
        "cut-early",
        "cut-second",
        "cut-by-less",
        "both-cut",
        "between",
        "behind",
        "size-unwritten",
        "size-unwritten-then",
        "size-unknown-then",
        "header-cut",
        "header-cut-behind-cut",
    ],
)
@pytest.mark.usefixtures("part_bytes")
def test_each_recording_of_a_stream_is_taken_as_far_as_it_goes(
    data: bytes, expected: list[np.ndarray]
) -> None:
    for limit in (70, 1 << 20):
        assert np.array_equal(frames(data, limit, accept_cut=True), np.concatenate(expected))


def test_recording_behind_one_of_unknown_size_is_another() -> None:
    assert np.array_equal(frames(UNKNOWN + WHOLE), np.concatenate([ROWS, ROWS]))


def test_byte_that_makes_data_even_may_be_missing() -> None:
    odd = CASES["odd-data"]
    assert np.array_equal(frames(odd[:-1] + odd), np.concatenate([by_scipy(odd)] * 2))


@pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1, 1 << 40])
def test_wide_size_beyond_all_bounds_is_a_cut(size: int) -> None:
    wide = (b"ds64", struct.pack("<QQQI", size, size, 2, 0))
    data = riff(wide, (b"fmt ", fmt(1, 2, 2, 16)), (b"data", bytes(range(8))), magic=b"RF64")
    with pytest.raises(WavCutError, match=f"cut short at byte {len(data)}: its data should end at byte"):
        frames(data)
    assert len(frames(data, accept_cut=True)) == 2
