"""TIFF: which of a file's pictures is the photo, and the pixels that Pillow does not read well."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from data.lab import D50, lab_to_srgb
from data.lzw import LZW, unpacked
from data.pixels import Array
from data.samples import WHITE, Samples, scaled_values, unmultiplied

if TYPE_CHECKING:  # 3 ms that only TIFFs are to cost
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

BIG_HEADERS = (b"II+\0", b"MM\0+")
HEADERS = (b"II*\0", b"MM\0*", *BIG_HEADERS)
MAX_PICTURES = 100_000
FIRST_PICTURES = 16
"""A raw file's own picture is among so many."""
MAX_CHANNELS = 64
SUBFILE_TYPE, BITS, PHOTOMETRIC, CHANNELS, PLANAR, SUB_IFDS = 254, 258, 262, 277, 284, 330
EXTRA_SAMPLES, SAMPLE_FORMAT, MAX_VALUE, SIGNED_MAX_VALUE, DNG_VERSION = 338, 339, 281, 341, 50706
XMP, PROFILE, COMPRESSION, WIDTH, HEIGHT, ORIENTATION = 700, 34675, 259, 256, 257, 274
WHITE_POINT = 318
WHITE_IS_ZERO, PALETTE, CMYK, YCBCR, CIELAB = 0, 3, 5, 6, 8
SENSOR = (32803, 34892)  # a camera's colour filter array, and what was made of it: no colours yet
SPACES = {0: "GRAY", 1: "GRAY", 2: "RGB", 3: "RGB", 5: "CMYK", 6: "RGB", 8: "LAB", 9: "LAB"}
CHANNELS_OF = {"GRAY": 1, "RGB": 3, "CMYK": 4, "LAB": 3}
JPEG_COMPRESSIONS = (7, 33007, 34892)
COMPRESSIONS = (
    *(1, LZW, 8, 32946, 32773, 34925, 50000, *JPEG_COMPRESSIONS),
    *(33003, 33004, 33005, 34712, 34887, 50001, 50002, 52546),
)
"""None, LZW, Deflate, PackBits, LZMA, Zstandard, JPEG; JPEG 2000, LERC, WebP, JPEG XL."""
REDUCED, MASK = 1, 4  # bits of the subfile type
ASSOCIATED, UNASSOCIATED = 1, 2


@dataclass(frozen=True)
class Directory:
    """What a TIFF says of one of its pictures."""

    tags: ImageFileDirectory_v2
    offset: int
    page: int | None
    """Its number as Pillow counts; None for one that Pillow does not come to."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return int(self.tags[WIDTH]), int(self.tags[HEIGHT])

    @property
    def orientation(self) -> int:
        return int(self.tags.get(ORIENTATION, 1))

    @property
    def is_photo(self) -> bool:
        return not self.tags.get(SUBFILE_TYPE, 0) & (REDUCED | MASK) and WIDTH in self.tags

    @property
    def is_raw(self) -> bool:
        return self.tags.get(PHOTOMETRIC) in SENSOR or DNG_VERSION in self.tags

    def numbers(self, tag: int, default: int) -> tuple[int, ...]:
        found = self.tags.get(tag, default)
        return found if isinstance(found, tuple) else (found,)


def is_tiff(content: bytes) -> bool:
    return content[:4] in HEADERS


def directories(content: bytes) -> Iterator[Directory]:
    """Yield a TIFF's pictures in their order, each before those that are filed below it."""
    file, seen = io.BytesIO(content), set[int]()
    offset, page = _directory(content).next, 0
    while offset and offset not in seen and len(seen) < MAX_PICTURES:
        seen.add(offset)
        tags = _tags_at(content, file, offset)
        yield Directory(tags, offset, page)
        below = tags.get(SUB_IFDS, ())
        for inner in below if isinstance(below, tuple) else (below,):
            if inner not in seen:
                seen.add(inner)
                yield Directory(_tags_at(content, file, inner), inner, None)
        offset, page = tags.next, page + 1


def _directory(content: bytes) -> ImageFileDirectory_v2:
    """Return a directory that is still empty, in the file's byte order and with its offsets."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    if content[:4] not in BIG_HEADERS:
        return ImageFileDirectory_v2(content[:8])
    # Pillow knows the large kind by the header of little-endian files only
    return ImageFileDirectory_v2(BIG_HEADERS[0] + content[4:16], prefix=content[:2])


def _tags_at(content: bytes, file: io.BytesIO, offset: int) -> ImageFileDirectory_v2:
    tags = _directory(content)
    tags.next = 0  # if the directory is cut
    file.seek(offset)
    tags.load(file)
    return tags


def pages_in(content: bytes) -> tuple[int, ...]:
    """Return the numbers of the pages that are photos: neither thumbnails nor masks."""
    return tuple(one.page for one in directories(content) if one.page is not None and one.is_photo)


def is_cut(content: bytes) -> bool:
    """Return whether a TIFF ends before the pages that it announces."""
    pages = (one for one in directories(content) if one.page is not None)
    return any(WIDTH not in one.tags for one in pages)


def photo_in(content: bytes, page: int | None = None) -> Directory | None:
    """Return a page of a TIFF, or its photo: the first one, rather one that has its own page."""
    best: Directory | None = None
    for one in directories(content):
        if one.page is not None and (one.page == page or (page is None and one.is_photo)):
            return one
        if best is None or (one.is_photo and not best.is_photo):
            best = one
    return best if page is None else None


def is_sensor_data(content: bytes) -> bool:
    """Return whether a TIFF holds what a camera's sensor saw, which has to be developed."""
    return any(one.is_raw for one in islice(directories(content), FIRST_PICTURES))


def pillow_reads(content: bytes, directory: Directory) -> bool:
    """Return whether Pillow reads a picture's pixels as they are meant."""
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    tags, photometric = directory.tags, directory.tags.get(PHOTOMETRIC, 0)
    bits, channels = directory.numbers(BITS, 1), directory.tags.get(CHANNELS, 1)
    extra = directory.numbers(EXTRA_SAMPLES, UNASSOCIATED)
    return (
        directory.page is not None
        and content[:4] != BIG_HEADERS[1]
        and (set(bits) == {8} or (set(bits) == {1} and channels == 1))
        and set(directory.numbers(SAMPLE_FORMAT, 1)) == {1}
        and photometric in (0, 1, 2, CMYK, YCBCR)
        and (channels == 1 or tags.get(PLANAR, 1) == 1)
        and extra == (UNASSOCIATED,)
        and channels <= 4
        and tags.get(COMPRESSION, 1) in COMPRESSION_INFO
        and tags.get(COMPRESSION, 1) != 50001  # WebP: not in every Pillow
    )


class Header(Image.Image):
    """What Pillow would know of a TIFF's picture, without its pixels."""

    format = "TIFF"

    def __init__(self, directory: Directory) -> None:
        super().__init__()
        self._size = directory.size
        self._page = directory.page or 0
        for name, tag in (("icc_profile", PROFILE), ("xmp", XMP)):
            if found := directory.tags.get(tag):
                self.info[name] = found if isinstance(found, bytes) else bytes(found)

    def tell(self) -> int:
        return self._page


def read_samples(content: bytes, directory: Directory) -> Samples:
    """Return the values of one of a TIFF's pictures, of any kind that tifffile reads."""
    photometric = directory.tags.get(PHOTOMETRIC, 1)
    if photometric not in SPACES:
        raise ValueError(f"its kind of colours is number {photometric}, which we do not know")
    if directory.tags.get(CHANNELS, 1) > MAX_CHANNELS:
        raise ValueError(f"it has more than {MAX_CHANNELS} channels")
    values, bits, colormap = _stored(content, directory)
    if photometric == PALETTE:
        return _from_palette(values, colormap)
    space = SPACES[photometric]
    count, notices = CHANNELS_OF[space], []
    if values.shape[2] < count:
        raise ValueError(f"it has {values.shape[2]} channels of {count}")
    extra = directory.numbers(EXTRA_SAMPLES, 0)[: values.shape[2] - count]
    kinds = [kind for kind in extra if kind in (ASSOCIATED, UNASSOCIATED)]
    if left_out := values.shape[2] - count - bool(kinds):
        notices.append(f"{left_out} more of its channels are not kept: they are no colours")
    alpha = None
    if kinds:
        alpha, _ = scaled_values(values[..., count + extra.index(kinds[0])], bits)
    values = values[..., :count]
    if space == "LAB":
        said = tuple(float(number) for number in directory.numbers(WHITE_POINT, 0))
        white = (said[0], said[1]) if len(said) == 2 and all(said) else D50
        colours = lab_to_srgb(_lab(values, photometric), white)
        return Samples(colours, "RGB", alpha, tuple(notices))
    largest = max(directory.numbers(MAX_VALUE, 0) + directory.numbers(SIGNED_MAX_VALUE, 0))
    values, lost = scaled_values(values, bits, largest if isinstance(largest, int) else 0)
    if photometric == WHITE_IS_ZERO:
        values = WHITE - values
    if alpha is not None and kinds[0] == ASSOCIATED:
        values = unmultiplied(values, alpha)
    return Samples(values, space, alpha, (*notices, *lost))


def _stored(content: bytes, directory: Directory) -> tuple[Array, int, Any]:
    """Return H × W × channels as stored, the bits that a value has, and the palette."""
    import logging

    import tifffile

    logging.getLogger("tifffile").disabled = True  # it tells of damage that we tell of ourselves
    with ExitStack() as stack:
        file = stack.enter_context(tifffile.TiffFile(io.BytesIO(content)))
        file.filehandle.seek(directory.offset)
        page = tifffile.TiffPage(file, index=0)
        if page.compression not in COMPRESSIONS:
            raise ValueError(f"its compression is number {int(page.compression)}, not one we know")
        if page.photometric == YCBCR and page.compression not in JPEG_COMPRESSIONS:
            raise ValueError("its YCbCr values are of a kind that we do not know")
        if page.compression == LZW:
            whole, page.dataoffsets, page.databytecounts = unpacked(content, page)
            page.compression, page.fillorder = tifffile.COMPRESSION.NONE, 1
            page.is_contiguous = False  # else differences between values would stay such
            page.parent = stack.enter_context(tifffile.TiffFile(io.BytesIO(whole)))
        values = page.asarray()
        values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
        if values.shape[:2] != directory.size[::-1]:
            raise ValueError(f"its values have the shape {page.axes}")
        values = values.reshape(*values.shape[:2], -1)
        return values, int(page.bitspersample), getattr(page, "colormap", None)


def _from_palette(values: Array, colormap: Array) -> Samples:
    colormap = np.asarray(colormap, np.uint16)
    if colormap.max(initial=0) < 256:  # as old programs wrote it
        colormap = colormap * np.uint16(257)
    return Samples(colormap[:, values[..., 0]].transpose(1, 2, 0), "RGB")


def _lab(values: Array, photometric: int) -> Array:
    """Return L*a*b* as floats: L* of 0…100, a* and b* around 0.

    Source: TIFF 6.0, section 23; Adobe Photoshop TIFF Technical Notes (2002), ICCLab.
    """
    if values.dtype.kind == "f":
        return values
    size = values.dtype.itemsize
    if photometric == CIELAB:  # a and b are signed, in 256ths where they have 16 bits
        signed: Array = values.view(f"i{size}")[..., 1:] / 256 ** (size - 1)
        lightness: Array = values.view(f"u{size}")[..., :1] * (100 / (256**size - 1))
        return np.concatenate([lightness, signed], -1)
    shifted: Array = values.view(f"u{size}") / 256 ** (size - 1)
    return shifted * (100 / 255, 1, 1) - (0, 128, 128)
