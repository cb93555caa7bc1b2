"""Values of every depth and kind: TIFF as scientists and scanners write it, deep PNG, raw files."""

from __future__ import annotations

import builtins
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

from data import png
from data.formats import ImageError
from data.images import as_photo, open_rgb, pages_of, read_mask, read_photo
from data.lab import D65, lab_to_srgb
from data.samples import scaled_values
from data.source import RAW
from tests.unit.test_colour import chunk, deep_png, saved, with_chunks

HEIGHT, WIDTH = 20, 24
ACROSS = np.linspace(0, 1, WIDTH)[None] * np.ones((HEIGHT, 1))
DOWN = np.linspace(0, 1, HEIGHT)[:, None] * np.ones((1, WIDTH))
GREY = ACROSS * 0.8 + DOWN * 0.1
RGB = np.stack([ACROSS, DOWN, 1 - ACROSS], -1)
INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
FLOATS = ("float16", "float32", "float64")


def tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    options = {"photometric": "rgb" if values.ndim == 3 else "minisblack"} | options
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def stored(shares: np.ndarray, dtype: str, bits: int = 0) -> np.ndarray:
    """Shares of 1 in a type, 1 as its largest number."""
    if np.dtype(dtype).kind == "f":
        return shares.astype(dtype)
    most = 2**bits - 1 if bits else np.iinfo(dtype).max
    if most > 2**53:  # more than float64 counts
        return np.minimum(shares * float(most), float(most) * (1 - 2**-53)).astype(dtype)
    return np.rint(shares * most).astype(dtype)


def assert_shows(content: bytes, shares: np.ndarray, atol: float = 0.51) -> tuple[str, ...]:
    """Check that a file shows shares of 1; return its notices."""
    photo = read_photo(content, "a.tif")
    expected = shares if shares.ndim == 3 else np.repeat(shares[..., None], 3, -1)
    np.testing.assert_allclose(photo.pixels, expected * 255, atol=atol)
    return photo.notices


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_every_type(dtype: str) -> None:
    atol = {"uint8": 1.01, "int8": 1.6, "float16": 0.6}.get(dtype, 0.51)
    assert assert_shows(tiff(stored(GREY, dtype)), GREY, atol) == ()
    assert assert_shows(tiff(stored(RGB, dtype)), RGB, atol) == ()
    ink = np.concatenate([1 - RGB, np.zeros_like(RGB[..., :1])], -1)
    atol_ink = 2 * atol if atol > 1 else atol
    assert assert_shows(tiff(stored(ink, dtype), photometric="separated"), RGB, atol_ink) == ()
    planes = np.moveaxis(stored(RGB, dtype), -1, 0)
    assert assert_shows(tiff(planes, photometric="rgb", planarconfig="separate"), RGB, atol) == ()
    negative = tiff(stored(1 - GREY, dtype), photometric="miniswhite")
    assert assert_shows(negative, GREY, atol) == ()


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_every_number_of_bits(bits: int) -> None:
    dtype = "uint16" if bits > 8 else "uint8"
    codes = stored(GREY, dtype, bits)
    values = codes.astype(bool) if bits == 1 else codes
    shares = codes / (2**bits - 1)
    for photometric in ("minisblack", "miniswhite"):
        content = tiff(values, bitspersample=bits, photometric=photometric)
        assert assert_shows(content, shares if photometric == "minisblack" else 1 - shares) == ()


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"bigtiff": True, "byteorder": ">"},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw", "predictor": True},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"compression": "lerc"},
        {"compression": "jpegxl"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_layout(dtype: str, options: dict[str, object]) -> None:
    atol = 1.01 if dtype == "uint8" else 0.51
    if options.get("compression") == "lzw" and dtype == "float32":
        options = {"compression": "lzw"}
    assert assert_shows(tiff(stored(RGB, dtype), **options), RGB, atol) == ()


def test_one_bright_patch_leaves_the_rest_as_it_is() -> None:
    values = GREY.astype(np.float32)
    values[:2, :2] = 7.5
    notices = assert_shows(tiff(values), np.clip(values, 0, 1))
    assert notices == ("4 of its values lie outside 0 to 1: they are cut",)


@pytest.mark.parametrize("white", [255, 65535, 1200.0, 1e6])
def test_floats_beyond_1_have_their_own_white(white: float) -> None:
    values = (0.1 + 0.9 * GREY / GREY.max()) * white
    top = {1200.0: 65535, 1e6: 1e6}.get(white, white)
    notices = assert_shows(tiff(values.astype(np.float32)), values / top)
    assert notices == (f"its float values are taken as 0 to {top:g}",)


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_no_number_is_the_nearest_that_is(dtype: str) -> None:
    values = RGB.astype(dtype)
    values[0, :4, 0] = np.nan, np.inf, -np.inf, -0.5
    expected = RGB.copy()
    expected[0, :4, 0] = 0, 1, 0, 0
    assert assert_shows(tiff(values), expected, 0.6) == (
        "3 of its values are no numbers: they are taken as the nearest",
        "1 of its values lie outside 0 to 1: they are cut",
    )
    empty = np.full((8, 8), np.nan, dtype)
    assert_shows(tiff(empty), np.zeros((8, 8)))


def test_negative_integers_are_black() -> None:
    values = stored(GREY, "int16")
    values[0, 0] = -5
    assert assert_shows(tiff(values), np.where(values < 0, 0, GREY)) == (
        "1 of its values are negative: they are taken as black",
    )


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64"])
@pytest.mark.parametrize("white", [255, 65535])
def test_small_numbers_in_a_large_type(dtype: str, white: int) -> None:
    values = np.rint(GREY / GREY.max() * white).astype(dtype)
    assert assert_shows(tiff(values), values / white) == ()


def test_the_largest_value_that_the_file_names() -> None:
    values = stored(GREY, "uint16", 12)
    assert_shows(tiff(values, extratags=[(281, "H", 1, 4095, True)]), values / 4095)
    for no_range in (3000, 4096, 255, 1023):  # a statistic; or less than there is
        said = tiff(values, extratags=[(281, "H", 1, no_range, True)])
        assert_shows(said, values / 65535)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("grey", [False, True])
def test_alpha(dtype: str, kind: str, grey: bool) -> None:
    alpha = 0.25 + 0.75 * DOWN
    colours = GREY[..., None] if grey else RGB
    share = alpha[..., None] if kind == "assocalpha" else 1
    values = stored(np.concatenate([colours * share, alpha[..., None]], -1), dtype)
    options = {"photometric": "minisblack" if grey else "rgb", "extrasamples": [kind]}
    photo = read_photo(tiff(values, **options), "a")
    assert photo.alpha is not None
    np.testing.assert_allclose(photo.alpha, alpha * 255, atol=0.51)
    atol = 3 if dtype == "uint8" else 0.6  # an eighth bit, divided by a quarter
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(colours * 255, (20, 24, 3)), atol=atol)


def test_more_channels_than_colours() -> None:
    values = stored(np.concatenate([RGB, RGB[..., :1], DOWN[..., None]], -1), "uint16")
    photo = read_photo(tiff(values, extrasamples=["unspecified", "unassalpha"]), "a")
    np.testing.assert_allclose(photo.alpha, DOWN * 255, atol=0.51)
    shown = photo.alpha > 0
    np.testing.assert_allclose(photo.pixels[shown], RGB[shown] * 255, atol=0.51)
    assert photo.notices == ("1 more of its channels are not kept: they are no colours",)


@pytest.mark.parametrize("scale", [257, 1])
def test_palettes_of_16_bits_and_of_old_programs(scale: int) -> None:
    ramp = np.arange(256)
    colours = np.stack([ramp, 255 - ramp, np.full(256, 99)])
    index = stored(GREY, "uint8")
    content = tiff(index, photometric="palette", colormap=(colours * scale).astype(np.uint16))
    assert_shows(content, colours.T[index] / 255)
    between = tiff(index, photometric="palette", colormap=(colours * 250 + 100).astype(np.uint16))
    assert_shows(between, (colours.T[index] * 250 + 100) / 65535)


def test_lab_as_photoshop_writes_it() -> None:
    red = np.array([54.29, 80.81, 69.89])  # sRGB's red, relative to D50
    shifted = np.add(red, (0, 128, 128))
    for photometric, codes in (
        ("icclab", np.rint(shifted * (2.55, 1, 1)).astype(np.uint8)),
        ("icclab", np.rint(shifted * (652.8, 256, 256)).astype(np.uint16)),
        ("cielab", np.rint(red * (2.55, 1, 1)).astype(np.uint8)),
        ("cielab", np.rint(red * (655.35, 256, 256)).astype(np.uint16)),
        ("cielab", red.astype(np.float32)),
    ):
        values = np.full((8, 8, 3), codes)
        found = read_photo(tiff(values, photometric=photometric), "a").pixels[4, 4]
        np.testing.assert_allclose(found, [255, 0, 0], atol=3)


def test_lab_is_what_little_cms_makes_of_it() -> None:
    lab = ImageCms.createProfile("LAB")
    values = (RGB * 150 + 50).astype(np.uint8)
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    image = ImageCms.applyTransform(Image.fromarray(values), transform)
    for photo in (as_photo(image), read_photo(saved(image, "TIFF"), "a")):
        np.testing.assert_allclose(photo.pixels, values, atol=3)
    white = lab_to_srgb(np.full((1, 1, 3), (100.0, 0, 0)), D65)
    np.testing.assert_allclose(white / 257, 255, atol=0.05)
    d65_red = np.full((1, 1, 3), (53.24, 80.09, 67.2))
    np.testing.assert_allclose(lab_to_srgb(d65_red, D65)[0, 0] / 257, [255, 0, 0], atol=1)
    white_point = (318, 5, 2, (3127, 10000, 3290, 10000), True)
    content = tiff(
        d65_red.astype(np.float32) * np.ones((8, 8, 1), np.float32),
        photometric="cielab",
        extratags=[white_point],
    )
    np.testing.assert_allclose(read_photo(content, "a").pixels[4, 4], [255, 0, 0], atol=1)


def test_deep_images_of_pil() -> None:
    assert as_photo(Image.fromarray(stored(GREY, "uint16"))).pixels[3, 20, 1] == round(
        GREY[3, 20] * 255
    )
    values = GREY.astype(np.float32)
    values[0, 0] = np.inf
    photo = as_photo(Image.fromarray(values))
    assert photo.pixels[0, 0].tolist() == [255] * 3
    assert photo.notices == ("1 of its values are no numbers: they are taken as the nearest",)
    whole = Image.fromarray(stored(GREY, "int32"))
    np.testing.assert_allclose(as_photo(whole).pixels[..., 0], GREY * 255, atol=0.51)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_rounded_not_cut(channels: int) -> None:
    shares = np.concatenate([RGB, 0.5 + DOWN[..., None] / 2], -1)[..., -channels:]
    values = stored(shares if channels > 1 else shares[..., 0], "uint16")
    photo = read_photo(deep_png(values), "a")
    colours = shares[..., :1] if channels < 3 else shares[..., :3]
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(colours * 255, (20, 24, 3)), atol=0.51)
    assert (photo.alpha is not None) == (channels in (2, 4))
    if photo.alpha is not None:
        np.testing.assert_allclose(photo.alpha, shares[..., -1] * 255, atol=0.51)


@pytest.mark.parametrize("before", [True, False])
def test_a_png_of_16_bits_is_turned_upright_by_what_stands_anywhere(before: bool) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "a maker"
    turned = np.rot90(stored(GREY, "uint16"))  # lies on its left side
    plain, told = deep_png(turned), chunk(b"eXIf", exif.tobytes()[6:])
    content = with_chunks(plain, told) if before else plain[:-12] + told + plain[-12:]
    asked: list[tuple[int, int]] = []
    photo = read_photo(content, "a", check=lambda *size: asked.append(size))
    np.testing.assert_allclose(photo.pixels[..., 1], GREY * 255, atol=0.51)
    assert ExifTags.Base.Make in photo.metadata.exif.tags
    assert (asked, photo.original_size) == ([(HEIGHT, WIDTH)], (WIDTH, HEIGHT))


def test_a_transparent_colour_of_16_bits() -> None:
    values = stored(RGB, "uint16")
    values[2:9] = 1000, 2000, 3000
    values[10] = 1000, 2000, 3001  # the same in 8 bits
    content = with_chunks(deep_png(values), chunk(b"tRNS", struct.pack(">3H", 1000, 2000, 3000)))
    photo = read_photo(content, "a")
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[2:9] = 0
    np.testing.assert_array_equal(photo.alpha, expected)


def test_the_photo_of_a_tiff_is_no_thumbnail_and_no_mask() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(stored(RGB[::4, ::4], "uint8"), photometric="rgb", subfiletype=1)
        file.write(GREY > 0.5, photometric="minisblack", subfiletype=4)
        for values in (
            stored(RGB, "uint16"),
            stored(1 - RGB, "float32"),
            stored(RGB[::-1], "uint8"),
        ):
            file.write(values, photometric="rgb")
    content = buffer.getvalue()
    assert_shows(content, RGB)
    assert pages_of(content) == (2, 3, 4)
    for page, shares in ((2, RGB), (3, 1 - RGB), (4, RGB[::-1])):
        pixels = read_photo(content, "a", page=page).pixels
        np.testing.assert_allclose(pixels, shares * 255, atol=1.01)
    assert pages_of(saved(Image.new("RGB", (4, 4)), "PNG")) == (0,)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_photo_of_a_tiff_may_be_filed_below_its_thumbnail(dtype: str) -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(stored(RGB[::4, ::4], "uint8"), photometric="rgb", subfiletype=1, subifds=1)
        file.write(stored(RGB, dtype), photometric="rgb", subfiletype=0)
    assert_shows(buffer.getvalue(), RGB, 1.01)
    with pytest.raises(
        ImageError, match=r"a\.nef: is a camera's raw file that cannot be developed"
    ):
        read_photo(buffer.getvalue(), "a.nef")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_tiff_is_turned_upright_once(orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation → Transpose that hides it
    upright = Image.fromarray(stored(GREY, "uint16"))
    image = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    tag = (274, "H", 1, orientation, True)
    described = {"extratags": [tag, (271, "s", 0, "a maker", True)]}
    content = tiff(np.asarray(image), **described)
    photo = read_photo(content, "a", longer_px=12)
    assert photo.original_size == (WIDTH, HEIGHT)
    assert photo.pixels.shape == (10, 12, 3)
    np.testing.assert_allclose(read_photo(content, "a").pixels[..., 1], GREY * 255, atol=0.51)
    assert ExifTags.Base.Make in photo.metadata.exif.tags
    assert ExifTags.Base.Orientation not in photo.metadata.exif.tags


def test_masks_and_training_photos_have_all_values_too(tmp_path: Path) -> None:
    (tmp_path / "mask.tif").write_bytes(tiff(stored(GREY, "float64")))
    mask = read_mask(tmp_path / "mask.tif", (WIDTH, HEIGHT))
    np.testing.assert_allclose(mask, GREY * 255, atol=0.51)
    image = open_rgb(tiff(stored(RGB, "uint16")), "a")
    np.testing.assert_allclose(np.asarray(image), RGB * 255, atol=0.51)


def test_damaged_and_strange_tiffs_are_one_line() -> None:
    whole = tiff(stored(RGB, "uint16"))
    lzw = tiff(stored(RGB, "float32"), compression="zlib")
    for content in (
        whole[:-100],
        whole[: len(whole) // 2],
        lzw[:-50],
        whole[:8],
        b"II*\0",
        b"MM\0+ab",
    ):
        with pytest.raises(ImageError, match=r"^a: cannot be read \(.*Replace or remove it\.$"):
            read_photo(content, "a")
    unknown = tiff(stored(RGB, "uint16"), photometric="logluv")
    with pytest.raises(
        ImageError, match=r"a: cannot be read \(its kind of colours is number 32845"
    ):
        read_photo(unknown, "a")
    loop = bytearray(whole)  # its last directory is followed by its first
    (first,) = struct.unpack_from("<I", loop, 4)
    (tags,) = struct.unpack_from("<H", loop, first)
    struct.pack_into("<I", loop, first + 2 + 12 * tags, first)
    assert pages_of(bytes(loop)) == (0,)


@pytest.mark.parametrize(
    "options",
    [{}, {"rowsperstrip": 3}, {"tile": (16, 16)}, {"predictor": True, "rowsperstrip": 7}],
    ids=str,
)
@pytest.mark.parametrize("planes", [False, True])
def test_lzw_of_every_layout(options: dict[str, object], planes: bool) -> None:
    values = stored(RGB, "uint16")
    if planes:
        values, options = np.moveaxis(values, -1, 0), options | {"planarconfig": "separate"}
    assert_shows(tiff(values, compression="lzw", photometric="rgb", **options), RGB)


def test_damaged_lzw_does_not_end_the_process() -> None:
    """A code of no entry behind the first one: imagecodecs' own decoder ends in a segfault."""
    content = tiff(stored(RGB, "uint16"), compression="lzw", predictor=True)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        start = file.pages[0].dataoffsets[0]
    damaged = content[:start] + b"\x80\x6b\x20" + content[start + 3 :]
    with pytest.raises(ImageError, match=r"^a: cannot be read \(decoder error -2\)"):
        read_photo(damaged, "a")


def test_a_tiff_larger_than_allowed_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ImageError, match=r"a: 24 x 20 px; expected at most 100 pixels"):
        read_photo(tiff(stored(RGB, "uint16")), "a", max_pixels=100)


def text_chunk(kind: bytes, size: int) -> bytes:
    text = b"word " * (size // 5)
    body = {
        b"tEXt": b"Comment\0" + text,
        b"zTXt": b"Comment\0\0" + zlib.compress(text),
        b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(text),
    }
    return chunk(kind, body[kind])


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_with_much_text_is_read(kind: bytes, bits: int) -> None:
    plain = (
        deep_png(stored(RGB, "uint16"))
        if bits == 16
        else saved(Image.fromarray(stored(RGB, "uint8")), "PNG")
    )
    texts = text_chunk(kind, 5_000_000)
    for content in (with_chunks(plain, texts), plain[:-12] + texts + plain[-12:]):
        assert assert_shows(content, RGB, 1.01) == ()
    for content in (
        with_chunks(plain, text_chunk(kind, 20_000_000)),
        with_chunks(plain, *[texts] * 5),
    ):
        notices = assert_shows(content, RGB, 1.01)
        assert notices == ("its text is not kept: it is larger than 16 MiB",)


def test_a_png_with_a_large_profile_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tmp_").replace(b"bXYZ", b"rXYZ").replace(b"tmp_", b"bXYZ")
    large = struct.pack(">I", 3_000_000) + swapped[4:] + bytes(3_000_000 - len(swapped))
    image = Image.fromarray(stored(RGB, "uint8"))
    assert_shows(saved(image, "PNG", icc_profile=large), RGB[..., ::-1], 2)
    monkeypatch.setattr(png, "MAX_TEXT_BYTES", 2**21)
    notices = assert_shows(saved(image, "PNG", icc_profile=large), RGB, 1.01)
    assert notices == ("its colour profile is not used: it is larger than 2 MiB",)


def dng(values: np.ndarray, orientation: int = 1) -> bytes:
    """A raw file as cameras write it: a thumbnail, and below it what the sensor saw."""
    matrix = np.array(
        [[3.2405, -1.5371, -0.4985], [-0.9693, 1.876, 0.0416], [0.0556, -0.204, 1.0572]]
    )
    fractions = [number for value in matrix.ravel() for number in (round(value * 10000), 10000)]
    about = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Onestroke Test", True),
        (271, "s", 0, "Onestroke", True),
        (272, "s", 0, "Test", True),
        (274, "H", 1, orientation, True),
        (50721, 10, 9, fractions, True),
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    sensor = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50714, "H", 1, 0, True),
        (50717, "I", 1, 65535, True),
    ]
    thumbnail = np.full((6, 8, 3), (0, 255, 0), np.uint8)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(thumbnail, photometric="rgb", subfiletype=1, subifds=1, extratags=about)
        file.write(values, photometric="cfa", subfiletype=0, extratags=sensor)
    return buffer.getvalue()


def mosaic(light: tuple[float, float, float]) -> np.ndarray:
    """Red, green and blue light of 0…1 as a sensor sees it: RG over GB."""
    red, green, blue = (round(part * 65535) for part in light)
    return np.tile(np.array([[red, green], [green, blue]], np.uint16), (60, 80))


@pytest.mark.parametrize("name", ["a.dng", "a.tif", "-"])
def test_a_raw_file_is_developed_by_whatever_name(name: str) -> None:
    pytest.importorskip("rawpy")
    values = mosaic((0.6, 0.3, 0.1))
    values[:60] = mosaic((0.1, 0.3, 0.6))[:60]
    photo = read_photo(dng(values), name)
    assert (photo.format, photo.original_size) == (RAW, (160, 120))
    above, below = photo.pixels[30, 80].astype(int), photo.pixels[90, 80].astype(int)
    assert above[2] > above[1] > above[0]
    assert below[0] > below[1] > below[2]
    assert ExifTags.Base.Make in photo.metadata.exif.tags
    half = read_photo(dng(values), name, longer_px=40)
    assert half.pixels.shape == (30, 40, 3)
    np.testing.assert_allclose(half.pixels[7, 20], above, atol=8)


def test_a_raw_file_is_turned_upright_once() -> None:
    pytest.importorskip("rawpy")
    values = mosaic((0.6, 0.3, 0.1))
    values[:60] = 1000  # dark above
    photo = read_photo(dng(values, orientation=6), "a.dng")  # its right side is the upper one
    assert photo.pixels.shape == (160, 120, 3)
    assert photo.original_size == (120, 160)
    assert photo.pixels[80, 100].max() < 90 < photo.pixels[80, 20].max()


def test_raw_files_that_cannot_be_developed_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rawpy")
    for content in (
        b"FUJIFILMCCD-RAW " + bytes(400),
        b"\0\0\0\x18ftypcrx " + bytes(400),
        b"IIU\0" + bytes(400),
    ):
        with pytest.raises(
            Exception, match=r"^a: is a camera's raw file that cannot be developed \(.*first\.$"
        ):
            read_photo(content, "a")
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "rawpy":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "rawpy", raising=False)
    with pytest.raises(
        Exception, match=r"a\.dng: is a camera's raw file, and rawpy is not installed"
    ):
        read_photo(dng(mosaic((0.5, 0.5, 0.5))), "a.dng")


def test_scaled_values_are_exact_at_both_ends() -> None:
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        values, notices = scaled_values(np.array([[0, info.max]], dtype))
        assert (values.tolist(), notices) == ([[0, 65535]], ())
