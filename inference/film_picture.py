"""A film's picture: from coded frames to upright pixels, and back.

Pixels are uint8, H rows × W columns × 3, coded as BT.709 (about sRGB).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data.hdr import DEFAULT_PEAK_NITS, in_bt709, tone_mapped
from data.pixels import Array, Pixels
from errors import UserError

HD_ROWS = 720
"""From here on players take a film that does not say how its colours are coded for BT.709."""
# what a film says of its colours, in numbers of ISO/IEC 23091-2 (ITU-T H.273)
BT709, UNSPECIFIED, BT470BG, SMPTE170M, BT2020_NCL = 1, 2, 5, 6, 9
HDR_TRANSFERS = {16: "pq", 18: "hlg"}
WIDE_PRIMARIES = {9: "bt2020", 11: "p3", 12: "p3"}
SRGB_TRANSFER = 13
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own drop what is transparent
CODEC_OPTIONS = {
    "libx264": {"crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6"},
    "mpeg4": {"q": "3"},
    "prores_ks": {"profile": "4444"},
}
ALPHA_FORMATS = {"libvpx-vp9": "yuva420p", "prores_ks": "yuva444p10le"}
ALPHA_CODECS = {".webm": "libvpx-vp9", ".mkv": "libvpx-vp9", ".mov": "prores_ks"}
SQUARE = Fraction(1)
WIDEST_PIXEL = 4
"""Pixels wider or higher than this are taken for a mistake, and painted as they are."""
EXACT_SCALING = 0x4 | 0x40000
"""libswscale's SWS_BICUBIC and SWS_ACCURATE_RND: without it a picture gets darker by 1 to 2 of 255.

With planes of their own for red, green and blue (gbrp) the exact way is no slow one.
"""
PLAYLISTS = ("concat", "hls", "dash")
LOST_SIDE_DATA = {
    "A53_CC": "closed captions inside the picture",
    "SPHERICAL": "the mark of a 360° film",
    "STEREO3D": "the mark of a 3D film",
}


@dataclass(frozen=True)
class FilmFrame:
    """A frame as it is shown: upright, of square pixels."""

    time: int  # in the reader's time base
    pixels: Pixels
    alpha: Pixels | None


class PictureReader:
    """Decodes a film's picture, in order of time; counts what is lost on the way."""

    def __init__(
        self, av: ModuleType, film: Any, stream: Any, path: Path, with_alpha: bool
    ) -> None:
        self.av = av
        self.path = path
        self.stream = stream
        self.time_base: Fraction = stream.time_base or Fraction(1, 1000)
        self.rate: Fraction = stream.average_rate or stream.guessed_rate or Fraction(25)
        self.with_alpha = with_alpha
        self.pixel_aspect = SQUARE  # of the pixels as they are stored, turned upright
        self.stored_size = 0, 0  # width and height, upright
        self.has_alpha = False
        self.hdr = ""
        self._peak_nits = DEFAULT_PEAK_NITS
        self.wide = ""
        self.colours = UNSPECIFIED, UNSPECIFIED  # the primaries' and the transfer's numbers
        self.packets = self.damaged = self.resized = 0
        self.interlaced = False
        self.lost: set[str] = set()
        self.decoder = self._decoder()
        self._size: tuple[int, int] | None = None  # width and height of a frame as it is coded
        self._shown = 0, 0  # the same in square pixels
        self._orientation = 1.0, 0.0, 0.0, 1.0
        self._last: int | None = None
        # An AVI tells when packets are decoded, and never when frames are shown.
        self._decoded_at: list[int] | None = [] if film.format.name == "avi" else None

    def frames(self, packet: Any) -> Iterator[FilmFrame]:
        """Yield the frames that a packet of the stream ends; an empty packet ends the film."""
        ends = not packet.size and packet.dts is None
        self.packets += not ends
        if not (packet.size or ends):
            return  # an AVI's way to show the frame before once more
        if self._decoded_at is not None and packet.dts is not None:
            heappush(self._decoded_at, packet.dts)
        try:
            decoded = self.decoder.decode(None if ends else packet)
        except self.av.FFmpegError:
            self.damaged += 1
            if self._decoded_at:
                heappop(self._decoded_at)
            return
        for frame in decoded:
            self.damaged += frame.is_corrupt
            yield self._shown_frame(frame)

    def notices(self, suffix: str) -> list[str]:
        """Return what was lost or converted on the way, a sentence each."""
        found = []
        if self.hdr:
            found.append(f"the film is HDR ({self.hdr.upper()}): it is tone-mapped to BT.709 SDR")
        elif self.wide:
            name = {"bt2020": "BT.2020", "p3": "P3"}[self.wide]
            found.append(f"the film's colours are converted from {name} to BT.709")
        if self.has_alpha and not self.with_alpha:
            found.append(
                f"the transparency is not kept: a {suffix} film has no place for it; "
                ".webm, .mkv and .mov have"
            )
        if self.damaged:
            found.append(f"damaged frames: {self.damaged}; what could be decoded is painted")
        if self.resized:
            width, height = self.stored_size
            found.append(
                f"the size changes on the way: {self.resized} frames are resized to "
                f"{width} x {height} px"
            )
        if self.interlaced:
            found.append("the film is interlaced: both fields are painted as one frame")
        found += [f"not kept: {what}" for what in sorted(self.lost)]
        if self._ends_early():
            found.append("the film ends early: what can be read of it is painted")
        return found

    def _ends_early(self) -> bool:
        """Return whether the file tells of more frames than it has."""
        if self._decoded_at is not None:
            return bool(self.packets < self.stream.frames)
        entries = self.stream.index_entries
        if len(entries) and Path(self.path).stat().st_size < entries[-1].pos + entries[-1].size:
            return True
        duration = self.stream.container.duration
        if not duration or self._last is None:
            return False
        end_s = float(self._last * self.time_base)
        return bool(end_s < 0.8 * duration / self.av.time_base - 1)

    def _decoder(self) -> Any:
        context = self.stream.codec_context
        name = context.codec.canonical_name
        tags = {key.lower(): value for key, value in self.stream.metadata.items()}
        if self.with_alpha and tags.get("alpha_mode") == "1" and name in ALPHA_DECODERS:
            return self.av.CodecContext.create(ALPHA_DECODERS[name], "r")
        self.has_alpha = tags.get("alpha_mode") == "1"
        # Threads by frame tell of a damaged packet late, and lose what was decoded beside it.
        context.thread_type = "SLICE"
        return context

    def _shown_frame(self, frame: Any) -> FilmFrame:
        if self._size is None:
            self._begin(frame)
        self.resized += (frame.width, frame.height) != self._size
        self.interlaced |= bool(frame.interlaced_frame)
        alpha = None
        if self.has_alpha and self.with_alpha:
            alpha = self._turned(self._converted(frame, "rgba")[..., 3])
        return FilmFrame(self._time(frame), self._turned(self._colours(frame)), alpha)

    def _begin(self, frame: Any) -> None:
        """Settle size, orientation and colours by the first frame."""
        self._size = frame.width, frame.height
        # Of no other frame: looking at its side data keeps PyAV from freeing it.
        for side in frame.side_data:
            if side.type.name == "DISPLAYMATRIX":
                matrix = struct.unpack("=9i", bytes(side)[:36])
                self._orientation = matrix[0], matrix[1], matrix[3], matrix[4]
            elif side.type.name in LOST_SIDE_DATA:
                self.lost.add(LOST_SIDE_DATA[side.type.name])
        aspect = self.stream.sample_aspect_ratio or SQUARE
        if aspect <= 0:
            aspect = SQUARE
        width, height = self._size
        if Fraction(1, WIDEST_PIXEL) <= aspect <= WIDEST_PIXEL:
            width = max(width, round(width * aspect))
            height = max(height, round(height / aspect))
        self._shown = width, height
        turned = self._is_on_its_side()
        self.pixel_aspect = 1 / aspect if turned else aspect
        self.stored_size = self._size[::-1] if turned else self._size
        self.hdr = HDR_TRANSFERS.get(frame.color_trc, "")
        if self.hdr == "pq":
            self._peak_nits = _peak_nits(frame)
        self.wide = WIDE_PRIMARIES.get(frame.color_primaries, "")
        self.colours = frame.color_primaries, frame.color_trc
        if self.hdr:
            self.colours = BT709, BT709
        elif self.wide:
            self.colours = BT709, frame.color_trc if frame.color_trc == SRGB_TRANSFER else BT709
        self.has_alpha |= any(component.is_alpha for component in frame.format.components)

    def _time(self, frame: Any) -> int:
        """Return when a frame is shown, after the one before in any case."""
        time = frame.pts if frame.pts is not None else frame.dts
        if self._decoded_at is not None:
            time = heappop(self._decoded_at) if self._decoded_at else None
        if time is None:
            step = max(1, round(1 / (self.rate * self.time_base)))
            time = 0 if self._last is None else self._last + step
        if self._last is not None:
            time = max(time, self._last + 1)
        self._last = time
        return int(time)

    def _colours(self, frame: Any) -> Pixels:
        """Return a frame's pixels in BT.709."""
        if not (self.hdr or self.wide):
            return self._converted(frame, "gbrp")
        codes = self._converted(frame, "gbrp16le")
        if self.hdr:
            primaries = "bt709" if frame.color_primaries == BT709 else self.wide or "bt2020"
            return tone_mapped(codes, self.hdr, primaries, self._peak_nits, "bt1886")
        return in_bt709(codes, self.wide, "srgb" if frame.color_trc == SRGB_TRANSFER else "bt1886")

    def _converted(self, frame: Any, pixel_format: str) -> Array:
        said = None
        if frame.colorspace == UNSPECIFIED:
            wide = self.hdr or self.wide == "bt2020"
            said = BT2020_NCL if wide else guessed_colorspace(frame.height)
        converted: Array = frame.to_ndarray(
            format=pixel_format,
            src_colorspace=said,
            width=self._shown[0],
            height=self._shown[1],
            interpolation=EXACT_SCALING,
        )
        return converted

    def _is_on_its_side(self) -> bool:
        a, b, c, d = self._orientation
        return abs(b) + abs(c) > abs(a) + abs(d)

    def _turned(self, pixels: Array) -> Array:
        """Return pixels as the film's display matrix places them: x' = ax + cy, y' = bx + dy."""
        a, b, c, d = self._orientation
        right, down = a, d
        if self._is_on_its_side():
            pixels = pixels.swapaxes(0, 1)
            right, down = c, b
        if right < 0:
            pixels = pixels[:, ::-1]
        if down < 0:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


class PictureWriter:
    """Encodes painted frames into an output's picture."""

    def __init__(self, av: ModuleType, out: Any, codec: str, rate: Fraction | int) -> None:
        self.av = av
        options = CODEC_OPTIONS[codec]
        self.stream = out.add_stream(codec, rate=rate, options=options)
        self.out = out
        self.codec = codec

    def begin(
        self,
        size: tuple[int, int],
        pixel_aspect: Fraction = SQUARE,
        alpha: bool = False,
        colours: tuple[int, int] = (UNSPECIFIED, UNSPECIFIED),
    ) -> None:
        """Give the stream its size (width, height), and say how its colours are coded.

        `colours` are the numbers of its primaries and of its transfer.
        """
        stream, context = self.stream, self.stream.codec_context
        stream.width, stream.height = size
        if alpha:
            stream.pix_fmt = ALPHA_FORMATS[self.codec]
            if self.codec.startswith("libvpx"):
                stream.metadata["alpha_mode"] = "1"
                stream.options["auto-alt-ref"] = "0"  # it has no transparency
        else:
            # half as many colours as pixels need even sides, but for MPEG-4, which has no others
            is_odd = (size[0] % 2 or size[1] % 2) and self.codec != "mpeg4"
            stream.pix_fmt = "yuv444p" if is_odd else "yuv420p"
        context.color_primaries, context.color_trc = colours
        # one that its file cannot tell is what players guess
        told = colours[0] if self.codec != "mpeg4" else UNSPECIFIED
        self.colorspace = {BT709: BT709, BT470BG: BT470BG, SMPTE170M: BT470BG}.get(
            told, guessed_colorspace(size[1])
        )
        context.colorspace = self.colorspace
        context.color_range = self.av.video.reformatter.ColorRange.MPEG
        context.sample_aspect_ratio = pixel_aspect

    def write(
        self, pixels: Pixels, alpha: Pixels | None, times: tuple[int, Fraction] | None
    ) -> None:
        """Encode a frame; `times` are when it is shown, and in what unit."""
        stream = self.stream
        if alpha is not None:
            if alpha.shape != pixels.shape[:2]:
                frame = self.av.VideoFrame.from_ndarray(alpha, format="gray").reformat(
                    width=pixels.shape[1], height=pixels.shape[0], interpolation="BICUBIC"
                )
                alpha = frame.to_ndarray()
            pixels = np.dstack([pixels, alpha])
        frame = self.av.VideoFrame.from_ndarray(pixels, format="rgb24" if alpha is None else "rgba")
        frame = frame.reformat(
            width=stream.width,
            height=stream.height,
            format=stream.pix_fmt,
            interpolation=EXACT_SCALING,
            dst_colorspace=self.colorspace,
            dst_color_range=self.av.video.reformatter.ColorRange.MPEG,
        )
        if times:
            frame.pts, frame.time_base = times
        self.out.mux(stream.encode(frame))

    def end(self) -> None:
        """Write what the encoder still holds."""
        self.out.mux(self.stream.encode(None))


def picture_stream(film: Any, source: str) -> tuple[Any, list[Any]]:
    """Return a film's picture and its other pictures, but for covers. Raises UserError."""
    if film.format.name in PLAYLISTS:
        raise UserError(f"{source}: is a list of other files; expected a film. Name those.")
    streams = [stream for stream in film.streams.video if not is_cover(stream)]
    if not streams:
        raise UserError(f"{source}: has no moving picture; expected a film. Check the file.")

    def rank(stream: Any) -> tuple[bool, bool, int]:
        context = stream.codec_context
        if context is None:
            return False, False, 0
        return True, bool(stream.disposition & 1), context.width * context.height

    best = max(streams, key=rank)
    if best.codec_context is None:
        raise UserError(
            f"{source}: its picture is coded in a way that cannot be read; expected a usual codec. "
            "Convert it to H.264 first."
        )
    return best, [stream for stream in streams if stream is not best]


def is_cover(stream: Any) -> bool:
    """Return whether a video stream is a still picture about the film, such as its cover."""
    names = type(stream.disposition)
    covers = names.attached_pic | names.still_image | names.timed_thumbnails
    return bool(stream.disposition & covers)


def guessed_colorspace(height: int) -> int:
    """Return what players take a film of this height for when it does not say."""
    return BT709 if height >= HD_ROWS else BT470BG


def _peak_nits(frame: Any) -> float:
    """Return the brightest light that a frame tells of: MaxCLL, or its mastering screen's."""
    said = {side.type.name: bytes(side) for side in frame.side_data}
    if "CONTENT_LIGHT_LEVEL" in said:  # AVContentLightMetadata
        (brightest,) = struct.unpack_from("=I", said["CONTENT_LIGHT_LEVEL"])
        if brightest:
            return float(brightest)
    if "MASTERING_DISPLAY_METADATA" in said:  # AVMasteringDisplayMetadata
        over, under, _, told = struct.unpack_from("=4i", said["MASTERING_DISPLAY_METADATA"], 72)
        if told and over > 0 and under > 0:
            return float(over / under)
    return DEFAULT_PEAK_NITS
