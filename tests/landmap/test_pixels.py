"""Chips, padding and validity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landmap.pixels import Pixels, chip_views, extend, fill_nodata, reflect, valid_share
from landmap.tiling import Window

LENGTHS = st.integers(2, 30)


def numbered(height: int, width: int) -> Pixels:
    values = np.arange(height * width * 2, dtype=np.float32).reshape(height, width, 2)
    return Pixels(values, np.ones((height, width), bool))


@given(st.integers(2, 20), st.integers(0, 60))
def test_reflection_is_numpys(size: int, extra: int) -> None:
    assert list(reflect(0, size + extra, size)) == list(np.pad(np.arange(size), (0, extra), mode="reflect"))


def test_a_single_pixel_is_repeated() -> None:
    assert list(reflect(0, 4, 1)) == [0, 0, 0, 0]


@given(LENGTHS, LENGTHS, st.integers(0, 40), st.integers(0, 40), st.data())
def test_extending_is_numpys_padding_of_the_whole_scene(
    height: int, width: int, below: int, right: int, data: st.DataObject
) -> None:
    scene = numbered(height, width)
    padded = np.pad(scene.values, ((0, below), (0, right), (0, 0)), mode="reflect")
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    wanted = Window(row, col, height + below - row, width + right - col)
    extended = extend(scene, Window(0, 0, height, width), wanted, height, width)
    np.testing.assert_array_equal(extended.values, padded[row:, col:])
    assert extended.valid[: height - row, : width - col].all()
    assert extended.valid.sum() == (height - row) * (width - col), "what is added is not valid"


def test_filling_touches_only_pixels_without_data() -> None:
    pixels = numbered(3, 3)
    valid = pixels.valid.copy()
    valid[1, 2] = False
    filled = fill_nodata(Pixels(pixels.values, valid), np.array([0.1, 0.2], np.float32))
    np.testing.assert_array_equal(filled.values[1, 2], np.array([0.1, 0.2], np.float32))
    np.testing.assert_array_equal(filled.values[valid], pixels.values[valid])
    assert not filled.valid[1, 2]


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_chips_are_the_pixels_of_their_windows(stride: int) -> None:
    pixels = numbered(12, 20)
    chips = chip_views(pixels.values, 4, stride)
    assert chips.shape == (8 // stride + 1, 16 // stride + 1, 4, 4, 2)
    assert np.shares_memory(chips, pixels.values)
    for i in range(chips.shape[0]):
        for j in range(chips.shape[1]):
            expected = pixels.values[i * stride : i * stride + 4, j * stride : j * stride + 4]
            np.testing.assert_array_equal(chips[i, j], expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]))
def test_valid_share_counts_every_window(seed: int, stride: int) -> None:
    valid = np.random.default_rng(seed).random((12, 16)) < 0.7
    share = valid_share(valid, 4, stride)
    for i in range(share.shape[0]):
        for j in range(share.shape[1]):
            assert share[i, j] == np.float32(valid[i * stride : i * stride + 4, j * stride : j * stride + 4].mean())


def test_pixels_refuse_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="Expected values"):
        Pixels(np.zeros((3, 4, 2), np.float32), np.ones((4, 3), bool))
