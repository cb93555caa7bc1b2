"""CIE L*a*b* to sRGB."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from data.pixels import Array

D50 = (0.3457, 0.3585)
D65 = (0.3127, 0.3290)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
XYZ_TO_SRGB = np.array(  # IEC 61966-2-1, with more digits
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
BAND_ROWS = 64  # a band's numbers stay in the processor's cache
WHITE = 65535


def lab_to_srgb(lab: Array, white: tuple[float, float] = D50) -> Array:
    """Return L* of 0…100, a* and b* (H × W × 3, float) as uint16 of 0…65535 in sRGB.

    `white` is the chromaticity that they are relative to: D50 in ICC profiles and Photoshop.
    Source: CIE 15:2004, 8.2.1; Bradford's adaptation as in ICC.1:2022, annex E.
    """
    matrix = _to_linear(white).T
    out = np.empty(lab.shape, np.uint16)
    for row in range(0, len(lab), BAND_ROWS):
        band = np.nan_to_num(lab[row : row + BAND_ROWS].astype(np.float64))
        fy = (band[..., 0] + 16) / 116
        root = np.stack([fy + band[..., 1] / 500, fy, fy - band[..., 2] / 200], -1)
        xyz = np.where(root > 6 / 29, root**3, (root - 4 / 29) * (3 * (6 / 29) ** 2))
        light = (xyz @ matrix).clip(0, 1)
        code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        out[row : row + BAND_ROWS] = np.rint(code.clip(0, 1) * WHITE)
    return out


@lru_cache(maxsize=8)
def _to_linear(white: tuple[float, float]) -> Array:
    """Return the matrix from XYZ in shares of the white to linear sRGB."""
    source, target = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in (white, D65))
    gain = np.diag(BRADFORD @ target / (BRADFORD @ source))
    adapted: Array = np.linalg.inv(BRADFORD) @ gain @ BRADFORD
    matrix: Array = XYZ_TO_SRGB @ adapted @ np.diag(source)
    return matrix
