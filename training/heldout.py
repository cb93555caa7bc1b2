"""The held-out objective: the same photos, never trained on, scored while a style is trained.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from configs.schema import DataConfig
from data.formats import ImageError
from data.photos import Photos
from data.tensors import decode_rgb, picture_grid, read_rgb
from errors import UserError
from losses.perceptual import PerceptualLoss
from models.transformer_net import TransformerNet

SHOWN = 3
SHARE = 10  # without a folder of their own, one photo in ten of the training photos, at the most


def split_names(names: Sequence[str], num_heldout: int) -> tuple[list[str], list[str]]:
    """Return (training names, held-out names), the held-out ones spread evenly over the list."""
    count = min(num_heldout, len(names) // SHARE)
    chosen = {names[i * len(names) // count] for i in range(count)} if count else set()
    return [name for name in names if name not in chosen], sorted(chosen)


class HeldOut:
    """Fixed photos and their objective under a network."""

    def __init__(
        self, photos: Photos, names: Sequence[str], size_px: int, device: torch.device
    ) -> None:
        """Read the photos, shorter side `size_px`, cropped to the central square.

        Unreadable ones are left out. Raises UserError where none is left of some.
        """
        self.photos: list[Tensor] = []
        for name in names:
            try:
                content = photos.read(name)
                photo = decode_rgb(content, name, shorter_px=size_px, square=True)
            except ImageError:
                continue
            self.photos.append(photo.to(device))  # 1 × 3 × H × W
        if names and not self.photos:
            raise UserError(
                f"data.heldout_root: {photos.root}: none of {len(names)} photos can be read; "
                "expected photos. Check the folder."
            )

    @torch.no_grad()
    def score(self, network: TransformerNet, objective: PerceptualLoss) -> dict[str, float]:
        """Return the four terms of the objective, mean over the photos."""
        network.eval()
        sums: dict[str, float] = {}
        for photo in self.photos:
            terms = objective(network(photo), objective.content_features(photo)).floats()
            sums = {name: sums.get(name, 0.0) + value for name, value in terms.items()}
        network.train()
        return {name: value / len(self.photos) for name, value in sums.items()}

    @torch.no_grad()
    def pictures(self, network: TransformerNet, style_image: Path) -> Tensor:
        """Return rows of photo | style | stylized as one picture, 1 × 3 × H × W."""
        network.eval()
        style = read_rgb(style_image, longer_px=self.photos[0].shape[-1])
        rows = [[photo, style, network(photo)] for photo in self.photos[:SHOWN]]
        network.train()
        return picture_grid(rows, ("photo", "style", "stylized"))


def open_heldout(
    photos: Photos, data: DataConfig, device: torch.device
) -> tuple[list[str], HeldOut]:
    """Return the names left to train on and the held-out photos.

    With a `heldout_root` its first `num_heldout` photos are taken and every training photo stays;
    else the held-out ones are taken away from the training photos (none from fewer than ten).
    """
    if data.heldout_root:
        others = Photos(Path(data.heldout_root))
        return photos.names, HeldOut(others, others.names[: data.num_heldout], data.size_px, device)
    training, names = split_names(photos.names, data.num_heldout)
    return training, HeldOut(photos, names, data.size_px, device)
