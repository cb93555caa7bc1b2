"""Grain for flat areas: what has no texture at all, a network paints no strokes on.

Pictures are uint8, H rows × W columns × 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from data.images import Pixels

Flags = npt.NDArray[np.bool_]

FLAT_PX = 9
"""Flat is where a square of so many pixels has one colour: in no camera's photo but where it
clipped, in drawings and pages."""
GRAIN, MAX_GRAIN = 2, 64
BAND_ROWS = 256
"""So many rows are looked at together, whatever the photo's size."""


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
    """Return where the square of `FLAT_PX` px around a pixel has one colour, H × W.

    Channels stay side by side until the end: whole rows of bytes are compared at once.
    """
    height, width, channels = rows.shape
    values = np.ascontiguousarray(rows).reshape(height, -1)
    same = np.full(values.shape, True)
    same[:, :-channels] = values[:, channels:] == values[:, :-channels]
    same[:-1] &= values[1:] == values[:-1]
    half = FLAT_PX // 2
    around = np.pad(same, ((half, half), (half * channels,) * 2), constant_values=True)
    around = _all_of_next(around, FLAT_PX, 1)
    flat = _all_of_next(around.T, FLAT_PX, channels).T.reshape(height, width, channels)
    everywhere: Flags = flat[..., 0] & flat[..., 1] & flat[..., 2]
    return everywhere


def _all_of_next(flags: Flags, count: int, step: int) -> Flags:
    """Return where a flag and the next ones along the first axis, `step` apart, are set."""
    covered = 1
    while covered < count:
        further = min(covered, count - covered)
        flags = flags[: -further * step] & flags[further * step :]
        covered += further
    return flags
