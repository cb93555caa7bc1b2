"""A trained style, ready to paint: what every program uses.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from errors import UserError
from models.device import resolve_device
from models.style_file import find_style, load_style
from models.transformer_net import MIN_SIZE_PX


class Stylizer:
    """One style on one device: `Stylizer("starry_night")(photo)`."""

    def __init__(self, style: str | Path, device: str = "auto") -> None:
        """Load a style by its name in styles/ or by its file. Raises UserError."""
        self.device = resolve_device(device)
        self.network, self.info = load_style(find_style(str(style)), self.device)

    @torch.inference_mode()
    def __call__(self, photo: Tensor) -> Tensor:
        """Return the painted photo, 1 × 3 × H × W in [0, 1] on the CPU, of the photo's size.

        `photo` is 1 × 3 × H × W in [0, 1]. Raises UserError for a side under 16 px.
        """
        height, width = photo.shape[-2:]
        if min(height, width) < MIN_SIZE_PX:
            raise UserError(
                f"{width} x {height} px; expected at least {MIN_SIZE_PX} px a side. Enlarge it."
            )
        images = photo.to(self.device, memory_format=torch.channels_last)
        painted: Tensor = self.network(images)
        return painted.to("cpu")
