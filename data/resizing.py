"""Pictures resized and blurred."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from data.pixels import Array, Pixels


def resize(
    image: Image.Image, factor: float, resample: int = Image.Resampling.BICUBIC
) -> Image.Image:
    """Return the image `factor` times as large, antialiased, each side at least 1 px."""
    return resize_to(image, resized_size(image.size, 0, factor), resample)


def resize_to(
    image: Image.Image, size: tuple[int, int], resample: int = Image.Resampling.BICUBIC
) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def resized_size(size: tuple[int, int], longer_px: int, scale: float) -> tuple[int, int]:
    """Return the width and height that `longer_px` (0: as it is) and `scale` make of a size."""
    factor = scale * (longer_px / max(size) if longer_px else 1)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(picture: Array, size: tuple[int, int]) -> Any:
    """Return pixels, or an H × W plane of float32, resized to (width, height), antialiased."""
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def row_resizer(picture: Array, size: tuple[int, int]) -> Callable[[slice], Any]:
    """Return what gives some rows of `resized(picture, size)`, from their slice."""
    width, height = size
    wide = Image.fromarray(picture).resize((width, picture.shape[0]), Image.Resampling.BICUBIC)
    step = wide.height / height

    def rows_of(rows: slice) -> Any:
        box = (0, rows.start * step, width, min(rows.stop * step, wide.height))
        part = (width, rows.stop - rows.start)
        return np.asarray(wide.resize(part, Image.Resampling.BICUBIC, box))

    return rows_of


def resize_pixels(pixels: Pixels, longer_px: int, scale: float) -> Pixels:
    """Return pixels as `read_photo` resizes them."""
    size = pixels.shape[1], pixels.shape[0]
    wanted = resized_size(size, longer_px, scale)
    return pixels if wanted == size else resized(pixels, wanted)


def blurred(plane: Pixels, sigma_px: float) -> Pixels:
    """Return an H × W plane under a Gaussian blur."""
    return np.asarray(Image.fromarray(plane).filter(ImageFilter.GaussianBlur(sigma_px)))


def shaped(image: Image.Image, shorter_px: int, longer_px: int, square: bool) -> Pixels:
    """Return an RGB image's pixels, one side resized (0: as it is) and its centre cropped."""
    if shorter_px:
        image = resize(image, shorter_px / min(image.size))
    elif longer_px:
        image = resize(image, longer_px / max(image.size))
    if square:
        image = ImageOps.fit(image, (min(image.size),) * 2)
    return np.asarray(image)
