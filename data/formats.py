"""The image formats: their suffixes, what each holds, and how we write it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errors import UserError

# Pillow's own table loads every format that it knows, which takes 30 ms.
FORMAT_OF = {
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
HEIC = "HEIF"  # Pillow's only when `learn_heic` was called
# JPEG opens MPO as well
PILLOW_FORMATS = tuple(name for name in dict.fromkeys(FORMAT_OF.values()) if name != HEIC)
SUFFIXES = tuple(FORMAT_OF)
OPAQUE_SUFFIXES = (".jpg", ".jpeg", ".bmp")
ANIMATION_SUFFIXES = (".gif", ".webp")
QUALITY = 95
WRITE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": QUALITY, "subsampling": 0},
    "WEBP": {"quality": QUALITY},
    "AVIF": {"quality": QUALITY},
    "HEIF": {"quality": QUALITY},
    "TIFF": {"compression": "tiff_lzw"},
}


class ImageError(UserError):
    """A file that is no readable image."""


def check_writable(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise UserError, before any work is done, for a path that could not be written."""
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: suffix {path.suffix!r}; expected one of {', '.join(suffixes)}.")
    if FORMAT_OF.get(path.suffix.lower()) == HEIC:
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


def suffix_of(format_: str) -> str:
    """Return the suffix under which an image of one of Pillow's formats is written; else .png."""
    format_ = "JPEG" if format_ == "MPO" else format_  # several JPEGs in one file
    return next((suffix for suffix, name in FORMAT_OF.items() if name == format_), ".png")
