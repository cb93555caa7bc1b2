"""Image files of every mode, upright, in sRGB, of the right size."""

from __future__ import annotations

import io
import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from data import images
from data.colour import srgb_profile
from data.encoding import write_photo, write_pixels
from data.formats import FORMAT_OF, SUFFIXES, ImageError, learn_heic
from data.images import Photo, open_rgb, read_bytes, read_mask, read_pixels
from data.resizing import resized, row_resizer
from data.tensors import read_rgb, write_image
from errors import UserError
from tests.conftest import PHOTOS, ROOT

RED = (200, 30, 40)


def read_photo(path: Path, longer_px: int = 0, scale: float = 1.0) -> Photo:
    return images.read_photo(read_bytes(path), str(path), longer_px=longer_px, scale=scale)


def red_of(path: Path) -> tuple[int, ...]:
    pixels = read_photo(path).pixels
    assert pixels.dtype == np.uint8
    return tuple(int(v) for v in pixels[3, 3])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read_and_written_back(tmp_path: Path, suffix: str) -> None:
    learn_heic("")
    Image.new("RGB", (20, 12), RED).save(tmp_path / f"a{suffix}", FORMAT_OF[suffix], quality=95)
    photo = read_photo(tmp_path / f"a{suffix}")
    assert photo.pixels.shape == (12, 20, 3)
    assert photo.alpha is None
    write_pixels(tmp_path / f"b{suffix}", photo.pixels)
    np.testing.assert_allclose(red_of(tmp_path / f"b{suffix}"), RED, atol=4)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_same_pixels_are_the_same_file_at_any_time(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    write_pixels(tmp_path / "a.png", pixels)
    srgb_profile.cache_clear()
    time.sleep(1.1)  # what a profile's date tells apart
    write_pixels(tmp_path / "b.png", pixels)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_modes(tmp_path: Path) -> None:
    rgb = Image.new("RGB", (8, 8), RED)
    rgb.convert("P").save(tmp_path / "palette.png")
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    Image.new("L", (8, 8), 90).save(tmp_path / "grey.png")
    Image.fromarray(np.full((8, 8), 90 * 257, np.uint16)).save(tmp_path / "grey16.png")
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "float.tif")
    np.testing.assert_allclose(red_of(tmp_path / "palette.png"), RED, atol=30)
    np.testing.assert_allclose(red_of(tmp_path / "cmyk.jpg"), RED, atol=6)
    assert red_of(tmp_path / "grey.png") == (90, 90, 90)
    assert red_of(tmp_path / "grey16.png") == (90, 90, 90)
    assert red_of(tmp_path / "float.tif") == (128, 128, 128)


def test_16_bits_are_rounded_not_cut(tmp_path: Path) -> None:
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    found = read_photo(tmp_path / "ramp.png").pixels[..., 1]
    np.testing.assert_allclose(found, ramp / 65535 * 255, atol=0.501)


def test_alpha_is_kept_or_put_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (10, 10), (*RED, 255))
    image.paste((0, 0, 0, 0), (0, 0, 5, 10))
    image.save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.alpha is not None
    assert np.unique(photo.alpha).tolist() == [0, 255]
    assert photo.pixels[0, 0].tolist() == [255, 255, 255]  # hidden black has no say
    for suffix in (".png", ".webp", ".avif", ".heic", ".tif", ".gif"):
        write_pixels(tmp_path / f"b{suffix}", photo.pixels, photo.alpha)
        again = read_photo(tmp_path / f"b{suffix}")
        assert again.alpha is not None
        np.testing.assert_allclose(again.alpha, photo.alpha, atol=5)
    write_pixels(tmp_path / "b.gif", photo.pixels, photo.alpha // 3 * 2 + 50)  # 50 and 220
    np.testing.assert_array_equal(read_photo(tmp_path / "b.gif").alpha, photo.alpha)
    write_pixels(tmp_path / "b.jpg", photo.pixels // 2, photo.alpha)
    assert read_photo(tmp_path / "b.jpg").pixels[5, 1].min() > 247
    palette = Image.new("RGB", (8, 8), RED).quantize(4)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((0, 0)))
    transparent = read_photo(tmp_path / "p.png").alpha
    assert transparent is not None
    assert transparent.max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), "white")
    upright.paste(RED, (0, 0, 16, 8))  # the red quarter is on the upper left
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation → Transpose that hides it
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    exif[0x010F] = "a camera's maker"
    stored.save(tmp_path / "a.png", exif=exif)
    photo = read_photo(tmp_path / "a.png")
    assert photo.pixels.shape == (16, 32, 3)
    assert photo.pixels[2, 2, 1] < 50
    assert photo.pixels[12, 28, 1] > 230
    for suffix in (".jpg", ".png", ".webp", ".avif", ".heic", ".tif"):
        write_photo(tmp_path / f"b{suffix}", photo)
        with Image.open(tmp_path / f"b{suffix}") as again:
            assert again.size == (32, 16)
            assert again.getexif().get(0x010F) == "a camera's maker"
            assert again.getexif().get(0x0112, 1) == 1
            profile = ImageCms.ImageCmsProfile(io.BytesIO(again.info["icc_profile"]))
            assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_colour_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # a profile whose red and blue lights are swapped: what it calls red is blue
    swapped = srgb.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ")
    for name, profile in (("srgb", srgb), ("swapped", swapped), ("bad", b"no profile")):
        Image.new("RGB", (8, 8), RED).save(tmp_path / f"{name}.png", icc_profile=profile)
    assert red_of(tmp_path / "srgb.png") == RED
    np.testing.assert_allclose(red_of(tmp_path / "swapped.png"), RED[::-1], atol=2)
    assert red_of(tmp_path / "bad.png") == RED


def test_a_profile_is_prepared_once_for_all_photos_and_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"gXYZ", b"tmp_").replace(b"bXYZ", b"gXYZ").replace(b"tmp_", b"bXYZ")
    paths = [tmp_path / f"{i}.png" for i in range(16)]
    for path in paths:
        Image.open(PHOTOS / "coffee.jpg").save(path, icc_profile=swapped)
    built = []
    build = ImageCms.buildTransform
    monkeypatch.setattr(
        ImageCms, "buildTransform", lambda *given: built.append(given) or build(*given)
    )
    expected = read_photo(paths[0]).pixels
    assert (expected[..., 1] < expected[..., 2]).mean() > 0.9, "of more green than blue"
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read_photo, paths))
    assert all(np.array_equal(photo.pixels, expected) for photo in found)
    assert len(built) == 1


def test_bad_files_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (PHOTOS / "coffee.jpg").read_bytes()
    for name, content, reason in (
        ("cut.jpg", whole[: len(whole) // 2], "image file is truncated"),
        ("empty.jpg", b"", "not an image we know"),
        ("text.png", b"hello", "not an image we know"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            ImageError, match=rf"{name}: cannot be read \({reason}.*Replace or remove it\.$"
        ):
            read_photo(tmp_path / name)
    with pytest.raises(ImageError, match=r"none\.jpg: No such file"):
        read_rgb(tmp_path / "none.jpg")
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match=r"600 x 400 px; expected at most 1,000 pixels"):
        read_rgb(PHOTOS / "coffee.jpg")


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    picture = torch.rand(1, 3, 8, 8)
    with pytest.raises(UserError, match=r"suffix '\.psd'; expected one of \.jpg"):
        write_image(tmp_path / "a.psd", picture)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to; expected a file in a folder"):
        write_image(tmp_path / "file/a.png", picture)
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        write_image(tmp_path / "dir.png", picture)


def test_values_are_rounded_not_cut(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", torch.full((1, 3, 8, 8), 99.6 / 255))
    assert red_of(tmp_path / "a.png") == (100, 100, 100)


def test_sizes() -> None:
    path = PHOTOS / "coffee.jpg"  # 600 × 400
    assert read_rgb(path).shape == (1, 3, 400, 600)
    assert read_rgb(path, longer_px=300).shape == (1, 3, 200, 300)
    assert read_rgb(path, shorter_px=100, square=True).shape == (1, 3, 100, 100)
    assert read_photo(path, longer_px=30).pixels.shape == (20, 30, 3)
    assert read_photo(path, longer_px=30, scale=2).pixels.shape == (40, 60, 3)


def test_masks_are_grey_or_transparency_and_have_the_photos_size(tmp_path: Path) -> None:
    grey = Image.linear_gradient("L").resize((20, 10))
    grey.save(tmp_path / "grey.png")
    rgba = Image.new("RGBA", (20, 10), "black")
    rgba.putalpha(grey)
    rgba.save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "grey.png", (20, 10)), np.asarray(grey))
    np.testing.assert_array_equal(read_mask(tmp_path / "alpha.png", (20, 10)), np.asarray(grey))
    with pytest.raises(ImageError, match=r"grey.png: 20 x 10 px; expected the photo's 10 x 20 px"):
        read_mask(tmp_path / "grey.png", (10, 20))


def test_damaged_exif_costs_nothing_but_itself(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), RED).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff")
    photo = read_photo(tmp_path / "a.jpg")
    write_photo(tmp_path / "b.jpg", photo)
    np.testing.assert_allclose(red_of(tmp_path / "b.jpg"), RED, atol=4)


def test_a_large_jpeg_is_decoded_smaller_when_that_is_enough() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1600, 1200), RED).save(buffer, "JPEG")
    assert min(open_rgb(buffer.getvalue(), "a", 272).size) in range(272, 601)
    assert open_rgb(buffer.getvalue(), "a").size == (1600, 1200)


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize(
    ("options", "decoded"),
    [
        ({}, 1),
        ({"scale": 2}, 1),
        ({"scale": 0.27}, 1),
        ({"longer_px": 390}, 2),
        ({"longer_px": 1560, "scale": 0.125}, 4),
        ({"longer_px": 97}, 8),
    ],
)
def test_little_more_of_a_jpeg_is_decoded_than_is_painted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    turned: int,
    options: dict[str, float],
    decoded: int,
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turned
    whole = Image.open(PHOTOS / "coffee.jpg").resize((1501, 1003))
    whole.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright, sizes = images._upright_srgb, []
    monkeypatch.setattr(images, "_upright_srgb", lambda x: sizes.append(x.size) or upright(x))
    found = read_photo(tmp_path / "a.jpg", **options).pixels
    assert sizes == [(math.ceil(1501 / decoded), math.ceil(1003 / decoded))]
    factor = options.get("scale", 1) * options.get("longer_px", 1501) / 1501
    expected = whole if turned == 1 else whole.transpose(Image.Transpose.ROTATE_270)
    expected = expected.resize([round(side * factor) for side in expected.size])
    assert found.shape[:2] == expected.size[::-1]
    assert np.abs(found.astype(int) - np.asarray(expected)).mean() < 3


def test_damaged_metadata_is_no_matter_in_any_thread(tmp_path: Path) -> None:
    """Pillow warns of it: in a program no line of that is shown, whatever threads read at once."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "long enough to be kept elsewhere"
    whole = io.BytesIO()
    Image.new("RGB", (40, 30), RED).save(whole, "JPEG", exif=exif)
    content = whole.getvalue()
    start = content.index(b"Exif\0\0")
    length = int.from_bytes(content[start - 2 : start], "big")
    kept = content[start : start + 30]
    cut = content[: start - 2] + (len(kept) + 2).to_bytes(2, "big") + kept
    (tmp_path / "cut.jpg").write_bytes(cut + content[start - 2 + length :])
    lines = (
        "import sys, warnings",
        "from concurrent.futures import ThreadPoolExecutor",
        "from data.images import read_photo",
        "content = open(sys.argv[1], 'rb').read()",
        "before = list(warnings.filters)",
        "with ThreadPoolExecutor(8) as threads:",
        "    photos = list(threads.map(lambda _: read_photo(content, ''), range(400)))",
        "assert photos[0].pixels.shape == (30, 40, 3)",
        "assert warnings.filters == before",
    )
    program = [sys.executable, "-c", "\n".join(lines), str(tmp_path / "cut.jpg")]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("size", [(130, 97), (31, 20), (600, 400)])
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_resized_as_the_whole_is(size: tuple[int, int], channels: int) -> None:
    picture = read_pixels(PHOTOS / "coffee.jpg")[:80, :120]
    if channels == 1:
        picture = picture[..., 0].astype(np.float32)
    whole, rows_of = resized(picture, size), row_resizer(picture, size)
    parts = [rows_of(slice(top, min(top + 7, size[1]))) for top in range(0, size[1], 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole.astype(float), atol=1)
