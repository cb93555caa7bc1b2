"""Image files of several frames or pages: how many there are, and each as a photo."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

from data import tiff
from data.apng import read_apng
from data.avif_loop import plays_of
from data.formats import HEIC
from data.gif import read_gif
from data.images import MAX_PIXELS, Photo, as_photo, open_image, pages_of, read_photo
from data.layers import photos_of
from data.metadata import Metadata, metadata_of
from data.png import SIGNATURE
from data.raw import is_raw
from data.source import CUT, as_image_error, check_size

Size = tuple[int, int]
"""Formats of several pictures without times."""
PLACES_TOLD = 5
SEQUENCE_BRANDS = (b"avis", b"msf1", b"hevc")  # ISO/IEC 23008-12, 10; AV1 Image File Format, 5
VP8X_ANIMATION = 2  # a bit of the flags (RFC 9649, 2.7)
RIFF_HEADER_BYTES = 12
HEAD_BYTES = 64
CUT_FRAMES = "the file is damaged: it ends before its last frames, which are lost"


@dataclass(frozen=True)
class Animation:
    """What a file of several frames or pages holds, of which no pixel is kept."""

    format: str
    sizes: tuple[Size, ...]
    """Upright width and height of each."""
    durations_ms: tuple[float, ...]
    plays: int
    """How often it is played; 0 for ever."""
    transparent: bool
    """Whether any pixel of any of them is."""
    has_still: bool
    """Whether the first picture is for programs without animation, and no frame."""
    notices: tuple[str, ...]
    photos: Callable[[], Iterator[Photo]]
    """Decodes one after another, as often as it is called."""


def number_of_frames(source: Path | bytes) -> int:
    """Return how many frames or pages a file or its content holds; 1 for what cannot be read.

    Of most files only the header is read. A pipe is not opened: what it holds comes only once.
    """
    try:
        if isinstance(source, bytes):
            return _count(source, "") if _may_hold_several(io.BytesIO(source)) else 1
        if not source.is_file():
            return 1
        with source.open("rb") as file:
            if not _may_hold_several(file):
                return 1
            file.seek(0)
            return _count(file.read(), str(source))
    except Exception:  # as many kinds as there are damaged files; reading it as a photo tells
        return 1


def _may_hold_several(file: BinaryIO) -> bool:
    head = file.read(HEAD_BYTES)
    if head.startswith(SIGNATURE):
        return _has_animation_chunk(file)
    if head[:4] == b"RIFF":
        return head[12:16] == b"VP8X" and bool(head[20] & VP8X_ANIMATION)
    if tiff.is_tiff(head):
        return _has_next_page(file, head)
    if head[4:8] == b"ftyp":
        brands = head[8 : min(len(head), int.from_bytes(head[:4], "big"))]
        return b"hei" in brands or any(brand in brands for brand in SEQUENCE_BRANDS)
    return head.startswith(b"GIF8")


def _has_animation_chunk(file: BinaryIO) -> bool:
    """Return whether a PNG has acTL, which stands before its pixels (PNG 3, 11.3.6.1)."""
    at = len(SIGNATURE)
    while True:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind in (b"acTL", b"IDAT"):
            return bool(kind == b"acTL")
        at += 12 + length


def _has_next_page(file: BinaryIO, head: bytes) -> bool:
    order = "<" if head[:2] == b"II" else ">"
    big = b"+" in head[:4]
    offset, count, row = ("Q", "Q", 20) if big else ("I", "H", 12)

    def number(at: int, kind: str) -> int:
        file.seek(at)
        (value,) = struct.unpack(order + kind, file.read(struct.calcsize(kind)))
        return int(value)

    first = number(8 if big else 4, offset)
    rows = number(first, count)
    return number(first + struct.calcsize(count) + rows * row, offset) != 0


def _count(content: bytes, name: str) -> int:
    if tiff.is_tiff(content):
        return 1 if is_raw(content, name) else len(pages_of(content))
    if content.startswith(b"GIF8"):
        return max(1, len(read_gif(content).layers))
    return int(getattr(open_image(_whole_webp(content), name), "n_frames", 1))


def _whole_webp(content: bytes) -> bytes:
    """Return a WebP animation without a frame that is cut; every other file as it is."""
    if content[:4] != b"RIFF" or len(content) >= 8 + int.from_bytes(content[4:8], "little"):
        return content
    at = RIFF_HEADER_BYTES
    while at + 8 <= len(content):
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        stop = at + 8 + length + length % 2
        if stop > len(content):
            break
        at = stop
    return content[:4] + (at - 8).to_bytes(4, "little") + content[8:at]


def read_animation(content: bytes, name: str, max_pixels: int = 0) -> Animation:
    """Return what a file of several frames or pages holds.

    All are decoded once, to find damage: a page that cannot be read is left out, and so are all
    frames from a damaged one on, for they build on it. Raises ImageError where nothing can be read,
    or one has more than `max_pixels`.
    """
    with as_image_error(name):
        if tiff.is_tiff(content):
            pages = pages_of(content)
            for directory in tiff.directories(content):
                if directory.page in pages:
                    check_size(directory.size, name, max_pixels or MAX_PIXELS)
            found = _pages("TIFF", pages, lambda page: read_photo(content, name, page=page))
            lost = (CUT,) if tiff.is_cut(content) else ()
            return replace(found, notices=(*found.notices, *lost))
        image = open_image(_whole_webp(content), name, max_pixels)
        if image.format == HEIC:
            return _heic_pages(content, image, name, max_pixels or MAX_PIXELS)
        if image.format in ("PNG", "GIF"):
            return _layers(content, image, name, max_pixels or MAX_PIXELS)
        return _frames_by_pillow(content, image, name, max_pixels)


def _pages(format_: str, numbers: Sequence[int], read: Callable[[int], Photo]) -> Animation:
    """Return what pages hold that do not depend on each other."""
    good, sizes, transparent, errors = [], [], False, []
    for place, number in enumerate(numbers, 1):
        try:
            photo = read(number)
        except MemoryError:
            raise
        except Exception as error:
            errors.append((place, error))
            continue
        good.append(number)
        sizes.append(photo.original_size)
        transparent = transparent or _is_transparent(photo)
    if not good:
        raise errors[0][1]
    notices = []
    if errors:
        lost = ", ".join(str(place) for place, _ in errors[:PLACES_TOLD])
        lost += ", …" if len(errors) > PLACES_TOLD else ""
        notices.append(
            f"{len(errors)} of its {len(numbers)} pages cannot be read and are left out: {lost}"
        )
    return Animation(
        format_, tuple(sizes), (), 0, transparent, False, tuple(notices), lambda: map(read, good)
    )


def _heic_pages(content: bytes, image: Image.Image, name: str, max_pixels: int) -> Animation:
    numbers = range(int(getattr(image, "n_frames", 1)))
    for number in numbers:
        image.seek(number)
        check_size(image.size, name, max_pixels)

    def read(number: int) -> Photo:
        anew = open_image(content, name, max_pixels)  # it would hold all that it has decoded
        anew.seek(number)
        anew.load()
        return as_photo(anew)

    return _pages(HEIC, numbers, read)


def _layers(content: bytes, image: Image.Image, name: str, max_pixels: int) -> Animation:
    """Return what frames hold that are drawn over one another."""
    layered = read_apng(content) if image.format == "PNG" else read_gif(content)
    check_size(layered.size, name, max_pixels)
    metadata, orientation = _said_of(image)

    def decode() -> Iterator[tuple[Photo, float]]:
        photos = photos_of(layered, name, max_pixels, orientation)
        for layer, photo in zip(layered.layers, photos, strict=False):
            yield replace(photo, metadata=metadata), layer.duration_ms

    found = _frames(image.format or "", decode, layered.announced)
    has_still = layered.layers[0].is_still and len(found.sizes) > 1
    return replace(found, plays=layered.plays, has_still=has_still)


def _said_of(image: Image.Image) -> tuple[Metadata, int]:
    """Return an image's metadata and EXIF orientation."""
    with suppress(OSError, SyntaxError):  # its first frame is damaged, or what is behind it
        image.load()  # what a PNG says of itself may stand behind the pixels
    return metadata_of(image), image.getexif().get(ExifTags.Base.Orientation, 1)


def _frames_by_pillow(content: bytes, image: Image.Image, name: str, max_pixels: int) -> Animation:
    whole = _whole_webp(content)

    def decode() -> Iterator[tuple[Photo, float]]:
        anew = open_image(whole, name, max_pixels)
        anew.load()
        metadata, shown_ms = metadata_of(anew), 0
        for number in range(getattr(anew, "n_frames", 1)):
            anew.seek(number)
            anew.load()  # a WebP's duration is known only then
            photo = replace(as_photo(anew.copy()), metadata=metadata)
            # of an AVIF both are rounded; their sum does not drift
            end_ms = anew.info.get("timestamp", shown_ms) + anew.info.get("duration", 0)
            yield photo, max(0.0, float(end_ms - shown_ms))
            shown_ms = max(shown_ms, end_ms)

    found = _frames(image.format or "", decode, int(getattr(image, "n_frames", 1)))
    plays = plays_of(content) if image.format == "AVIF" else int(image.info.get("loop", 1))
    lost = (CUT_FRAMES,) if len(whole) < len(content) else ()
    return replace(found, plays=plays, notices=(*found.notices, *lost))


def _frames(
    format_: str, decode: Callable[[], Iterator[tuple[Photo, float]]], announced: int
) -> Animation:
    """Return what frames hold that build on each other, as far as they can be read."""
    durations, transparent, size = [], False, (0, 0)
    try:
        for photo, duration_ms in decode():
            durations.append(duration_ms)
            transparent = transparent or _is_transparent(photo)
            size = photo.original_size
    except MemoryError:
        raise
    except Exception:
        if not durations:
            raise
    count, notices = len(durations), []
    if lost := announced - count:
        notices.append(
            f"{lost} of its {announced} frames cannot be read and are left out: the last"
        )

    def photos() -> Iterator[Photo]:
        return (photo for photo, _ in islice(decode(), count))

    sizes = (size,) * count
    return Animation(
        format_, sizes, tuple(durations), 0, transparent, False, tuple(notices), photos
    )


def _is_transparent(photo: Photo) -> bool:
    return photo.alpha is not None and bool(photo.alpha.min() < 255)
