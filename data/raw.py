"""Raw files of cameras, developed by LibRaw: never the thumbnail inside."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from data.formats import RAW_SUFFIXES, ImageError
from data.pixels import Pixels
from data.tiff import Header, directories, is_sensor_data, is_tiff

STARTS = (
    *(b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR"),
    *(b"IIRO", b"IIRS", b"MMOR", b"IIU\0"),
)
"""How the files of makers begin whose files are no TIFF: Fujifilm, Sigma, Minolta and the first
Canons; those of Olympus and Panasonic are one but for their first 4 bytes."""
ALMOST_TIFF = {b"IIRO": b"II*\0", b"IIRS": b"II*\0", b"MMOR": b"MM\0*", b"IIU\0": b"II*\0"}
SRGB_CURVE = (2.4, 12.92)  # exponent and slope at black
SIDEWAYS = (5, 6)  # LibRaw's numbers of a quarter turn


def is_raw(content: bytes, name: str) -> bool:
    """Return whether a file is a raw one, by its content, or by its name and its content."""
    if content.startswith(STARTS) or content[4:12] == b"ftypcrx ":
        return True
    if not is_tiff(content):
        return False
    if content[8:10] == b"CR":  # Canon's CR2, whose first picture is a large JPEG
        return True
    return PurePath(name).suffix.lower() in RAW_SUFFIXES or is_sensor_data(content)


def raw_size(content: bytes, name: str) -> tuple[int, int]:
    """Return a developed photo's width and height. Raises ImageError."""
    with _opened(content, name) as raw:
        width, height = raw.sizes.width, raw.sizes.height
        return (height, width) if raw.sizes.flip in SIDEWAYS else (width, height)


def developed(content: bytes, name: str, least: tuple[int, int] | None) -> Pixels:
    """Return a raw file's photo, upright and in sRGB, with the camera's white balance.

    It has half the size if that is at least `least`. Raises ImageError.
    """
    width, height = raw_size(content, name)
    half = least is not None and width // 2 >= least[0] and height // 2 >= least[1]
    with _opened(content, name) as raw:
        pixels = raw.postprocess(use_camera_wb=True, gamma=SRGB_CURVE, half_size=half)
    return np.ascontiguousarray(pixels, np.uint8)


def raw_header(content: bytes, name: str) -> tuple[Image.Image, bytes, tuple[str, ...]]:
    """Return what has a raw file's metadata: an image, and a TIFF's content if there is one.

    Then a notice where neither has it.
    """
    as_tiff = ALMOST_TIFF.get(content[:4], content[:4]) + content[4:]
    if is_tiff(as_tiff):
        return Header(next(directories(as_tiff))), as_tiff, ()
    with _opened(content, name) as raw:
        try:
            return Image.open(io.BytesIO(raw.extract_thumb().data)), b"", ()
        except Exception:  # as many kinds as makers: the picture matters more
            lost = "the metadata is not kept: LibRaw finds no preview that has it"
            return Image.new("L", (1, 1)), b"", (lost,)


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Any]:
    rawpy = _rawpy(name)
    try:
        with rawpy.imread(io.BytesIO(content)) as raw:
            yield raw
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else "damaged"
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise ImageError(
            f"{name}: is a camera's raw file that cannot be developed ({reason}); expected one "
            "that LibRaw knows. Export it as TIFF or JPEG first."
        ) from error


def _rawpy(name: str) -> ModuleType:
    try:
        import rawpy
    except ImportError as error:
        raise ImageError(
            f"{name}: is a camera's raw file, and rawpy is not installed; expected it, or a TIFF "
            "or JPEG that you exported. Run: pip install '.[raw]'"
        ) from error
    module: ModuleType = rawpy
    return module
