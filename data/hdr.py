"""HDR and wide-gamut colours to what a usual screen shows: BT.709 primaries, 8 bits.

Pixels are H rows × W columns × 3. What comes in is R'G'B' as coded, uint16 of 0…65535 (or uint8,
or float of 0…1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from data.pixels import Array, Pixels

SDR_WHITE_NITS = 100.0  # cd/m², ITU-R BT.2408's older white: FFmpeg's filters take it too
HLG_PEAK_NITS = 1000.0  # the screen that ITU-R BT.2100 makes HLG for
HLG_SYSTEM_GAMMA = 1.2  # for that screen
DEFAULT_PEAK_NITS = 1000.0
LEVELS = 65536
BAND_ROWS = 64  # a band's numbers stay in the processor's cache
TO_BT709 = {
    # of linear RGB, by the primaries' and D65's chromaticities: white stays white
    "bt2020": np.array(
        [
            [1.660491, -0.587641, -0.072850],
            [-0.124550, 1.132900, -0.008349],
            [-0.018151, -0.100579, 1.118730],
        ],
        np.float32,
    ),
    "p3": np.array(
        [
            [1.224940, -0.224940, 0.000000],
            [-0.042057, 1.042057, 0.000000],
            [-0.019638, -0.078636, 1.098274],
        ],
        np.float32,
    ),
    "bt709": np.eye(3, dtype=np.float32),
}


def tone_mapped(
    pixels: Array,
    transfer: str,
    primaries: str = "bt2020",
    peak_nits: float = DEFAULT_PEAK_NITS,
    display: str = "srgb",
) -> Pixels:
    """Return an HDR picture as one for a usual screen, uint8.

    Args:
        pixels: As coded.
        transfer: `pq` (SMPTE ST 2084) or `hlg` (ARIB STD-B67).
        primaries: `bt2020`, `p3` or `bt709`.
        peak_nits: The picture's brightest light: it becomes white.
        display: The curve of the result: `srgb`, or `bt1886` (a pure gamma of 2.4: films).

    Source: John Hable's curve ("Uncharted 2", 2010) on the largest of R, G and B, the others in
    proportion, as FFmpeg's `tonemap=hable:desat=0` with 1.0 = 100 cd/m².
    Differs: HLG's system gamma is taken of R, G and B each, as FFmpeg's `zscale` takes it, where
    ITU-R BT.2100 takes it of their luma.
    """
    to_light = _light_of(transfer)
    white = max(peak_nits, SDR_WHITE_NITS) / SDR_WHITE_NITS

    def convert(band: Array) -> Array:
        light = to_light[band]
        light = light @ TO_BT709[primaries].T
        brightest = np.maximum(light.max(-1), np.float32(1e-6))
        light *= (_hable(brightest) / (_hable(white) * brightest))[..., None]
        return np.asarray(light)

    return _in_bands(_codes(pixels), convert, display)


def in_bt709(pixels: Array, primaries: str, display: str = "srgb") -> Pixels:
    """Return an SDR picture with other primaries in those of BT.709, uint8.

    `display` is the curve that both are coded by: `srgb` or `bt1886`.
    """
    to_light = _light_of(display)
    matrix = TO_BT709[primaries].T
    return _in_bands(_codes(pixels), lambda band: np.asarray(to_light[band] @ matrix), display)


def _in_bands(codes: Array, convert: Callable[[Array], Array], display: str) -> Pixels:
    to_code = _code_of_root(display)
    out = np.empty(codes.shape, np.uint8)
    for row in range(0, len(codes), BAND_ROWS):
        light = np.clip(convert(codes[row : row + BAND_ROWS]), 0, 1)
        # by the light's root, since the dark needs finer steps
        root = np.sqrt(light) * np.float32(LEVELS - 1) + np.float32(0.5)
        out[row : row + BAND_ROWS] = to_code[root.astype(np.uint16)]
    return out


def _hable(light: Array | float) -> Array:
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    return np.asarray(
        (light * (light * a + b * c) + d * e) / (light * (light * a + b) + d * f) - e / f,
        dtype=np.float32,
    )


def _codes(pixels: Array) -> Array:
    """Return code values as uint16 of 0…65535."""
    if pixels.dtype == np.uint16:
        return pixels
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    codes = np.clip(np.nan_to_num(pixels), 0, 1) * (LEVELS - 1)
    return np.asarray(np.rint(codes), dtype=np.uint16)


@cache
def _light_of(transfer: str) -> Array:
    """Return the light of each code value, 1.0 being SDR white; float32."""
    code = np.arange(LEVELS) / (LEVELS - 1)
    if transfer == "pq":  # SMPTE ST 2084
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = code ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
        light *= 10_000 / SDR_WHITE_NITS
    elif transfer == "hlg":  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        light = light**HLG_SYSTEM_GAMMA * (HLG_PEAK_NITS / SDR_WHITE_NITS)
    elif transfer == "srgb":  # IEC 61966-2-1
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    else:  # ITU-R BT.1886, black at 0
        light = code**2.4
    return np.asarray(light, dtype=np.float32)


@cache
def _code_of_root(display: str) -> Pixels:
    """Return the code value, uint8, of each root of light in 65535ths."""
    light = (np.arange(LEVELS) / (LEVELS - 1)) ** 2
    if display == "srgb":
        code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    else:
        code = light ** (1 / 2.4)
    return np.asarray(np.rint(code * 255), dtype=np.uint8)
