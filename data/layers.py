"""Animations whose frames are drawn over one another: put together as browsers do.

Pillow's own frames are wrong for some of them: a GIF's area that is cleared takes a colour, and an
animated PNG's frame that is to be taken back may stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from PIL import ExifTags, Image

from data.images import Photo, as_photo, read_photo
from data.pixels import as_picture

KEEP, CLEAR, TAKE_BACK = range(3)
"""What becomes of a frame before the next one."""
Size = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """A frame as it lies in the file."""

    content: Callable[[], bytes]
    """Returns it as a file of its own; raises ValueError for a damaged one."""
    size: Size
    place: Size = (0, 0)
    """Its left and upper side."""
    duration_ms: float = 0.0
    disposal: int = KEEP
    is_over: bool = True
    """Whether what lies below is seen through it."""
    is_still: bool = False
    """Whether it is for programs without animation, and no frame."""


@dataclass(frozen=True)
class Layered:
    """An animation before its pixels are decoded."""

    size: Size
    layers: list[Layer]
    """The still, where there is one, is the first."""
    announced: int
    """How many there are to be."""
    plays: int
    """How often it is played; 0 for ever."""


def photos_of(animation: Layered, name: str, max_pixels: int, orientation: int) -> Iterator[Photo]:
    """Yield each frame as it is seen, upright. Raises ImageError or ValueError for damage."""
    canvas = Image.new("RGBA", animation.size)
    for layer in animation.layers:
        photo = read_photo(layer.content(), name, max_pixels=max_pixels)
        part = as_picture(photo.pixels, photo.alpha).convert("RGBA")
        seen = canvas.copy()
        if layer.is_over:
            seen.alpha_composite(part, layer.place)
        else:
            seen.paste(part, layer.place)
        if layer.disposal != TAKE_BACK and not layer.is_still:
            canvas = seen.copy()
        if layer.disposal == CLEAR:
            left, top = layer.place
            canvas.paste((0, 0, 0, 0), (left, top, left + part.width, top + part.height))
        seen.getexif()[ExifTags.Base.Orientation] = orientation
        yield replace(as_photo(seen), notices=photo.notices)
