"""Image files of several frames: read, painted and written anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from data.encoding import alpha_in
from data.formats import WRITE_OPTIONS, ImageError
from data.images import as_photo
from data.pixels import Picture, Pixels, as_picture
from data.resizing import resized


def animation_frames(path: Path) -> int:
    """Return how many frames a GIF or WebP file has; 0 for one that cannot be read."""
    try:
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1))
    except OSError:
        return 0


def write_animation(source: Path, target: Path, paint: Callable[[Pixels], Pixels]) -> int:
    """Write an animation anew, each frame painted; durations and loops stay. Return their number.

    Transparency stays too, all or none in a GIF. Raises ImageError for one that cannot be read,
    UserError for a place that cannot be written.
    """

    def painted(frame: Image.Image) -> Image.Image:
        photo = as_photo(frame.convert("RGBA"))
        pixels = paint(photo.pixels)
        if not transparent or photo.alpha is None:
            return as_picture(pixels)
        alpha = resized(photo.alpha, (pixels.shape[1], pixels.shape[0]))
        return as_picture(pixels, alpha_in(target.suffix.lower(), alpha))

    try:
        with Image.open(source) as animation:
            durations, transparent = [], False
            for frame in ImageSequence.Iterator(animation):
                frame.load()  # WebP knows it only then
                durations.append(int(frame.info.get("duration", 100)))
                alpha = np.asarray(frame.convert("RGBA"))[..., 3]
                transparent = transparent or bool(alpha.min() < 255)
            frames = (painted(frame) for frame in ImageSequence.Iterator(animation))
            write_frames(target, frames, durations, animation.info.get("loop", 0))
    except OSError as error:
        raise ImageError(
            f"{source}: cannot be painted ({error}); expected a whole animation, and room. "
            "Check the file."
        ) from error
    return len(durations)


def write_frames(
    target: Path, frames: Iterator[Picture], durations_ms: Sequence[int] | int, loop: int = 0
) -> None:
    """Write frames of one size as a GIF or WebP animation. Raises OSError."""
    first = next(frames)
    format_ = Image.registered_extensions()[target.suffix.lower()]
    options = WRITE_OPTIONS.get(format_, {})
    if format_ == "GIF" and first.mode == "RGBA":
        options = {"disposal": 2}  # else what was there shows through
    first.save(
        target,
        format_,
        save_all=True,
        append_images=frames,
        duration=durations_ms,
        loop=loop,
        **options,
    )
