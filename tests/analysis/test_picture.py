"""The picture shows what the density holds, and every colour is brighter than the last."""

import io

import numpy as np
import pytest
from PIL import Image

from haywain.analysis.picture import cubehelix, draw


def pixels(density: np.ndarray) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(draw(density))).convert("L")).astype(int)


def test_brightness_grows_with_the_level() -> None:
    luma = cubehelix() @ [0.299, 0.587, 0.114]
    assert np.all(np.diff(luma) > -1) and np.all(np.diff(luma[::8]) > 0)


def test_time_goes_right_and_frequency_up() -> None:
    density = np.full((600, 100), 1e-6)
    density[500, 90] = 1.0
    found = pixels(density)
    assert found.shape == (100, 600)
    assert np.unravel_index(found.argmax(), found.shape) == (9, 500)


def test_single_line_is_not_lost_in_a_thinned_picture() -> None:
    density = np.full((520, 4097), 1e-6)
    density[:, 1001] = 1.0
    found = pixels(density)
    assert found.shape[0] <= 1024 and (found == 255).any(axis=0).all()


@pytest.mark.parametrize("density", [np.zeros((1, 5)), np.ones((3, 1))], ids=["silence", "even"])
def test_picture_of_little_is_one(density: np.ndarray) -> None:
    assert pixels(density).shape[1] >= 512
