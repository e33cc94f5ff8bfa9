"""Spectrum: the strongest line of a recording, and how its spectrum changes over time."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from haywain.activity.kind import Kind, NoParameters, Work
from haywain.activity.product import check_edition, edition_of, name_of, product_of
from haywain.analysis.peak import (
    EXACT_BYTES,
    Bands,
    Zoom,
    block_length,
    exact_peak,
    fft_bytes,
    segment_length,
)
from haywain.analysis.picture import draw
from haywain.analysis.signal import SignalSource, check_channel, check_rate
from haywain.analysis.wav import first_part, may_begin_wav
from haywain.analysis.welch import Grid, Spectrogram
from haywain.document import Document
from haywain.errors import InvalidError
from haywain.portal_types.data_array import DataArray
from haywain.portal_types.data_stream import DataStream
from haywain.portal_types.image import Image

_NO_WAV = "This is no WAV from byte 0 on: make an array of the stream, and compute the spectrum of that"
_UNCERTAIN = (
    "No line stands out: the peak was found in pieces, and a frequency that was not looked into"
    " may be as strong"
)


class _Parameters(NoParameters):
    channel: int = Field(0, ge=0, description="Which channel, column or field, counted from 0.")
    rate_hz: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Samples a second of an array that does not tell; 0 takes what is told.",
    )
    nperseg: int = Field(
        4096,
        title="Samples of a segment",
        ge=2,
        le=32_768,
        description="More of them tell frequencies better, time worse.",
    )
    accept_cut: bool = Field(
        False, title="Accept a cut recording", description="Take what is there of a WAV that is cut short."
    )


class Spectrum(Kind):
    """Find the peak of the whole signal, and make its spectrogram: a Data Array and an Image.

    `peak_hz` is the frequency of the largest magnitude of the full-length real Fourier transform, bin 0 (the
    mean) left out; 0 for a signal that does not change.  Where that transform takes more than 512 MiB, the
    peak is found in two passes of flat memory; how, and where that is certain, says `haywain.analysis.peak`.

    The array has a row for each of at most 1,024 stretches of time and a column for each frequency: the power
    spectral density by Welch's method (Hann window, half overlapped, one-sided), in the unit of the samples
    squared per Hz.  Run again, it replaces array and image together.

    Each pass keeps what it has summed up with every step of some 32 million samples; a kill costs that step.
    """

    name = "spectrum"
    title = "Compute the spectrum"
    portal_types = ("Data Stream", "Data Array")
    parameters = _Parameters
    exact_bytes = EXACT_BYTES
    piece_samples = 1 << 22
    step_pieces = 8

    def suits(self, document: Document) -> str:
        """Say that there is no WAV, or no column of numbers."""
        if isinstance(document, DataArray):
            return _why_not_array(document)
        if not document.size:
            return "The stream is empty"
        return "" if may_begin_wav(cast(DataStream, document).read(0, 12)) else _NO_WAV

    def run(self, work: Work) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Return the paths of array and image, and the peak in Hz; `warning` where it may be another."""
        given = cast(_Parameters, work.parameters)
        source = _source_of(work, given)
        if source.count < 2:
            raise InvalidError(f"A spectrum needs 2 samples at least; there are {source.count}")
        work.cursor.setdefault("count", source.count)  # what comes while it runs, the next run sees
        source = replace(source, count=work.cursor["count"])
        if fft_bytes(source.count) <= self.exact_bytes:
            return (yield from self._exactly(work, source, given))
        if "array" not in work.cursor:
            yield from self._first_pass(work, source, given)
        peak, is_certain = yield from self._second_pass(work, source)
        result = {
            "array": work.cursor["array"],
            "image": work.cursor["image"],
            "peak_hz": _hertz(peak, source),
        }
        return result if is_certain else result | {"warning": _UNCERTAIN}

    def _exactly(
        self, work: Work, source: SignalSource, given: _Parameters
    ) -> Generator[float, None, dict[str, Any]]:  # Any: JSON
        """Do it all at once, with the whole signal in memory."""
        spectrogram = Spectrogram(Grid(source.count, source.rate_hz, given.nperseg))
        whole = np.empty(source.count)
        for start, samples, _ in self._pieces(work, source):
            spectrogram.add(samples)
            whole[start : start + samples.size] = samples
            yield 0.9 * (start + samples.size) / source.count
        peak = exact_peak(whole)
        array, image = _keep(work, spectrogram, given)
        return {"array": array.path, "image": image.path, "peak_hz": _hertz(peak, source)}

    def _first_pass(
        self, work: Work, source: SignalSource, given: _Parameters
    ) -> Generator[float, None, None]:
        """Make the spectrogram, and find the bands that may hold the peak."""
        spectrogram = Spectrogram(Grid(source.count, source.rate_hz, given.nperseg))
        bands = Bands(source.count)
        if work.kept:
            spectrogram.restore(work.kept)
            bands.restore(work.kept)
        for start, samples, is_step in self._pieces(work, source, bands.fed):
            spectrogram.add(samples)
            bands.add(samples)
            if is_step:
                work.kept = spectrogram.state() | bands.state()
                yield 0.5 * (start + samples.size) / source.count
        array, image = _keep(work, spectrogram, given)
        chosen = bands.strongest()
        work.kept = {}
        work.cursor |= {
            "array": array.path,
            "image": image.path,
            "middles": bands.middles(chosen),
            "reach": bands.reach(),
            "others": bands.largest_but(chosen),
            "exponent": bands.exponent,
        }
        yield 0.5

    def _second_pass(self, work: Work, source: SignalSource) -> Generator[float, None, tuple[int, bool]]:
        """Return the strongest bin of the bands, and whether no other can be stronger."""
        if not work.cursor["middles"]:
            return 0, True
        zoom = Zoom(source.count, work.cursor["middles"], work.cursor["reach"], work.cursor["exponent"])
        if work.kept:
            zoom.restore(work.kept)
        for start, samples, is_step in self._pieces(work, source, zoom.fed):
            zoom.add(samples)
            if is_step:
                work.kept = zoom.state()
                yield 0.5 + 0.5 * (start + samples.size) / source.count
        peak, power = zoom.peak()
        return peak, power >= work.cursor["others"]

    def _pieces(
        self, work: Work, source: SignalSource, first: int = 0
    ) -> Iterator[tuple[int, NDArray[np.float64], bool]]:
        """Yield the samples from `first` on, in whole segments and blocks: start, piece, whether a step ends.

        A step is long enough that what is kept with it is little beside what it read.
        """
        edition = work.cursor.setdefault("edition", edition_of(work.document))
        size = max(self.piece_samples, segment_length(source.count), block_length(source.count))
        for number, start in enumerate(range(first, source.count, size), start=1):
            work.check()
            check_edition(work.document, edition)
            stop = min(start + size, source.count)
            is_step = number % self.step_pieces == 0 and stop < source.count
            yield start, source.read(start, stop), is_step


def _source_of(work: Work, given: _Parameters) -> SignalSource:
    """Return the channel asked for; raises InvalidError."""
    if isinstance(work.document, DataArray):
        return _source_of_array(work.document, given)
    stream = cast(DataStream, work.document)
    if not may_begin_wav(stream.read(0, 12)):
        raise InvalidError(_NO_WAV)
    if given.rate_hz:
        raise InvalidError("rate_hz: a WAV tells its own")
    part, _ = first_part(stream.open(), given.accept_cut)
    check_channel(given.channel, part.layout.dtype, part.layout.row_shape)
    return SignalSource(
        part.frames_until(stream.size),
        part.layout.rate_hz,
        given.channel,
        lambda start, stop: part.read(stream.open(), start, stop),
    )


def _why_not_array(array: DataArray) -> str:
    """Say why no column of an array is a signal; "" if one may be."""
    if not array.is_created or not array.shape or not len(array):
        return "The array has no rows"
    for channel in range(len(array.dtype.names or (0,))):
        try:
            check_channel(channel, array.dtype, array.shape[1:])
        except InvalidError as error:
            reason = error.detail
        else:
            return ""
    return "The array has no column of real numbers" if reason.startswith("channel: ") else reason


def _source_of_array(array: DataArray, given: _Parameters) -> SignalSource:
    if not array.shape:
        raise InvalidError("A signal needs rows; this array is a single value")
    check_channel(given.channel, array.dtype, array.shape[1:])
    told_hz = given.rate_hz or array.properties.rate_hz
    if not told_hz:
        raise InvalidError("rate_hz: the array does not tell how many rows a second it has; say it")
    return SignalSource(len(array), check_rate(told_hz), given.channel, array.read)


def _hertz(peak: int, source: SignalSource) -> float:
    """Return the frequency of a bin, to the last digit that of `numpy.fft.rfftfreq`."""
    return float(peak * (1.0 / (source.count * (1.0 / source.rate_hz))))


def _keep(work: Work, spectrogram: Spectrogram, given: _Parameters) -> tuple[DataArray, Image]:
    """Put the spectrogram into its array and its image, which are made at the first run."""
    grid, density, source = spectrogram.grid, spectrogram.density, work.document
    if not np.isfinite(density).all():
        raise InvalidError(
            "The squares of the samples are beyond float64: make an array of them in another unit"
        )
    reference = f"{name_of(source)} spectrum" + (f" {given.channel}" if given.channel else "")
    told = (
        f"Power spectral density of channel {given.channel} of {name_of(source)}, in the unit of its samples"
        f" squared per Hz: {grid.columns} stretches of {grid.count / grid.rate_hz / grid.columns:.6g} s,"
        f" {density.shape[1]} frequencies from 0 to {grid.rate_hz / 2:g} Hz,"
        f" {grid.rate_hz / grid.length:.6g} Hz apart."
    )
    purpose = f"{Spectrum.name} {given.channel}"
    made = product_of(
        work.portal,
        source,
        purpose,
        "Data Array",
        reference,
        description=f"{told} A row is a stretch of time, a column a frequency.",
        rate_hz=grid.columns * grid.rate_hz / grid.count,
    )
    array = cast(DataArray, made)
    array.create((0, density.shape[1]), density.dtype)
    array.append(density)
    picture = f"{told} Time goes right, frequency up, brighter is stronger."
    made = product_of(work.portal, source, purpose, "Image", reference, description=picture)
    image = cast(Image, made)
    image.replace(draw(density))
    return array, image
