"""Colours that a file tells by numbers: CICP, as AVIF, HEIC and PNG have it, and PNG's gAMA, cHRM.

CICP (ITU-T H.273) names primaries and a transfer function. Films have the same numbers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

D65, DCI_WHITE, ILLUMINANT_C = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316)
BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
BT601_525 = (0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
PRIMARIES = {
    1: (D65, BT709),
    4: (ILLUMINANT_C, (0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: (D65, (0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: (D65, BT601_525),
    7: (D65, BT601_525),
    8: (ILLUMINANT_C, (0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: (D65, (0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: (DCI_WHITE, P3),
    12: (D65, P3),
    22: (D65, (0.630, 0.340, 0.295, 0.605, 0.155, 0.077)),
}
"""The white point, then red, green and blue, by their number. Source: ITU-T H.273, table 2."""
HDR_PRIMARIES = {1: "bt709", 9: "bt2020", 12: "p3"}
HDR_TRANSFERS = {16: "pq", 18: "hlg"}
AS_SRGB = 0.0
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0} | dict.fromkeys((1, 2, 6, 13, 14, 15), AS_SRGB)
"""Exponents by the transfer's number. What cameras and films use (BT.709) is shown as sRGB is, as
every viewer does, and as we do with films. Source: ITU-T H.273, table 3."""
UNSPECIFIED = 2
WRITTEN_FOR_SRGB = 0.45455
"""A gAMA chunk of this stands for sRGB's own curve (PNG, third edition, 13.13)."""
CURVE_POINTS = 4096


@dataclass(frozen=True)
class Cicp:
    """How a picture's colours are coded."""

    primaries: int
    transfer: int
    peak_nits: float = 0.0
    """Its brightest light (MaxCLL); 0 where that is not said."""

    @property
    def is_srgb(self) -> bool:
        return self.primaries in (1, UNSPECIFIED) and GAMMAS.get(self.transfer) == AS_SRGB

    @property
    def is_known(self) -> bool:
        return self.is_srgb or bool(self.hdr) or self.profile is not None

    @property
    def hdr(self) -> str:
        """`pq`, `hlg`, or nothing for what is no HDR."""
        return HDR_TRANSFERS.get(self.transfer, "") if self.primaries in HDR_PRIMARIES else ""

    @property
    def profile(self) -> bytes | None:
        """The same as an ICC profile; None for numbers that we do not know."""
        gamma = GAMMAS.get(self.transfer)
        primaries = 1 if self.primaries == UNSPECIFIED else self.primaries
        if gamma is None or primaries not in PRIMARIES:
            return None
        return rgb_profile(*PRIMARIES[primaries], gamma)


@lru_cache(maxsize=16)
def rgb_profile(white: tuple[float, ...], primaries: tuple[float, ...], gamma: float) -> bytes:
    """Return an ICC profile of these colours and this exponent, or sRGB's curve for `AS_SRGB`."""
    import imagecodecs

    curve: dict[str, Any] = {"gamma": gamma}
    if gamma == AS_SRGB:  # IEC 61966-2-1
        code = np.linspace(0, 1, CURVE_POINTS, dtype=np.float32)
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
        curve = {"transferfunction": light.astype(np.float32)}
    profile: bytes = imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, **curve)
    return profile


@cache
def adobe_rgb_profile() -> bytes:
    import imagecodecs

    profile: bytes = imagecodecs.cms_profile("adobergb")
    return profile


@lru_cache(maxsize=16)
def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile of greys with this exponent."""
    import imagecodecs

    profile: bytes = imagecodecs.cms_profile("gray", whitepoint=D65, gamma=gamma)
    return profile


def profile_of_png(info: dict[Any, Any], grey: bool) -> bytes | None:
    """Return an ICC profile of what PNG's gAMA and cHRM chunks say; None for sRGB, and for none."""
    gamma, said = float(info.get("gamma", 0)), info.get("chromaticity")
    if "srgb" in info or not (gamma or said):
        return None
    white, primaries = D65, BT709
    if isinstance(said, tuple) and len(said) == 8 and all(said[1::2]):
        white, primaries = said[:2], said[2:]
    ours = np.abs(np.subtract((*white, *primaries), (*D65, *BT709))).max() < 0.001
    exponent = 1 / gamma if gamma else AS_SRGB
    if (ours or grey) and (not gamma or abs(gamma - WRITTEN_FOR_SRGB) < 0.0005):
        return None
    return grey_profile(exponent) if grey else rgb_profile(white, primaries, exponent)


def cicp_of_png(chunks: dict[bytes, bytes]) -> Cicp | None:
    """Return what PNG's cICP and cLLI chunks say."""
    if len(chunks.get(b"cICP", b"")) != 4:
        return None
    primaries, transfer = chunks[b"cICP"][:2]
    peak = struct.unpack(">I", chunks[b"cLLI"][:4])[0] if len(chunks.get(b"cLLI", b"")) == 8 else 0
    return Cicp(primaries, transfer, peak / 10_000)


def cicp_of_boxes(boxes: list[tuple[bytes, bytes]]) -> Cicp | None:
    """Return what the properties of an AVIF's or HEIC's picture say (data/boxes.py)."""
    found: Cicp | None = None
    peak = 0
    for kind, content in boxes:
        if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 8 and found is None:
            found = Cicp(*struct.unpack(">HH", content[4:8]))
        elif kind == b"clli" and len(content) >= 2:
            (peak,) = struct.unpack(">H", content[:2])
    return found and replace(found, peak_nits=peak)
