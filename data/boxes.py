"""The boxes of AVIF and HEIC files. Source: ISO/IEC 14496-12, 8.11, and 23008-12, 9.3."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

Box = tuple[bytes, int, int]
"""Its kind, and where its content starts and ends."""
PIXEL_BITS = b"pixi"


def properties_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return the properties of a file's first picture, kind and content; none if it is damaged."""
    try:
        start, end = find(boxes_in(content, 0, len(content)), b"meta")
        inner = list(boxes_in(content, start + 4, end))  # after version and flags
        filed = list(boxes_in(content, *find(inner, b"iprp")))
        every = list(boxes_in(content, *find(filed, b"ipco")))
        numbers = _numbers_of(content, filed, _primary_item(content, inner))
        found = [every[number - 1] for number in numbers if 0 < number <= len(every)]
        return [(kind, content[start:end]) for kind, start, end in found]
    except (struct.error, ValueError, IndexError):
        return []


def bits_of(properties: Iterable[tuple[bytes, bytes]]) -> int:
    """Return how many bits a picture's values have; 8 if it does not say."""
    return max((content[5] for kind, content in properties if kind == PIXEL_BITS), default=8)


def boxes_in(content: bytes, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", content, start)
        header = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", content, start + 8)
            header = 16
        stop = start + length if length else end
        if not start + header <= stop <= end:
            raise ValueError("a box that is cut")
        yield kind, start + header, stop
        start = stop


def find(boxes: Iterable[Box], kind: bytes) -> tuple[int, int]:
    for found, start, stop in boxes:
        if found == kind:
            return start, stop
    raise ValueError(f"no box {kind!r}")


def _primary_item(content: bytes, inner: list[Box]) -> int:
    start, _ = find(inner, b"pitm")
    return int(struct.unpack_from(">I" if content[start] else ">H", content, start + 4)[0])


def _numbers_of(content: bytes, filed: list[Box], item: int) -> list[int]:
    """Return the numbers of an item's properties, from 1."""
    for start in (start for kind, start, _ in filed if kind == b"ipma"):
        item_form = ">I" if content[start] else ">H"
        wide = content[start + 3] & 1
        (entries,) = struct.unpack_from(">I", content, start + 4)
        at = start + 8
        for _ in range(entries):
            (found,) = struct.unpack_from(item_form, content, at)
            at += struct.calcsize(item_form)
            form = f">{content[at]}{'H' if wide else 'B'}"
            numbers = struct.unpack_from(form, content, at + 1)
            at += 1 + struct.calcsize(form)
            if found == item:  # the first bit says that a reader must know it
                return [number & (0x7FFF if wide else 0x7F) for number in numbers]
    raise ValueError(f"no properties of item {item}")
