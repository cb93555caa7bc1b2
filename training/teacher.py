"""A trained style that another network learns from: its paintings instead of the objective.

Axes: B images, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.perceptual import LossTerms
from models.style_file import find_style, load_style


class Teacher:
    """A trained style's network, frozen."""

    def __init__(self, style: str, device: torch.device) -> None:
        """Read a style by name or file. Raises UserError where there is none."""
        self._network, _ = load_style(find_style(style, "train.teacher"), device)

    def score(self, painter: Callable[[Tensor], Tensor], photos: Tensor) -> LossTerms:
        """Return how far a network's paintings are from the teacher's, in place of the objective.

        `photos` are B × 3 × H × W in [0, 1]. The total is the mean squared difference; the
        objective's own terms are 0.
        Source: Hinton et al. 2015, distillation. Differs: the answers are pictures, so they are
        compared as such.
        """
        with torch.no_grad():
            wanted = self._network(photos)
        distance = F.mse_loss(painter(photos), wanted)
        zero = distance.new_zeros(())
        return LossTerms(distance, zero, zero, zero, {"teacher": distance})
