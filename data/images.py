"""Image files in: the one place where they become upright pixels in sRGB.

Pictures are uint8 arrays, H rows × W columns × 3; data/tensors.py makes tensors of them. Nothing
here takes torch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from data.cicp import adobe_rgb_profile
from data.colour import to_srgb
from data.exif import Exif, Value
from data.formats import ImageError
from data.metadata import NO_METADATA, Metadata, metadata_of
from data.pixels import Pixels
from data.resizing import resize_to, resized_size
from data.source import RAW, Source, as_image_error, open_frames, open_source
from data.tiff import is_tiff, pages_in

MAX_PIXELS = 500_000_000
REDUCING_GAP = 1.9
"""A JPEG is decoded at so many times the size it is painted at, or more (docs/painting.md)."""
QUARTER_TURNS = (5, 6, 7, 8)  # of EXIF's orientations
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit only warns; `check_size` refuses above ours
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
    """Pillow's name of the file's format, or RAW; empty for what was no file."""
    original_size: tuple[int, int] = (0, 0)
    """Width and height, upright, before it was resized."""


@dataclass(frozen=True)
class Decoded:
    """An upright image in sRGB, in mode L, RGB or RGBA, and what its file says beside."""

    image: Image.Image
    metadata: Metadata
    notices: tuple[str, ...]
    turned: bool
    """By a quarter turn, as its EXIF says."""


def read_photo(
    content: bytes,
    name: str,
    *,
    longer_px: int = 0,
    scale: float = 1.0,
    max_pixels: int = 0,
    page: int | None = None,
    check: Callable[[int, int], None] | None = None,
) -> Photo:
    """Return the photo of a file in one of our formats and any of its modes.

    EXIF orientation is applied, an embedded colour profile converted to sRGB; what is fully
    transparent, and so has no colour of its own, becomes white. The longer side is made
    `longer_px` (0: as it is), then both are multiplied by `scale`; a JPEG is decoded at
    1/2, 1/4 or 1/8 of its size if that leaves `REDUCING_GAP` times as much. Raises ImageError that
    starts with `name`, also for more than `max_pixels` (0: `MAX_PIXELS`). Of a TIFF with several
    pages, `page` is the one to read (None: the first that is no thumbnail). `check` is called with
    the width and height to come before any pixel is decoded; what it raises ends the reading.
    """
    file = open_source(content, name, max_pixels or MAX_PIXELS, page)
    size = resized_size(file.size, longer_px, scale)
    if check:
        check(*size)
    least = math.ceil(size[0] * REDUCING_GAP), math.ceil(size[1] * REDUCING_GAP)
    original = file.size
    decoded = _decode(file, name, least)
    if decoded.turned:
        size, original = size[::-1], original[::-1]
    photo = _photo_of(replace(decoded, image=resize_to(decoded.image, size)))
    return replace(photo, format=file.format, original_size=original)


def as_photo(photo: Image.Image | Pixels) -> Photo:
    """Return a PIL image as `read_photo` returns a file, or an array that is checked.

    Raises ValueError for an array that is not uint8, H × W × 3, TypeError for anything else.
    """
    if isinstance(photo, Image.Image):
        return _photo_of(_upright_srgb(photo))
    if not isinstance(photo, np.ndarray):
        raise TypeError(
            f"a photo of type {type(photo).__name__}; expected a PIL image, or a uint8 array, "
            "H x W x 3. Open a file first: PIL.Image.open(path)."
        )
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"{photo.dtype} of shape {photo.shape}; expected uint8, H x W x 3")
    return Photo(photo, None)


def open_image(content: bytes, name: str, max_pixels: int = 0) -> Image.Image:
    """Return Pillow's image of a file's first frame; `as_photo` makes each frame a photo.

    Only its header is read. Its `info` has what its colours mean. Raises ImageError.
    """
    return open_frames(content, name, max_pixels or MAX_PIXELS)


def pages_of(content: bytes) -> tuple[int, ...]:
    """Return the pages of a TIFF that `read_photo` takes; (0,) for every other format."""
    return (is_tiff(content) and pages_in(content)) or (0,)


def read_pixels(path: Path) -> Pixels:
    """Return an image file as H × W × 3 pixels, on white where transparent. Raises ImageError."""
    return np.asarray(open_rgb(read_bytes(path), str(path)))


def read_mask(path: Path, size: tuple[int, int], original: tuple[int, int] | None = None) -> Pixels:
    """Return a mask file as H × W, 0 to 255: the transparency of one that has some, else its grey.

    The mask has the photo's `size` (width, height), or the `original` one that the photo had before
    it was resized; then it is resized as well. Raises ImageError.
    """
    image = _decode(open_source(read_bytes(path), str(path), MAX_PIXELS), str(path)).image
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
    file = open_source(content, name, MAX_PIXELS)
    scale = min(file.size) / min_side_px if min_side_px else 1
    width, height = file.size
    least = (int(width / scale), int(height / scale)) if scale >= 2 else None
    image = _decode(file, name, least).image
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def read_bytes(path: Path) -> bytes:
    """Return an image file's content. Raises ImageError."""
    try:
        special = path.exists() and not path.is_file() and not path.is_dir()
        piped = path.is_fifo() and str(path).startswith("/dev/")  # by a shell
        if special and not piped:
            raise ImageError(
                f"{path}: is a pipe, a socket or a device; expected an image file. Give its "
                "content to the standard input, with - as INPUT."
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{path}: {error.strerror or error}; expected an image file. Check the path."
        ) from error


def _decode(file: Source, name: str, least: tuple[int, int] | None = None) -> Decoded:
    """Return a file's image, upright and in sRGB. Raises ImageError.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size, a raw file at 1/2, if that leaves it at least
    as large as `least`.
    """
    with as_image_error(name):
        image = file.image
        if file.pixels is not None:
            picture, notices = file.pixels(least)
            lay = file.orientation or image.getexif().get(ExifTags.Base.Orientation, 1)
            found = _turned(picture, lay), metadata_of(image, file.tiff), notices
            decoded = Decoded(*found, lay in QUARTER_TURNS)
        else:
            if least is not None and isinstance(image, ImageFile.ImageFile):
                image.draft(None, least)
            image.load()
            decoded = _upright_srgb(image)
        if file.format == RAW:  # how the sensor's values were stored is of no use any more
            metadata = replace(decoded.metadata, private={}, size=(0, 0))
            decoded = replace(decoded, metadata=metadata)
        return replace(decoded, notices=(*file.notices, *decoded.notices))


def _upright_srgb(image: Image.Image) -> Decoded:
    """Return a decoded image as `Decoded` has it."""
    metadata, upright = metadata_of(image), ImageOps.exif_transpose(image)
    turned = upright.size != image.size
    if not upright.info.get("icc_profile") and _is_adobe_rgb(metadata.exif):
        upright.info["icc_profile"] = adobe_rgb_profile()
    picture, notices = to_srgb(upright)
    return Decoded(picture, metadata, notices, turned)


def _is_adobe_rgb(exif: Exif) -> bool:
    """Return whether a camera says that its colours are Adobe RGB (JEITA CP-3461, 3.4)."""
    interop = exif.folder(ExifTags.IFD.Exif).get(ExifTags.IFD.Interop)
    index = interop.get(ExifTags.Interop.InteropIndex) if isinstance(interop, dict) else None
    return isinstance(index, Value) and index.data.startswith(b"R03")


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image that lay as EXIF says, upright."""
    if orientation == 1:
        return image
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def _photo_of(decoded: Decoded) -> Photo:
    image = decoded.image
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    # convert() copies what is RGB already, and a large photo has no room for that
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    if alpha is not None:
        pixels[alpha == 0] = 255
    size = image.size
    return Photo(pixels, alpha, decoded.metadata, decoded.notices, original_size=size)
