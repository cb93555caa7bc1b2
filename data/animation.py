"""Image files of several frames or pages, painted whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from data.encoding import alpha_in, encode, writing
from data.formats import FORMAT_OF, FORMATS, HEIC, check_writable, suffix_of
from data.frame_writers import (
    Frames,
    Times,
    write_avif,
    write_gif,
    write_heic,
    write_png,
    write_tiff,
    write_webp,
)
from data.frames import Animation, read_animation
from data.images import Photo, open_image, read_photo
from data.metadata import NO_METADATA
from data.pixels import Picture, Pixels, as_picture
from data.resizing import resized
from errors import UserError
from progress import progress_bar
from whole_file import whole_file

TIMED = {"GIF": write_gif, "PNG": write_png, "WEBP": write_webp, "AVIF": write_avif}
"""Writes an animation in one of Pillow's formats."""
PAGED = ("TIFF", HEIC)
PAGE_MS = 1000.0
"""How long a page is shown where it becomes a frame."""
Paint = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class PaintedAnimation:
    """What became of an animation."""

    frames: int
    width: int
    height: int
    notices: tuple[str, ...]


class _PaintingFailed(UserError):
    """What `paint` raised while an encoder asked for the next frame; it is no encoder's error."""


def paint_animation(
    content: bytes,
    name: str,
    target: Path | BinaryIO,
    paint: Paint,
    *,
    suffix: str = "",
    max_pixels: int = 0,
    shown: bool = True,
) -> PaintedAnimation:
    """Paint every frame or page of a file, and return what became of it.

    Times, loops, transparency, metadata and pages stay, or a notice tells; where the target's
    format holds one picture, the first is painted. The target is a path, or a file that can be
    written and read at any place, in the format of `suffix` ("": that of the source). An
    interrupted run leaves no file. Raises UserError.
    """
    if isinstance(target, Path):
        check_writable(target)
        suffix = target.suffix
    suffix = suffix.lower() or suffix_of(open_image(content, name, max_pixels).format or "")
    format_ = FORMAT_OF[suffix]
    if format_ not in TIMED and format_ not in PAGED:
        return _paint_first(content, name, target, paint, suffix, max_pixels)
    animation = read_animation(content, name, max_pixels)
    if format_ in TIMED and len(set(animation.sizes)) > 1:
        raise UserError(
            f"{name}: its pages have different sizes; expected one size in "
            f"{FORMATS[format_].title}. Choose a .tif with -o."
        )
    if animation.has_still and format_ != "PNG":
        animation = _without_still(animation, format_)
    work = _Work(paint, animation, suffix, shown)
    try:
        with _opened(target) as file:
            lost = _write(file, format_, work.frames(), animation)
    except _PaintingFailed as failure:
        raise failure.__cause__ or failure from None
    notices = dict.fromkeys((*animation.notices, *work.notices, *lost))
    return PaintedAnimation(len(animation.sizes), *work.size, tuple(notices))


def _without_still(animation: Animation, format_: str) -> Animation:
    title = FORMATS[format_].title
    notice = f"the picture for programs without animation is not kept: {title} has no place for it"
    return replace(
        animation,
        sizes=animation.sizes[1:],
        durations_ms=animation.durations_ms[1:],
        has_still=False,
        notices=(*animation.notices, notice),
        photos=lambda: islice(animation.photos(), 1, None),
    )


class _Work:
    """Paints frames as they are asked for."""

    def __init__(self, paint: Paint, animation: Animation, suffix: str, shown: bool) -> None:
        self.paint, self.animation, self.suffix, self.shown = paint, animation, suffix, shown
        self.timed = FORMAT_OF[suffix] in TIMED
        self.size = 0, 0
        self.notices: dict[str, None] = {}

    def frames(self) -> Frames:
        """Yield each painted frame with its metadata."""
        first = None
        count = len(self.animation.sizes)
        with progress_bar(count, "frame", shown=self.shown, at_once=False) as progress:
            for photo in self.animation.photos():
                self.notices.update(dict.fromkeys(photo.notices))
                first = first or photo.metadata
                if self.timed and photo.metadata != first:
                    self.notices["of the pages' metadata only the first page's is kept"] = None
                picture = self._painted(photo)
                self.size = picture.size
                progress.update()
                yield picture, photo.metadata

    def _painted(self, photo: Photo) -> Picture:
        try:
            pixels = self.paint(photo.pixels)
        except Exception as error:
            raise _PaintingFailed(str(error)) from error
        if not self.animation.transparent:
            return as_picture(pixels)
        alpha = alpha_in(self.suffix, _alpha_of(photo, pixels))
        picture = as_picture(pixels, alpha)
        if alpha is None and self.timed:
            picture.putalpha(255)  # as the other frames
        return picture


def _paint_first(
    content: bytes,
    name: str,
    target: Path | BinaryIO,
    paint: Paint,
    suffix: str,
    max_pixels: int,
) -> PaintedAnimation:
    """Paint the first picture alone; the reader tells of the others."""
    photo = read_photo(content, name, max_pixels=max_pixels)
    pixels = paint(photo.pixels)
    height, width = pixels.shape[:2]
    alpha = _alpha_of(photo, pixels)
    with _opened(target) as file:
        lost = encode(file, suffix, replace(photo, pixels=pixels, alpha=alpha), _name_of(target))
    return PaintedAnimation(1, width, height, (*photo.notices, *lost))


def _alpha_of(photo: Photo, painted: Pixels) -> Pixels | None:
    """Return a photo's alpha in the size of its painting."""
    if photo.alpha is None or photo.alpha.shape == painted.shape[:2]:
        return photo.alpha
    alpha: Pixels = resized(photo.alpha, (painted.shape[1], painted.shape[0]))
    return alpha


def _write(file: BinaryIO, format_: str, frames: Frames, animation: Animation) -> list[str]:
    """Write painted frames; return what is not kept."""
    title, durations = FORMATS[format_].title, animation.durations_ms
    notices = []
    if format_ in PAGED:
        if durations:
            notices.append(f"the frames' times are not kept: the pages of {title} have none")
        if format_ == "TIFF":
            return notices + write_tiff(file, frames)
        return notices + write_heic(file, frames, len(animation.sizes))
    if not durations:
        durations = (PAGE_MS,) * len(animation.sizes)
        notices.append(f"each page is shown for {PAGE_MS / 1000:g} s")
    shown = durations[int(animation.has_still) :]
    return notices + TIMED[format_](
        file, frames, Times(shown, animation.plays, animation.has_still)
    )


@contextmanager
def _opened(target: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a path to be written whole or not at all; a file is taken as it is."""
    with writing(_name_of(target)):
        if not isinstance(target, Path):
            yield target
            return
        with whole_file(target) as beside, beside.open("w+b") as file:
            yield file


def _name_of(target: Path | BinaryIO) -> str:
    return str(target) if isinstance(target, Path) else "-"


def write_frames(
    target: Path, pictures: Iterator[Picture], durations_ms: Sequence[float] | float, loop: int = 0
) -> None:
    """Write frames of one size as an animation in the format of the target's suffix.

    `loop` is how often it is played, 0 for ever. Raises OSError.
    """
    frames = list(pictures)
    if isinstance(durations_ms, int | float):
        durations_ms = [durations_ms] * len(frames)
    with target.open("w+b") as file:
        pairs = ((picture, NO_METADATA) for picture in frames)
        TIMED[FORMAT_OF[target.suffix.lower()]](file, pairs, Times(durations_ms, loop))
