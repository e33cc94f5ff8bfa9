"""The peak is that of numpy on the file read by scipy; the spectrogram is that of scipy's Welch."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture
from scipy.io import wavfile
from scipy.signal import welch

from haywain.activities.spectrum import Spectrum
from haywain.activity.kind import Work
from haywain.agent.turbine import recordings
from haywain.analysis.welch import Grid
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal import Portal, Site

Run = Callable[..., Any]
Stored = Callable[..., str]
Reading = Callable[[str], Document]


def peak_hz(samples: np.ndarray, rate: float) -> float:
    """Return the peak as numpy finds it."""
    lines = np.abs(np.fft.rfft(samples - samples.mean()))
    lines[0] = 0
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[lines.argmax()])


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    wavfile.write(file, rate, samples)
    return file.getvalue()


def tone(hertz: float, count: int = 60_001, rate: int = 8000) -> np.ndarray:
    noise = np.random.default_rng(12).normal(0, 200, count)
    return (10_000 * np.sin(2 * np.pi * hertz * np.arange(count) / rate) + noise + 300).astype("<i2")


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spectrum, "exact_bytes", 0)
    monkeypatch.setattr(Spectrum, "step_bytes", 1 << 13)
    monkeypatch.setattr(Spectrum, "state_times", 0)
    monkeypatch.setattr("haywain.activities.spectrum.PIECE_SAMPLES", 1 << 11)


def test_peaks_of_the_turbine_are_those_of_numpy(
    run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in recordings():
        path = stored(data, name)
        rate, frames = wavfile.read(io.BytesIO(data))
        for channel, exact_bytes in ((0, 1 << 40), (1, 0)):
            monkeypatch.setattr(Spectrum, "exact_bytes", exact_bytes)
            found = run(path, "spectrum", channel=channel)["peak_hz"]
            assert found == peak_hz(frames[:, channel], rate), (name, channel, exact_bytes)


def test_peaks_of_debians_recordings_are_those_of_numpy(run: Run, stored: Stored, sounds: list[Path]) -> None:
    for path in sounds:
        rate, frames = wavfile.read(path)
        assert run(stored(path.read_bytes(), path.name), "spectrum")["peak_hz"] == peak_hz(frames, rate)


@pytest.mark.parametrize("kill_after", [0, 1, 3])
@pytest.mark.usefixtures("in_pieces")
def test_peak_in_pieces_is_the_same_however_often_it_was_killed(
    run: Run, stored: Stored, site: Site, kill_after: int
) -> None:
    samples = tone(1234.5)
    path = stored(wav(samples))
    result = run(path, "spectrum", kill_after=kill_after)
    assert result["peak_hz"] == peak_hz(samples, 8000) and "warning" not in result
    with site.open() as portal:
        made = [
            d.path for d in portal.catalog(reference="recording spectrum") if ("source", path) in d.categories
        ]
    assert sorted(made) == sorted([result["array"], result["image"]])


def test_spectrogram_is_that_of_scipy(run: Run, stored: Stored, reading: Reading) -> None:
    samples = tone(1000)
    result = run(stored(wav(samples), "hum"), "spectrum", nperseg=512)
    array, grid = reading(result["array"]), Grid(samples.size, 8000, 512)
    assert array.shape == (grid.columns, 257) and array.reference == "hum spectrum"
    for column in (0, 1, grid.columns - 1):
        start, stop = grid.span(column)
        assert np.allclose(array[column], welch(samples[start:stop].astype(float), 8000, nperseg=512)[1])
    assert "15.625 Hz apart" in array.properties.description


def test_picture_shows_the_tone(run: Run, stored: Stored, reading: Reading) -> None:
    image = reading(run(stored(wav(tone(1000))), "spectrum", nperseg=512)["image"])
    with Picture.open(image.open()) as picture:
        grey = np.asarray(picture.convert("L")).astype(int)
    assert (image.content_type, image.width, image.height) == ("image/png", *grey.shape[::-1])
    assert grey.mean(axis=1).argmax() == 256 - 64  # 1000 Hz is line 64 from below


def test_rerun_replaces_array_and_image_together(
    run: Run, stored: Stored, site: Site, reading: Reading
) -> None:
    path = stored(wav(tone(1000)))
    first = run(path, "spectrum")
    before = reading(first["array"])[:].copy(), reading(first["image"]).read()
    site.transact(lambda portal: portal[path].replace(wav(tone(2000))))
    with site.open() as portal:
        work = Work(portal, portal[path], Spectrum.parameters())
        for _ in Spectrum().run(work):
            portal.commit()
            assert np.array_equal(reading(first["array"])[:], before[0])
            assert reading(first["image"]).read() == before[1]
        portal.commit()
    assert not np.array_equal(reading(first["array"])[:], before[0])
    assert reading(first["image"]).read() != before[1]
    second = run(path, "spectrum")
    assert (second["array"], second["image"]) == (first["array"], first["image"])


@pytest.mark.parametrize(
    "rows",
    [
        np.sin(np.arange(5000) * 0.7),
        np.stack([np.sin(np.arange(5000) * 0.7)] * 2, axis=1).astype("<f4"),
        np.array([(np.sin(n * 0.7), 0) for n in range(5000)], [("a", "<f8"), ("b", "<i2")]),
    ],
    ids=["numbers", "columns", "fields"],
)
@pytest.mark.parametrize("told", [True, False], ids=["rate-told", "rate-given"])
def test_arrays_have_spectra(run: Run, site: Site, rows: np.ndarray, told: bool) -> None:
    def store(portal: Portal) -> str:
        array = portal.new("Data Array", rate_hz=100 if told else 0)
        array.create((0, *rows.shape[1:]), rows.dtype)
        array.append(rows)
        return str(array.path)

    path = site.transact(store)[0]
    found = run(path, "spectrum", **({} if told else {"rate_hz": 100}))
    assert found["peak_hz"] == peak_hz(np.sin(np.arange(5000) * 0.7), 100)
    if not told:
        with pytest.raises(InvalidError, match="rate_hz: the array does not tell"):
            run(path, "spectrum")


@pytest.mark.parametrize("exact_bytes", [0, 1 << 40], ids=["pieces", "whole"])
def test_signal_that_does_not_change_has_its_peak_at_zero(
    run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch, exact_bytes: int
) -> None:
    monkeypatch.setattr(Spectrum, "exact_bytes", exact_bytes)
    assert run(stored(wav(np.full(5000, 7, "<i2"))), "spectrum")["peak_hz"] == 0


@pytest.mark.parametrize("exact_bytes", [0, 1 << 40], ids=["pieces", "whole"])
@pytest.mark.parametrize("step", [8000, 30_000, 1 << 20])
def test_job_finds_what_one_activity_does(
    site: Site, stored: Stored, run: Run, monkeypatch: pytest.MonkeyPatch, exact_bytes: int, step: int
) -> None:
    monkeypatch.setattr(Spectrum, "exact_bytes", exact_bytes)
    samples = np.stack([tone(1234.5), tone(333)], axis=1)
    path = stored(wav(samples))
    whole = run(path, "spectrum", channel=1)
    with site.open() as portal:
        before = portal[whole["array"]][:].copy()  # type: ignore[index]
        target: Any = portal.new("Data Array")
        job = portal.map_reduce(
            "spectrum",
            portal[path],
            target,
            step=max(step, 4 * exact_bytes // (1 << 26)),
            parameters={"channel": 1},
        )
        portal.commit()
        found = job.wait(120).result
        assert job.error is None
        assert found["peak_hz"] == whole["peak_hz"] == peak_hz(samples[:, 1], 8000)
        assert found["array"] == target.path and found["image"] == whole["image"]
        np.testing.assert_allclose(target[:], before, rtol=1e-12)
        assert target.properties.rate_hz == portal[whole["array"]].properties.rate_hz  # type: ignore[attr-defined]


@pytest.mark.usefixtures("in_pieces")
def test_noise_in_pieces_is_told_to_be_uncertain(run: Run, stored: Stored) -> None:
    noise = np.random.default_rng(13).standard_normal(100_000)
    assert "No line stands out" in run(stored(wav(noise)), "spectrum")["warning"]


@pytest.mark.usefixtures("in_pieces")
def test_stream_replaced_meanwhile_is_noticed(stored: Stored, site: Site) -> None:
    path = stored(wav(tone(1000)))
    with site.open() as portal:
        steps = Spectrum().run(Work(portal, portal[path], Spectrum.parameters()))
        next(steps)
        portal.commit()
        site.transact(lambda other: other[path].replace(wav(tone(2000))))
        portal.abort()
        with pytest.raises(InvalidError, match=r"The Data Stream .* was replaced while it was read"):
            next(steps)


HOLED = tone(1000).astype("<f4")
HOLED[4321] = np.nan


@pytest.mark.parametrize(
    ("data", "parameters", "message"),
    [
        (wav(tone(1000))[:5000], {}, "cut short at byte 5000: its data should end at byte"),
        (b"RIFF", {}, "cut short at byte 4, within its header"),
        (b"x,y\n1,2\n3,4\n", {}, "This is no WAV"),
        (b"", {}, "This is no WAV"),
        (wav(tone(1000))[:5000] + wav(tone(1000)), {}, "cut short at byte 5000, where another one begins"),
        (wav(tone(1000)), {"channel": 1}, "channel: there is no 1; there are 1, counted from 0"),
        (wav(tone(1000)[:1]), {}, "needs 2 samples at least; there are 1"),
        (wav(HOLED), {}, "Sample 4321 of channel 0 is nan"),
        (wav(tone(1000)), {"rate_hz": 8000}, "rate_hz: a WAV tells its own"),
        (wav(1e200 * tone(1000)), {}, "squares of the samples are beyond float64"),
    ],
    ids=["cut", "cut-header", "no-wav", "empty", "cut-then", "channel", "one", "nan", "rate", "large"],
)
def test_bad_input_is_told(
    run: Run, stored: Stored, data: bytes, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        run(stored(data), "spectrum", **parameters)


def test_cut_wav_is_taken_where_that_is_accepted(run: Run, stored: Stored) -> None:
    samples = tone(1000)
    found = run(stored(wav(samples)[:20_044]), "spectrum", accept_cut=True)
    assert found["peak_hz"] == peak_hz(samples[:10_000], 8000)


@pytest.mark.parametrize("kind", ["spectrum", "statistics"])
@pytest.mark.usefixtures("in_pieces")
def test_array_replaced_meanwhile_is_noticed(site: Site, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old rows and new ones make no result together; rows that are appended do no harm."""
    monkeypatch.setattr("haywain.activities.statistics.Statistics.step_bytes", 1 << 13)
    monkeypatch.setattr("haywain.activities.statistics.Statistics.state_times", 0)
    with site.open() as portal:
        array: Any = portal.new("Data Array", rate_hz=8000.0)
        array.create((60_000, 1), "<f8")
        portal.commit()
        works = site.registry.activities[kind]
        steps = works.run(Work(portal, array, works.parameters()))
        next(steps)
        array.append(np.ones((1, 1)))
        portal.commit()
        next(steps)
        array.create((60_000, 1), "<f8")
        portal.commit()
        with pytest.raises(InvalidError, match=r"The Data Array .* was replaced while it was read"):
            next(steps)


@pytest.mark.parametrize("rate_hz", [1e-320, 1e300])
def test_rate_that_makes_no_sense_is_refused(run: Run, site: Site, rate_hz: float) -> None:
    def store(portal: Portal) -> str:
        array: Any = portal.new("Data Array", rate_hz=rate_hz)
        array.create((100, 1), "<f8")
        return str(array.path)

    path = site.transact(store)[0]
    for parameters in ({}, {"rate_hz": rate_hz}):
        with pytest.raises(InvalidError, match="is not between"):
            run(path, "spectrum", **parameters)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(wav(tone(100)), ""), (b"x,y\n1,2\n", "This is no WAV"), (b"RIFF", ""), (b"", "The stream is empty")],
    ids=["wav", "csv", "cut", "empty"],
)
def test_only_a_wav_suits(site: Site, stored: Stored, data: bytes, reason: str) -> None:
    path = stored(data)
    with site.open() as portal:
        assert site.registry.activities["spectrum"].suits(portal[path]).startswith(reason)
        assert bool(site.registry.activities["spectrum"].suits(portal[path])) == bool(reason)


@pytest.mark.parametrize(
    ("shape", "dtype", "spectrum", "statistics"),
    [
        ((9, 2), "f4", "", ""),
        ((0, 2), "f4", "no rows", "no rows"),
        ((9,), "S2", "no column of real numbers", "of real numbers"),
        ((9, 2, 2), "f4", "rows of single numbers", ""),
        ((9,), [("t", "M8[s]"), ("v", "f4")], "", ""),
        ((9,), [("s", "S3"), ("t", "M8[s]")], "no column of real numbers", "the field 's' holds"),
        ((9,), [("v", "f8", 3)], "no column of real numbers", "the field 'v' holds float64 of shape (3,)"),
    ],
    ids=["table", "empty", "texts", "3-D", "records", "no numbers", "several numbers"],
)
def test_arrays_without_a_signal_do_not_suit(
    site: Site, shape: tuple[int, ...], dtype: Any, spectrum: str, statistics: str
) -> None:
    def make(portal: Any) -> list[str]:
        array = portal.new("Data Array")
        array.create(shape, dtype)
        return [site.registry.activities[name].suits(array) for name in ("spectrum", "statistics", "compact")]

    found, _ = site.transact(make)
    for reason, expected in zip(
        found, (spectrum, statistics, "no rows" if not shape[0] else ""), strict=True
    ):
        assert (expected in reason) if expected else not reason
