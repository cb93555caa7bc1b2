"""Films, frame by frame: what comes in is kept but for the picture.

Frames are uint8, H rows × W columns × 3.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from data.animation import write_frames
from data.pixels import Pixels, as_picture
from errors import FULL_DISK, UserError
from inference.film_formats import FILM_CODECS, is_film
from inference.film_output import FilmOutput, opened_film
from inference.film_picture import FilmFrame, PictureWriter
from progress import progress_bar
from whole_file import whole_file

AHEAD = 4
Item = TypeVar("Item")
Paint = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class PaintedFilm:
    """What became of a film."""

    frames: int
    width: int
    height: int
    notices: tuple[str, ...]  # what is converted or not kept, a sentence each


def paint_film(source: Path, target: Path, paint: Paint, shown: bool = True) -> PaintedFilm:
    """Paint every frame of a film, and return what became of it.

    `paint` takes and returns upright frames of square pixels. Sound, subtitles, frame times, size
    and what the film says of itself stay, or a notice tells. Where `paint` gives another size, a
    film's sides are made even. An interrupted run leaves no file. Raises UserError.
    """
    if not is_film(target):
        raise UserError(
            f"{target}: suffix {target.suffix!r} for a film; expected one of "
            f"{', '.join(FILM_CODECS)}. Choose another with -o."
        )
    with whole_file(target) as beside:
        return _paint_video(source, beside, paint, shown)


def _paint_video(source: Path, target: Path, paint: Paint, shown: bool) -> PaintedFilm:
    av = _av()
    if source.exists() and not source.is_file():
        raise UserError(f"{source}: is no regular file; expected a film. Copy it to a file first.")
    try:
        with opened_film(av, source) as film:
            output = FilmOutput(av, film, source, target)
            with output.opened():
                count = _paint_frames(av, output, paint, shown)
            output.compare()
    except av.FFmpegError as error:
        if error.errno in FULL_DISK:
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise UserError(
            f"{source}: cannot be painted ({error.strerror or error}); expected a whole film. "
            "Check the file, or choose another suffix with -o."
        ) from error
    finally:
        gc.collect()  # PyAV's objects hold each other, and a decoder its threads and frames
    return PaintedFilm(count, *output.size, tuple(output.notices))


def _paint_frames(av: ModuleType, output: FilmOutput, paint: Paint, shown: bool) -> int:
    """Paint a film's frames into an output while others are read and written."""
    reader, count = output.reader, 0
    video = reader.stream
    total = video.frames or int(float(video.duration or 0) * reader.time_base * reader.rate)
    with (
        progress_bar(total, "frame", shown=shown) as progress,
        ThreadPoolExecutor(1) as writer,
        closing(_ahead(output.read())) as items,  # ends its thread before the film is closed
    ):
        pending: list[Future[None]] = []
        early: list[Any] = []  # what comes before the first frame, which opens the file
        for item in items:
            if isinstance(item, FilmFrame):
                painted = paint(item.pixels)
                if not count:
                    output.begin(item, painted)
                    pending.extend(writer.submit(output.copy, packet) for packet in early)
                pending.append(writer.submit(output.write, item, painted))
                count += 1
                progress.update()
            elif count:
                pending.append(writer.submit(output.copy, item))
            else:
                early.append(item)
            while len(pending) > AHEAD:
                pending.pop(0).result()
        for write in pending:
            write.result()
    if not count:
        raise UserError(
            f"{output.source}: no frame can be read; expected a whole film. Check the file."
        )
    output.end()
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
        with opened_film(av, beside, "w") as out:
            picture = PictureWriter(av, out, FILM_CODECS[target.suffix.lower()], rate)
            for number, pixels in enumerate(frames):
                if not number:
                    picture.begin((pixels.shape[1], pixels.shape[0]))
                picture.write(pixels, None, None)
            picture.end()


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
