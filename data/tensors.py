"""Images as tensors, for the programs that train and optimize: float32 RGB in [0, 1].

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from data.encoding import write_pixels
from data.images import open_rgb, read_bytes
from data.pixels import Pixels
from data.resizing import shaped
from data.sheets import picture_sheet


def unit_range(pixels: Tensor) -> Tensor:
    """Return uint8 values of any shape as float32 in [0, 1]."""
    return pixels.to(torch.float32) / 255


def to_tensor(pixels: Pixels) -> Tensor:
    """Return H × W × 3 pixels as 1 × 3 × H × W in [0, 1]."""
    return unit_range(torch.tensor(pixels).permute(2, 0, 1).unsqueeze(0).contiguous())


def to_bytes(images: Tensor) -> Tensor:
    """Return 1 × 3 × H × W in [0, 1] as H × W × 3 of uint8 there, rounded to the nearest value."""
    rounded = images.detach().clamp(0, 1).mul(255).round().to(torch.uint8)[0]
    return rounded.permute(1, 2, 0).contiguous()


def to_pixels(images: Tensor) -> Pixels:
    """Return 1 × 3 × H × W in [0, 1] as H × W × 3 pixels, rounded to the nearest value."""
    pixels: Pixels = to_bytes(images).cpu().numpy()
    return pixels


def read_rgb(
    path: Path, *, shorter_px: int = 0, longer_px: int = 0, square: bool = False
) -> Tensor:
    """Return an image file as `decode_rgb` does. Raises ImageError."""
    content = read_bytes(path)
    return decode_rgb(content, str(path), shorter_px=shorter_px, longer_px=longer_px, square=square)


def decode_rgb(
    content: bytes,
    name: str,
    *,
    shorter_px: int = 0,
    longer_px: int = 0,
    square: bool = False,
) -> Tensor:
    """Return a file's content as 1 × 3 × H × W in [0, 1], resized and centre-cropped as asked.

    `shorter_px` or `longer_px` is the length of that side afterwards (0: as it is); `square` crops
    the centre. Raises ImageError that starts with `name`.
    """
    return to_tensor(shaped(open_rgb(content, name), shorter_px, longer_px, square))


def write_image(path: Path, images: Tensor) -> None:
    """Write 1 × 3 × H × W in [0, 1] as `data.images.write_pixels` does. Raises UserError."""
    write_pixels(path, to_pixels(images))


def picture_grid(
    rows: Sequence[Sequence[Tensor]], titles: Sequence[str] = (), cell_px: int = 256
) -> Tensor:
    """Return rows of 1 × 3 × H × W pictures as one, 1 × 3 × H × W; titles above the columns."""
    pixels = [[to_pixels(picture) for picture in row] for row in rows]
    return to_tensor(picture_sheet(pixels, [titles] if titles else [], cell_px))
