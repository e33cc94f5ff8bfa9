"""A spectrogram as a picture: decibels in colours whose brightness grows with them.

The colours are the cubehelix of Green, "A colour scheme for the display of astronomical intensity
images", Bulletin of the Astronomical Society of India 39 (2011) 289-295: perceived brightness grows evenly
from black to white, also in grey and for people who do not see all colours.
"""

import io

import numpy as np
from numpy.typing import NDArray

RANGE_DB = 100.0
"""From the brightest to the darkest colour, at most."""

HEIGHT_MAX, WIDTH_MIN = 1024, 512


def cubehelix(start: float = 0.5, turns: float = -1.5, hue: float = 1.0) -> NDArray[np.uint8]:
    """Return 256 colours, red, green and blue, from black to white.

    >>> cubehelix()[[0, 255]].tolist()
    [[0, 0, 0], [255, 255, 255]]
    """
    level = np.linspace(0, 1, 256)
    angle = 2 * np.pi * (start / 3 + 1 + turns * level)
    strength = hue * level * (1 - level) / 2
    mixed = np.array([[-0.14861, 1.78277], [-0.29227, -0.90649], [1.97294, 0.0]]) @ [
        np.cos(angle),
        np.sin(angle),
    ]
    colours: NDArray[np.uint8] = np.rint(255 * np.clip(level + strength * mixed, 0, 1)).astype(np.uint8)
    return colours.T


def decibels(density: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Return 10 log10 of a density, and the least and the most of it that a picture shows."""
    positive = density[density > 0]
    if not positive.size:
        return np.zeros_like(density), 0.0, 1.0
    found = 10 * np.log10(np.maximum(density, positive.min()))
    high = float(found.max())
    low = max(float(np.percentile(found, 1)), high - RANGE_DB)
    return found, min(low, high - 1), high


def draw(density: NDArray[np.float64]) -> bytes:
    """Return a PNG of a density of shape (times, frequencies): time to the right, frequency up.

    Rows are thinned by their maximum, so that no line is lost, and few columns are made broader.
    """
    from PIL import Image

    levels, low, high = decibels(density)
    step = -(-levels.shape[1] // HEIGHT_MAX)
    levels = np.maximum.reduceat(levels, np.arange(0, levels.shape[1], step), axis=1)
    levels = np.repeat(levels, -(-WIDTH_MIN // max(len(levels), 1)) if len(levels) < WIDTH_MIN else 1, axis=0)
    pixels = np.rint(255 * np.clip((levels - low) / (high - low), 0, 1)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels.T[::-1]))
    image.putpalette(cubehelix().tobytes())
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()
