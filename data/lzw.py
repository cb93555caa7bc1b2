"""LZW in TIFF, unpacked by Pillow's libtiff: damage makes imagecodecs end the process."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image

LZW = 5
LONG = 4
SEPARATE_PLANES = 2


def unpacked(content: bytes, page: Any) -> tuple[bytes, tuple[int, ...], tuple[int, ...]]:
    """Return a file that ends with the strips or tiles of tifffile's page, unpacked.

    Then where each starts, and how long it is.
    """
    if page.is_tiled:
        rows, width = page.tilelength, page.tilewidth
    else:
        rows, width = min(page.rowsperstrip, page.imagelength), page.imagewidth
    planes = page.samplesperpixel if page.planarconfig == SEPARATE_PLANES else 1
    row_bytes = (width * page.samplesperpixel // planes * int(page.bitspersample) + 7) // 8
    down = len(page.dataoffsets) // planes
    parts, starts, sizes = [content], [len(content)], []
    for index, (offset, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        left = rows if page.is_tiled else min(rows, page.imagelength - index % down * rows)
        part = _part(content[offset : offset + size], row_bytes, left, page.fillorder)
        parts.append(part)
        sizes.append(len(part))
        starts.append(starts[-1] + len(part))
    return b"".join(parts), tuple(starts[:-1]), tuple(sizes)


def _part(packed: bytes, row_bytes: int, rows: int, fill_order: int) -> bytes:
    """Return a strip or tile, unpacked as a grey TIFF. Raises OSError for a damaged one."""
    tags = {256: row_bytes, 257: rows, 258: 8, 259: LZW, 262: 1, 266: fill_order, 277: 1, 278: rows}
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags |= {273: start, 279: len(packed)}
    entries = (struct.pack("<HHII", tag, LONG, 1, tags[tag]) for tag in sorted(tags))
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(entries) + bytes(4)
    return Image.open(io.BytesIO(header + packed), formats=("TIFF",)).tobytes()
