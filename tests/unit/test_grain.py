"""Flat areas get grain, and all else stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from data.images import read_bytes, read_photo
from errors import UserError
from inference.grain import BAND_ROWS, FLAT_PX, with_grain
from inference.stylizer import Stylizer
from tests.conftest import PHOTOS


def test_a_photo_with_texture_everywhere_is_left_alone() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (300, 40, 3), np.uint8)
    assert with_grain(photo) is photo
    chelsea = read_photo(read_bytes(PHOTOS / "chelsea.jpg"), "").pixels
    assert with_grain(chelsea) is chelsea


def test_a_flat_area_gets_noise_and_its_surroundings_none() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (2 * BAND_ROWS, 64, 3), np.uint8)
    top, left = BAND_ROWS - 30, 10  # over the border of two bands
    photo[top : top + 60, left : left + 40] = (0, 128, 255)
    before = photo.copy()
    change = with_grain(photo, 3).astype(int) - photo
    np.testing.assert_array_equal(photo, before)
    half = FLAT_PX // 2 + 1
    inside = change[top + half : top + 60 - half, left + half : left + 40 - half]
    assert set(np.unique(inside[..., 1])) == set(range(-3, 4))
    assert (inside[..., 0] == np.maximum(inside[..., 1], 0)).all()  # black and white are the ends
    assert (inside[..., 2] == np.minimum(inside[..., 1], 0)).all()
    for rows in (inside[: 30 - half], inside[30 - half :]):
        assert 1.8 < rows[..., 1].std() < 2.2
    change[top : top + 60, left : left + 40] = 0
    assert not change.any()
    assert with_grain(photo, 0) is photo


@pytest.mark.parametrize("channel", range(3))
def test_what_varies_in_one_channel_is_not_flat(channel: int) -> None:
    photo = np.full((40, 30, 3), 90, np.uint8)
    photo[..., channel] = np.random.default_rng(0).integers(0, 256, photo.shape[:2])
    assert with_grain(photo) is photo


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_are_not_flat(axis: int) -> None:
    colours = np.arange(40, dtype=np.uint8)[:, None, None]
    photo = np.broadcast_to(colours, (40, 40, 3)).swapaxes(0, axis).copy()
    assert with_grain(photo) is photo


@pytest.mark.parametrize("top", [BAND_ROWS - 30, BAND_ROWS])
def test_the_edge_of_a_flat_area_is_not_flat_between_bands_either(top: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (2 * BAND_ROWS, 64, 3), np.uint8)
    photo[top : top + 30] = 90
    changed = (with_grain(photo) != photo)[top : top + 30]
    half = FLAT_PX // 2
    assert changed[half : -half - 1].any((1, 2)).all()
    assert not changed[:half].any()
    assert not changed[-half:].any()


def test_one_colour_has_grain_up_to_its_edges() -> None:
    photo = np.full((40, 30, 3), 90, np.uint8)
    changed = with_grain(photo) != photo
    for edge in (changed[0], changed[-1], changed[:, 0], changed[:, -1]):
        assert edge.any()


def test_the_same_photo_has_the_same_grain() -> None:
    photo = np.full((2 * BAND_ROWS + 5, 30, 3), 90, np.uint8)
    grainy = with_grain(photo)
    np.testing.assert_array_equal(with_grain(photo), grainy)
    assert (grainy[:BAND_ROWS] != grainy[BAND_ROWS : 2 * BAND_ROWS]).any()


def test_one_colour_is_painted_in_strokes_and_without_grain_in_one_colour() -> None:
    photo = np.full((96, 128, 3), (200, 90, 30), np.uint8)
    strokes = Stylizer("starry_night", "cpu", precision="fp32")(photo)
    assert strokes.std((0, 1)).min() > 20
    plain = Stylizer("starry_night", "cpu", precision="fp32", grain=0)(photo)
    assert np.ptp(plain, axis=(0, 1)).max() == 0


@pytest.mark.parametrize("grain", [-1, 65])
def test_grain_out_of_range(grain: int) -> None:
    with pytest.raises(UserError, match=f"--grain {grain}: expected 0 to 64"):
        Stylizer("starry_night", "cpu", grain=grain)
