"""EXIF: TIFF directories, read and written byte for byte, so that no value changes on the way.

Pillow's own writer guesses the types of what lies in the folders, and has no place for them in a
TIFF. Layout: TIFF 6.0, section 2; folders: CIPA DC-008 (Exif 3.0), 4.6.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import BinaryIO, Union

from PIL import ExifTags

PHOTO, GPS, INTEROP = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop
FOLDERS = (PHOTO, GPS, INTEROP)
MAKER_NOTE = ExifTags.Base.MakerNote
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
BIG_SIZES = {16: 8, 17: 8, 18: 8}  # BigTIFF's
_WORDS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
"""The bytes that change places with the byte order, by type."""


@dataclass(frozen=True)
class Value:
    """A tag's type and its bytes, in the directory's byte order."""

    type: int
    data: bytes


Directory = dict[int, Union[Value, "Directory"]]


@dataclass(frozen=True)
class Exif:
    """The first directory (IFD0), with its folders as directories inside."""

    tags: Directory = field(default_factory=dict)
    order: str = "<"
    """The byte order, as struct has it."""
    maker_note_at: int = 0
    """Where the camera's own notes lie: many point into themselves from the file's beginning."""
    damaged: bool = False
    """Whether something could not be read."""

    def folder(self, tag: int) -> Directory:
        """Return a folder; empty where there is none."""
        found = self.tags.get(tag)
        return found if isinstance(found, dict) else {}

    def numbers(self, tag: int, folder: int = 0) -> tuple[float, ...]:
        """Return a tag of IFD0, or of a folder, as numbers; none where it has none."""
        value = (self.folder(folder) if folder else self.tags).get(tag)
        if not isinstance(value, Value) or value.type not in (SHORT, LONG, RATIONAL):
            return ()
        letter = "H" if value.type == SHORT else "L"
        found = [n for (n,) in struct.iter_unpack(self.order + letter, value.data)]
        if value.type != RATIONAL:
            return tuple(found)
        return tuple(n / d for n, d in zip(found[::2], found[1::2], strict=True) if d)


def name_of(tag: int, folder: int = 0) -> str:
    """Return a tag's name, or its number where it has none that we know."""
    return (ExifTags.GPSTAGS if folder == GPS else ExifTags.TAGS).get(tag, f"0x{tag:04x}")


def shorts(order: str, *values: int) -> Value:
    return Value(SHORT, struct.pack(f"{order}{len(values)}H", *values))


def longs(order: str, *values: int) -> Value:
    return Value(LONG, struct.pack(f"{order}{len(values)}L", *values))


def sized(order: str, length_px: int) -> Value:
    """Return a side's length, as a short where it fits."""
    return shorts(order, length_px) if length_px < 2**16 else longs(order, length_px)


def rational(order: str, value: float) -> Value:
    """Return a number as a fraction: whole ones over 1, others to four decimals."""
    below = 1 if value == round(value) or value > 2**18 else 10_000
    return Value(RATIONAL, struct.pack(f"{order}2L", min(round(value * below), 2**32 - 1), below))


def text(value: str) -> Value:
    """Return a text; beyond ASCII it is UTF-8, as other programs write it."""
    return Value(ASCII, value.encode("utf-8", "replace") + b"\0")


def read_exif(file: BinaryIO, page: int = 0) -> Exif:
    """Return the directories of a TIFF, or of EXIF, which is one without pixels.

    What is damaged is left out. Raises ValueError where nothing can be read.
    """
    reader = _Reader(file)
    tags = reader.directory(reader.page(page), FOLDERS)
    return Exif(tags, reader.order, reader.maker_note_at, reader.damaged)


def add_tags(file: BinaryIO, tags: Exif) -> None:
    """Add tags and folders to the first page of a TIFF that lies in a file.

    Raises ValueError or struct.error for one that cannot be read, or has no room.
    """
    reader = _Reader(file)
    at = reader.page(0)
    whole = Exif(swapped(tags, reader.order).tags | reader.directory(at), reader.order)
    next_, end = reader.next_of(at), file.seek(0, io.SEEK_END)
    start = end + end % 2
    placed, first = place(whole, start, next_)
    file.write(bytes(start - end) + placed)
    file.seek(4)
    file.write(struct.pack(reader.order + "L", first))


class _Reader:
    """Reads directories of a TIFF, which may be damaged, or made to harm."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.left = file.seek(0, io.SEEK_END)  # of values: overlapping ones are more than the file
        magic = self.bytes_at(0, 4)
        if magic not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise ValueError("no TIFF header")
        self.order = "<" if magic[:2] == b"II" else ">"
        self.big = b"+" in magic
        self.width = 8 if self.big else 4  # of counts and offsets
        self.sizes = SIZES | BIG_SIZES if self.big else SIZES
        self.maker_note_at, self.damaged = 0, False

    def bytes_at(self, at: int, size: int) -> bytes:
        if size > self.left or at >= 2**63:
            raise ValueError(f"{size} bytes at {at}")
        self.file.seek(at)
        data = self.file.read(size)
        if len(data) < size:
            raise ValueError(f"{len(data)} of {size} bytes at {at}")
        return data

    def number(self, at: int, width: int) -> int:
        return self.as_number(self.bytes_at(at, width))

    def as_number(self, data: bytes) -> int:
        return int.from_bytes(data, "little" if self.order == "<" else "big")

    def page(self, index: int) -> int:
        """Return where the directory of a page is."""
        at = self.number(8 if self.big else 4, self.width)
        for _ in range(index):
            at = self.next_of(at)
        return at

    def rows(self, at: int) -> range:
        """Return where the rows of a directory begin, and where the last one ends."""
        head, step = (8, 20) if self.big else (2, 12)
        first, count = at + head, min(self.number(at, head), 65535)
        return range(first, first + step * count, step)

    def next_of(self, at: int) -> int:
        return self.number(self.rows(at).stop, self.width)

    def directory(self, at: int, folders: tuple[int, ...] = ()) -> Directory:
        found: Directory = {}
        for row in self.rows(at):
            try:
                tag, type_ = self.number(row, 2), self.number(row + 2, 2)
            except ValueError:  # the file ends here
                self.damaged = True
                break
            try:
                value = self.value(row, tag, type_)
                if tag in folders:
                    pointer = self.as_number(value.data[: self.sizes[value.type]])
                    found[tag] = self.directory(pointer, (INTEROP,) if tag == PHOTO else ())
                else:
                    found.setdefault(tag, value)
            except ValueError:
                self.damaged = True
        return found

    def value(self, row: int, tag: int, type_: int) -> Value:
        if type_ not in self.sizes:
            raise ValueError(f"type {type_}")
        at, size = row + 4 + self.width, self.sizes[type_] * self.number(row + 4, self.width)
        if size > self.width:
            at = self.number(at, self.width)
        data = self.bytes_at(at, size)
        self.left -= size
        if tag == MAKER_NOTE:
            self.maker_note_at = at
        return Value(type_, data)


def swapped(exif: Exif, order: str) -> Exif:
    """Return EXIF in a byte order."""
    if order == exif.order:
        return exif

    def swap(found: Value | Directory) -> Value | Directory:
        if isinstance(found, dict):
            return {tag: swap(value) for tag, value in found.items()}
        data, width = found.data, _WORDS.get(found.type, 1)
        if data.startswith(b"UNICODE\0"):  # UserComment: its letters are in the file's order
            return Value(found.type, data[:8] + _reversed(data[8:], 2))
        return Value(found.type, _reversed(data, width))

    return Exif({tag: swap(value) for tag, value in exif.tags.items()}, order)


def _reversed(data: bytes, width: int) -> bytes:
    """Return words with their bytes in reverse order."""
    whole = len(data) - len(data) % width
    words = bytearray(data)
    for i in range(width):
        words[i:whole:width] = data[width - 1 - i : whole : width]
    return bytes(words)


def exif_bytes(exif: Exif) -> bytes:
    """Return EXIF as a file of its own; the camera's notes stay at their place if they have one."""
    header = (b"II*\0" if exif.order == "<" else b"MM\0*") + bytes(4)
    placed, at = place(exif, 8)
    content = header + placed
    return content[:4] + struct.pack(exif.order + "L", at) + content[8:]


def place(exif: Exif, start: int, next_: int = 0) -> tuple[bytes, int]:
    """Return the directories as they lie from `start` of a file, and where the first begins.

    `next_` is where the file's next page has its directory.
    """
    blocks: dict[int, bytes] = {}
    order, end = exif.order, start
    note = exif.folder(PHOTO).get(MAKER_NOTE)
    taken = range(0)
    if exif.maker_note_at >= start and isinstance(note, Value):
        taken = range(exif.maker_note_at, exif.maker_note_at + len(note.data))

    def room(size: int) -> int:
        nonlocal end
        if taken and end < taken.stop and end + size > taken.start:
            end = taken.stop
        at = end + end % 2
        end = at + size
        return at

    def put(directory: Directory, next_: int = 0) -> int:
        at = room(6 + 12 * len(directory))
        rows = []
        for tag, found in sorted(directory.items()):
            if isinstance(found, dict):
                value, data = longs(order, put(found)), b""
                data = value.data
            else:
                value, data = found, found.data
                if len(data) > 4:
                    kept = taken and found is note
                    where = taken.start if kept else room(len(data))
                    blocks[where], data = data, struct.pack(order + "L", where)
            count = len(value.data) // SIZES[value.type]
            rows.append(struct.pack(f"{order}HHL4s", tag, value.type, count, data))
        rows.append(struct.pack(order + "L", next_))
        blocks[at] = struct.pack(order + "H", len(directory)) + b"".join(rows)
        return at

    first = put(exif.tags, next_)
    content = bytearray(max(at + len(block) for at, block in blocks.items()) - start)
    for at, block in blocks.items():
        content[at - start : at - start + len(block)] = block
    return bytes(content), first
