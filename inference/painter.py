"""One command's whole look: styles and their shares, strength, colours, strokes, masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.pixels import Pixels
from data.resizing import resized
from errors import UserError
from inference.effects import masked, mixed, with_detail, with_photo_colors
from inference.stylizer import Stylizer
from models.layout import MIN_SIZE_PX

FEATHER_SHARE = 0.004  # soft, and the outline stays
USUAL_PIXELS = 1_000_000
"""Of a photo on which strokes are as large as they are meant to be."""
Opener = Callable[[str], Stylizer]


@dataclass(frozen=True)
class Look:
    """How a photo is painted."""

    style: str
    """A name or file, or a blend of them: `a:0.6,b:0.4`."""
    strength: float = 1.0
    """0 (the photo) to 1 (the painting)."""
    preserve_color: bool = False
    stroke_scale: float | None = 1.0
    """Strokes are so many times as large as the network paints them; None: as large as they are
    on a photo of `USUAL_PIXELS`, where it has more."""
    background: str = "none"
    """The style where a mask is black; `none` leaves the photo."""
    feather_px: float | None = None
    """How far a mask's edges are softened; None: `FEATHER_SHARE` of the longer side."""


class Painter:
    """Paints photos in one look."""

    def __init__(self, look: Look, open_style: Opener) -> None:
        """Load what the look needs. Raises UserError."""
        self.look = look
        self.styles = [(open_style(name), share) for name, share in parse_blend(look.style)]
        self.behind: list[tuple[Stylizer, float]] = []
        if look.background != "none":
            self.behind = [(open_style(n), share) for n, share in parse_blend(look.background)]

    def __call__(self, photo: Pixels, mask: Pixels | None = None) -> Pixels:
        """Return the painting of an H × W × 3 photo; a mask is H × W. Raises UserError."""
        painting = self._painted(photo, self.styles)
        if mask is not None:
            background = self._painted(photo, self.behind) if self.behind else photo
            feather_px = self.look.feather_px
            if feather_px is None:
                feather_px = FEATHER_SHARE * max(mask.shape)
            painting = masked(painting, background, mask, feather_px)
        return painting

    def _painted(self, photo: Pixels, styles: list[tuple[Stylizer, float]]) -> Pixels:
        look = self.look
        small, stroke_scale = photo, look.stroke_scale
        if stroke_scale is None:
            stroke_scale = max(1, math.sqrt(photo.shape[0] * photo.shape[1] / USUAL_PIXELS))
        if stroke_scale != 1:
            height, width = (max(1, round(s / stroke_scale)) for s in photo.shape[:2])
            shorter = min(photo.shape[:2])
            if min(height, width) < MIN_SIZE_PX <= shorter:
                raise UserError(
                    f"--stroke-scale {stroke_scale:g}: leaves {width} x {height} px to paint; "
                    f"expected at least {MIN_SIZE_PX} px a side. Take at most "
                    f"{shorter / MIN_SIZE_PX:.3g} for this photo."
                )
            small = resized(photo, (width, height))
        paintings = [stylizer(small) for stylizer, _ in styles]
        painting = paintings[0]
        if len(paintings) > 1:
            painting = mixed(paintings, [share for _, share in styles])
        if small is not photo:
            painting = with_detail(photo, small, painting)
        if look.preserve_color:
            painting = with_photo_colors(painting, photo)
        if look.strength < 1:
            painting = mixed([painting, photo], [look.strength, 1 - look.strength])
        return painting


def parse_blend(text: str) -> list[tuple[str, float]]:
    """Return the styles and their shares that `a:0.6,b:0.4` names; one name alone has all.

    A file is one style, whatever its name holds. Raises UserError.
    """
    if Path(text).is_file():
        return [(text, 1.0)]
    blend = []
    for part in text.split(","):
        name, colon, number = part.rpartition(":")
        try:
            share = float(number) if colon else 1.0
        except ValueError:  # C:\style.safetensors, say
            name, share = part, 1.0
        name = name if colon else part
        if not name or not 0 < share < float("inf"):
            raise UserError(
                f"--style {text}: {part!r} is no share; expected a name, or a blend like "
                "starry_night:0.6,wave:0.4. See stylize.py --list."
            )
        blend.append((name, share))
    return blend
