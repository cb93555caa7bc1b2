"""Grain for flat areas: what has no texture at all, a network paints no strokes on.

Pictures are uint8, H rows × W columns × 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from data.images import Pixels

FLAT_PX = 9
"""Flat is what has one colour for so many pixels up, down, left and right: no camera's photo,
but what it clipped, a drawing or a page."""
GRAIN, MAX_GRAIN = 2, 64
BAND_ROWS = 256
"""So many rows are looked at together, whatever the photo's size."""

Flags = npt.NDArray[np.bool_]


def with_grain(photo: Pixels, levels: int = GRAIN) -> Pixels:
    """Return the photo with up to so many of 255 levels more or less where it is flat.

    The same noise at the same place each time. A photo without flat areas is returned itself.
    """
    grainy = photo
    for top in range(0, photo.shape[0] if levels else 0, BAND_ROWS):
        first = max(0, top - FLAT_PX)
        flat = _flat(photo[first : top + BAND_ROWS + FLAT_PX])[top - first :][:BAND_ROWS]
        if not flat.any():
            continue
        if grainy is photo:
            grainy = photo.copy()
        noise = np.random.default_rng(top).integers(
            -levels, levels, flat.shape, np.int16, endpoint=True
        )
        noise *= flat
        band = grainy[top : top + BAND_ROWS]
        band[:] = np.clip(band + noise[..., None], 0, 255)
    return grainy


def _flat(rows: Pixels) -> Flags:
    """Return where the square of `FLAT_PX` px around a pixel has one colour, H × W."""
    flat = np.ones(rows.shape[:2], np.bool_)
    for channel in range(3):
        plane = rows[..., channel]
        flat[:, :-1] &= plane[:, :-1] == plane[:, 1:]
        flat[:-1] &= plane[:-1] == plane[1:]
    around: Flags = _all_around(_all_around(flat).T).T
    return around


def _all_around(flags: Flags) -> Flags:
    """Return where all flags of `FLAT_PX` rows, half of them above, are set; none is outside."""
    half = FLAT_PX // 2
    padded = np.pad(flags, ((half, half), (0, 0)), constant_values=True)
    reach = 1
    while reach < FLAT_PX:  # each pass doubles how far down a flag has looked
        step = min(reach, FLAT_PX - reach)
        padded = padded[:-step] & padded[step:]
        reach += step
    return padded
