"""Films and animations, frame by frame: what comes in is kept but for the picture.

Frames are uint8, H rows × W columns × 3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from data.animation import animation_frames, write_animation, write_frames
from data.formats import ANIMATION_SUFFIXES
from data.pixels import Pixels, as_picture
from errors import UserError
from progress import progress_bar
from whole_file import whole_file

FILM_CODECS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".avi": "mpeg4",
    ".webm": "libvpx-vp9",
}
CODEC_OPTIONS = {
    "libx264": {"crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6"},
    "mpeg4": {"q": "3"},
}
SUFFIXES = (*FILM_CODECS, *ANIMATION_SUFFIXES)
AHEAD = 4
HD_ROWS = 720
"""From here on players take a film that does not say how its colours are coded for BT.709."""
UNSPECIFIED = 2  # ISO/IEC 23091-2
Item = TypeVar("Item")
Paint = Callable[[Pixels], Pixels]


def is_film(path: Path) -> bool:
    """Return whether a file is a film by its suffix, or a picture with several frames."""
    suffix = path.suffix.lower()
    if suffix in FILM_CODECS:
        return True
    return suffix in ANIMATION_SUFFIXES and animation_frames(path) > 1


def paint_film(source: Path, target: Path, paint: Paint, shown: bool = True) -> int:
    """Paint every frame of a film or animation; return how many there were.

    Sound, frame times, size and the way up stay; where `paint` gives another size, a film's sides
    are made even. An interrupted run leaves no file. Raises UserError.
    """
    suffix = target.suffix.lower()
    if (suffix in FILM_CODECS) != (source.suffix.lower() in FILM_CODECS):
        raise UserError(
            f"{target}: suffix {suffix!r} for {source.suffix}; expected an animation from an "
            "animation, a film from a film. Choose another with -o."
        )
    with whole_file(target) as beside:
        write = _paint_video if suffix in FILM_CODECS else _paint_animation
        return write(source, beside, paint, shown)


def _paint_animation(source: Path, target: Path, paint: Paint, shown: bool) -> int:
    with progress_bar(animation_frames(source), "frame", shown=shown) as progress:

        def painted(frame: Pixels) -> Pixels:
            progress.update()
            return paint(frame)

        return write_animation(source, target, painted)


def _paint_video(source: Path, target: Path, paint: Paint, shown: bool) -> int:
    av = _av()
    try:
        with av.open(str(source)) as film, av.open(str(target), "w") as out:
            return _transcode(av, film, out, source, target, paint, shown)
    except av.FFmpegError as error:
        raise UserError(
            f"{source}: cannot be painted ({error.strerror or error}); expected a whole film. "
            "Check the file, or choose another suffix with -o."
        ) from error


def _transcode(
    av: ModuleType, film: Any, out: Any, source: Path, target: Path, paint: Paint, shown: bool
) -> int:
    if not film.streams.video:
        raise UserError(f"{source}: has no picture; expected a film. Check the file.")
    video = film.streams.video[0]
    video.thread_type = "AUTO"
    codec = FILM_CODECS[target.suffix.lower()]
    rate = video.average_rate or video.guessed_rate or Fraction(25)
    picture = out.add_stream(codec, rate=rate, options=CODEC_OPTIONS[codec])
    sounds = {stream.index: out.add_stream_from_template(stream) for stream in film.streams.audio}
    wanted = [video, *film.streams.audio]
    total = video.frames or int(float(video.duration or 0) * (video.time_base or 0) * rate)
    count = 0

    def frames() -> Iterator[tuple[Any, Any]]:
        """Yield (a packet of sound, None) or (a frame's times, its pixels), as they come."""
        for packet in film.demux(wanted):
            if packet.stream.index in sounds:
                if packet.dts is not None:
                    yield packet, None
                continue
            for frame in packet.decode():
                said = None if frame.colorspace != UNSPECIFIED else _colorspace(frame.height)
                pixels = frame.to_ndarray(format="rgb24", src_colorspace=said)
                upright = np.rot90(pixels, frame.rotation // 90)
                yield (frame.pts, frame.time_base), np.ascontiguousarray(upright)

    def encode(times: tuple[int, Fraction], pixels: Pixels) -> None:
        frame = _encodable(pixels, picture)
        frame.pts, frame.time_base = times
        out.mux(picture.encode(frame))

    def copy_sound(packet: Any) -> None:
        packet.stream = sounds[packet.stream.index]
        out.mux(packet)

    with (
        progress_bar(total, "frame", shown=shown) as progress,
        ThreadPoolExecutor(1) as writer,
        closing(_ahead(frames())) as items,  # ends its thread before the film is closed
    ):
        pending: list[Future[None]] = []
        early = []  # sound before the first frame, which opens the file
        for what, pixels in items:
            if pixels is None and not count:
                early.append(what)
                continue
            if pixels is None:
                pending.append(writer.submit(copy_sound, what))
            else:
                painted = paint(pixels)
                if painted.shape != pixels.shape:  # resized: to what every player takes
                    height, width = (side - side % 2 for side in painted.shape[:2])
                    painted = np.ascontiguousarray(painted[:height, :width])
                if not count:
                    _shape(picture, painted)
                    picture.codec_context.time_base = what[1]
                    for name in ("color_primaries", "color_trc"):  # no frame is converted in these
                        setattr(picture.codec_context, name, getattr(video.codec_context, name))
                    pending.extend(writer.submit(copy_sound, packet) for packet in early)
                pending.append(writer.submit(encode, what, painted))
                count += 1
                progress.update()
            while len(pending) > AHEAD:
                pending.pop(0).result()
        for write in pending:
            write.result()
    if not count:
        raise UserError(f"{source}: no frame can be read; expected a whole film. Check the file.")
    out.mux(picture.encode(None))
    return count


def write_film(frames: Iterable[Pixels], target: Path, rate: int) -> None:
    """Write frames of one size as a film or animation, `rate` a second.

    An interrupted run leaves no file. Raises UserError.
    """
    with whole_file(target) as beside:
        if target.suffix.lower() not in FILM_CODECS:
            pictures = (as_picture(pixels) for pixels in frames)
            write_frames(beside, pictures, round(1000 / rate))
            return
        av = _av()
        codec = FILM_CODECS[target.suffix.lower()]
        with av.open(str(beside), "w") as out:
            picture = out.add_stream(codec, rate=rate, options=CODEC_OPTIONS[codec])
            for number, pixels in enumerate(frames):
                if not number:
                    _shape(picture, pixels)
                out.mux(picture.encode(_encodable(pixels, picture)))
            out.mux(picture.encode(None))


def _shape(picture: Any, pixels: Pixels) -> None:
    """Give a stream the shape of its frames, and say how their colours are coded."""
    picture.height, picture.width = pixels.shape[:2]
    # half as many colours as pixels need even sides
    odd = picture.height % 2 or picture.width % 2
    picture.pix_fmt = "yuv444p" if odd else "yuv420p"
    picture.codec_context.colorspace = _colorspace(picture.height)
    picture.codec_context.color_range = _av().video.reformatter.ColorRange.MPEG


def _encodable(pixels: Pixels, picture: Any) -> Any:
    """Return a frame as its stream says that it is coded."""
    av = _av()
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
        format=picture.pix_fmt,
        dst_colorspace=_colorspace(picture.height),
        dst_color_range=av.video.reformatter.ColorRange.MPEG,
    )


def _colorspace(height: int) -> Any:
    """Return what players take a film of this height for when it does not say."""
    colorspaces = _av().video.reformatter.Colorspace
    return colorspaces.ITU709 if height >= HD_ROWS else colorspaces.ITU601


def _ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield items that a thread makes, a few ahead of their use."""
    with ThreadPoolExecutor(1) as reader:
        made = deque(reader.submit(next, items, None) for _ in range(AHEAD))
        while (item := made.popleft().result()) is not None:
            made.append(reader.submit(next, items, None))
            yield item


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise UserError(
            "films: PyAV is not installed; expected the extra of films. Run: pip install '.[film]'"
        ) from error
    module: ModuleType = av
    return module
