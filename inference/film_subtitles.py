"""A film's subtitles: copied or converted to the kind that the output's container holds."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

from inference.film_sound import CopiedTrack

HELD = {
    ".mp4": ("mov_text",),
    ".m4v": ("mov_text",),
    ".mov": ("mov_text",),
    ".mkv": ("subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"),
    ".webm": ("webvtt",),
    ".avi": (),
}
PICTURES = ("hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub", "dvb_teletext")
MILLISECOND = Fraction(1, 1000)


class EncodedSubtitles:
    """Decodes subtitles and encodes them for another container."""

    def __init__(self, av: ModuleType, out: Any, template: Any, encoder: str) -> None:
        self.av = av
        self.decoder = template.codec_context
        self.stream = out.add_stream(encoder)
        self.stream.time_base = MILLISECOND
        self.stream.codec_context.time_base = MILLISECOND
        self.decoder.open(strict=False)
        self.stream.codec_context.subtitle_header = self.decoder.subtitle_header
        self.count = 0

    def packets(self, packet: Any) -> Iterator[Any]:
        """Yield what a packet of the source becomes."""
        if not packet.size or packet.pts is None:
            return
        try:
            subtitles = self.decoder.decode2(packet)
            if subtitles is None or not len(subtitles):
                return
            subtitles.start_display_time = 0
            encoded = self.stream.codec_context.encode_subtitle(subtitles)
        except self.av.FFmpegError:
            self.count += 1
            return
        encoded.time_base = packet.time_base
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        encoded.stream = self.stream
        yield encoded

    def end(self) -> Iterator[Any]:
        """Yield what is left at the film's end."""
        yield from ()

    def damaged(self) -> int:
        """Return how many packets could not be decoded."""
        return self.count


def subtitle_track(
    av: ModuleType, out: Any, stream: Any, suffix: str
) -> tuple[CopiedTrack | EncodedSubtitles | None, str]:
    """Return what writes subtitles into an output, and a notice of what becomes of them."""
    if stream.codec_context is None:
        return None, "are not kept: their coding is not known"
    name = stream.codec_context.codec.canonical_name
    if name in HELD[suffix]:
        return CopiedTrack(out, stream), ""
    if not HELD[suffix]:
        return None, f"are not kept: a {suffix} film has no place for them"
    if name in PICTURES:
        return None, f"are not kept: they are pictures ({name}), and a {suffix} film takes text"
    encoder = HELD[suffix][0]
    track = EncodedSubtitles(av, out, stream, encoder)
    return track, f"are converted from {name} to {encoder}"
