"""The image formats: their suffixes, what each holds, and how we write it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from errors import UserError

QUALITY = 95
JPEG_HEAD = b"\xff\xd8\xff"
MOST_NAME_BYTES = 255


@dataclass(frozen=True)
class Format:
    """One image format. Limits are those of the libraries that write it, found by trying."""

    title: str
    suffixes: tuple[str, ...]
    """The first is the usual one; what cameras and other programs write besides."""
    options: dict[str, Any] = field(default_factory=dict)
    """What Pillow is told when it writes."""
    transparent: bool = True
    animated: bool = False
    most_side_px: int = 2**31 - 1
    most_pixels: int = 2**62
    thin_px: int = 0
    """A side shorter than this ..."""
    most_beside_thin_px: int = 0
    """... allows the other one no more."""
    exif: bool = True
    """Whether it has a place for EXIF, and for XMP."""
    iptc: bool = False
    comment: bool = False
    texts: bool = False
    """Whether it has a place for any number of texts, each with a keyword."""
    dpi: bool = False
    """Whether it has a resolution outside of EXIF."""
    most_metadata_bytes: int = 0
    """Of each kind; 0 for any number."""

    @property
    def named(self) -> str:
        """Its name with an article, for a sentence."""
        return f"{'an' if self.title[0] in 'AEIOU' else 'a'} {self.title}"


FORMATS = {
    "JPEG": Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo"),
        {"quality": QUALITY, "subsampling": 0},
        transparent=False,
        most_side_px=65_500,
        iptc=True,
        comment=True,
        dpi=True,
        most_metadata_bytes=65_533,
    ),
    "PNG": Format("PNG", (".png", ".apng"), texts=True, dpi=True),
    "WEBP": Format("WebP", (".webp",), {"quality": QUALITY}, animated=True, most_side_px=16_383),
    "AVIF": Format(
        "AVIF",
        (".avif", ".avifs"),
        {"quality": QUALITY},
        most_side_px=32_768,  # more is written, and then nobody reads it
        most_pixels=16_384**2,
    ),
    "HEIF": Format(
        "HEIC",
        (".heic", ".heif", ".hif", ".heics", ".heifs"),
        {"quality": QUALITY},
        most_side_px=65_528,
        thin_px=32,
        most_beside_thin_px=4_216,
    ),
    "TIFF": Format(
        "TIFF",
        (".tif", ".tiff"),
        {"compression": "tiff_lzw"},
        most_pixels=2**30,  # 4 GiB
        iptc=True,
        dpi=True,
    ),
    "GIF": Format("GIF", (".gif",), animated=True, most_side_px=65_535, exif=False, comment=True),
    "BMP": Format(
        "BMP",
        (".bmp", ".dib"),
        transparent=False,
        most_pixels=2**32 // 3,
        exif=False,
        dpi=True,
    ),
}
# Pillow's own table loads every format that it knows, which takes 30 ms.
FORMAT_OF = {suffix: name for name, format_ in FORMATS.items() for suffix in format_.suffixes}
HEIC = "HEIF"  # Pillow's only when `learn_heic` was called
# JPEG opens MPO as well; a DIB is a BMP without its file header
PILLOW_FORMATS = (*(name for name in FORMATS if name != HEIC), "DIB")
SUFFIXES = tuple(FORMAT_OF)
RAW_SUFFIXES = (
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".raf", ".orf"),
    *(".rw2", ".rwl", ".pef", ".srw", ".3fr", ".fff", ".iiq", ".mrw", ".x3f", ".erf", ".kdc"),
    *(".dcr", ".mos"),
)
"""Of cameras' raw files, which are read only (data/raw.py)."""
OPAQUE_SUFFIXES = tuple(s for f in FORMATS.values() if not f.transparent for s in f.suffixes)
ANIMATION_SUFFIXES = tuple(s for f in FORMATS.values() if f.animated for s in f.suffixes)


class ImageError(UserError):
    """A file that is no readable image."""


def check_writable(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise UserError, before any work is done, for a path that could not be written."""
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: suffix {path.suffix!r}; expected one of {', '.join(suffixes)}.")
    if FORMAT_OF.get(path.suffix.lower()) == HEIC:
        learn_heic(str(path))
    check_place(path)


def check_place(path: Path) -> None:
    """Raise UserError for a path that could not be written, whatever its suffix."""
    if found := _obstacle(path):
        raise UserError(
            f"{path}: {found}; expected a file in a folder with permission. Choose another with -o."
        )


def _obstacle(path: Path) -> str:
    """Return why a path could not be written; empty where nothing speaks against it."""
    longest = max(len(os.fsencode(part)) for part in path.parts)
    if longest > MOST_NAME_BYTES:
        return f"a name of {longest} bytes"
    try:
        if path.is_symlink() and not path.exists():
            return f"is a link to {os.readlink(path)}, which does not exist"
        if path.exists():
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                return "is a folder"
            if not stat.S_ISREG(mode):
                return "is a device, a pipe or a socket"
            if not mode & 0o222 or not os.access(path, os.W_OK):
                return "is read-only"
        folder = path.parent
        while not folder.exists():
            if folder.is_symlink():
                return f"{folder} is a link to nowhere"
            folder = folder.parent
    except OSError as error:
        return error.strerror or str(error)
    fine = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    return "" if fine else f"{folder} cannot be written to"


def check_size(target: Path | str, width: int, height: int) -> None:
    """Raise UserError for a picture that the format of a target's suffix cannot hold.

    What has another suffix is held to what a PNG holds.
    """
    format_ = FORMATS[FORMAT_OF.get(Path(target).suffix.lower(), "PNG")]
    if expected := _excess(format_, width, height):
        fits = [f.suffixes[0] for f in FORMATS.values() if not _excess(f, width, height)]
        raise UserError(
            f"{target}: {width} x {height} px; expected {expected} in {format_.title}. "
            + (f"Choose another format with -o: {', '.join(fits)}." if fits else "Make it smaller.")
        )


def _excess(format_: Format, width: int, height: int) -> str:
    """Return what a format expects of a picture's size that this one is not; empty for none."""
    shorter, longer = sorted((width, height))
    if longer > format_.most_side_px:
        return f"at most {format_.most_side_px} px a side"
    if width * height > format_.most_pixels:
        return f"at most {format_.most_pixels:,} pixels"
    if shorter < format_.thin_px and longer > format_.most_beside_thin_px:
        return f"at least {format_.thin_px} px beside a side of more than " + (
            f"{format_.most_beside_thin_px} px"
        )
    return ""


def begins_as_jpeg(source: Path | bytes) -> bool:
    """Return whether a file, or its content, begins as a JPEG does. A pipe is not opened."""
    try:
        if isinstance(source, bytes):
            return source.startswith(JPEG_HEAD)
        if not source.is_file():
            return False
        with source.open("rb") as file:
            return file.read(len(JPEG_HEAD)) == JPEG_HEAD
    except OSError:
        return False


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
    # MPO: several JPEGs in one file; RAW: a camera's, which is read only
    format_ = {"MPO": "JPEG", "DIB": "BMP", "RAW": "JPEG"}.get(format_, format_)
    return FORMATS[format_].suffixes[0] if format_ in FORMATS else ".png"
