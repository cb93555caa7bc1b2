"""HDR and wide-gamut colours against FFmpeg 5.1's zscale and tonemap, which gave the values here.

zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0:peak=P,zscale=t=bt709
(bt709 of zscale is BT.1886's 2.4), from gbrp16le of BT.2020.
"""

from __future__ import annotations

import numpy as np
import pytest

from data.hdr import in_bt709, tone_mapped

COLOURS = np.array(
    [
        [0.0, 0.0, 0.0],
        [0.25, 0.25, 0.25],
        [0.5, 0.5, 0.5],
        [0.75, 0.75, 0.75],
        [1.0, 1.0, 1.0],
        [0.75, 0.3, 0.2],
        [0.2, 0.6, 0.3],
        [0.3, 0.35, 0.9],
    ]
)[None]
GREYS = (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("transfer", "peak_nits", "greys", "colours"),
    [
        ("hlg", 1000, (0, 65, 124, 193, 255), [[215, 0, 20], [0, 155, 55], [0, 56, 238]]),
        ("pq", 1000, (0, 50, 153, 255, 255), [[255, 0, 0], [0, 208, 0], [0, 0, 255]]),
        ("pq", 4000, (0, 46, 141, 234, 255), [[244, 0, 0], [0, 191, 0], [0, 0, 255]]),
    ],
)
def test_hdr_is_tone_mapped_as_ffmpeg_does(
    transfer: str, peak_nits: float, greys: tuple[int, ...], colours: list[list[int]]
) -> None:
    expected = [*([grey] * 3 for grey in greys), *colours]
    for pixels in (COLOURS, np.rint(COLOURS * 65535).astype(np.uint16)):
        found = tone_mapped(pixels, transfer, peak_nits=peak_nits, display="bt1886")
        assert found.dtype == np.uint8
        np.testing.assert_allclose(found[0].astype(int), expected, atol=1)


@pytest.mark.parametrize(
    ("primaries", "display", "colours"),
    [
        ("bt2020", "bt1886", [[232, 9, 36], [0, 161, 61], [0, 88, 239]]),
        ("bt2020", "srgb", [[234, 36, 39], [0, 161, 63], [16, 88, 240]]),
        ("p3", "bt1886", [[206, 64, 36], [0, 155, 65], [73, 90, 238]]),
        ("p3", "srgb", [[207, 66, 39], [0, 156, 66], [73, 90, 238]]),
    ],
)
def test_a_wide_gamut_becomes_bt709(primaries: str, display: str, colours: list[list[int]]) -> None:
    found = in_bt709(COLOURS, primaries, display)[0].astype(int)
    np.testing.assert_allclose(found[:5], np.rint(COLOURS[0, :5] * 255), atol=1)
    np.testing.assert_allclose(found[5:], colours, atol=1)


def test_the_curve_of_the_display_is_the_only_difference() -> None:
    """A light of L is 255 L^(1/2.4) by BT.1886, and 255 (1.055 L^(1/2.4) - 0.055) by sRGB."""
    pixels = np.full((70, 3, 3), 0.5)  # more rows than a band
    bt1886 = tone_mapped(pixels, "hlg", display="bt1886")
    srgb = tone_mapped(pixels, "hlg")
    assert np.all(bt1886 == 124)
    assert np.all(srgb == round(255 * (1.055 * 124 / 255 - 0.055)))


def test_values_that_are_no_numbers_are_black_or_white() -> None:
    pixels = np.array([[[np.nan, np.nan, np.nan], [np.inf, np.inf, np.inf], [-1.0, -1, -1]]])
    assert tone_mapped(pixels, "pq").tolist() == [[[0] * 3, [255] * 3, [0] * 3]]
