"""Vibration of a turbine whose bearing fails, as WAV files: the demo's recordings.

A wind turbine's high-speed shaft turns at a constant 1800 rpm.  Two accelerometers, one radial and one
axial, hear the shaft, the gear mesh and noise; and, from file to file louder, a spall on the outer race of
one bearing.  Everything is acceleration in g until `encode` turns it into 16-bit frames.

The model follows Randall and Antoni, "Rolling element bearing diagnostics - a tutorial", Mechanical Systems
and Signal Processing 25 (2011) 485-520, doi:10.1016/j.ymssp.2010.07.017.  `docs/turbine-model.md` explains
it, with the other sources and a table of what the files show.
"""

import io
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, cos, radians, tau

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

Signal = NDArray[np.float64]
"""Acceleration in g, one value a sample, unless a function says otherwise."""

RATE_HZ = 48_000
DURATION_S = 20
FRAME_COUNT = RATE_HZ * DURATION_S
FULL_SCALE_G = 20.0
"""The acceleration that fills 16 bits; it is the same for all files, so that they can be compared."""

SHAFT_HZ = 30.0
FRAMES_PER_TURN = round(RATE_HZ / SHAFT_HZ)
PINION_TEETH = 22
SLIP = 0.015
"""Standard deviation of the time between two impacts, as a part of that time."""

IMPACT_SPREAD = 0.1
"""Standard deviation of an impact's strength, as a part of that strength."""

SPALL_DEG, SWING_DEG = 15.0, 25.0
"""The spall's mean angle from the load, and how far unbalance swings the load to either side."""

LOAD_FACTOR = 0.45
"""Stribeck's e: a bearing with some clearance has less than 0.5."""

SEVERITIES = (0.0, 0.15, 0.3, 0.5, 0.75, 1.0)
"""How far the fault has grown in `turbine-1.wav` to `turbine-6.wav`: 0 is sound, 1 is due for repair."""

SEED = 1800
"""Start of all randomness; the file's number is added to it as a second word."""


@dataclass(frozen=True)
class Bearing:
    """The geometry of a rolling element bearing that sets its fault frequencies."""

    ball_count: int
    ball_diameter_mm: float
    pitch_diameter_mm: float
    contact_angle_deg: float = 0.0


@dataclass(frozen=True)
class Mode:
    """One resonance of the structure between the bearing and an accelerometer."""

    frequency_hz: float
    damping_ratio: float
    gain_g: float


@dataclass(frozen=True)
class Accelerometer:
    """What one channel hears: amplitudes in g of each part at full load.

    `shaft_g[k]` belongs to the harmonic k + 1 of the shaft, `mesh_g[k]` to that of the gear mesh.
    """

    shaft_g: tuple[float, ...]
    mesh_g: tuple[float, ...]
    mesh_modulation: float
    noise_g: float
    modes: tuple[Mode, ...]


BEARING = Bearing(ball_count=9, ball_diameter_mm=50.8, pitch_diameter_mm=235.0)
RADIAL = Accelerometer(
    shaft_g=(0.50, 0.20, 0.08),
    mesh_g=(0.60, 0.25, 0.10),
    mesh_modulation=0.30,
    noise_g=0.35,
    modes=(Mode(3400.0, 0.040, 10.0), Mode(7900.0, 0.030, 4.0)),
)
AXIAL = Accelerometer(
    shaft_g=(0.15, 0.25, 0.05),
    mesh_g=(0.80, 0.30, 0.15),
    mesh_modulation=0.20,
    noise_g=0.30,
    modes=(Mode(2600.0, 0.050, 4.0), Mode(6100.0, 0.035, 3.0)),
)
CHANNELS = (RADIAL, AXIAL)


def ball_pass_frequency_outer_hz(bearing: Bearing, shaft_hz: float) -> float:
    """Return how many balls a second roll over one point of the standing outer race.

    n f / 2 * (1 - d/D * cos(angle)), with n balls of diameter d on a pitch circle of diameter D and the shaft
    turning f times a second (Randall and Antoni 2011).

    >>> round(ball_pass_frequency_outer_hz(BEARING, SHAFT_HZ), 3)
    105.817
    """
    ratio = bearing.ball_diameter_mm / bearing.pitch_diameter_mm * cos(radians(bearing.contact_angle_deg))
    return bearing.ball_count * shaft_hz / 2 * (1 - ratio)


def rotate(accelerometer: Accelerometer) -> Signal:
    """Return what is locked to the shaft, in g: its harmonics, and the gear mesh with side bands.

    The pinion's load varies over a turn, so that the mesh at teeth * shaft_hz is modulated in amplitude
    and has side bands one shaft_hz apart (Randall 1982).  One turn is computed and then repeated.
    """
    angle = tau * np.arange(FRAMES_PER_TURN) / FRAMES_PER_TURN
    turn = np.zeros(FRAMES_PER_TURN)
    for order, amplitude in enumerate(accelerometer.shaft_g, start=1):
        turn += amplitude * np.cos(order * angle + order)
    load = 1 + accelerometer.mesh_modulation * np.cos(angle)
    for order, amplitude in enumerate(accelerometer.mesh_g, start=1):
        turn += amplitude * load * np.cos(order * PINION_TEETH * angle + order)
    return np.resize(turn, FRAME_COUNT)


def impact_times_s(random: Generator) -> Signal:
    """Return when balls hit the spall, in seconds, increasing, within the recording.

    Balls slip: each interval strays by itself, so that errors add up and the train is never again in
    step with a clock (Antoni and Randall 2003).
    """
    mean_s = 1 / ball_pass_frequency_outer_hz(BEARING, SHAFT_HZ)
    count = ceil(DURATION_S / mean_s * 1.05)
    times = np.cumsum(mean_s * (1 + SLIP * random.standard_normal(count)))
    return times[times < DURATION_S]


def load_zone(times_s: Signal) -> Signal:
    """Return the load on the spall at each time, as a part of the largest load, 0 to 1.

    Stribeck's distribution for balls, (1 - (1 - cos a) / 2e) ** 1.5, as in McFadden and Smith (1984); a is
    the angle from the load to the spall.  Unbalance swings the load, and so a, once a turn.
    """
    angle = radians(SPALL_DEG) + radians(SWING_DEG) * np.cos(tau * SHAFT_HZ * times_s)
    return np.maximum(1 - (1 - np.cos(angle)) / (2 * LOAD_FACTOR), 0.0) ** 1.5


def ring(times_s: Signal, strengths: Signal, mode: Mode) -> Signal:
    """Return one resonance, in g, struck at `times_s` with `strengths`: decaying sines, added up.

    Struck at t0, it rings with exp(p (t - t0)), where p = 2 pi f (-z + i sqrt(1 - z**2)).  That splits into
    a factor of the impact and one of the sample, so a product replaces millions of exponentials, and
    impacts need not fall on samples.  A ring is cut off below 1/1000.
    """
    damping = mode.damping_ratio
    pole = tau * mode.frequency_hz * complex(-damping, (1 - damping**2) ** 0.5)
    length = ceil(np.log(1000) / -pole.real * RATE_HZ)
    first = np.ceil(times_s * RATE_HZ).astype(np.int64)
    factors = mode.gain_g * strengths * np.exp(pole * (first / RATE_HZ - times_s))
    steps = np.arange(length)
    rings = np.outer(factors, np.exp(pole * steps / RATE_HZ)).imag
    total = np.zeros(FRAME_COUNT + length + 1)
    np.add.at(total, np.add.outer(first, steps), rings)
    return total[:FRAME_COUNT]


def vibrate(severity: float, random: Generator) -> Signal:
    """Return the whole vibration in g: float64 of shape (FRAME_COUNT, 2), radial and axial.

    Both accelerometers hear the same impacts, each through its own resonances; noise is their own.
    """
    times = impact_times_s(random)
    spread = 1 + IMPACT_SPREAD * random.standard_normal(times.size)
    strengths = severity * load_zone(times) * spread
    frames = np.empty((FRAME_COUNT, len(CHANNELS)))
    for channel, accelerometer in enumerate(CHANNELS):
        frames[:, channel] = accelerometer.noise_g * random.standard_normal(FRAME_COUNT)
        frames[:, channel] += rotate(accelerometer)
        for mode in accelerometer.modes:
            frames[:, channel] += ring(times, strengths, mode)
    return frames


def encode(frames: Signal) -> bytes:
    """Return a complete WAV file of frames in g: 16-bit little-endian, FULL_SCALE_G clips."""
    scaled = np.clip(np.rint(frames * (32767 / FULL_SCALE_G)), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as recorder:
        recorder.setnchannels(frames.shape[1])
        recorder.setsampwidth(scaled.itemsize)
        recorder.setframerate(RATE_HZ)
        recorder.writeframes(scaled.tobytes())
    return file.getvalue()


def recording(number: int) -> bytes:
    """Return the WAV file number 1 to 6, the same bytes each time.

    Raises IndexError for another number.
    """
    if not 1 <= number <= len(SEVERITIES):
        raise IndexError(f"There are recordings 1 to {len(SEVERITIES)}, no {number}")
    return encode(vibrate(SEVERITIES[number - 1], default_rng([SEED, number])))


def recordings() -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each WAV file, `turbine-1.wav` to `turbine-6.wav`."""
    for number in range(1, len(SEVERITIES) + 1):
        yield f"turbine-{number}.wav", recording(number)
