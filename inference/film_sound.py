"""A film's sound: copied where the output's container holds it, else encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

# What FFmpeg would write into a container (`supported_codecs`), but players do not take from it, or
# FFmpeg itself refuses in the end; the pcm_* in a word.
NOT_HELD = {".mp4": ("vorbis", "pcm"), ".mov": ("opus", "flac")}
HELD_BY_AVI = ("mp3", "ac3", "pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le")
ENCODERS = {
    ".mp4": "aac",
    ".m4v": "aac",
    ".mov": "aac",
    ".mkv": "aac",
    ".avi": "libmp3lame",
    ".webm": "libopus",
}
LOSSLESS_ENCODERS = {".m4v": "alac", ".mov": "alac", ".avi": "pcm_s16le"}
LOSSLESS = ("flac", "alac", "truehd", "mlp", "wavpack", "tta", "ape", "shorten")
# An AVI's header takes a block's size from the source, which is none where packets vary.
DESCRIBED_BY = {"mp3": "libmp3lame", "ac3": "ac3"}
NAMES = {
    "libmp3lame": "MP3",
    "libopus": "Opus",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "ac3": "AC-3",
}
GAP_S = 0.1
LONGEST_GAP_S = 600
"""A longer one is no silence, but a mistake in the file's times."""
BITS_A_CHANNEL = 96_000
RATES = {  # samples a second, where an encoder does not take any
    "libopus": (48_000,),
    "libmp3lame": (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000),
    "ac3": (48_000, 44_100, 32_000),
    "aac": (48_000, 96_000, 88_200, 64_000, 44_100, 32_000, 24_000, 22_050, 16_000, 11_025, 8_000),
}
MOST_CHANNELS = {"libmp3lame": 2, "ac3": 6, "alac": 6}
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


class CopiedTrack:
    """Takes a stream's packets over as they are."""

    def __init__(self, out: Any, template: Any, encoder: str = "") -> None:
        if encoder:  # which encodes nothing, but describes the stream
            context = template.codec_context
            self.stream = out.add_stream(encoder, rate=context.sample_rate)
            self.stream.layout = context.layout
            self.stream.bit_rate = context.bit_rate or 0
        else:
            self.stream = out.add_stream_from_template(template, opaque=True)
        self._last: int | None = None

    def packets(self, packet: Any) -> Iterator[Any]:
        """Yield what a packet of the source becomes."""
        if packet.dts is None or not packet.size:
            return
        if self._last is not None and packet.dts <= self._last:  # a muxer takes none of that kind
            packet.dts = self._last + 1
            if packet.pts is not None:
                packet.pts = max(packet.pts, packet.dts)
        if not packet.duration and self._last is not None:  # or the last one would have none
            packet.duration = packet.dts - self._last
        self._last = packet.dts
        packet.stream = self.stream
        yield packet

    def end(self) -> Iterator[Any]:
        """Yield what is left at the film's end."""
        yield from ()

    def damaged(self) -> int:
        """Return how many packets could not be decoded."""
        return 0


class EncodedTrack:
    """Decodes a stream's packets and encodes their sound for another container."""

    def __init__(
        self, av: ModuleType, out: Any, template: Any, encoder: str, begins_at_0: bool
    ) -> None:
        self.av = av
        self.source = template
        self._begins_at_0 = begins_at_0
        self._is_timed = template.container.format.name != "avi"
        context = template.codec_context
        rates = RATES.get(encoder, ())
        rate = context.sample_rate
        if rates and rate not in rates:
            rate = rates[0]
        self.stream = out.add_stream(encoder, rate=rate)
        channels = min(context.layout.nb_channels, MOST_CHANNELS.get(encoder, 8))
        quad = encoder == "libopus" and channels == 4
        self.stream.layout = "quad" if quad else LAYOUTS.get(channels, "stereo")
        if encoder not in LOSSLESS and not encoder.startswith("pcm"):
            self.stream.bit_rate = BITS_A_CHANNEL * self.stream.layout.nb_channels
        self.count = 0
        self._resampler: Any = None
        self._heard: tuple[object, ...] = ()
        self._next: int | None = None  # the sample that the encoder expects

    def packets(self, packet: Any) -> Iterator[Any]:
        """Yield what a packet of the source becomes."""
        if not packet.size:
            return
        try:
            frames = packet.decode()
        except self.av.FFmpegError:
            self.count += 1
            return
        for frame in frames:
            yield from self._encoded(frame)

    def end(self) -> Iterator[Any]:
        """Yield what is left at the film's end."""
        try:
            frames = self.source.codec_context.decode(None)
        except self.av.FFmpegError:
            frames = []
        for frame in frames:
            yield from self._encoded(frame)
        yield from self._flushed()
        yield from self.stream.encode(None)

    def damaged(self) -> int:
        """Return how many packets could not be decoded."""
        return self.count

    def _encoded(self, frame: Any) -> Iterator[Any]:
        heard = frame.format.name, frame.layout.name, frame.sample_rate
        if heard != self._heard:  # a resampler takes one kind of sound
            yield from self._flushed()
            self._heard = heard
            context = self.stream.codec_context
            self._resampler = self.av.AudioResampler(
                context.format, context.layout, context.sample_rate
            )
        for resampled in self._resampler.resample(frame):
            yield from self._in_time(resampled)

    def _in_time(self, frame: Any) -> Iterator[Any]:
        """Encode a frame where the last one ended, or after silence where there is a gap."""
        rate = self.stream.codec_context.sample_rate
        begins = self._next or 0
        if frame.pts is not None and (self._next is None or self._is_timed):
            begins = round(frame.pts * frame.time_base * rate)
        if self._next is None:
            self._next = 0 if self._begins_at_0 else begins
        if begins - self._next > LONGEST_GAP_S * rate:
            self._next = begins
        while (gap := begins - self._next) > GAP_S * rate:
            silence = self.av.AudioFrame(frame.format.name, frame.layout.name, min(gap, rate))
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            yield from self._placed(silence, rate)
        yield from self._placed(frame, rate)

    def _placed(self, frame: Any, rate: int) -> Iterator[Any]:
        frame.sample_rate = rate
        frame.pts, frame.time_base = self._next, Fraction(1, rate)
        self._next = (self._next or 0) + frame.samples
        yield from self.stream.encode(frame)

    def _flushed(self) -> Iterator[Any]:
        if self._resampler is not None:
            for frame in self._resampler.resample(None):
                yield from self._in_time(frame)


def sound_track(
    av: ModuleType, out: Any, stream: Any, suffix: str, start_s: Fraction
) -> tuple[CopiedTrack | EncodedTrack | None, str]:
    """Return what writes a sound stream into an output, and a notice of what becomes of it.

    `start_s` is when the film begins, in the source's times.
    """
    if stream.codec_context is None:
        return None, "is not kept: its coding is not known"
    name = stream.codec_context.codec.canonical_name
    if suffix == ".avi":
        is_held = name in HELD_BY_AVI
    else:
        is_held = name.split("_")[0] not in NOT_HELD.get(suffix, ())
    late_s = (stream.start_time or 0) * (stream.time_base or 0) - start_s
    is_late = suffix == ".avi" and late_s > GAP_S
    is_held = is_held and name in out.supported_codecs
    if is_held and not is_late:
        return CopiedTrack(out, stream, DESCRIBED_BY.get(name, "") if suffix == ".avi" else ""), ""
    encoder = ENCODERS[suffix]
    if name in LOSSLESS or name.startswith("pcm_"):
        encoder = LOSSLESS_ENCODERS.get(suffix, encoder)
    channels = stream.codec_context.layout.nb_channels
    if encoder == "libmp3lame" and channels > MOST_CHANNELS[encoder]:
        encoder = "ac3"
    # an AVI has no times: silence comes first where sound begins late
    track = EncodedTrack(av, out, stream, encoder, begins_at_0=suffix == ".avi")
    layout = track.stream.layout
    mixed = f"; it is mixed down to {layout.name}" if layout.nb_channels < channels else ""
    if is_held:
        return track, f"is encoded anew: it begins late, which a {suffix} film cannot tell{mixed}"
    return track, (
        f"is converted from {shown_name(name)} to {shown_name(encoder)}: "
        f"a {suffix} film has no place for {shown_name(name)}{mixed}"
    )


def shown_name(codec: str) -> str:
    """Return a codec's name as people write it."""
    return NAMES.get(codec, "PCM" if codec.startswith("pcm_") else codec.upper())
