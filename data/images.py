"""Image files in and out: the one place where EXIF and colour profiles exist.

Pictures are uint8 arrays, H rows × W columns × 3; data/tensors.py makes tensors of them. Nothing
here takes torch.
"""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import (
    ExifTags,
    Image,
    ImageCms,
    ImageDraw,
    ImageFile,
    ImageFilter,
    ImageOps,
    ImageSequence,
    UnidentifiedImageError,
)

from errors import UserError
from whole_file import whole_file

# Pillow's own table loads every format that it knows, which takes 30 ms.
_FORMAT_OF = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".bmp": "BMP",
}
_HEIC = "HEIF"  # Pillow's only when `learn_heic` was called
# JPEG opens MPO as well
_FORMATS = tuple(name for name in dict.fromkeys(_FORMAT_OF.values()) if name != _HEIC)
SUFFIXES = tuple(_FORMAT_OF)
OPAQUE_SUFFIXES = (".jpg", ".jpeg", ".bmp")
ANIMATION_SUFFIXES = (".gif", ".webp")
QUALITY = 95
TITLE_PX = 22
MAX_PIXELS = 500_000_000
REDUCING_GAP = 1.9
"""A JPEG is decoded at so many times the size it is painted at, or more (docs/painting.md)."""
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit only warns; `_open` refuses above ours
# Of damaged metadata: the pixels decide. For good, since threads share what is caught for a while.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": QUALITY, "subsampling": 0},
    "WEBP": {"quality": QUALITY},
    "AVIF": {"quality": QUALITY},
    "HEIF": {"quality": QUALITY},
    "TIFF": {"compression": "tiff_lzw"},
}
_KEPT_FOLDERS = {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}
_KEPT_TAGS = _KEPT_FOLDERS | {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
}  # not the orientation, which is applied, nor how the pixels were stored


Pixels = npt.NDArray[np.uint8]
"""H × W × 3, 0…255 (H × W for masks and transparency)."""
Array = npt.NDArray[Any]
Picture = Image.Image


class ImageError(UserError):
    """A file that is no readable image."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo, upright, in sRGB."""

    pixels: Pixels
    """H × W × 3."""
    alpha: Pixels | None
    """H × W, or None where the file has no transparency."""
    exif: bytes = b""
    """Who took it, when, where and with what, as EXIF; empty for none."""


def read_photo(
    content: bytes, name: str, *, longer_px: int = 0, scale: float = 1.0, max_pixels: int = 0
) -> Photo:
    """Return the photo of a file in one of our formats and any of its modes.

    EXIF orientation is applied, an embedded colour profile converted to sRGB; what is fully
    transparent, and so has no colour of its own, becomes white. The longer side is made
    `longer_px` (0: as it is), then both are multiplied by `scale`; a JPEG is decoded at
    1/2, 1/4 or 1/8 of its size if that leaves `REDUCING_GAP` times as much. Raises ImageError that
    starts with `name`, also for more than `max_pixels` (0: `MAX_PIXELS`).
    """
    file = _open(content, name, max_pixels)
    size = _scaled(file.size, _factor(file.size, longer_px, scale))
    least = math.ceil(size[0] * REDUCING_GAP), math.ceil(size[1] * REDUCING_GAP)
    image = _decode(file, name, least)
    if image.size != file.size:  # turned, by its EXIF
        size = size[::-1]
    return _photo_of(_resize_to(image, size))


def as_photo(photo: Image.Image | Pixels) -> Photo:
    """Return a PIL image as `read_photo` returns a file, or an array that is checked.

    Raises ValueError for an array that is not uint8, H × W × 3.
    """
    if isinstance(photo, Image.Image):
        return _photo_of(_upright_srgb(photo))
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"{photo.dtype} of shape {photo.shape}; expected uint8, H x W x 3")
    return Photo(photo, None)


def as_picture(pixels: Pixels, alpha: Pixels | None = None) -> Picture:
    """Return pixels as a PIL image, RGBA where there is an alpha."""
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image


def read_pixels(path: Path) -> Pixels:
    """Return an image file as H × W × 3 pixels, on white where transparent. Raises ImageError."""
    return np.asarray(open_rgb(read_bytes(path), str(path)))


def read_mask(path: Path, size: tuple[int, int]) -> Pixels:
    """Return a mask file as H × W, 0 to 255: the transparency of one that has some, else its grey.

    `size` is the (width, height) that it has to have. Raises ImageError.
    """
    image = _decode(_open(read_bytes(path), str(path)), str(path))
    if image.size != size:
        raise ImageError(
            f"{path}: {image.width} x {image.height} px; expected the photo's "
            f"{size[0]} x {size[1]} px. Resize the mask."
        )
    return np.array(image.getchannel("A") if image.mode == "RGBA" else image.convert("L"))


def open_rgb(content: bytes, name: str, min_side_px: int = 0) -> Image.Image:
    """Return an upright sRGB image in mode RGB from a file's content.

    With `min_side_px` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves its shorter
    side at least so long. Raises ImageError that starts with `name`.
    """
    file = _open(content, name)
    scale = min(file.size) / min_side_px if min_side_px else 1
    least = (int(file.width / scale), int(file.height / scale)) if scale >= 2 else None
    image = _decode(file, name, least)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def shaped(image: Image.Image, shorter_px: int, longer_px: int, square: bool) -> Pixels:
    """Return an RGB image's pixels, one side resized (0: as it is) and its centre cropped."""
    if shorter_px:
        image = resize(image, shorter_px / min(image.size))
    elif longer_px:
        image = resize(image, longer_px / max(image.size))
    if square:
        image = ImageOps.fit(image, (min(image.size),) * 2)
    return np.asarray(image)


def write_pixels(
    path: Path, pixels: Pixels, alpha: Pixels | None = None, exif: bytes = b""
) -> None:
    """Write H × W × 3 pixels under the format of the path's suffix, tagged as sRGB.

    `alpha` (H × W) is kept where the format has transparency and put on white where it has none.
    A failure leaves what was there. Raises UserError for a suffix we do not write or a place that
    cannot be written.
    """
    check_writable(path)
    try:
        with whole_file(path) as beside, beside.open("wb") as file:
            encode(file, path.suffix, pixels, alpha, exif)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); expected a folder with room "
            "and permission. Choose another with -o."
        ) from error


def encode(
    file: BinaryIO, suffix: str, pixels: Pixels, alpha: Pixels | None = None, exif: bytes = b""
) -> None:
    """Write H × W × 3 pixels into a file in the format of a suffix, as `write_pixels` does."""
    suffix = suffix.lower()
    if alpha is not None and suffix in OPAQUE_SUFFIXES:
        share = alpha[..., None].astype(np.float32) / 255
        pixels, alpha = np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8), None
    image, format_ = as_picture(pixels, _alpha_in(suffix, alpha)), _FORMAT_OF[suffix]
    # a format without a place for these passes them over
    tags = {"icc_profile": _srgb_profile()} | ({"exif": exif} if exif else {})
    image.save(file, format_, **_OPTIONS.get(format_, {}), **tags)


def _alpha_in(suffix: str, alpha: Pixels | None) -> Pixels | None:
    """Return transparency as a format keeps it: in a GIF, all or none."""
    if suffix != ".gif" or alpha is None:
        return alpha
    return 255 * (alpha > 127).astype(np.uint8)


def animation_frames(path: Path) -> int:
    """Return how many frames a GIF or WebP file has; 0 for one that cannot be read."""
    try:
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1))
    except OSError:
        return 0


def write_animation(source: Path, target: Path, paint: Callable[[Pixels], Pixels]) -> int:
    """Write an animation anew, each frame painted; durations and loops stay. Return their number.

    Transparency stays too, all or none in a GIF. Raises ImageError for one that cannot be read,
    UserError for a place that cannot be written.
    """

    def painted(frame: Image.Image) -> Image.Image:
        photo = as_photo(frame.convert("RGBA"))
        pixels = paint(photo.pixels)
        if not transparent or photo.alpha is None:
            return as_picture(pixels)
        alpha = resized(photo.alpha, (pixels.shape[1], pixels.shape[0]))
        return as_picture(pixels, _alpha_in(target.suffix.lower(), alpha))

    try:
        with Image.open(source) as animation:
            durations, transparent = [], False
            for frame in ImageSequence.Iterator(animation):
                frame.load()  # WebP knows it only then
                durations.append(int(frame.info.get("duration", 100)))
                alpha = np.asarray(frame.convert("RGBA"))[..., 3]
                transparent = transparent or bool(alpha.min() < 255)
            frames = (painted(frame) for frame in ImageSequence.Iterator(animation))
            write_frames(target, frames, durations, animation.info.get("loop", 0))
    except OSError as error:
        raise ImageError(
            f"{source}: cannot be painted ({error}); expected a whole animation, and room. "
            "Check the file."
        ) from error
    return len(durations)


def write_frames(
    target: Path, frames: Iterator[Picture], durations_ms: Sequence[int] | int, loop: int = 0
) -> None:
    """Write frames of one size as a GIF or WebP animation. Raises OSError."""
    first = next(frames)
    format_ = Image.registered_extensions()[target.suffix.lower()]
    options = _OPTIONS.get(format_, {})
    if format_ == "GIF" and first.mode == "RGBA":
        options = {"disposal": 2}  # else what was there shows through
    first.save(
        target,
        format_,
        save_all=True,
        append_images=frames,
        duration=durations_ms,
        loop=loop,
        **options,
    )


def check_writable(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise UserError, before any work is done, for a path that could not be written."""
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: suffix {path.suffix!r}; expected one of {', '.join(suffixes)}.")
    if _FORMAT_OF.get(path.suffix.lower()) == _HEIC:
        learn_heic(str(path))
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(
            f"{path}: {'is a folder' if path.is_dir() else f'{folder} cannot be written to'}; "
            "expected a file in a folder with permission. Choose another with -o."
        )


def learn_heic(name: str) -> None:
    """Have Pillow read and write HEIC. Raises ImageError that starts with `name` if it cannot."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            f"{name}: is HEIC, and pillow-heif is not installed; expected it, or another format. "
            "Run: pip install '.[heic]'"
        ) from error
    pillow_heif.register_heif_opener()


def resize(
    image: Image.Image, factor: float, resample: int = Image.Resampling.BICUBIC
) -> Image.Image:
    """Return the image `factor` times as large, antialiased, each side at least 1 px."""
    return _resize_to(image, _scaled(image.size, factor), resample)


def _resize_to(
    image: Image.Image, size: tuple[int, int], resample: int = Image.Resampling.BICUBIC
) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _factor(size: tuple[int, int], longer_px: int, scale: float) -> float:
    return scale * (longer_px / max(size) if longer_px else 1)


def resized(picture: Array, size: tuple[int, int]) -> Any:
    """Return pixels, or an H × W plane of float32, resized to (width, height), antialiased."""
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def row_resizer(picture: Array, size: tuple[int, int]) -> Callable[[slice], Any]:
    """Return what gives some rows of `resized(picture, size)`, from their slice."""
    width, height = size
    wide = Image.fromarray(picture).resize((width, picture.shape[0]), Image.Resampling.BICUBIC)
    step = wide.height / height

    def rows_of(rows: slice) -> Any:
        box = (0, rows.start * step, width, min(rows.stop * step, wide.height))
        part = (width, rows.stop - rows.start)
        return np.asarray(wide.resize(part, Image.Resampling.BICUBIC, box))

    return rows_of


def resize_pixels(pixels: Pixels, longer_px: int, scale: float) -> Pixels:
    """Return pixels as `read_photo` resizes them."""
    image = Image.fromarray(pixels)
    factor = _factor(image.size, longer_px, scale)
    return pixels if factor == 1 else np.asarray(resize(image, factor))


def blurred(plane: Pixels, sigma_px: float) -> Pixels:
    """Return an H × W plane under a Gaussian blur."""
    return np.asarray(Image.fromarray(plane).filter(ImageFilter.GaussianBlur(sigma_px)))


def picture_sheet(
    rows: Sequence[Sequence[Pixels]],
    titles: Sequence[Sequence[str]] = (),
    cell_px: int = 256,
    gap_px: int = 6,
) -> Pixels:
    """Return pictures side by side as one, each fitted into a square of `cell_px`.

    `titles` holds those of each row's pictures, for as many rows as have some; they stand above.
    """
    cells = [
        [
            ImageOps.contain(Image.fromarray(picture), (cell_px,) * 2, Image.Resampling.LANCZOS)
            for picture in row
        ]
        for row in rows
    ]
    width = max(cell.width for row in cells for cell in row)
    columns = max(len(row) for row in cells)
    heights = [max(cell.height for cell in row) for row in cells]
    sheet_height = sum(heights) + len(rows) * gap_px + len(titles) * TITLE_PX + gap_px
    sheet = Image.new("RGB", (columns * (width + gap_px) + gap_px, sheet_height), "white")
    draw = ImageDraw.Draw(sheet)
    top = gap_px
    for y, (row, height) in enumerate(zip(cells, heights, strict=True)):
        for x, title in enumerate(titles[y] if y < len(titles) else ()):
            middle = gap_px + x * (width + gap_px) + width / 2, top + TITLE_PX / 2 - 2
            draw.text(middle, title, "black", anchor="mm", font_size=14)
        top += TITLE_PX if y < len(titles) else 0
        for x, cell in enumerate(row):
            left = gap_px + x * (width + gap_px) + (width - cell.width) // 2
            sheet.paste(cell, (left, top + (height - cell.height) // 2))
        top += height + gap_px
    return np.asarray(sheet)


def read_bytes(path: Path) -> bytes:
    """Return an image file's content. Raises ImageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{path}: {error.strerror or error}; expected an image file. Check the path."
        ) from error


def _open(content: bytes, name: str, max_pixels: int = 0) -> Image.Image:
    """Return a file's image, of which only the size and the like are read. Raises ImageError."""
    max_pixels = max_pixels or MAX_PIXELS
    with _as_image_error(name):
        formats = _FORMATS
        if content[4:8] == b"ftyp" and b"hei" in content[8:40]:  # ISO/IEC 23008-12, 10
            learn_heic(name)
            formats = (_HEIC,)
        image: Image.Image = Image.open(io.BytesIO(content), formats=formats)
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(
                f"{name}: {width} x {height} px; expected at most {max_pixels:,} pixels. "
                "Make it smaller first, or raise --max-pixels."
            )
        return image


def _decode(file: Image.Image, name: str, least: tuple[int, int] | None = None) -> Image.Image:
    """Return an upright sRGB image in mode L, RGB or RGBA. Raises ImageError.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves it at least as large as `least`.
    """
    with _as_image_error(name):
        if least is not None and isinstance(file, ImageFile.ImageFile):
            file.draft(None, least)
        file.load()
        return _upright_srgb(file)


@contextmanager
def _as_image_error(name: str) -> Iterator[None]:
    """Make an ImageError of what Pillow's decoders raise: many kinds for one cause, a bad file."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        reason = "not an image we know" if isinstance(error, UnidentifiedImageError) else error
        raise ImageError(
            f"{name}: cannot be read ({reason}); expected a JPEG, PNG, WebP, AVIF, HEIC, "
            "TIFF, GIF or BMP file. Replace or remove it."
        ) from error


def _upright_srgb(image: Image.Image) -> Image.Image:
    """Return a decoded image in mode L, RGB or RGBA, with what is kept of its EXIF in `info`."""
    profile, exif = image.info.get("icc_profile"), _exif_of(image)
    image = _to_srgb(ImageOps.exif_transpose(image), profile)
    image.info["exif"] = exif
    return image


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float32)
        if image.mode != "F":
            values /= 65535
        elif values.max(initial=0) > 1:
            values /= 255
        values = np.clip(np.nan_to_num(values), 0, 1) * 255
        return Image.fromarray(np.rint(values).astype(np.uint8))
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if transparent else None
    if profile and image.mode in ("L", "RGB", "RGBA", "CMYK"):
        source = image.convert("RGB") if image.mode == "RGBA" else image
        if transform := _transform_to_srgb(profile, source.mode):
            image = ImageCms.applyTransform(source, transform) or image
    if alpha is not None:
        image = image.convert("RGB")
        image.putalpha(alpha)
    return image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what converts pixels of a mode from an embedded profile to sRGB, or None.

    Most profiles are sRGB's own, under many names: one that changes no colour by more than a level
    of 255 changes none. One that does not fit its pixels is worth less than the pixels.
    """
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "RGB":
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3)
        converted = ImageCms.applyTransform(Image.fromarray(colours), transform)
        if np.abs(np.asarray(converted, np.int16) - colours).max() <= 1:
            return None
    return transform


def _photo_of(image: Image.Image) -> Photo:
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    # convert() copies what is RGB already, and a large photo has no room for that
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    if alpha is not None:
        pixels[alpha == 0] = 255
    return Photo(pixels, alpha, image.info.get("exif", b""))


def _exif_of(image: Image.Image) -> bytes:
    """Return what EXIF says of how a photo came about; empty for none, and for a damaged one."""
    try:
        found, kept = image.getexif(), Image.Exif()
        for tag in _KEPT_TAGS & found.keys():
            kept[tag] = found.get_ifd(tag) if tag in _KEPT_FOLDERS else found[tag]
        return kept.tobytes() if len(kept) else b""
    except Exception:  # as many kinds as there are ways to damage it; the picture matters more
        return b""


@cache
def _srgb_profile() -> bytes:
    profile: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Its date is now: the same picture would be another file a second later (ICC.1:2022, 7.2.8).
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
