"""The weighted objective that training, the iterative baseline and the comparison share.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses.functional import content_loss, gram_matrix, num_positions, style_loss, tv_loss

Features = dict[str, Tensor]
LossNetwork = Callable[[Tensor, Iterable[str]], Features]


@dataclass(frozen=True)
class StyleImage:
    """A style image, and what it counts for."""

    image: Tensor
    """1 × 3 × H × W in [0, 1], of any size."""
    weight: float = 1.0
    """Its share beside other style images; they are made to add up to 1."""
    mask: Tensor | None = None
    """Where the stylized image takes this style, 1 × 1 × H × W in [0, 1]; None: everywhere."""


@dataclass(frozen=True)
class StyleTarget:
    """What of a style image the objective goes by."""

    grams: dict[str, Tensor]
    """Each layer's Gram matrix, 1 × C × C."""
    num_positions: dict[str, float]
    share: float
    mask: Tensor | None


@dataclass(frozen=True)
class LossTerms:
    """The objective of a batch, taken apart. Only `total_loss` carries the three weights."""

    total_loss: Tensor
    content_loss: Tensor
    style_loss: Tensor
    tv_loss: Tensor
    by_layer: dict[str, Tensor]
    """Each layer's distance before any weight: `content/relu3_3`, `style/relu1_2`, …"""

    def floats(self, **others: Tensor) -> dict[str, float]:
        """Return the four terms as numbers, under the names they have in every file we write.

        With them come `others`, scalars on the same device: each transfer waits for a GPU.
        """
        names = ("total_loss", "content_loss", "style_loss", "tv_loss")
        return _numbers({name: getattr(self, name) for name in names} | others)

    def layer_floats(self) -> dict[str, float]:
        """Return `by_layer` as numbers."""
        return _numbers(self.by_layer)

    def first_nonfinite(self) -> str | None:
        """Return the name of the first term that is inf or NaN, or None."""
        if self.total_loss.isfinite():  # what is broken anywhere breaks the sum
            return None
        terms = {"content_loss": self.content_loss, "style_loss": self.style_loss}
        terms |= {
            "tv_loss": self.tv_loss,
            **self.by_layer,
            "total_loss": self.total_loss,
        }
        return next((name for name, value in terms.items() if not value.isfinite()), None)


class PerceptualLoss(nn.Module):
    """total = content_weight · Σ w content + style_weight · Σ w style + tv_weight · TV.

    Of several style images, the style term is the mean by their shares, each within its own mask.
    Source: Johnson et al. 2016, eq. 5, and Gatys et al. 2016, eq. 7, by the choice of `gram`,
    `content_distance` and `style_distance` (losses/functional.py).
    """

    def __init__(
        self,
        loss_network: LossNetwork,
        styles: Tensor | Sequence[StyleImage],
        *,
        content_layers: Mapping[str, float],
        style_layers: Mapping[str, float],
        content_weight: float = 1.0,
        style_weight: float = 5.0,
        tv_weight: float = 1e-6,
        gram: str = "chw",
        content_distance: str = "mean",
        style_distance: str = "mean",
    ) -> None:
        """Store the weights and the styles' Gram matrices.

        `loss_network(images, layers)` returns the named layers' features. `styles` is one image,
        1 × 3 × H × W in [0, 1], of any size, or several; without any there is no style term.
        `content_layers` and `style_layers` map a layer to its weight.
        """
        super().__init__()
        self.loss_network = loss_network
        self.content_layers = dict(content_layers)
        self.style_layers = dict(style_layers)
        self.content_weight = content_weight
        self.style_weight = style_weight
        self.tv_weight = tv_weight
        self.gram = gram
        self.content_distance = content_distance
        self.style_distance = style_distance
        if isinstance(styles, Tensor):
            styles = [StyleImage(styles)]
        whole = sum(style.weight for style in styles)
        self.targets = [self._target(style, whole) for style in styles]
        if not styles:
            self.style_layers = {}

    @torch.no_grad()
    def _target(self, style: StyleImage, whole: float) -> StyleTarget:
        features = self.loss_network(style.image, self.style_layers)
        grams = {name: gram_matrix(value, self.gram) for name, value in features.items()}
        positions = {name: num_positions(value) for name, value in features.items()}
        return StyleTarget(grams, positions, style.weight / whole, style.mask)

    def content_features(self, content: Tensor) -> Features:
        """Return the content layers' features of B × 3 × H × W photos in [0, 1], without gradient.

        The loss network runs no deeper than the deepest content layer.
        """
        with torch.no_grad():
            return self.loss_network(content, self.content_layers)

    def forward(self, stylized: Tensor, content_features: Features) -> LossTerms:
        """Return the objective of B × 3 × H × W images in [0, 1], mean over the batch.

        Under autocast the loss network runs in its precision; what is summed from its features, in
        float32.
        """
        layers = list(dict.fromkeys((*self.content_layers, *self.style_layers)))
        features = self.loss_network(stylized, layers) if layers else {}
        with torch.autocast(stylized.device.type, enabled=False):
            return self._compare(_at_least_float32(stylized), features, content_features)

    def _compare(
        self, stylized: Tensor, features: Features, content_features: Features
    ) -> LossTerms:
        zero = stylized.new_zeros(())
        by_layer: dict[str, Tensor] = {}
        content, style = zero, zero
        for name, weight in self.content_layers.items():
            both = _at_least_float32(features[name]), _at_least_float32(content_features[name])
            loss = content_loss(*both, self.content_distance)
            by_layer[f"content/{name}"] = loss
            content = content + weight * loss
        for name, weight in self.style_layers.items():
            loss = self._style_loss(name, features[name])
            by_layer[f"style/{name}"] = loss
            style = style + weight * loss
        tv = tv_loss(stylized)
        total = self.content_weight * content + self.style_weight * style + self.tv_weight * tv
        return LossTerms(total, content, style, tv, by_layer)

    def _style_loss(self, layer: str, features: Tensor) -> Tensor:
        loss = features.new_zeros((), dtype=torch.promote_types(features.dtype, torch.float32))
        unguided: Tensor | None = None
        for target in self.targets:
            if target.mask is None:
                guide = None
                unguided = gram_matrix(features, self.gram) if unguided is None else unguided
                gram = unguided
            else:
                guide = F.adaptive_avg_pool2d(target.mask, (features.shape[-2], features.shape[-1]))
                gram = gram_matrix(features, self.gram, guide)
            distance = style_loss(
                gram,
                target.grams[layer],
                self.style_distance,
                num_positions=num_positions(features, guide),
                target_num_positions=target.num_positions[layer],
            )
            loss = loss + target.share * distance
        return loss


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _numbers(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return scalars as numbers: all of them in one transfer from the device."""
    if not values:
        return {}
    numbers: list[float] = torch.stack([value.detach() for value in values.values()]).tolist()
    return dict(zip(values, numbers, strict=True))
