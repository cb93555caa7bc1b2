"""What the loss sees of a crop: all but a few rows and columns, at random on which side.

The loss network has zeros around what it is given, and a network that is scored on whole crops
learns to paint something along its own border for them. Where it cannot tell how far off that
border lies, there is nothing to learn (docs/training.md).

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import torch
from torch import Tensor


class Window(NamedTuple):
    """Rows and columns of an image, as tensors: compiled code is then the same for each place."""

    rows: Tensor
    columns: Tensor

    def cut(self, images: Tensor) -> Tensor:
        """Return the window of B × C × H × W images, in channels_last."""
        part = images.index_select(2, self.rows).index_select(3, self.columns)
        return part.contiguous(memory_format=torch.channels_last)


def draw_window(images: Tensor, unseen_px: int, seed: int, step: int) -> Window | None:
    """Return a step's window of B × C × H × W images, `unseen_px` smaller; None where that is 0.

    It is the same whenever the step is taken, and in every process.
    """
    if not unseen_px:
        return None
    generator = random.Random(f"{seed} {step}")
    height, width = (side - unseen_px for side in images.shape[2:])
    top, left = (generator.randint(0, unseen_px) for _ in range(2))
    device = images.device
    return Window(
        torch.arange(top, top + height, device=device),
        torch.arange(left, left + width, device=device),
    )
