"""Image files out: pixels in the format that a suffix names, tagged as sRGB."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from data import iptc
from data.colour import srgb_profile
from data.exif import add_tags, exif_bytes
from data.formats import FORMAT_OF, FORMATS, OPAQUE_SUFFIXES, check_size, check_writable
from data.images import Photo
from data.kept_metadata import Kept, kept_in, tiff_tags
from data.metadata import NO_METADATA, Metadata
from data.pixels import Pixels, as_picture
from errors import UserError
from whole_file import told_of, whole_file

LONG_TEXT = 1000  # bytes; from here on a PNG's text is compressed


def write_pixels(path: Path, pixels: Pixels, alpha: Pixels | None = None) -> None:
    """Write H × W × 3 pixels as `write_photo` does a photo that has nothing else."""
    write_photo(path, Photo(pixels, alpha))


def write_photo(path: Path, photo: Photo) -> list[str]:
    """Write a photo in the format of the path's suffix, tagged as sRGB; return what is not kept.

    Transparency is kept where the format has some and put on white where it has none. A failure
    leaves what was there. Raises UserError for a suffix we do not write, for what the format cannot
    hold, and for a place that cannot be written.
    """
    check_writable(path)
    with writing(str(path)), whole_file(path) as beside, beside.open("w+b") as file:
        return encode(file, path.suffix, photo, str(path))


def encode(file: BinaryIO, suffix: str, photo: Photo, name: str = "-") -> list[str]:
    """Write a photo into a file in the format of a suffix, as `write_photo` does.

    The file can be read and written at any place. Raises UserError that starts with `name`.
    """
    suffix = suffix.lower()
    pixels, alpha = photo.pixels, photo.alpha
    check_size(name if Path(name).suffix else suffix, pixels.shape[1], pixels.shape[0])
    if alpha is not None and suffix in OPAQUE_SUFFIXES:
        share = alpha[..., None].astype(np.float32) / 255
        pixels, alpha = np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8), None
    with writing(name):
        image = as_picture(pixels, alpha_in(suffix, alpha))
        return save_image(image, file, FORMAT_OF[suffix], photo.metadata)


@contextmanager
def writing(target: str) -> Iterator[None]:
    """Make a UserError that starts with the target of what an encoder raises, or a full disk."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{target}: cannot be written (not enough memory); expected room for the whole "
            "picture. Choose a smaller --size-px."
        ) from error
    except OSError as error:
        if error.errno is None:  # Pillow's own, of its encoders
            raise UserError(_refused(target, error)) from error
        with told_of(target):
            raise
    except (ValueError, RuntimeError, ArithmeticError, SystemError, struct.error) as error:
        raise UserError(_refused(target, error)) from error


def _refused(target: str, error: Exception) -> str:
    return (
        f"{target}: cannot be written ({error}); expected a picture that the format holds. "
        "Choose another format with -o."
    )


def save_image(
    image: Image.Image,
    file: BinaryIO,
    format_: str,
    metadata: Metadata = NO_METADATA,
    **options: Any,
) -> list[str]:
    """Write an image in one of Pillow's formats, with what it keeps of the metadata.

    More options go to Pillow: those of an animation, say. Returns what is not kept. Raises what
    Pillow's encoders do, which `writing` makes one line of.
    """
    try:
        kept = kept_in(format_, metadata, image.size)
        image.save(file, format_, **_options(format_, kept), **options)
        if format_ == "TIFF" and (tags := tiff_tags(kept)).tags:
            add_tags(file, tags)
        return list(kept.notices)
    except Exception as error:
        of_metadata = isinstance(error, (ValueError, struct.error, OverflowError, RuntimeError))
        if options or metadata is NO_METADATA or not of_metadata:
            raise
        # the picture matters more
        file.seek(0)
        file.truncate()
        image.save(file, format_, **_options(format_, Kept()))
        return [f"none of the metadata is kept: it cannot be written ({error})"]


def save_options(
    format_: str, metadata: Metadata, size: tuple[int, int]
) -> tuple[dict[str, Any], list[str]]:
    """Return what Pillow is told to write an image of a size, and what is not kept.

    A TIFF's metadata is not among it: `save_image` adds that.
    """
    kept = kept_in(format_, metadata, size)
    return _options(format_, kept), list(kept.notices)


def _options(format_: str, kept: Kept) -> dict[str, Any]:
    # a format without a place for the profile passes it over
    options: dict[str, Any] = {**FORMATS[format_].options, "icc_profile": srgb_profile()}
    if kept.dpi:
        options["dpi"] = kept.dpi
    if format_ == "TIFF":
        if not kept.dpi:  # it must have one: pixels that are square, of no known size
            options |= {"x_resolution": 1, "y_resolution": 1, "resolution_unit": 1}
        return options
    if kept.exif:
        options["exif"] = b"Exif\0\0" + exif_bytes(kept.exif)
    if kept.comment:
        options["comment"] = kept.comment.encode()
    if format_ == "PNG":
        options["pnginfo"] = _png_texts(kept)
    elif kept.xmp:
        options["xmp"] = kept.xmp
    if kept.iptc:
        options["extra"] = _photoshop_segment(kept.iptc)
    return options


def _png_texts(kept: Kept) -> Any:
    from PIL.PngImagePlugin import PngInfo  # 5 ms, which other formats do without

    texts = PngInfo()
    if kept.xmp:
        texts.add_itxt("XML:com.adobe.xmp", kept.xmp.decode())
    for key, value in kept.texts:
        texts.add_text(key, value, zip=len(value) > LONG_TEXT)
    return texts


def _photoshop_segment(content: bytes) -> bytes:
    """Return a JPEG's segment with IPTC in it, as Photoshop writes it."""
    resource = struct.pack(">4sHHL", b"8BIM", iptc.RESOURCE, 0, len(content)) + content
    resource = b"Photoshop 3.0\0" + resource + bytes(len(content) % 2)
    return struct.pack(">2sH", b"\xff\xed", 2 + len(resource)) + resource


def alpha_in(suffix: str, alpha: Pixels | None) -> Pixels | None:
    """Return transparency as a format keeps it: in a GIF, all or none."""
    if suffix != ".gif" or alpha is None:
        return alpha
    return 255 * (alpha > 127).astype(np.uint8)
