"""A file before it is decoded: what it is, how large, and who reads its pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, UnidentifiedImageError

from data import boxes, png, tiff
from data.cicp import cicp_of_boxes, cicp_of_png
from data.colour import CICP, samples_to_srgb
from data.formats import HEIC, PILLOW_FORMATS, ImageError, begins_as_jpeg, learn_heic
from data.raw import developed, is_raw, raw_header, raw_size
from data.samples import Samples, scaled_values, with_alpha

AVIF = "AVIF"
RAW = "RAW"
"""The format of raw files, beside Pillow's."""
FURTHER_PICTURES = (
    "the file's further picture is not kept: a preview, a gain map or the other eye's view"
)
XMP_BOX = b"uuid" + bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
CUT = "the file is damaged: it ends before its last pages, which are lost"
Notices = tuple[str, ...]
Size = tuple[int, int]


@dataclass(frozen=True)
class Source:
    """A file of which only the header is read."""

    image: Image.Image
    """Pillow's; where Pillow does not read the pixels, one that only has the metadata."""
    size: Size
    """Width and height as stored; of a raw file, upright."""
    format: str
    notices: Notices = ()
    orientation: int = 0
    """As EXIF counts, where `pixels` reads them; 0: as `image` says then."""
    tiff: bytes = b""
    """The content of a TIFF whose metadata is not at hand in `image`."""
    pixels: Callable[[Size | None], tuple[Image.Image, Notices]] | None = None
    """Returns the pixels as L, RGB or RGBA in sRGB, not yet upright (raw files: upright), at least
    as large as the size if there is one; None where Pillow reads them."""


def open_source(content: bytes, name: str, max_pixels: int, page: int | None = None) -> Source:
    """Return a file's source; of a TIFF, that of a page (None: the photo's). Raises ImageError."""
    with as_image_error(name):
        if is_raw(content, name):
            return _raw_source(content, name, max_pixels)
        further: Notices = ()
        if tiff.is_tiff(content) and (directory := tiff.photo_in(content, page)) is not None:
            if page is None:
                further = _left_behind(len(tiff.pages_in(content)), "pages")
                further += (CUT,) if tiff.is_cut(content) else ()
            if not tiff.pillow_reads(content, directory):
                found = _tiff_source(content, directory, name, max_pixels)
                return replace(found, notices=(*found.notices, *further))
            page = directory.page
        image, notices = _open(content, name, max_pixels)
        notices += further or _further_pictures(image)
        if page:
            image.info.clear()  # Pillow would keep what only the first page has: its profile, say
            image.seek(page)
            check_size(image.size, name, max_pixels)
        known = image.format or ""
        if (samples := _deep_samples(content, image)) is None:
            return Source(image, image.size, known, notices)
        read = _reading(samples, image)
        return Source(image, image.size, known, notices, pixels=read)


def _reading(
    samples: Callable[[], Samples], header: Image.Image
) -> Callable[[Size | None], tuple[Image.Image, Notices]]:
    return lambda least: samples_to_srgb(samples(), header.info)


def open_frames(content: bytes, name: str, max_pixels: int) -> Image.Image:
    """Return Pillow's image of a file, whose `info` has what its colours mean. Raises ImageError.

    Of several frames, it is the first one: seek in it.
    """
    with as_image_error(name):
        return _open(content, name, max_pixels)[0]


def _open(content: bytes, name: str, max_pixels: int) -> tuple[Image.Image, Notices]:
    formats, cicp, notices = PILLOW_FORMATS, None, Notices()
    if content[4:8] == b"ftyp" and b"hei" in content[8:40]:  # ISO/IEC 23008-12, 10
        learn_heic(name)
        formats = (HEIC,)
    if png.is_png(content):
        content, chunks, notices = png.within_bounds(content)
        cicp = cicp_of_png(chunks)
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError:
        if not begins_as_jpeg(content):
            raise
        raise ImageError(
            f"{name}: is a JPEG that Pillow does not read (12 bits, lossless or JPEG-LS, say); "
            "expected one of 8 bits. Convert it to PNG first."
        ) from None
    check_size(image.size, name, max_pixels)
    if image.format == "PNG" and cicp is not None:
        for key in ("icc_profile", "gamma", "chromaticity") if cicp.is_known else ():
            image.info.pop(key, None)  # cICP comes first (PNG, third edition, 4.3)
    if image.format in (AVIF, HEIC) and not image.info.get("icc_profile"):
        cicp = cicp_of_boxes(boxes.properties_of(content))  # else the profile counts
    if image.format == "BMP" and (profile := _profile_of_bmp(content)):
        image.info["icc_profile"] = profile
    if cicp is not None:
        image.info[CICP] = cicp
    if xmp := _xmp_beside(content, image.format or ""):
        image.info.setdefault("xmp", xmp)
    return image, notices


def _xmp_beside(content: bytes, format_: str) -> bytes:
    """Return the XMP that Pillow passes over: of a GIF, and of an AVIF in a box of its own.

    Source: XMP specification, part 3 (2020), 1.1.2 and 1.1.4.
    """
    if format_ == "GIF":
        _, _, rest = content.partition(b"XMP DataXMP")
        return rest.partition(b"\x01\xff\xfe")[0]
    at = content.find(XMP_BOX) if format_ in (AVIF, HEIC) else -1
    if at < 4:
        return b""
    end = at - 4 + int.from_bytes(content[at - 4 : at], "big")
    return content[at + len(XMP_BOX) : end]


def _profile_of_bmp(content: bytes) -> bytes:
    """Return the ICC profile in a BMP's header of version 5, which Pillow passes over."""
    if len(content) < 138 or content[14] < 124 or content[70:74] != b"DEBM":  # MBED, reversed
        return b""
    start, size = struct.unpack_from("<II", content, 126)
    return content[14 + start : 14 + start + size]


def check_size(size: Size, name: str, max_pixels: int) -> None:
    """Raise ImageError for a picture of more pixels than are allowed."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} px; expected at most {max_pixels:,} pixels. "
            "Make it smaller first, or raise --max-pixels."
        )


def _left_behind(count: int, what: str) -> Notices:
    """Return the notice of a photo that is the first of several."""
    return (f"{count - 1} of its {count} {what} are not kept",) if count > 1 else ()


def _further_pictures(image: Image.Image) -> Notices:
    if image.format in ("JPEG", "MPO"):  # CIPA DC-007, 5.2.3
        return (FURTHER_PICTURES,) if "mp" in image.info else ()
    return () if image.format == "TIFF" else _left_behind(getattr(image, "n_frames", 1), "frames")


def _deep_samples(content: bytes, image: Image.Image) -> Callable[[], Samples] | None:
    """Return what reads the values of a picture that has more than 8 bits; None for others.

    Pillow cuts them to 8.
    """
    if image.format == "PNG" and png.bits_of(content) == 16:
        return lambda: _png_samples(content, image)
    if image.format == HEIC and image.info.get("bit_depth", 8) > 8:
        return lambda: _heic_samples(content)
    if image.format == AVIF and (bits := boxes.bits_of(boxes.properties_of(content))) > 8:
        return lambda: _avif_samples(content, bits)
    return None


def _png_samples(content: bytes, image: Image.Image) -> Samples:
    import imagecodecs

    image.load()  # for what the file tells of itself behind its pixels
    return with_alpha(imagecodecs.png_decode(png.only_pixels(content)))


def _avif_samples(content: bytes, bits: int) -> Samples:
    import imagecodecs

    values, _ = scaled_values(imagecodecs.avif_decode(content, index=0), bits)
    return with_alpha(values)


def _heic_samples(content: bytes) -> Samples:
    import pillow_heif

    found = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)
    bits = int(found.info["bit_depth"])
    values, _ = scaled_values(np.asarray(found) >> (16 - bits), bits)
    return with_alpha(values)


def _tiff_source(content: bytes, directory: tiff.Directory, name: str, max_pixels: int) -> Source:
    check_size(directory.size, name, max_pixels)
    header = tiff.Header(directory)
    read = _reading(lambda: tiff.read_samples(content, directory), header)
    return Source(header, directory.size, "TIFF", (), directory.orientation, content, read)


def _raw_source(content: bytes, name: str, max_pixels: int) -> Source:
    size = raw_size(content, name)
    check_size(size, name, max_pixels)

    def read(least: Size | None) -> tuple[Image.Image, Notices]:
        return Image.fromarray(developed(content, name, least)), ()

    header, as_tiff, notices = raw_header(content, name)
    return Source(header, size, RAW, notices, tiff=as_tiff, pixels=read)


@contextmanager
def as_image_error(name: str) -> Iterator[None]:
    """Make an ImageError of what decoders raise: many kinds for one cause, a bad file."""
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
