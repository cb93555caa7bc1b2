"""PNG files before they are decoded: their chunks, within bounds."""

from __future__ import annotations

import struct
import zlib

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 16 * 2**20
"""A text or colour profile that unpacks to more is left out; so are all of a file's texts that are
more together."""
TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
COLOURS = {b"cICP", b"cLLI"}
PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
# Pillow refuses the whole file beyond 1 MiB, which `within_bounds` spares it
PngImagePlugin.MAX_TEXT_CHUNK = MAX_TEXT_BYTES + 1
PngImagePlugin.MAX_TEXT_MEMORY = 2 * MAX_TEXT_BYTES


def is_png(content: bytes) -> bool:
    return content[:8] == SIGNATURE


def bits_of(content: bytes) -> int:
    """Return the bits that a PNG's values have."""
    return content[24] if len(content) > 24 else 0


def within_bounds(content: bytes) -> tuple[bytes, dict[bytes, bytes], tuple[str, ...]]:
    """Return a PNG without texts and profiles that are too large, its `COLOURS`, and notices."""
    colours, kept, texts, notices = {}, [], 0, dict[str, None]()
    for kind, start, stop in chunks_of(content):
        if kind in COLOURS:
            colours[kind] = content[start + 8 : stop - 4]
        size = _size_of(content, kind, start, stop)
        fits = texts + size <= MAX_TEXT_BYTES if kind in TEXTS else size <= MAX_TEXT_BYTES
        if fits or kind not in TEXTS | {b"iCCP"}:
            texts += size if kind in TEXTS else 0
            kept.append((start, stop))
            continue
        what = "colour profile is not used" if kind == b"iCCP" else "text is not kept"
        notices[f"its {what}: it is larger than {MAX_TEXT_BYTES // 2**20} MiB"] = None
    if notices:
        content = SIGNATURE + b"".join(content[start:stop] for start, stop in kept)
    return content, colours, tuple(notices)


def only_pixels(content: bytes) -> bytes:
    """Return a PNG without what says more than its pixels."""
    kept = [content[start:stop] for kind, start, stop in chunks_of(content) if kind in PIXELS]
    return SIGNATURE + b"".join(kept)


def chunks_of(content: bytes) -> list[tuple[bytes, int, int]]:
    """Return each chunk's kind, and where it starts and ends."""
    found, start = [], len(SIGNATURE)
    while start + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        found.append((kind, start, min(start + length + 12, len(content))))
        start += length + 12
    return found


def _size_of(content: bytes, kind: bytes, start: int, stop: int) -> int:
    """Return how many bytes a text or profile unpacks to, or more than are allowed."""
    if kind not in TEXTS and kind != b"iCCP":
        return 0
    body = content[start + 8 : stop - 4]
    packed = b""
    if kind in (b"zTXt", b"iCCP"):
        packed = body[body.find(b"\0") + 2 :]
    elif kind == b"iTXt" and body[body.find(b"\0") + 1 :][:1] == b"\1":
        packed = body.split(b"\0", 2)[-1].partition(b"\0")[2].partition(b"\0")[2]
    if not packed:
        return len(body)
    try:
        return len(zlib.decompressobj().decompress(packed, MAX_TEXT_BYTES + 1))
    except zlib.error:
        return len(body)
