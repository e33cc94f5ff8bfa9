"""The turbine's recordings, judged by scipy."""

import io
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import signal, stats
from scipy.io import wavfile

from haywain.agent import turbine
from haywain.agent.turbine import Bearing, Mode, ball_pass_frequency_outer_hz

PAGE = Path(__file__).parents[2] / "docs" / "turbine-model.md"
BPFO_HZ = ball_pass_frequency_outer_hz(turbine.BEARING, turbine.SHAFT_HZ)


@pytest.fixture(scope="module")
def files():
    return dict(turbine.recordings())


@pytest.fixture(scope="module")
def radials(files):
    return [wavfile.read(io.BytesIO(content))[1][:, 0].astype(float) for content in files.values()]


@pytest.fixture(scope="module")
def envelope_spectra(radials):
    """The spectrum of each file's envelope in the band of the resonances; bins are 1 / 20 Hz apart."""
    band = signal.butter(4, (2000, 9500), "bandpass", fs=turbine.RATE_HZ, output="sos")
    envelopes = [np.abs(signal.hilbert(signal.sosfilt(band, radial))) for radial in radials]
    return [np.abs(np.fft.rfft(envelope - envelope.mean())) / envelope.size for envelope in envelopes]


def is_growing(values):
    return all(a < b for a, b in pairwise(values))


def near(hz, width_hz):
    return slice(round((hz - width_hz) * turbine.DURATION_S), round((hz + width_hz) * turbine.DURATION_S))


def test_outer_race_frequency_is_that_published_for_a_known_bearing():
    # SKF 6205-2RS JEM in inches, as the Case Western Reserve University Bearing Data Center gives it
    drive_end = Bearing(ball_count=9, ball_diameter_mm=0.3126 * 25.4, pitch_diameter_mm=1.537 * 25.4)
    assert ball_pass_frequency_outer_hz(drive_end, 1.0) == pytest.approx(3.5848, abs=5e-5)


def test_contact_angle_brings_outer_race_frequency_nearer_to_half_the_balls():
    assert ball_pass_frequency_outer_hz(Bearing(10, 20.0, 100.0, 60.0), 2.0) == pytest.approx(9.0)


def test_recordings_are_six_wav_files_of_20_s_in_stereo(files):
    assert list(files) == [f"turbine-{number}.wav" for number in range(1, 7)]
    for content in files.values():
        rate_hz, frames = wavfile.read(io.BytesIO(content))
        assert (rate_hz, frames.shape, frames.dtype) == (48_000, (960_000, 2), np.dtype("<i2"))
        assert np.abs(frames).max() < 32767, "clipped"


def test_recordings_differ_from_each_other(files):
    assert len(set(files.values())) == 6


def test_recording_is_the_same_each_time(files):
    assert turbine.recording(3) == files["turbine-3.wav"]


@pytest.mark.parametrize("number", [0, 7], ids=["before-first", "after-last"])
def test_recording_of_another_number_is_refused(number):
    with pytest.raises(IndexError, match="recordings 1 to 6"):
        turbine.recording(number)


def test_severity_grows_from_sound_to_due_for_repair():
    assert turbine.SEVERITIES[0] == 0
    assert turbine.SEVERITIES[-1] == 1
    assert is_growing(turbine.SEVERITIES)


def test_fault_makes_rms_grow_from_file_to_file(radials):
    assert is_growing([np.sqrt(np.mean(radial**2)) for radial in radials])


def test_fault_makes_kurtosis_grow_from_file_to_file(radials):
    kurtosis = [stats.kurtosis(radial, fisher=False) for radial in radials]
    assert is_growing(kurtosis)
    assert kurtosis[0] < 3.5
    assert kurtosis[-1] > 10


def test_envelope_line_at_outer_race_frequency_grows_from_file_to_file(envelope_spectra):
    lines = [spectrum[near(BPFO_HZ, 1)].max() for spectrum in envelope_spectra]
    assert is_growing(lines)
    assert lines[-1] > 100 * lines[0]


def test_outer_race_frequency_is_the_highest_envelope_line_of_each_faulty_file(envelope_spectra):
    for spectrum in envelope_spectra[1:]:
        start = 10 * turbine.DURATION_S
        highest_hz = (start + spectrum[start : 400 * turbine.DURATION_S].argmax()) / turbine.DURATION_S
        assert highest_hz == pytest.approx(BPFO_HZ, rel=0.005)


def test_sound_bearing_shows_no_line_at_outer_race_frequency(envelope_spectra):
    spectrum = envelope_spectra[0]
    assert spectrum[near(BPFO_HZ, 1)].max() < 5 * np.median(spectrum[near(BPFO_HZ, 10)])


def test_gear_mesh_has_side_bands_one_turn_apart(radials):
    spectrum = np.abs(np.fft.rfft(radials[0])) / radials[0].size
    mesh_hz = turbine.PINION_TEETH * turbine.SHAFT_HZ
    floor = np.median(spectrum[near(mesh_hz, 100)])
    for hz in (mesh_hz - turbine.SHAFT_HZ, mesh_hz, mesh_hz + turbine.SHAFT_HZ):
        assert spectrum[round(hz * turbine.DURATION_S)] > 20 * floor


def test_impacts_come_at_outer_race_frequency_and_slip():
    intervals = np.diff(turbine.impact_times_s(default_rng(1)))
    assert 1 / intervals.mean() == pytest.approx(BPFO_HZ, rel=0.002)
    assert 0.01 < intervals.std() / intervals.mean() < 0.02


def test_load_zone_is_a_part_of_the_largest_load():
    loads = turbine.load_zone(np.linspace(0, 1 / turbine.SHAFT_HZ, 100))
    assert loads.min() > 0
    assert loads.max() == pytest.approx(1, abs=0.01)
    assert loads.max() - loads.min() > 0.2


def test_ring_is_a_decaying_sine_from_the_impact_on():
    mode = Mode(frequency_hz=1000.0, damping_ratio=0.05, gain_g=2.0)
    impact_s = 0.50001  # between two samples
    rung = turbine.ring(np.array([impact_s]), np.array([0.5]), mode)
    after_s = np.arange(turbine.FRAME_COUNT) / turbine.RATE_HZ - impact_s
    damped_hz = 1000.0 * np.sqrt(1 - 0.05**2)
    expected = np.exp(-2 * np.pi * 50.0 * after_s.clip(0)) * np.sin(2 * np.pi * damped_hz * after_s)
    np.testing.assert_allclose(rung, np.where(after_s >= 0, expected, 0), atol=0.0011)


def rows(text):
    return [
        [float(value) for value in row]
        for row in re.findall(r"\| `turbine-\d\.wav` " + r"\| ([\d.]+) " * 5, text)
    ]


def test_page_shows_what_its_command_prints():
    page = PAGE.read_text()
    (program,) = re.findall(r"<<'END'\n(.*?)^END$", page, re.DOTALL | re.MULTILINE)
    run = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert len(rows(page)) == 6
    np.testing.assert_allclose(rows(run.stdout), rows(page), rtol=0.02)
