"""Colours to sRGB, from every way in which a file says what its values mean.

The expected values of profiles come from `vips icc_transform` (relative colorimetric); ImageMagick
gives the same within a level. Those of primaries and transfer functions are worked out here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from data import hdr
from data.boxes import properties_of
from data.cicp import Cicp, cicp_of_boxes
from data.formats import learn_heic
from data.images import Photo, as_photo, open_image, read_photo

PATCH = np.array([200, 100, 50])
D65 = (0.3127, 0.3290)
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
LINEAR = imagecodecs.cms_profile(
    "rgb", whitepoint=D65, primaries=(0.64, 0.33, 0.3, 0.6, 0.15, 0.06), gamma=1.0
)
DISPLAY_P3 = imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=P3, gamma=2.2)
ADOBE = imagecodecs.cms_profile("adobergb")
GREY = imagecodecs.cms_profile("gray", whitepoint=D65, gamma=1.0)
TO_SRGB = {  # linear light; ITU-R BT.2087 and the CSS Color module, level 4
    1: np.eye(3),
    9: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    12: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}


def light_of(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def code_of(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def picture(value: object = PATCH, dtype: str = "uint8") -> np.ndarray:
    value = np.asarray(value)
    return np.full((16, 24, *value.shape), value, dtype)


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def deep_png(values: np.ndarray, profile: bytes = b"") -> bytes:
    """A PNG of 16 bits a value."""
    height, width = values.shape[:2]
    kind = (
        {2: 0, 3: 2}.get(values.ndim, 2)
        if values.ndim == 2
        else {2: 4, 3: 2, 4: 6}[values.shape[2]]
    )
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    icc = chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)) if profile else b""
    pixels = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + icc + pixels


def colour_of(content: bytes, name: str = "a") -> tuple[list[int], Photo]:
    photo = read_photo(content, name)
    return photo.pixels[8, 8].tolist(), photo


def rgb_file(kind: str, profile: bytes) -> bytes:
    image = Image.fromarray(picture())
    if kind == "palette":
        image = image.quantize(4)
    elif kind == "transparent":
        image = image.convert("RGBA")
    elif kind == "PNG of 16 bits":
        return deep_png(picture(PATCH * 257, "uint16"), profile)
    elif kind == "TIFF of 16 bits":
        import tifffile

        buffer = io.BytesIO()
        values = picture(PATCH * 257, "uint16")
        tifffile.imwrite(buffer, values, photometric="rgb", iccprofile=profile)
        return buffer.getvalue()
    return saved(image, "PNG", icc_profile=profile)


RGB_KINDS = ("RGB", "palette", "transparent", "PNG of 16 bits", "TIFF of 16 bits")


@pytest.mark.parametrize("kind", RGB_KINDS)
@pytest.mark.parametrize(
    ("profile", "expected"),
    [(LINEAR, [229, 168, 122]), (DISPLAY_P3, [216, 92, 23]), (ADOBE, [227, 100, 42])],
    ids=["linear", "P3", "Adobe RGB"],
)
def test_profiles_of_every_rgb_mode(kind: str, profile: bytes, expected: list[int]) -> None:
    found, photo = colour_of(rgb_file(kind, profile))
    np.testing.assert_allclose(found, expected, atol=1)
    assert photo.notices == ()


def grey_file(kind: str, profile: bytes) -> bytes:
    image = Image.fromarray(picture(90))
    if kind == "with alpha":
        image = Image.merge("LA", (image, image.point(lambda _: 77)))
    elif kind == "16 bits":
        image = Image.fromarray(picture(90 * 257, "uint16"))
    elif kind == "16 bits with alpha":
        return deep_png(
            np.stack([picture(90 * 257, "uint16"), picture(77 * 257, "uint16")], -1), profile
        )
    return saved(image, "PNG", icc_profile=profile)


@pytest.mark.parametrize("kind", ["grey", "with alpha", "16 bits", "16 bits with alpha"])
def test_profiles_of_every_grey_mode(kind: str) -> None:
    found, photo = colour_of(grey_file(kind, GREY))
    assert found == [160, 160, 160]  # code_of(90 / 255) = 160.1
    assert photo.notices == ()
    if photo.alpha is not None:
        assert np.unique(photo.alpha).tolist() == [77]


def test_16_bits_are_converted_before_they_are_rounded() -> None:
    ramp = np.arange(24 * 16, dtype=np.uint16).reshape(16, 24)  # all of it below 2 of 255
    expected = code_of(ramp / 65535)
    assert expected.max() > 17
    grey = read_photo(saved(Image.fromarray(ramp), "PNG", icc_profile=GREY), "a").pixels
    np.testing.assert_allclose(grey[..., 1], expected, atol=0.6)
    colours = read_photo(deep_png(np.stack([ramp, ramp, ramp], -1), LINEAR), "a").pixels
    np.testing.assert_allclose(colours[..., 2], expected, atol=0.6)


def cmyk_profile() -> bytes:
    """A profile that makes grey of ink: L* falls by 30 with C, 15 with M, 5 with Y, all with K.

    Source: ICC.1:2022, 10.11 (lut8Type).
    """
    nodes = [
        max(0, 100 - 30 * c - 15 * m - 5 * y) * (1 - k)
        for c in (0, 1)
        for m in (0, 1)
        for y in (0, 1)
        for k in (0, 1)
    ]
    table = b"".join(bytes([round(node * 2.55), 128, 128]) for node in nodes)
    line = bytes(range(256))
    unit = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + line * 4 + table + line * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text\0\0\0\0none\0\0\0\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"a\0" + bytes(79)
    tags, at, body = b"", 132 + 12 * 4, b""
    for name, data in ((b"A2B0", lut), (b"wtpt", white), (b"cprt", text), (b"desc", desc)):
        data += bytes(-len(data) % 4)
        tags += name + struct.pack(">II", at + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"none", 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + struct.pack(">I", 4) + tags + body


@pytest.mark.parametrize(
    ("ink", "lightness"),
    [((255, 0, 0, 0), 70), ((0, 255, 0, 0), 85), ((0, 0, 0, 0), 100), ((0, 0, 0, 255), 0)],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_profiles_of_cmyk(ink: tuple[int, ...], lightness: int, bits: int) -> None:
    import tifffile

    buffer = io.BytesIO()
    values = picture(np.array(ink) * (257 if bits == 16 else 1), f"uint{bits}")
    profile = cmyk_profile()
    tifffile.imwrite(buffer, values, photometric="separated", iccprofile=profile)
    found, photo = colour_of(buffer.getvalue())
    y = ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3
    np.testing.assert_allclose(found, code_of(np.array([y] * 3)), atol=1)
    assert photo.notices == ()


def test_cmyk_without_a_profile_is_white_less_ink() -> None:
    import tifffile

    buffer = io.BytesIO()
    values = picture(np.array([20, 40, 60, 100]) * 257, "uint16")
    tifffile.imwrite(buffer, values, photometric="separated")
    expected = (255 - np.array([20, 40, 60])) * (155 / 255)
    np.testing.assert_allclose(colour_of(buffer.getvalue())[0], expected, atol=0.51)


@pytest.mark.parametrize(
    ("image", "profile", "notice"),
    [
        ("RGB", GREY, "its colour profile is not used: it is for grey, not RGB"),
        ("RGB", cmyk_profile(), "its colour profile is not used: it is for CMYK, not RGB"),
        ("L", cmyk_profile(), "its colour profile is not used: it is for CMYK, not grey"),
        ("RGB", b"no profile" * 20, "its colour profile is not used: it is damaged or of an un"),
        ("RGB", ADOBE[:250], "its colour profile is not used: it is damaged or of an unusual kind"),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_profile_that_does_not_fit_is_told_of(
    image: str, profile: bytes, notice: str, bits: int
) -> None:
    values = picture(PATCH if image == "RGB" else 90, f"uint{bits}")
    if bits == 16:
        content = deep_png(values * 257, profile)
    else:
        content = saved(Image.fromarray(values), "PNG", icc_profile=profile)
    found, photo = colour_of(content)
    assert found == (PATCH.tolist() if image == "RGB" else [90, 90, 90])
    assert len(photo.notices) == 1
    assert photo.notices[0].startswith(notice)


@pytest.mark.parametrize("bits", [8, 16])
def test_an_rgb_profile_counts_for_grey_as_well(bits: int) -> None:
    values = picture(90 * (257 if bits == 16 else 1), f"uint{bits}")
    found, photo = colour_of(saved(Image.fromarray(values), "PNG", icc_profile=LINEAR))
    assert (found, photo.notices) == ([160, 160, 160], ())


def test_srgb_by_any_name_changes_no_pixel() -> None:
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    values = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(52, -1, 3)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(values)
    for options in ({}, {"icc_profile": profile}):
        np.testing.assert_array_equal(read_photo(saved(image, "PNG", **options), "").pixels, values)
    plain = saved(image, "PNG")
    for chunks in ([chunk(b"cICP", b"\1\15\0\1")], [chunk(b"gAMA", struct.pack(">I", 45455))]):
        np.testing.assert_array_equal(read_photo(with_chunks(plain, *chunks), "").pixels, values)


def expected_of(primaries: int, transfer: int) -> np.ndarray:
    share = PATCH / 255
    gamma = {4: 2.2, 5: 2.8, 8: 1.0}.get(transfer)
    light = share**gamma if gamma else light_of(share)
    return code_of(np.asarray(TO_SRGB[primaries]) @ light)


def heic(values: np.ndarray, primaries: int, transfer: int) -> bytes:
    learn_heic("")
    image = Image.fromarray(values)
    options = {"color_primaries": primaries, "transfer_characteristics": transfer}
    return saved(
        image, "HEIF", quality=-1, chroma=444, full_range_flag=1, matrix_coefficients=6, **options
    )


def avif(values: np.ndarray, primaries: int, transfer: int) -> bytes:
    bits = 8 if values.dtype == np.uint8 else 10
    return bytes(
        imagecodecs.avif_encode(
            values,
            100,
            bitspersample=bits,
            primaries=primaries,
            transfer=transfer,
            matrix=6,
            speed=9,
        )
    )


def png(values: np.ndarray, primaries: int, transfer: int) -> bytes:
    content = saved(Image.fromarray(values), "PNG", icc_profile=ADOBE)  # cICP comes first
    return with_chunks(content, chunk(b"cICP", bytes([primaries, transfer, 0, 1])))


@pytest.mark.parametrize("written", [heic, avif, png])
@pytest.mark.parametrize("primaries", [1, 9, 12])
@pytest.mark.parametrize("transfer", [1, 4, 8, 13])
def test_cicp(
    written: Callable[[np.ndarray, int, int], bytes], primaries: int, transfer: int
) -> None:
    found, photo = colour_of(written(picture(), primaries, transfer))
    np.testing.assert_allclose(found, expected_of(primaries, transfer), atol=1.5)
    assert photo.notices == ()


def test_more_than_8_bits_of_avif_and_heic_are_rounded_at_the_end() -> None:
    codes = np.arange(24 * 16, dtype=np.uint16).reshape(16, 24) % 40  # of 1023, linear light
    expected = code_of(codes / 1023)
    for content in (
        avif(np.stack([codes] * 3, -1), 1, 8),
        deep_heic(np.stack([codes * 64] * 3, -1), 1, 8),
    ):
        np.testing.assert_allclose(read_photo(content, "a").pixels[..., 1], expected, atol=1.5)


def deep_heic(values: np.ndarray, primaries: int, transfer: int) -> bytes:
    import pillow_heif

    size = values.shape[1], values.shape[0]
    image = pillow_heif.from_bytes("RGB;16", size, values.astype("<u2").tobytes())
    buffer = io.BytesIO()
    options = {"color_primaries": primaries, "transfer_characteristics": transfer}
    image.save(buffer, quality=-1, chroma=444, full_range_flag=1, matrix_coefficients=0, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("transfer", "name"), [(16, "pq"), (18, "hlg")])
def test_hdr_stills_are_tone_mapped_as_films_are(transfer: int, name: str) -> None:
    ramp = np.linspace(0, 1, 24) * np.ones((16, 1))
    codes = np.rint(np.stack([ramp, ramp * 0.9, ramp * 0.8], -1) * 1023).astype(np.uint16)
    expected = hdr.tone_mapped(codes / 1023, name)
    for content in (avif(codes, 9, transfer), deep_heic(codes * 64, 9, transfer)):
        photo = read_photo(content, "a")
        np.testing.assert_allclose(photo.pixels, expected, atol=3)
        assert photo.notices == ("its HDR light is not kept: it is tone-mapped to sRGB",)
    content = with_chunks(deep_png(codes * 64), chunk(b"cICP", bytes([9, transfer, 0, 1])))
    np.testing.assert_allclose(read_photo(content, "a").pixels, expected, atol=2)


def test_the_brightest_light_of_an_hdr_png_becomes_white() -> None:
    codes = picture(np.array([0.58] * 3) * 65535, "uint16")  # 203 cd/m²
    cicp = chunk(b"cICP", b"\x09\x10\0\1")
    dark, light = (
        colour_of(with_chunks(deep_png(codes), cicp, chunk(b"cLLI", struct.pack(">II", nits, 0))))[
            0
        ]
        for nits in (4000 * 10_000, 203 * 10_000)
    )
    assert light[0] > 250 > dark[0]


def test_cicp_that_is_not_known_is_told_of() -> None:
    plain = saved(Image.fromarray(picture()), "PNG")
    found, photo = colour_of(with_chunks(plain, chunk(b"cICP", bytes([99, 13, 0, 1]))))
    assert found == PATCH.tolist()
    assert colour_of(png(picture(), 99, 13))[0] == [227, 100, 42]  # the profile is
    assert photo.notices == ("its colours are taken as sRGB: CICP 99 and 13 is not known",)


def test_a_profile_comes_before_nclx() -> None:
    learn_heic("")
    options = {"color_primaries": 9, "transfer_characteristics": 8, "icc_profile": DISPLAY_P3}
    content = saved(Image.fromarray(picture()), "HEIF", quality=-1, chroma=444, **options)
    np.testing.assert_allclose(colour_of(content)[0], [216, 92, 23], atol=2)


def test_the_colours_of_an_avif_are_those_of_its_first_picture() -> None:
    content = avif(picture(), 12, 13)
    assert cicp_of_boxes(properties_of(content)) == Cicp(12, 13)
    for length in range(0, len(content), 7):  # cut files: nothing, or the same
        assert cicp_of_boxes(properties_of(content[:length])) in (None, Cicp(12, 13))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("chunk_value", "gamma"), [(100_000, 1.0), (55_556, 1.8), (35_714, 2.8)])
def test_gamma_of_png(grey: bool, bits: int, chunk_value: int, gamma: float) -> None:
    values = picture(90 if grey else PATCH, f"uint{bits}")
    plain = deep_png(values * 257) if bits == 16 else saved(Image.fromarray(values), "PNG")
    content = with_chunks(plain, chunk(b"gAMA", struct.pack(">I", chunk_value)))
    expected = code_of((values[0, 0] / 255.0) ** gamma)
    np.testing.assert_allclose(colour_of(content)[0], np.broadcast_to(expected, 3), atol=1)
    for first in (chunk(b"sRGB", b"\0"), chunk(b"cICP", b"\1\15\0\1")):
        content = with_chunks(plain, first, chunk(b"gAMA", struct.pack(">I", chunk_value)))
        np.testing.assert_array_equal(colour_of(content)[0], np.broadcast_to(values[0, 0], 3))


def test_primaries_of_png() -> None:
    numbers = [round(100_000 * number) for number in (*D65, *P3)]
    primaries = chunk(b"cHRM", struct.pack(">8I", *numbers))
    gamma = chunk(b"gAMA", struct.pack(">I", 45455))
    plain = saved(Image.fromarray(picture()), "PNG")
    share = PATCH / 255
    for chunks, light in (([primaries], light_of(share)), ([primaries, gamma], share**2.2)):
        expected = code_of(np.asarray(TO_SRGB[12]) @ light)
        found = colour_of(with_chunks(plain, *chunks))[0]
        np.testing.assert_allclose(found, expected, atol=1)
    icc = saved(Image.fromarray(picture()), "PNG", icc_profile=LINEAR)
    np.testing.assert_allclose(colour_of(with_chunks(icc, primaries))[0], [229, 168, 122], atol=1)


def test_a_camera_that_says_adobe_rgb_without_a_profile() -> None:
    exif = Image.Exif()
    photo_folder = exif.get_ifd(ExifTags.IFD.Exif)
    photo_folder[ExifTags.Base.ColorSpace] = 65535
    photo_folder[ExifTags.IFD.Interop] = {1: "R03", 2: b"0100"}
    options = {"quality": 100, "subsampling": 0, "exif": exif}
    content = saved(Image.fromarray(picture()), "JPEG", **options)
    np.testing.assert_allclose(colour_of(content)[0], [227, 100, 42], atol=2)


def test_the_profile_of_a_bmp_counts() -> None:
    pixels = saved(Image.fromarray(picture()), "BMP")[54:]
    at = 124 + len(pixels)
    header = struct.pack("<IiiHHIIiiII", 124, 24, 16, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    header += bytes(16) + b"DEBM" + bytes(48)  # BITMAPV5HEADER, PROFILE_EMBEDDED
    header += struct.pack("<IIII", 4, at, len(LINEAR), 0)
    file = struct.pack("<2sIHHI", b"BM", 14 + at + len(LINEAR), 0, 0, 138)
    assert colour_of(file + header + pixels + LINEAR)[0] == [229, 168, 122]


def test_colours_of_pil_images_count_as_those_of_files() -> None:
    for format_, content in (
        ("PNG", rgb_file("palette", LINEAR)),
        ("AVIF", avif(picture(), 1, 8)),
        ("PNG", png(picture(), 1, 8)),
    ):
        image = open_image(content, "a")
        assert image.format == format_
        image.load()
        np.testing.assert_allclose(as_photo(image.copy()).pixels[8, 8], [229, 168, 122], atol=1)
