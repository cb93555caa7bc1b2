"""A film being written: its picture, sound, subtitles and tags, beside the film that is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data.pixels import Pixels
from inference.film_formats import FILM_CODECS
from inference.film_picture import (
    ALPHA_CODECS,
    SQUARE,
    FilmFrame,
    PictureReader,
    PictureWriter,
    is_cover,
    picture_stream,
)
from inference.film_sound import LONGEST_GAP_S, sound_track
from inference.film_subtitles import subtitle_track
from inference.film_tags import (
    add_cover,
    copy_chapters,
    copy_stream_tags,
    film_tags,
    missing,
    output_options,
)

CONTAINERS = {".mp4": "mp4", ".m4v": "ipod", ".mov": "mov", ".mkv": "matroska"}
ROUNDING = Fraction(1, 4)  # of a frame, from which on a notice tells
SQUARE_CODECS = ("libvpx-vp9",)  # what they write does not tell of other pixels
MOST_TICKS = 65_535  # a second, in MPEG-4 part 2 (ISO/IEC 14496-2)
FASTEST_RATE = 120


class FilmOutput:
    """A film being written beside the one that is read."""

    def __init__(self, av: ModuleType, film: Any, source: Path, target: Path) -> None:
        self.av, self.film, self.source, self.target = av, film, source, target
        self.suffix = target.suffix.lower()
        video, others = picture_stream(film, str(source))
        self.reader = PictureReader(av, film, video, source, self.suffix in ALPHA_CODECS)
        self.size = 0, 0
        self.notices: list[str] = []
        if others:
            self.notices.append(f"not kept: further pictures in the film: {len(others)}")
        self._tracks: dict[int, Any] = {}
        self._kept: dict[int, int] = {}
        self._empty: set[int] = set()
        self._slot = -1
        self._start_s = Fraction(max(0, film.start_time or 0), av.time_base)
        self._is_rounded = False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the file for the block, and close it."""
        options = output_options(self.film, self.suffix)
        with opened_film(self.av, self.target, "w", options) as self.out:
            yield

    def read(self) -> Iterator[Any]:
        """Yield the film's frames, and the packets of what else it has, as they come."""
        reader = self.reader
        others = [
            stream
            for stream in self.film.streams
            if stream.type in ("audio", "subtitle") and stream.codec_context is not None
        ]
        packets = self.film.demux([reader.stream, *others])
        while True:
            try:
                packet = next(packets, None)
            except self.av.FFmpegError:
                self.notices.append("the film is damaged: what can be read of it is painted")
                packet = None
            if packet is None:
                return
            if packet.stream is reader.stream:
                yield from reader.frames(packet)
            else:
                yield packet

    def begin(self, first: FilmFrame, painted: Pixels) -> None:
        """Open every stream, as the first frame and its painting need them."""
        av, reader, out = self.av, self.reader, self.out
        alpha = first.alpha is not None
        codec = (ALPHA_CODECS if alpha else FILM_CODECS)[self.suffix]
        self._size(first.pixels, painted, codec)
        rate = self._fixed_rate() if self.suffix == ".avi" else reader.rate
        self.picture = PictureWriter(av, out, codec, rate)
        self.picture.begin(self.size, self._pixel_aspect, alpha, reader.colours)
        self._unit = 1 / Fraction(rate) if self.suffix == ".avi" else reader.time_base
        self.picture.stream.codec_context.time_base = self._unit
        self._keep(reader.stream, self.picture.stream)
        out.metadata.update(film_tags(self.film))
        copy_chapters(self.film, out)
        covers = self._add_others()
        out.start_encoding()
        out.mux(covers)

    def write(self, frame: FilmFrame, painted: Pixels) -> None:
        """Encode a painted frame."""
        time = frame.time
        if self.suffix == ".avi":
            time = self._slot_of(time)
        if self._is_cropped:
            painted = np.ascontiguousarray(painted[: self.size[1], : self.size[0]])
        self.picture.write(painted, frame.alpha, (time, self._unit))

    def copy(self, packet: Any) -> None:
        """Write a packet of sound or subtitles, or what it becomes."""
        track = self._tracks.get(packet.stream.index)
        if track:
            if self.suffix == ".avi" and packet.dts is not None:
                late = round(self._start_s / packet.time_base)
                packet.dts -= late
                packet.pts = None if packet.pts is None else packet.pts - late
            packets = list(track.packets(packet))
            self._empty -= {packet.stream.index for packet in packets}
            self.out.mux(packets)

    def end(self) -> None:
        """Write what the encoders still hold, and note what was lost."""
        self.picture.end()
        for track in self._tracks.values():
            packets = list(track.end())
            self._empty -= {packet.stream.index for packet in packets}
            self.out.mux(packets)
        self.notices += self.reader.notices(self.suffix)
        if self._empty:
            self.notices.append(
                f"tracks of sound or subtitles that hold nothing: {len(self._empty)}"
            )
        if damaged := sum(track.damaged() for track in self._tracks.values()):
            self.notices.append(f"damaged packets of sound or subtitles: {damaged}; left out")
        if self._is_rounded:
            self.notices.append(
                f"frame times are rounded to {self._unit} s: an .avi film has a fixed rate"
            )

    def compare(self) -> None:
        """Note what the written file does not say of what the film said."""
        with opened_film(self.av, self.target) as out:
            kept = self._kept
            if len(out.streams) < len(kept):  # some muxers leave out what is empty
                full = [old for old, new in kept.items() if new not in self._empty]
                kept = {old: new for new, old in enumerate(full)}
            names = missing(self.film, out, kept)
        if names:
            self.notices.append(
                f"not kept, a {self.suffix} film has no place for it: {', '.join(names)}"
            )

    def _size(self, pixels: Pixels, painted: Pixels, codec: str) -> None:
        """Settle size and pixel aspect: the film's own, or square pixels in even numbers."""
        reader = self.reader
        is_resized = painted.shape != pixels.shape
        is_squared = reader.pixel_aspect != SQUARE and codec in SQUARE_CODECS
        if is_squared and not is_resized:
            self.notices.append(
                f"its pixels are not square ({reader.pixel_aspect}): they are made square"
            )
        self._pixel_aspect, self.size = reader.pixel_aspect, reader.stored_size
        self._is_cropped = is_resized or is_squared
        if self._is_cropped:
            height, width = painted.shape[:2]
            self._pixel_aspect = SQUARE
            self.size = max(2, width - width % 2), max(2, height - height % 2)

    def _add_others(self) -> list[Any]:
        """Add the streams of sound, subtitles and covers; return the packets to begin with."""
        av, out = self.av, self.out
        packets: list[Any] = []
        counts = {"audio": 0, "subtitle": 0}
        for stream in self.film.streams:
            notice = ""
            if stream.type in counts:
                counts[stream.type] += 1
                track: Any
                if stream.type == "audio":
                    track, notice = sound_track(av, out, stream, self.suffix, self._start_s)
                else:
                    track, notice = subtitle_track(av, out, stream, self.suffix)
                if track:
                    self._tracks[stream.index] = track
                    self._empty.add(track.stream.index)
                    self._keep(stream, track.stream)
                kind = "sound track" if stream.type == "audio" else "subtitles"
                notice = notice and f"{kind} {counts[stream.type]} {notice}"
            elif stream.type == "video":
                if is_cover(stream):
                    notice = self._add_cover(stream, packets)
            elif not self._add_attachment(stream) and not self._is_written_anyway(stream):
                notice = f"not kept: {_described(stream)}"
            if notice and notice not in self.notices:
                self.notices.append(notice)
        return packets

    def _add_cover(self, stream: Any, packets: list[Any]) -> str:
        path = _address(self.source)
        try:
            packets += add_cover(self.av, self.out, stream, self.suffix, path)
        except (KeyError, ValueError, StopIteration, AttributeError, self.av.FFmpegError):
            return f"not kept, a {self.suffix} film has no place for it: the cover"
        return ""

    def _add_attachment(self, stream: Any) -> bool:
        if stream.type != "attachment" or self.suffix != ".mkv":
            return False
        self.out.add_stream_from_template(stream)
        return True

    def _is_written_anyway(self, stream: Any) -> bool:
        """Return whether a data stream holds the chapters' names or the time code of a MOV."""
        chapters = bool(self.film.chapters()) and _codec(stream) == "bin_data"
        return stream.type == "data" and (chapters or "timecode" in stream.metadata)

    def _keep(self, source: Any, stream: Any) -> None:
        copy_stream_tags(source, stream, self.suffix)
        self._kept[source.index] = stream.index

    def _fixed_rate(self) -> Fraction:
        """Return frames a second for a file that knows no other times."""
        reader = self.reader
        rate, fine = reader.rate, reader.stream.base_rate
        if fine and rate <= fine <= min(2 * rate, FASTEST_RATE):
            rate = fine
        return 1 / (1 / rate).limit_denominator(MOST_TICKS)

    def _slot_of(self, time: int) -> int:
        """Return the place of a frame in a file of a fixed rate, each later than the last."""
        exact = (time * self.reader.time_base - self._start_s) / self._unit
        slot = round(exact)
        if not self._slot < slot < self._slot + LONGEST_GAP_S / self._unit:
            slot = self._slot + 1
        self._slot = slot
        self._is_rounded |= abs(slot - exact) > ROUNDING
        return self._slot


def opened_film(
    av: ModuleType, path: Path, mode: str = "r", options: dict[str, str] | None = None
) -> Any:
    """Open a file, whatever its name: FFmpeg takes what stands before a colon for a protocol."""
    kind = CONTAINERS.get(path.suffix.lower()) if mode == "w" else None
    if mode == "r":  # what stands in a film makes no other machine be asked
        options = {"protocol_whitelist": "file"}
    return av.open(_address(path), mode, kind, options, metadata_errors="replace")


def _address(path: Path) -> str:
    return f"file:{path}"


def _codec(stream: Any) -> str:
    return getattr(stream, "name", None) or ""  # streams of an unknown kind have none


def _described(stream: Any) -> str:
    """Return a name for a stream that is neither picture nor sound nor subtitles."""
    name = stream.metadata.get("filename") or stream.metadata.get("handler_name") or _codec(stream)
    kind = {"data": "a data track", "attachment": "an attachment"}.get(stream.type, "a track")
    return f"{kind} ({name})" if name else kind
