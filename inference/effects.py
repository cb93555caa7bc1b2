"""What is done with a painting: strength, the photo's colours, its detail, masks and blends.

Pictures are uint8, H rows × W columns × 3. What is computed of a large one is computed in bands of
rows: that takes little memory, and half the time, since a band stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from data.pixels import Array, Pixels
from data.resizing import blurred, row_resizer

Plane = npt.NDArray[np.float32]
"""H × W, 0 to 255."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
DETAIL_RADIUS_PX = 2
DETAIL_NOISE = 8.0**2
"""Variance of luma below which the small photo is too flat to tell how strong detail is."""
FLAT_GAIN = 0.7
"""How much of the photo's detail comes back there."""
MAX_GAIN = 1.2
BAND_ROWS = 32


def mixed(pictures: Sequence[Pixels], shares: Sequence[float]) -> Pixels:
    """Return the weighted mean of pictures of one size; the shares are made to add up to 1."""
    total = sum(shares)

    def mean(rows: slice) -> Array:
        values = np.zeros(pictures[0][rows].shape, np.float32)
        for picture, share in zip(pictures, shares, strict=True):
            values += picture[rows] * np.float32(share / total)
        return values

    return _in_bands(pictures[0].shape, mean)


def with_photo_colors(painting: Pixels, photo: Pixels) -> Pixels:
    """Return a painting's luma with a photo's colours.

    Adding the same to red, green and blue changes luma alone (Y of YCbCr, not Cb and Cr).
    """
    return _in_bands(
        photo.shape,
        lambda rows: (luma(painting[rows]) - luma(photo[rows]))[..., None] + photo[rows],
    )


def masked(inside: Pixels, outside: Pixels, mask: Pixels, feather_px: float) -> Pixels:
    """Return one picture where an H × W mask is 255 and the other where it is 0.

    The mask's edges are softened over about `feather_px` (Gaussian σ; 0: as they are).
    """
    mask = blurred(mask, feather_px)

    def between(rows: slice) -> Array:
        share = mask[rows, :, None] / np.float32(255)
        values: Array = inside[rows] * share + outside[rows] * (1 - share)
        return values

    return _in_bands(inside.shape, between)


def with_detail(photo: Pixels, small_photo: Pixels, small_painting: Pixels) -> Pixels:
    """Return the painting of a smaller photo at the photo's size, with the photo's detail.

    Detail is what the photo has and its enlarged small copy has not. How much of it the painting
    takes is its local contrast over the small photo's: an edge that was painted over stays so, and
    none gets a halo. Source: the gain of He, Sun and Tang's guided filter, 2013, eq. 5.
    Differs: the gain alone is used, the painting itself is kept; where the photo is too flat to
    tell, it tends to `FLAT_GAIN`.
    """
    size = photo.shape[1], photo.shape[0]
    guide, target = luma(small_photo), luma(small_painting)
    mean_guide, mean_target = _box_mean(guide), _box_mean(target)
    covariance = _box_mean(guide * target) - mean_guide * mean_target
    variance = _box_mean(guide * guide) - mean_guide**2
    gain = (covariance + FLAT_GAIN * DETAIL_NOISE) / (np.maximum(variance, 0) + DETAIL_NOISE)
    gain = np.clip(gain, 0, MAX_GAIN).astype(np.float32)
    painted, small_luma, share = (row_resizer(x, size) for x in (small_painting, guide, gain))

    def painted_with_detail(rows: slice) -> Array:
        detail = luma(photo[rows]) - np.clip(small_luma(rows), 0, 255)
        values: Array = painted(rows) + (detail * share(rows))[..., None]
        return values

    return _in_bands(photo.shape, painted_with_detail)


def luma(pixels: Pixels) -> Plane:
    """Return the luma of pixels, H × W, 0 to 255."""
    plane: Plane = pixels @ LUMA
    return plane


def _box_mean(plane: Plane) -> Plane:
    """Return the mean over the square around each pixel, borders reflected."""
    r = DETAIL_RADIUS_PX
    for axis in (0, 1):
        border = [(r + 1, r) if i == axis else (0, 0) for i in range(2)]
        sums = np.cumsum(np.pad(plane, border, mode="symmetric"), axis, dtype=np.float64)
        upper, lower = (np.take(sums, _range(sums, axis, s), axis) for s in (2 * r + 1, 0))
        plane = ((upper - lower) / (2 * r + 1)).astype(np.float32)
    return plane


def _range(sums: npt.NDArray[np.float64], axis: int, start: int) -> npt.NDArray[np.int64]:
    return np.arange(start, start + sums.shape[axis] - 2 * DETAIL_RADIUS_PX - 1)


def _in_bands(shape: tuple[int, ...], values: Callable[[slice], Array]) -> Pixels:
    """Return a picture of the values of its rows, rounded and cut off at 0 and 255."""
    picture = np.empty(shape, np.uint8)
    for top in range(0, shape[0], BAND_ROWS):
        rows = slice(top, min(top + BAND_ROWS, shape[0]))
        band = values(rows)
        picture[rows] = np.clip(np.rint(band, out=band), 0, 255, out=band)
    return picture
