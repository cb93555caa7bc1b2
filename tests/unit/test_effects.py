"""Strength, colours, strokes, masks and blends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.images import read_bytes, read_photo
from data.pixels import Pixels
from data.resizing import resized
from data.sheets import picture_sheet
from errors import UserError
from inference.effects import luma, masked, mixed, with_detail, with_photo_colors
from inference.painter import Look, Painter, parse_blend
from tests.conftest import PHOTOS


@pytest.fixture
def photo() -> Pixels:
    return read_photo(read_bytes(PHOTOS / "coffee.jpg"), "").pixels


def inverted(pixels: Pixels) -> Pixels:
    return 255 - pixels


def painter(**look: object) -> Painter:
    styles = {"negative": inverted, "black": lambda p: p * 0, "same": lambda p: p}
    return Painter(Look(**{"style": "negative", **look}), styles.__getitem__)


def test_strength(photo: Pixels) -> None:
    np.testing.assert_array_equal(painter(strength=1.0)(photo), inverted(photo))
    np.testing.assert_array_equal(painter(strength=0.0)(photo), photo)
    half = painter(strength=0.5)(photo)
    assert np.abs(half.astype(int) - 127.5).max() <= 0.5


def test_blends(photo: Pixels, tmp_path: Path) -> None:
    blended = painter(style="negative:3,black:1")(photo)
    np.testing.assert_allclose(blended, inverted(photo) * 0.75, atol=0.51)
    assert parse_blend("a:0.6,b:0.4") == [("a", 0.6), ("b", 0.4)]
    assert parse_blend("C:\\x.safetensors") == [("C:\\x.safetensors", 1.0)]
    odd = tmp_path / "a,b:2.safetensors"
    odd.touch()
    assert parse_blend(str(odd)) == [(str(odd), 1.0)]
    for text in ("a:0,b", "a:-1", "a:nan", "a,,b", ":1"):
        with pytest.raises(UserError, match="no share; expected a name, or a blend like"):
            parse_blend(text)


def test_photo_colors_keep_chroma_and_take_the_paintings_luma() -> None:
    random = np.random.default_rng(0)
    photo, painting = (random.integers(90, 160, (8, 9, 3), np.uint8) for _ in range(2))
    kept = with_photo_colors(painting, photo).astype(float)
    np.testing.assert_allclose(kept @ [0.299, 0.587, 0.114], luma(painting), atol=0.6)
    np.testing.assert_allclose(
        kept - kept[..., :1], photo - photo[..., :1].astype(float), atol=1.01
    )


def test_masks_have_soft_edges(photo: Pixels) -> None:
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[:, 300:] = 255
    hard = masked(inverted(photo), photo, mask, 0)
    np.testing.assert_array_equal(hard[:, :300], photo[:, :300])
    np.testing.assert_array_equal(hard[:, 300:], inverted(photo)[:, 300:])
    soft = painter()(photo, mask).astype(int)  # the default is a little
    np.testing.assert_array_equal(soft[:, :280], photo[:, :280])
    share = masked(np.full_like(photo, 255), photo * 0, mask, 2.0)[0, :, 0].astype(int)
    assert (np.diff(share) >= 0).all()
    assert ((share > 10) & (share < 245)).sum() >= 4
    both = painter(background="black", feather_px=0)(photo, mask)
    assert both[:, :300].max() == 0


def test_larger_strokes_keep_the_photos_detail(photo: Pixels) -> None:
    sizes = []

    def paint(pixels: Pixels) -> Pixels:
        sizes.append(pixels.shape)
        return pixels

    painted = Painter(Look("same", stroke_scale=4), lambda _: paint)(photo)
    assert sizes == [(100, 150, 3)]
    assert painted.shape == photo.shape
    blurry = resized(resized(photo, (150, 100)), (600, 400))
    lost = np.abs(luma(blurry) - luma(photo)).mean()
    assert np.abs(luma(painted) - luma(photo)).mean() < 0.4 * lost


def test_strokes_that_are_too_large_for_the_photo(photo: Pixels) -> None:
    paint = Painter(Look("same", stroke_scale=1000), lambda _: lambda small: small)
    small = photo[:32, :64]
    with pytest.raises(UserError, match=r"^--stroke-scale 1000: leaves 1 x 1 px to paint; expec"):
        paint(small)
    with pytest.raises(UserError, match=r"at least 16 px a side\. Take at most 2 for this photo"):
        paint(small)
    assert Painter(Look("same", stroke_scale=2), lambda _: lambda x: x)(small).shape == small.shape


def test_strokes_grow_with_the_photo() -> None:
    sizes = []

    def paint(pixels: Pixels) -> Pixels:
        sizes.append(pixels.shape[:2])
        return pixels

    grows = Painter(Look("same", stroke_scale=None), lambda _: paint)
    for height, width in ((700, 1400), (1000, 2000), (3000, 4000), (100, 40000)):
        assert grows(np.zeros((height, width, 3), np.uint8)).shape[:2] == (height, width)
    assert sizes == [(700, 1400), (707, 1414), (866, 1155), (50, 20000)]


def test_an_edge_that_was_painted_over_gets_no_halo() -> None:
    photo = np.full((80, 80, 3), 40, np.uint8)
    photo[:, 41:] = 220
    small = resized(photo, (20, 20))
    flat = np.full_like(small, 128)
    away = np.abs(with_detail(photo, small, flat).astype(int) - 128)
    assert away.max() < 12
    followed = with_detail(photo, small, small).astype(int)
    assert np.abs(followed - photo).max() < 35
    assert np.abs(followed - photo).max() < np.abs(resized(small, (80, 80)) - followed).max()


def test_mixed_is_the_weighted_mean() -> None:
    pictures = [np.full((2, 2, 3), v, np.uint8) for v in (10, 20, 40)]
    assert mixed(pictures, [1, 1, 2])[0, 0, 0] == 28


def test_sheets_have_titles_above_their_pictures() -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    sheet = picture_sheet([[picture, picture], [picture]], [["one", "two"], ["three"]], cell_px=40)
    assert sheet.shape == (2 * (20 + 6 + 22) + 6, 2 * 46 + 6, 3)
    assert (sheet[28:48, 6:46] == 0).all()
    assert (sheet[6:28, 52:92] < 128).any()  # a title's ink
    assert (sheet[76:, 52:] == 255).all()
