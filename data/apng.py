"""Animated PNG: its frames as they lie in the file (PNG 3, 11.3.6)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import partial

from data.layers import CLEAR, KEEP, TAKE_BACK, Layer, Layered, Size
from data.png import SIGNATURE, chunks_of

DISPOSALS = (KEEP, CLEAR, TAKE_BACK)
OVER = 1
MEASURES = {
    b"IHDR",
    b"PLTE",
    b"tRNS",
    b"iCCP",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"cICP",
    b"mDCV",
    b"cLLI",
}
"""Chunks that every frame needs to be read."""
Chunks = Sequence[tuple[bytes, bytes]]


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def read_apng(content: bytes) -> Layered:
    """Return an animated PNG as far as it is whole. Raises ValueError or struct.error."""
    size, announced, plays = (0, 0), 0, 0
    measures: list[tuple[bytes, bytes]] = []
    controls: list[bytes] = []
    pixels: list[list[bytes]] = []  # of each frame; an empty part is a damaged one
    for kind, start, stop in chunks_of(content):
        data = content[start + 8 : stop - 4]
        is_whole = content[start:stop] == chunk(kind, data)
        if kind in MEASURES:
            measures.append((kind, data))
        if kind == b"IHDR":
            size = struct.unpack_from(">II", data)
        elif kind == b"acTL":
            announced, plays = struct.unpack_from(">II", data)
        elif kind == b"fcTL":
            if not is_whole:
                break
            controls.append(data)
            pixels.append([])
        elif kind == b"IDAT":
            if not pixels:
                controls.append(b"")
                pixels.append([])
            pixels[-1].append(data if is_whole else b"")
        elif kind == b"fdAT":
            pixels[-1].append(data[4:] if is_whole else b"")
    layers = [_layer(*each, size, measures) for each in zip(controls, pixels, strict=True)]
    announced += sum(layer.is_still for layer in layers)
    return Layered(size, layers[:announced], announced, plays)


def _layer(control: bytes, pixels: list[bytes], whole: Size, measures: Chunks) -> Layer:
    if not control:
        return Layer(partial(_file, whole, pixels, measures), whole, is_still=True)
    found = struct.unpack(">5I2H2B", control)
    size, (left, top), (part, second, disposal, blend) = found[1:3], found[3:5], found[5:]
    fits = left + size[0] <= whole[0] and top + size[1] <= whole[1]
    return Layer(
        partial(_file, size, pixels if fits else [], measures),
        size,
        (left, top),
        1000 * part / (second or 100),
        DISPOSALS[disposal] if disposal < len(DISPOSALS) else KEEP,
        blend == OVER,
    )


def _file(size: Size, pixels: list[bytes], measures: Chunks) -> bytes:
    """Return a frame as a PNG of its own. Raises ValueError for a damaged one."""
    if not pixels or not all(pixels):
        raise ValueError("a frame is damaged")
    header = struct.pack(">II", *size) + dict(measures)[b"IHDR"][8:]
    chunks = [(kind, header if kind == b"IHDR" else data) for kind, data in measures]
    chunks += [(b"IDAT", b"".join(pixels)), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*each) for each in chunks)
