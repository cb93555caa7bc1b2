"""Values of more than 8 bits, or of other kinds than 0…255, before they become a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from data.pixels import Array

WHITE = 65535
WHITES = (255, WHITE)
"""A file whose values say no white of their own is taken for one that ends at the next of these."""
OWN_WHITE_BITS = 32
"""Integers of so many bits are often smaller numbers in a larger type; those of fewer are not."""


@dataclass(frozen=True)
class Samples:
    """A picture's values, all of 0…65535, and what they stand for."""

    values: Array
    """H × W × channels, uint16."""
    space: str
    """GRAY, RGB or CMYK."""
    alpha: Array | None = None
    """H × W, uint16, or None for none."""
    notices: tuple[str, ...] = ()


def scaled_values(
    values: Array, bits: int = 0, said_white: int = 0
) -> tuple[Array, tuple[str, ...]]:
    """Return values of any type as uint16 of 0…65535, and what was lost or guessed.

    Integers go from 0 to the end of their `bits` (0: of their type), or to `said_white`, if the
    file says so with a number that ends a range of bits. Of 32 bits and more they go to 255 or
    65535 if none is larger. Negative values are black. Floats: see `_scaled_floats`.
    """
    if values.dtype == bool:
        return values.astype(np.uint16) * WHITE, ()
    if values.dtype.kind == "f":
        return _scaled_floats(values)
    white = 2**bits - 1 if bits else int(np.iinfo(values.dtype).max)
    notices: tuple[str, ...] = ()
    if values.dtype.kind == "i":
        white = int(np.iinfo(values.dtype).max)
        if negative := int((values < 0).sum()):
            notices = (f"{negative:,} of its values are negative: they are taken as black",)
            values = np.maximum(values, 0)
    largest = int(values.max(initial=0))
    if largest <= said_white < white and said_white > 255 and not said_white & (said_white + 1):
        white = said_white
    elif white >= 2 ** (OWN_WHITE_BITS - 1) - 1:
        white = next((end for end in WHITES if largest <= end), white)
    if white == WHITE:
        return values.astype(np.uint16), notices
    if WHITE % white == 0:  # 1, 2, 4 and 8 bits
        return values.astype(np.uint16) * np.uint16(WHITE // white), notices
    return np.rint(values * (WHITE / white)).clip(0, WHITE).astype(np.uint16), notices


def _scaled_floats(values: Array) -> tuple[Array, tuple[str, ...]]:
    """Return floats as uint16 of 0…65535, and what was lost or guessed.

    White is 1 if more values lie in (0, 1] than above it, else 255, 65535 or, where there are
    larger ones, the largest. What is outside is cut; NaN is black, infinity the nearest end.
    """
    finite = np.isfinite(values)
    strange, notices = values.size - int(finite.sum()), []
    above = int(((values > 1) & finite).sum())
    white = 1.0
    if above > int(((values > 0) & (values <= 1)).sum()):
        largest = float(values.max(where=finite, initial=0))
        white = next((end for end in WHITES if largest <= end), largest)
        notices.append(f"its float values are taken as 0 to {white:g}")
    if strange:
        notices.append(f"{strange:,} of its values are no numbers: they are taken as the nearest")
    outside = int((((values < 0) | (values > white)) & finite).sum())
    if outside:
        notices.append(f"{outside:,} of its values lie outside 0 to {white:g}: they are cut")
    wide: Array = values.astype(np.float64 if values.itemsize > 4 else np.float32)
    share = np.nan_to_num(wide / white)
    return np.rint(share.clip(0, 1) * WHITE).astype(np.uint16), tuple(notices)


def unmultiplied(values: Array, alpha: Array) -> Array:
    """Return colours that were stored multiplied by their alpha (H × W × channels, H × W)."""
    share = np.maximum(alpha, 1)[..., None].astype(np.float32) / WHITE
    return np.rint(values / share).clip(0, WHITE).astype(np.uint16)


def samples_of(image: Image.Image) -> Samples:
    """Return what a PIL image of 16 or 32 bits a value holds: modes I, I;16 and F."""
    values, notices = scaled_values(np.asarray(image))
    return Samples(values[..., None], "GRAY", None, notices)


def with_alpha(values: Array) -> Samples:
    """Return 1 or 3 channels of uint16, and one more for the alpha if there is one, as samples."""
    values = values.reshape(*values.shape[:2], -1)
    channels = 1 if values.shape[2] < 3 else 3
    alpha = values[..., channels] if values.shape[2] > channels else None
    return Samples(values[..., :channels], "GRAY" if channels == 1 else "RGB", alpha)
