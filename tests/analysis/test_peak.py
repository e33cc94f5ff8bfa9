"""The peak in pieces is the peak of numpy's transform of the whole."""

import numpy as np
import pytest

from haywain.analysis.peak import Bands, Zoom, exact_peak, fft_bytes


def by_numpy(signal: np.ndarray) -> int:
    return int(np.argmax(np.abs(np.fft.rfft(signal - signal.mean()))[1:])) + 1


def in_pieces(signal: np.ndarray, piece: int = 1 << 13) -> tuple[int, bool]:
    """Return the peak found by the two passes, and whether it is certain."""
    shift = signal[:piece].mean()
    bands = Bands(signal.size, shift)
    for start in range(0, signal.size, piece):
        one = Bands(signal.size, shift)
        one.add(signal[start : start + piece])
        one.merge(Bands.of(bands.state()))
        bands = one
    chosen = bands.strongest()
    zoom = Zoom(signal.size, bands.middles(chosen), bands.reach(), bands.exponent)
    for start in reversed(range(0, signal.size, piece)):
        part = Zoom(signal.size, bands.middles(chosen), bands.reach(), bands.exponent, start)
        part.add(signal[start : start + piece])
        zoom.lines += part.lines
    found, power = zoom.peak()
    return found, power > bands.largest_but(chosen)


def tone(count: int, cycles: float, noise: float = 0.1, seed: int = 5) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.sin(2 * np.pi * cycles * np.arange(count) / count + 1) + noise * random.standard_normal(count)


COUNTS = [16_384, 50_000, 49_999]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("part", [0.1, 0.3331, 0.5], ids=["low", "high", "half"])
def test_tone_is_found_in_pieces(count: int, part: float) -> None:
    signal = tone(count, part * count * 0.999) + 100
    assert in_pieces(signal) == (by_numpy(signal), True)
    assert exact_peak(signal) == by_numpy(signal)


@pytest.mark.parametrize("cycles", [1, 1.4, 2.5, 40, 16_383, 16_384])
def test_tone_at_an_edge_is_found(cycles: float) -> None:
    signal = tone(32_768, cycles)
    assert in_pieces(signal)[0] == by_numpy(signal)


@pytest.mark.parametrize("count", COUNTS)
def test_lines_are_those_of_the_whole_transform(count: int) -> None:
    signal = tone(count, 123.4, noise=2)
    zoom = Zoom(count, [50, count // 3, count // 2 - 50], 49)
    for start in range(0, count, 4096):
        zoom.add(signal[start : start + 4096])
    whole = np.fft.rfft(signal)
    for middle, lines in zip(zoom.middles, zoom.lines, strict=True):
        assert np.allclose(lines, whole[middle - 49 : middle + 50], rtol=0, atol=1e-9 * np.abs(whole).max())


def test_broad_bands_have_shorter_blocks() -> None:
    count, signal = 20_000, tone(20_000, 4999.9, noise=3)
    zoom = Zoom(count, [5000], 500)
    zoom.add(signal)
    whole = np.fft.rfft(signal)
    assert zoom.block < 128
    assert np.allclose(zoom.lines[0], whole[4500:5501], rtol=0, atol=1e-9 * np.abs(whole).max())


def test_weaker_of_two_tones_is_not_taken() -> None:
    signal = tone(100_000, 2000.5) * 1.02 + tone(100_000, 30_000.0, seed=6)
    assert in_pieces(signal)[0] == by_numpy(signal)


def test_noise_is_not_certain() -> None:
    assert not in_pieces(np.random.default_rng(7).standard_normal(200_000))[1]


def test_constant_has_no_peak() -> None:
    assert exact_peak(np.full(1000, 0.1)) == 0 and exact_peak(np.ones(1)) == 0
    bands = Bands(1000)
    bands.add(np.full(1000, 0.1))
    assert bands.strongest() == []


def test_parts_are_in_their_own_units() -> None:
    signal = tone(50_000, 777.7)
    signal[:8192] *= 1e-160
    signal[8192:16_384] = 0
    signal[16_384:24_576] *= 1e-3
    assert in_pieces(signal)[0] == by_numpy(signal)


def test_length_with_a_large_prime_takes_more_memory() -> None:
    assert fft_bytes(48_000 * 60) < 100 << 20 < fft_bytes(2_879_999)


@pytest.mark.parametrize("factor", [1e200, 1e306, 1e-200, 1e-320], ids=str)
def test_peak_is_that_of_the_same_signal_in_another_unit(factor: float) -> None:
    signal = tone(50_000, 1234.5)
    assert exact_peak(signal * factor) == by_numpy(signal)
    assert in_pieces(signal * factor) == (by_numpy(signal), True)
