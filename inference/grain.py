"""Grain for flat areas: what has no texture at all, a network paints no strokes on.

Pictures are uint8, H rows × W columns × 3.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from data.pixels import Pixels

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
        places = np.flatnonzero(flat)
        if not places.size:
            continue
        if grainy is photo:
            grainy = photo.copy()
        noise = _noise(top, flat.size, levels)[places]
        for colour in grainy[top : top + BAND_ROWS].reshape(flat.size, -1).T:
            colour[places] = np.clip(colour[places] + noise, 0, 255)
    return grainy


@lru_cache(maxsize=8)
def _noise(top: int, size: int, levels: int) -> npt.NDArray[np.int16]:
    """Return a band's noise; the next photo is often of the same size."""
    return np.random.default_rng(top).integers(-levels, levels, size, np.int16, endpoint=True)


def _flat(rows: Pixels) -> Flags:
    """Return where the square of `FLAT_PX` px around a pixel has one colour, H × W.

    Whole rows of bytes are compared at once, a pixel's three with the next one's.
    """
    height, width, channels = rows.shape
    values = np.ascontiguousarray(rows).reshape(height, -1)
    same = np.full(values.shape, True)
    np.equal(values[:, channels:], values[:, :-channels], out=same[:, :-channels])
    same[:-1] &= values[1:] == values[:-1]
    pixels = same[:, :-2] & same[:, 1:-1] & same[:, 2:]
    half = FLAT_PX // 2
    around = np.full((height + 2 * half, width + 2 * half), True)
    around[half:-half, half:-half] = pixels[:, ::channels]
    flat: Flags = _all_of_next(_all_of_next(around, FLAT_PX).T, FLAT_PX).T
    return flat


def _all_of_next(flags: Flags, count: int) -> Flags:
    """Return where `count` flags beside each other along the first axis, from one on, are set."""
    covered = 1
    while covered < count:
        further = min(covered, count - covered)
        flags = flags[:-further] & flags[further:]
        covered += further
    return flags
