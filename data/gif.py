"""GIF: its frames as they lie in the file (GIF89a, 17 to 26)."""

from __future__ import annotations

import struct
from functools import partial

from data.layers import CLEAR, KEEP, TAKE_BACK, Layer, Layered

EXTENSION, IMAGE, TRAILER = 0x21, 0x2C, 0x3B
CONTROL = 0xF9
DISPOSALS = {2: CLEAR, 3: TAKE_BACK, 4: TAKE_BACK}  # 4: as some programs write it
LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
HEADER_BYTES, IMAGE_BYTES = 13, 10
TABLE, TABLE_BITS = 0x80, 7


def read_gif(content: bytes) -> Layered:
    """Return a GIF as far as it is whole. Raises struct.error or IndexError for no GIF."""
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    at = HEADER_BYTES + _table_bytes(flags)
    head, control, plays = content[10:at], b"", 1
    layers: list[Layer] = []
    while at < len(content) and content[at] != TRAILER:
        if content[at] == EXTENSION:
            stop = _end_of_blocks(content, at + 2)
            if content[at + 1 : at + 2] == bytes([CONTROL]):
                control = content[at:stop]
            elif content[at + 3 : at + 14] in LOOPS and content[at + 15 : at + 16] == b"\1":
                (repeats,) = struct.unpack_from("<H", content, at + 16)
                plays = repeats + 1 if repeats else 0
        elif content[at] == IMAGE and at + IMAGE_BYTES <= len(content):
            start = at + IMAGE_BYTES + _table_bytes(content[at + IMAGE_BYTES - 1])
            stop = _end_of_blocks(content, start + 1)
            layers.append(_layer(head, control, content[at:stop]))
            control = b""
        else:  # stray bytes between blocks do no harm
            stop = at + 1
        at = stop
    if layers:  # as browsers do
        (left, top), size = layers[0].place, layers[0].size
        width, height = max(width, left + size[0]), max(height, top + size[1])
    return Layered((width, height), layers, len(layers), plays)


def _layer(head: bytes, control: bytes, image: bytes) -> Layer:
    left, top, *size = struct.unpack_from("<4H", image, 1)
    flags, hundredths = struct.unpack_from("<BH", control, 3) if len(control) >= 8 else (0, 0)
    alone = image[:1] + bytes(4) + image[5:]
    parts = b"GIF89a", struct.pack("<HH", *size), head, control, alone, bytes([TRAILER])
    return Layer(
        partial(b"".join, parts),
        (size[0], size[1]),
        (left, top),
        10.0 * hundredths,
        DISPOSALS.get(flags >> 2 & 7, KEEP),
    )


def _table_bytes(flags: int) -> int:
    """Return how long the colour table is that follows."""
    return 3 * 2 ** ((flags & TABLE_BITS) + 1) if flags & TABLE else 0


def _end_of_blocks(content: bytes, at: int) -> int:
    """Return where the blocks end that begin there, or the file."""
    while at < len(content) and content[at]:
        at += 1 + content[at]
    return min(at + 1, len(content))
