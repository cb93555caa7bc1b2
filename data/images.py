"""Image files in: the one place where they become upright pixels in sRGB.

Pictures are uint8 arrays, H rows × W columns × 3; data/tensors.py makes tensors of them. Nothing
here takes torch.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from data.colour import to_srgb
from data.formats import HEIC, PILLOW_FORMATS, ImageError, learn_heic
from data.metadata import NO_METADATA, Metadata, metadata_of
from data.pixels import Pixels
from data.resizing import factor_of, resize_to, scaled

MAX_PIXELS = 500_000_000
REDUCING_GAP = 1.9
"""A JPEG is decoded at so many times the size it is painted at, or more (docs/painting.md)."""
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit only warns; `_open` refuses above ours
# Of damaged metadata: the pixels decide. For good, since threads share what is caught for a while.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\.")


@dataclass(frozen=True)
class Photo:
    """A decoded photo, upright, in sRGB."""

    pixels: Pixels
    """H × W × 3."""
    alpha: Pixels | None
    """H × W, or None where the file has no transparency."""
    metadata: Metadata = NO_METADATA
    notices: tuple[str, ...] = ()
    """What of the file was not kept, or was guessed: a line each, without the file's name."""
    format: str = ""
    """Pillow's name of the file's format; empty for what was no file."""
    original_size: tuple[int, int] = (0, 0)
    """Width and height, upright, before it was resized."""


@dataclass(frozen=True)
class Decoded:
    """An upright image in sRGB, in mode L, RGB or RGBA, and what its file says beside."""

    image: Image.Image
    metadata: Metadata
    notices: tuple[str, ...]


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
    size = scaled(file.size, factor_of(file.size, longer_px, scale))
    least = math.ceil(size[0] * REDUCING_GAP), math.ceil(size[1] * REDUCING_GAP)
    original = file.size
    decoded = _decode(file, name, least)
    if decoded.image.size != file.size:  # turned, by its EXIF
        size, original = size[::-1], original[::-1]
    photo = _photo_of(replace(decoded, image=resize_to(decoded.image, size)))
    return replace(photo, format=file.format or "", original_size=original)


def as_photo(photo: Image.Image | Pixels) -> Photo:
    """Return a PIL image as `read_photo` returns a file, or an array that is checked.

    Raises ValueError for an array that is not uint8, H × W × 3.
    """
    if isinstance(photo, Image.Image):
        return _photo_of(_upright_srgb(photo))
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"{photo.dtype} of shape {photo.shape}; expected uint8, H x W x 3")
    return Photo(photo, None)


def read_pixels(path: Path) -> Pixels:
    """Return an image file as H × W × 3 pixels, on white where transparent. Raises ImageError."""
    return np.asarray(open_rgb(read_bytes(path), str(path)))


def read_mask(path: Path, size: tuple[int, int], original: tuple[int, int] | None = None) -> Pixels:
    """Return a mask file as H × W, 0 to 255: the transparency of one that has some, else its grey.

    The mask has the photo's `size` (width, height), or the `original` one that the photo had before
    it was resized; then it is resized as well. Raises ImageError.
    """
    image = _decode(_open(read_bytes(path), str(path)), str(path)).image
    valid = dict.fromkeys((size, original or size))
    if image.size not in valid:
        sizes = " or ".join(f"{width} x {height}" for width, height in valid)
        raise ImageError(
            f"{path}: {image.width} x {image.height} px; expected the photo's {sizes} px. "
            "Resize the mask."
        )
    plane = image.getchannel("A") if image.mode == "RGBA" else image.convert("L")
    if image.mode == "RGBA" and plane.getextrema()[0] == 255:  # nothing is transparent
        plane = image.convert("L")
    return np.array(resize_to(plane, size))


def open_rgb(content: bytes, name: str, min_side_px: int = 0) -> Image.Image:
    """Return an upright sRGB image in mode RGB from a file's content.

    With `min_side_px` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves its shorter
    side at least so long. Raises ImageError that starts with `name`.
    """
    file = _open(content, name)
    scale = min(file.size) / min_side_px if min_side_px else 1
    least = (int(file.width / scale), int(file.height / scale)) if scale >= 2 else None
    image = _decode(file, name, least).image
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


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
        formats = PILLOW_FORMATS
        if content[4:8] == b"ftyp" and b"hei" in content[8:40]:  # ISO/IEC 23008-12, 10
            learn_heic(name)
            formats = (HEIC,)
        image: Image.Image = Image.open(io.BytesIO(content), formats=formats)
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(
                f"{name}: {width} x {height} px; expected at most {max_pixels:,} pixels. "
                "Make it smaller first, or raise --max-pixels."
            )
        return image


def _decode(file: Image.Image, name: str, least: tuple[int, int] | None = None) -> Decoded:
    """Return a file's image, upright and in sRGB. Raises ImageError.

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


def _upright_srgb(image: Image.Image) -> Decoded:
    """Return a decoded image as `Decoded` has it."""
    metadata, profile = metadata_of(image), image.info.get("icc_profile")
    return Decoded(to_srgb(ImageOps.exif_transpose(image), profile), metadata, ())


def _photo_of(decoded: Decoded) -> Photo:
    image = decoded.image
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    # convert() copies what is RGB already, and a large photo has no room for that
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    if alpha is not None:
        pixels[alpha == 0] = 255
    size = image.size
    return Photo(pixels, alpha, decoded.metadata, decoded.notices, original_size=size)
