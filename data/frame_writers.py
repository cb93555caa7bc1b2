"""Animations and pages out, one frame at a time: only what is compressed stays in memory."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

from PIL import ExifTags, GifImagePlugin, Image, ImageChops

from data.apng import chunk
from data.avif_loop import with_plays
from data.encoding import save_image, save_options
from data.formats import FORMATS, HEIC
from data.metadata import NO_METADATA, Metadata
from data.pixels import Picture
from data.png import SIGNATURE, chunks_of

Frames = Iterator[tuple[Picture, Metadata]]
"""Each picture with what is said of it; of an animation, the first one's counts."""
KEEP, CLEAR = 1, 2  # what becomes of a frame before the next one (GIF89a, 23)
CLEAR_INDEX = 255
MOST_PLAYS = 2**16 - 1
MOST_PART = 2**16 - 1
"""Of a fraction in an animated PNG."""
MOST_CENTISECONDS = 2**16 - 1
QUICK_MS = 10
"""Programs show what is no longer than this for 100 ms."""
SHOWN_MS = 100
OFFSETS, LONG = (273, 324), 4  # of strips and tiles
FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop)
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Of TIFF's types, in bytes (TIFF 6.0, section 2)."""


@dataclass(frozen=True)
class Times:
    """When the frames are shown, and how often; the still before them has no time."""

    durations_ms: Sequence[float]
    plays: int = 0
    """0 for ever."""
    has_still: bool = False


def write_gif(file: BinaryIO, frames: Frames, times: Times) -> list[str]:
    """Write a GIF whose frames have a palette each; all or none of them have transparency."""
    durations, notices = _whole_durations(times, "GIF", 10, most=MOST_CENTISECONDS, least=2)
    before: Picture | None = None
    for duration, (picture, metadata) in zip(durations, frames, strict=True):
        if before is None:
            options, lost = save_options("GIF", metadata, picture.size)
            notices += lost
            file.write(_gif_header(picture, times.plays, options.get("comment", b"")))
        box = (0, 0, *picture.size)
        if picture.mode == "RGBA":
            data: dict[str, Any] = {"disposal": CLEAR, "transparency": CLEAR_INDEX}
            shown = _clear_palette(picture)
        else:  # what stays as it was is not written again
            if before is not None:
                box = ImageChops.difference(before, picture).getbbox() or (0, 0, 1, 1)
            data = {"disposal": KEEP}
            shown = _palette(picture.crop(box))
        data |= {"duration": 10 * duration, "include_color_table": True}
        file.write(b"".join(GifImagePlugin.getdata(shown, box[:2], **data)))
        before = picture
    file.write(b";")
    return notices


def _gif_header(first: Picture, plays: int, comment: bytes) -> bytes:
    """Return what stands before a GIF's frames (GIF89a, 17, 18, 24, 26)."""
    header = b"GIF89a" + struct.pack("<HHBBB", *first.size, 0x70, 0, 0)
    if plays != 1:  # without it, once
        repeats = min(plays - 1, MOST_PLAYS) if plays else 0
        header += b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\0"
    if comment:
        parts = [comment[at : at + 255] for at in range(0, len(comment), 255)]
        header += b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    return header


def _palette(picture: Picture, colours: int = 256) -> Picture:
    return picture.quantize(colours)


def _clear_palette(picture: Picture) -> Picture:
    """Return a picture with a palette whose last colour stands for what is transparent."""
    shown = _palette(picture.convert("RGB"), CLEAR_INDEX)
    colours = shown.getpalette() or []
    shown.putpalette(colours + [0] * (3 * 256 - len(colours)))
    clear = picture.getchannel("A").point(lambda alpha: 255 * (alpha < 128))
    shown.paste(CLEAR_INDEX, mask=clear)
    return shown


def write_png(file: BinaryIO, frames: Frames, times: Times) -> list[str]:
    """Write an animated PNG; all or none of its frames have transparency (PNG 3, 11.3.6)."""
    notices: list[str] = []
    number = 0  # of the chunks that have one

    def put(kind: bytes, data: bytes) -> None:
        file.write(chunk(kind, data))

    durations = iter(times.durations_ms)
    for count, (picture, metadata) in enumerate(frames):
        saved = io.BytesIO()
        notices += save_image(picture, saved, "PNG", NO_METADATA if count else metadata)
        content = saved.getvalue()
        pixels = False
        if not count:
            file.write(SIGNATURE)
        for kind, start, stop in chunks_of(content):
            data = content[start + 8 : stop - 4]
            if kind == b"IDAT":
                if not pixels and not count:
                    put(b"acTL", struct.pack(">II", len(times.durations_ms), times.plays))
                if not pixels and not (times.has_still and not count):
                    put(b"fcTL", _frame_control(number, picture.size, next(durations)))
                    number += 1
                pixels = True
                if count:
                    kind, data = b"fdAT", struct.pack(">I", number) + data
                    number += 1
                put(kind, data)
            elif not count and kind != b"IEND":
                put(kind, data)
    put(b"IEND", b"")
    return notices


def _frame_control(number: int, size: tuple[int, int], duration_ms: float) -> bytes:
    exact = min(Fraction(duration_ms) / 1000, Fraction(MOST_PART))
    seconds = exact.limit_denominator(MOST_PART // max(1, math.ceil(exact)))
    parts = seconds.numerator, seconds.denominator
    return struct.pack(">IIIIIHHBB", number, *size, 0, 0, *parts, 0, 0)


def write_webp(file: BinaryIO, frames: Frames, times: Times) -> list[str]:
    """Write an animated WebP, or a still one of a single frame."""
    durations, notices = _whole_durations(times, "WEBP", 1, most=2**24 - 1)
    reel = _Reel(frames, len(durations))
    options, lost = save_options("WEBP", reel.metadata, reel.size)
    if exif := options.get("exif"):  # of animations Pillow writes it as it is
        options["exif"] = exif.removeprefix(b"Exif\0\0")
    plays = min(times.plays, MOST_PLAYS)
    reel.save(file, "WEBP", save_all=True, duration=durations, loop=plays, **options)
    return notices + lost


def write_avif(file: BinaryIO, frames: Frames, times: Times) -> list[str]:
    """Write an AVIF sequence."""
    shown = [SHOWN_MS if ms == 0 else ms for ms in times.durations_ms]  # it has no time of 0
    durations, notices = _whole_durations(Times(shown), "AVIF", 1, most=2**31 - 1, least=1)
    reel, written = _Reel(frames, len(durations)), io.BytesIO()
    options = {"save_all": True, "duration": durations}
    notices += save_image(reel, written, "AVIF", reel.metadata, **options)
    content = written.getvalue()
    file.write(with_plays(content, times.plays) if times.plays and len(durations) > 1 else content)
    return notices


def write_heic(file: BinaryIO, frames: Frames, count: int) -> list[str]:
    """Write several pictures as a HEIC file, each with its own metadata."""
    reel = _Reel(frames, count, each_its_own=True)
    reel.save(file, HEIC, save_all=True, primary_index=0, **FORMATS[HEIC].options)
    return reel.notices


class _Reel(Image.Image):
    """Frames as one of Pillow's images with several: each is made when its pixels are asked for.

    Pillow's encoders take them in order, and hold what is compressed alone.
    """

    def __init__(self, frames: Frames, count: int, each_its_own: bool = False) -> None:
        super().__init__()
        self.n_frames, self.is_animated = count, count > 1
        self.notices: list[str] = []
        self.metadata = NO_METADATA
        self._frames, self._each_its_own = frames, each_its_own
        self._made, self._wanted = -1, 0
        self.load()

    def tell(self) -> int:
        return self._wanted

    def seek(self, frame: int) -> None:
        if frame >= self.n_frames:
            raise EOFError
        self._wanted = frame

    def load(self) -> Any:
        while self._made < self._wanted:
            picture, self.metadata = next(self._frames)
            self._made += 1
            self.im, self._size, self._mode = picture.im, picture.size, picture.mode
            if self._each_its_own:
                options, notices = save_options(HEIC, self.metadata, picture.size)
                self.info.clear()
                self.info.update(options)
                self.notices += notices
        return super().load()

    @property
    def size(self) -> tuple[int, int]:
        self.load()
        return self._size

    @property
    def mode(self) -> str:
        self.load()
        return self._mode


def write_tiff(file: BinaryIO, frames: Frames) -> list[str]:
    """Write pages, each with its own metadata, as a TIFF. Raises struct.error beyond 4 GiB."""
    notices: list[str] = []
    link = 0  # where the next page's place is written
    for picture, metadata in frames:
        saved = io.BytesIO()
        notices += save_image(picture, saved, "TIFF", metadata)
        start = file.tell()
        page = bytearray(saved.getvalue())
        first, next_link = _move(page, start)
        file.write(page if not link else page + bytes(len(page) % 2))
        if link:
            end = file.tell()
            file.seek(link)
            file.write(struct.pack(_order(page) + "I", first))
            file.seek(end)
        link = start + next_link
    return notices


def _move(page: bytearray, start: int) -> tuple[int, int]:
    """Make a TIFF of one page part of a file, from `start` on.

    Return where its directory then lies, and where in `page` the next one's place is written.
    """
    order = _order(page)

    def number(at: int) -> int:
        return int(struct.unpack_from(order + "I", page, at)[0])

    def shift(at: int) -> None:
        struct.pack_into(order + "I", page, at, number(at) + start)

    def directory(at: int) -> int:
        rows = int(struct.unpack_from(order + "H", page, at)[0])
        end = at + 2 + 12 * rows
        for row in range(at + 2, end, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", page, row)
            is_inside = SIZES[kind] * count <= 4
            if tag in FOLDERS:
                directory(number(row + 8))
            if tag in OFFSETS:
                places = row + 8 if is_inside else number(row + 8)
                if kind != LONG:
                    raise ValueError("its places are no 32-bit numbers")
                for place in range(places, places + 4 * count, 4):
                    shift(place)
            if tag in FOLDERS or not is_inside:
                shift(row + 8)
        return end

    first = number(4)
    return first + start, directory(first)


def _order(page: bytearray) -> str:
    return "<" if page[:2] == b"II" else ">"


def _whole_durations(
    times: Times, format_: str, unit_ms: int, most: int, least: int = 0
) -> tuple[list[int], list[str]]:
    """Return durations as whole units, rounded so that the sum stays, and what is lost.

    A frame that is not `QUICK_MS` or shorter gets `least` of them: else programs show it slowly.
    """
    durations: list[int] = []
    exact, shown = Fraction(0), 0
    for duration_ms in times.durations_ms:
        exact += Fraction(duration_ms) / unit_ms
        whole = max(round(exact) - shown, least if duration_ms > QUICK_MS else 0)
        durations.append(min(whole, most))
        shown += durations[-1]
    if abs(exact - shown) <= 1:
        return durations, []
    took, takes = (float(units * unit_ms / 1000) for units in (exact, shown))
    title = FORMATS[format_].title
    return durations, [
        f"a run takes {takes:.2f} s, not {took:.2f} s: {title} cannot hold its times"
    ]
