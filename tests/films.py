"""Small films that tests make, and how they read what was painted of them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from inference.film import PaintedFilm, paint_film

EXACT = 0x2 | 0x40000 | 0x2000
"""libswscale's SWS_BILINEAR, SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT: else pictures get darker."""
TENTH = Fraction(1, 10)
CORNERS = np.array([[(230, 40, 40), (40, 200, 40)], [(40, 40, 230), (220, 220, 60)]], np.uint8)
"""A colour for each quarter: red, green; blue, yellow."""


def quarters(width: int = 64, height: int = 48) -> Any:
    """A picture of four quarters, that shows which way up it is."""
    return CORNERS.repeat(height // 2, 0).repeat(width // 2, 1)


def make(
    path: Path,
    frames: int = 5,
    pixels: Any = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sound: str = "",
    layout: str = "stereo",
    times: list[int] | None = None,
    time_base: Fraction = TENTH,
    options: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    **context: object,
) -> Path:
    """Write a film of 10 frames a second; `context` goes to the picture's codec."""
    pixels = quarters() if pixels is None else pixels
    with av.open(str(path), "w", options=container) as out:
        out.metadata.update(tags or {})
        video = out.add_stream(codec, rate=10, options=options or {})
        video.height, video.width = pixels.shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = time_base
        for name, value in context.items():
            setattr(video.codec_context, name, value)
        track = None
        if sound:
            track = out.add_stream(sound, rate=48000)
            track.layout = layout
        out.start_encoding()
        picture = av.VideoFrame.from_ndarray(
            pixels, format="rgba" if pixels.shape[2] == 4 else "rgb24"
        )
        for i in range(frames):
            frame = picture.reformat(
                format=pix_fmt,
                dst_colorspace=context.get("colorspace", 5),
                dst_color_range=1,
                interpolation=EXACT,
            )
            frame.pts, frame.time_base = times[i] if times else i, time_base
            out.mux(video.encode(frame))
        if track:
            wave = np.sin(np.arange(4800 * frames) * 2 * np.pi * 440 / 48000) * 8000
            tone = av.AudioFrame.from_ndarray(
                wave.astype(np.int16).repeat(2)[None], format="s16", layout="stereo"
            )
            tone.sample_rate, tone.pts, tone.time_base = 48000, 0, Fraction(1, 48000)
            resampler = av.AudioResampler(track.format, track.layout, 48000)
            for part in [*resampler.resample(tone), *resampler.resample(None)]:
                out.mux(track.encode(part))
            out.mux(track.encode(None))
        out.mux(video.encode(None))
    return path


def matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the display matrix of an MP4's picture (ISO/IEC 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    content[at : at + 20] = struct.pack(">5i", a * one, b * one, 0, c * one, d * one)
    path.write_bytes(content)
    return path


def painted(source: Path, target: Path, paint: Any = lambda frame: frame) -> PaintedFilm:
    """Paint a film without a bar of progress."""
    return paint_film(source, target, paint, shown=False)


def pictures(path: Path, pixel_format: str = "rgb24") -> list[Any]:
    """The frames of a film as arrays."""
    with av.open(str(path)) as film:
        return [
            frame.to_ndarray(format=pixel_format, interpolation=EXACT)
            for frame in film.decode(video=0)
        ]


def times(path: Path) -> list[Fraction]:
    """When the frames of a film are shown, in seconds."""
    with av.open(str(path)) as film:
        return [frame.pts * frame.time_base for frame in film.decode(video=0)]


def heard_s(path: Path, track: int = 0) -> float:
    """How long a film's sound is, by its samples; it fails for one that cannot be decoded."""
    with av.open(str(path)) as film:
        stream = film.streams.audio[track]
        return sum(frame.samples for frame in film.decode(stream)) / stream.sample_rate
