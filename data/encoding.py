"""Image files out: pixels in the format that a suffix names, tagged as sRGB."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from data.colour import srgb_profile
from data.formats import FORMAT_OF, OPAQUE_SUFFIXES, WRITE_OPTIONS, check_writable
from data.images import Photo
from data.pixels import Pixels, as_picture
from errors import UserError
from whole_file import whole_file


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
    try:
        with whole_file(path) as beside, beside.open("wb") as file:
            return encode(file, path.suffix, photo)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); expected a folder with room "
            "and permission. Choose another with -o."
        ) from error


def encode(file: BinaryIO, suffix: str, photo: Photo) -> list[str]:
    """Write a photo into a file in the format of a suffix, as `write_photo` does."""
    suffix = suffix.lower()
    pixels, alpha, exif = photo.pixels, photo.alpha, photo.metadata.exif
    if alpha is not None and suffix in OPAQUE_SUFFIXES:
        share = alpha[..., None].astype(np.float32) / 255
        pixels, alpha = np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8), None
    image, format_ = as_picture(pixels, alpha_in(suffix, alpha)), FORMAT_OF[suffix]
    # a format without a place for these passes them over
    tags = {"icc_profile": srgb_profile()} | ({"exif": exif} if exif else {})
    image.save(file, format_, **WRITE_OPTIONS.get(format_, {}), **tags)
    return []


def alpha_in(suffix: str, alpha: Pixels | None) -> Pixels | None:
    """Return transparency as a format keeps it: in a GIF, all or none."""
    if suffix != ".gif" or alpha is None:
        return alpha
    return 255 * (alpha > 127).astype(np.uint8)
