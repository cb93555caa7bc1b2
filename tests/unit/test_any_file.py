"""Any file that the libraries can write comes back with its pixels, size, colours and metadata.

A case is a format, a mode, a depth, a profile, metadata and an orientation, drawn at random. The
file is made from a known sRGB picture by the inverse of what its header says, so that the picture
is the expected value, whatever our reader does.
"""

from __future__ import annotations

import io
import json
import random
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageCms

import stylize
from data.encoding import write_photo
from data.formats import learn_heic
from data.images import read_bytes, read_photo
from data.pixels import Array, Pixels

SIZE = 45, 31
MODES = {
    ".jpg": ("L", "RGB", "CMYK"),
    ".png": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "L16", "LA16", "RGB16", "RGBA16"),
    ".webp": ("RGB", "RGBA"),
    ".avif": ("RGB", "RGBA"),
    ".heic": ("RGB", "RGBA"),
    ".tif": (
        *("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "L16", "RGB16", "RGBA16", "planar16"),
        *("white is zero", "white is zero 16", "L32", "RGB32", "float16", "float32", "float64"),
        *("float RGB", "float with inf", "float to 255"),
    ),
    ".gif": ("P", "PA", "1"),
    ".bmp": ("1", "L", "P", "RGB"),
}
KEEPS_EXIF = (".jpg", ".png", ".webp", ".avif", ".heic", ".tif")
# mean difference in levels that a format's loss makes of a smooth picture
LOSS = {".jpg": 2.5, ".webp": 4, ".avif": 3, ".heic": 5, ".gif": 8}
COLOURS = 199
ORIENTED = (".jpg", ".png", ".webp", ".tif")
HIDDEN_BY = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""Orientation → the transposition that it takes back (`Image.Transpose`)."""


@dataclass(frozen=True)
class Case:
    """A file to make, and the suffix to write it under."""

    suffix: str
    mode: str
    profile: str
    orientation: int
    tagged: bool
    target: str


def case_of(number: int) -> Case:
    """The case of a number, the same each time."""
    drawn = random.Random(number)
    suffix = drawn.choice(list(MODES))
    mode = drawn.choice(MODES[suffix])
    profiles = ["none", "none"]
    if suffix != ".bmp" and not mode.startswith(("float", "white", "1", "CMYK")):
        if not mode.startswith("L"):
            profiles += ["srgb", "swapped"]
        elif mode.endswith("16"):
            profiles.append("linear grey")
    if suffix == ".gif":
        profiles = ["none"]
    orientation = drawn.randint(1, 8) if suffix in ORIENTED else 1
    target = suffix if drawn.random() < 0.5 else drawn.choice(list(MODES))
    tagged = suffix in KEEPS_EXIF and drawn.random() < 0.6
    return Case(suffix, mode, drawn.choice(profiles), orientation, tagged, target)


def picture(seed: int) -> Pixels:
    """A smooth picture of many colours."""
    width, height = SIZE
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    drawn = np.random.default_rng(seed)
    waves = drawn.uniform(1, 4, (3, 2))
    planes = [np.sin(drawn.uniform(0, 6) + a * x + b * y) for a, b in waves]
    return np.rint((np.stack(planes, -1) + 1) / 2 * 255).astype(np.uint8)


def truth_of(case: Case, seed: int) -> tuple[Pixels, Pixels | None]:
    """The sRGB picture of a case and its alpha: what its mode can hold."""
    pixels = picture(seed)
    alpha = None
    if "A" in case.mode.replace("16", "")[1:]:
        ramp = np.linspace(20, 255, SIZE[0])
        alpha = np.broadcast_to(np.rint(ramp), SIZE[::-1]).astype(np.uint8)
    if case.mode == "PA":
        alpha = np.where(alpha > 127, 255, 0).astype(np.uint8)
    if case.mode.startswith(("L", "white", "float")) and case.mode != "float RGB":
        pixels = np.repeat(pixels[..., :1], 3, -1)
    if case.mode == "1":
        pixels = np.where(pixels[..., :1] > 127, 255, 0).repeat(3, -1).astype(np.uint8)
    if case.mode in ("P", "PA"):
        quantized = Image.fromarray(pixels).quantize(COLOURS, dither=Image.Dither.NONE)
        pixels = np.asarray(quantized.convert("RGB"))
    if alpha is not None:
        pixels = np.where(alpha[..., None] == 0, 255, pixels).astype(np.uint8)
    return pixels, alpha


def srgb_profile(swapped: bool = False) -> bytes:
    """sRGB's profile; `swapped` calls red what is blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if swapped:
        for old, new in ((b"rXYZ", b"tmp_"), (b"bXYZ", b"rXYZ"), (b"tmp_", b"bXYZ")):
            profile = profile.replace(old, new)
    return profile


def linear_grey_profile() -> bytes:
    """A grey profile whose values are linear light (ICC.1:2022, 8.5)."""
    d50 = struct.pack(">4s4x3i", b"XYZ ", 63190, 65536, 54061)
    curve = struct.pack(">4s4xI", b"curv", 0)
    text = struct.pack(">4s4xI5s", b"desc", 5, b"grey\0") + bytes(83)
    offset, table, body = 132 + 12 * 3, b"", b""
    for name, tag in ((b"desc", text), (b"wtpt", d50), (b"kTRC", curve)):
        tag += bytes(-len(tag) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(tag))
        body += tag
    size, kinds = offset + len(body), (b"mntr", b"GRAY", b"XYZ ", b"acsp")
    header = struct.pack(">I4xI4s4s4s12x4s", size, 0x02400000, *kinds)
    header += bytes(68 - len(header)) + struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + struct.pack(">I", 3) + table + body


def linear(values: Array) -> Array:
    """sRGB values, 0 to 1, as linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def stored(case: Case, pixels: Pixels, alpha: Pixels | None) -> tuple[Array, bytes | None]:
    """The values to store, H × W × channels of 8 or 16 bits or float, and the profile beside."""
    values: Array = pixels.astype(np.float64) / 255
    profile = srgb_profile(case.profile == "swapped") if case.profile != "none" else None
    if case.profile == "swapped":
        values = values[..., ::-1]
    if case.profile == "linear grey":
        values, profile = linear(values), linear_grey_profile()
    if alpha is not None:
        values = np.concatenate([values, alpha[..., None] / 255.0], -1)
    return values, profile


def exif_of(case: Case) -> Image.Exif:
    """What a camera writes."""
    exif = Image.Exif()
    if case.orientation != 1:
        exif[ExifTags.Base.Orientation] = case.orientation
    if case.tagged:
        exif[ExifTags.Base.Make] = "Maker"
        exif[ExifTags.Base.Artist] = "A. Painter"
        exif[ExifTags.Base.Copyright] = "(c) A. Painter"
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:01:02 03:04:05"
        exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
        exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, 30.0)
    return exif


def make_file(case: Case, path: Path, pixels: Pixels, alpha: Pixels | None) -> None:
    """Write a case's file."""
    values, profile = stored(case, pixels, alpha)
    if case.orientation != 1:
        turns = {
            0: lambda v: v[:, ::-1],
            1: lambda v: v[::-1],
            2: lambda v: np.rot90(v),
            3: lambda v: np.rot90(v, 2),
            4: lambda v: np.rot90(v, 3),
            5: lambda v: v.swapaxes(0, 1),
            6: lambda v: np.rot90(v, 2).swapaxes(0, 1),
        }
        values = np.ascontiguousarray(turns[HIDDEN_BY[case.orientation]](values))
    exif, mode = exif_of(case), case.mode
    deep = np.rint(values * 65535).astype(np.uint16)
    eight = np.rint(values * 255).astype(np.uint8)
    tiff: dict[str, object] = {}
    data: Array | None = None
    if path.suffix == ".tif" and mode in ("RGB16", "RGBA16", "planar16"):
        data, tiff = deep, {"photometric": "rgb"}
        if mode == "planar16":
            data, tiff = deep.transpose(2, 0, 1), tiff | {"planarconfig": "separate"}
        if mode == "RGBA16":
            tiff |= {"extrasamples": ["unassalpha"]}
    elif mode.startswith("white"):
        data = 65535 - deep[..., 0] if mode.endswith("16") else 255 - eight[..., 0]
        tiff = {"photometric": "miniswhite"}
    elif mode in ("L32", "RGB32"):
        data = np.rint(values * (2**32 - 1)).astype(np.uint32)
        data, tiff = (
            (data[..., 0], {"photometric": "minisblack"})
            if mode == "L32"
            else (data, {"photometric": "rgb"})
        )
    elif mode.startswith("float"):
        kind = {"float16": np.float16, "float64": np.float64}.get(mode, np.float32)
        data, tiff = values[..., 0].astype(kind), {"photometric": "minisblack"}
        if mode == "float RGB":
            data, tiff = values.astype(kind), {"photometric": "rgb"}
        if mode == "float to 255":
            data = data * 255
        if mode == "float with inf":
            data = np.where(values[..., 0] >= values[..., 0].max(), np.inf, data).astype(np.float32)
    if data is not None:
        tags = [(ExifTags.Base.Orientation, 3, 1, case.orientation, True)]
        if case.tagged:
            tags += [
                (ExifTags.Base.Make, 2, 0, "Maker", True),
                (ExifTags.Base.Artist, 2, 0, "A. Painter", True),
            ]
        tifffile.imwrite(path, data, iccprofile=profile, extratags=tags, metadata=None, **tiff)
        return
    if path.suffix == ".png" and mode in ("LA16", "RGB16", "RGBA16"):
        channels = deep[..., [0, 3]] if mode == "LA16" else deep
        content = imagecodecs.png_encode(np.ascontiguousarray(channels))
        chunks = b""
        if profile:
            chunks += chunk(b"iCCP", b"p\0\0" + imagecodecs.zlib_encode(profile))
        if len(exif):
            chunks += chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        path.write_bytes(content[:33] + chunks + content[33:])
        return
    if mode == "L16":
        image = Image.fromarray(deep[..., 0])
    elif mode in ("1", "L"):
        image = Image.fromarray(eight[..., 0]).convert(mode)
    elif mode == "LA":
        image = Image.merge("LA", [Image.fromarray(eight[..., k]) for k in (0, 3)])
    elif mode == "P":
        image = Image.fromarray(eight).quantize(COLOURS, dither=Image.Dither.NONE)
    elif mode == "PA":
        image = Image.fromarray(eight[..., :3]).quantize(COLOURS, dither=Image.Dither.NONE)
        hole = len(image.getpalette()) // 3
        image.putpalette([*image.getpalette(), 0, 0, 0])
        image.paste(hole, mask=Image.fromarray(255 - eight[..., 3]))
        image.info["transparency"] = hole
    elif mode == "CMYK":
        image = Image.fromarray(eight).convert("CMYK")
    else:
        image = Image.fromarray(eight)
    options = {"icc_profile": profile} if profile else {}
    options |= {"lossless": True} if path.suffix == ".webp" else {"quality": 100}
    if path.suffix == ".jpg":
        options["subsampling"] = 0
    if path.suffix in (".avif", ".heic"):
        options |= {"subsampling": "4:4:4"} if path.suffix == ".avif" else {"chroma": 444}
    if len(exif):
        options["exif"] = exif
    image.save(path, **options)


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    import zlib

    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def check(case: Case, path: Path, pixels: Pixels, alpha: Pixels | None, notices: list[str]) -> None:
    """Hold what was written against the picture that the file was made from."""
    if case.tagged and case.target not in KEEPS_EXIF:
        assert notices, "EXIF is lost without a word"
    with Image.open(path) as image:
        assert image.size == SIZE, case
        profile = image.info.get("icc_profile")
        if case.target not in (".gif", ".bmp"):
            assert profile, case
            assert "sRGB" in ImageCms.getProfileDescription(
                ImageCms.ImageCmsProfile(io.BytesIO(profile))
            )
        exif = image.getexif()
        assert exif.get(ExifTags.Base.Orientation, 1) == 1, case
        if case.tagged and case.target in KEEPS_EXIF:
            assert exif.get(ExifTags.Base.Make) == "Maker", case
            assert exif.get(ExifTags.Base.Artist) == "A. Painter", case
            shot, place = (exif.get_ifd(i) for i in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
            if case.suffix != ".tif":  # into which Pillow writes no folders
                assert shot[ExifTags.Base.DateTimeOriginal] == "2026:01:02 03:04:05"
                assert shot.get(ExifTags.Base.ColorSpace, 1) == 1
                assert [float(v) for v in place[ExifTags.GPS.GPSLatitude]] == [48, 8, 30]
        found = np.asarray(image.convert("RGBA")).astype(float)
    expected = pixels.astype(float)
    share = np.ones((*expected.shape[:2], 1)) if alpha is None else alpha[..., None] / 255
    if alpha is not None and case.target in (".jpg", ".bmp"):
        expected, share = expected * share + 255 * (1 - share), np.ones_like(share)
    if case.target == ".gif":
        share = np.where(share > 0.5, 1.0, 0.0)
    if alpha is not None and case.target not in (".jpg", ".bmp"):
        assert np.abs(found[..., 3] / 255 - share[..., 0]).mean() < 0.02, case
    tolerance = 1 + LOSS.get(case.target, 0) + LOSS.get(case.suffix, 0) * (case.suffix != ".gif")
    away = np.abs(found[..., :3] - expected) * (share > 0.1)
    assert away.mean() < tolerance, (case, away.mean())


def try_cases(numbers: range, folder: Path) -> None:
    """Make, read, write and check the files of some numbers."""
    learn_heic("")
    wrong = []
    for number in numbers:
        case = case_of(number)
        pixels, alpha = truth_of(case, number)
        path = folder / f"{number}{case.suffix}"
        make_file(case, path, pixels, alpha)
        target = folder / f"{number}_out{case.target}"
        try:
            photo = read_photo(read_bytes(path), path.name)
            notices = write_photo(target, photo)
            check(case, target, pixels, alpha, [*photo.notices, *notices])
        except Exception as error:
            wrong.append(f"{number} {case}: {type(error).__name__}: {error}")
        path.unlink()
        target.unlink(missing_ok=True)
    assert not wrong, f"{len(wrong)} of {len(numbers)}: " + "\n".join(wrong[:20])


def test_the_command_gives_them_back_at_no_strength(
    tmp_path: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_heic("")
    cases = {i: replace(case_of(i), target=case_of(i).suffix) for i in range(10_000, 10_080)}
    truths = {number: truth_of(case, number) for number, case in cases.items()}
    photos, out, report = tmp_path / "photos", tmp_path / "out", tmp_path / "report.json"
    photos.mkdir()
    for number, case in cases.items():
        make_file(case, photos / f"{number}{case.suffix}", *truths[number])
    command = ["stylize.py", photos, "--style", style, "--strength", 0, "-o", out]
    monkeypatch.setattr(sys, "argv", [str(x) for x in (*command, "--report", report)])
    assert stylize.main() == 0
    notices = {
        int(Path(one["input"]).stem): one.get("notices", [])
        for one in json.loads(report.read_text())["photos"]
    }
    for number, case in cases.items():
        check(case, out / f"{number}{case.suffix}", *truths[number], notices[number])


def test_any_file_comes_back(tmp_path: Path) -> None:
    try_cases(range(250), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 9000, 1000))
def test_thousands_of_files_come_back(tmp_path: Path, first: int) -> None:
    try_cases(range(first, first + 1000), tmp_path)
