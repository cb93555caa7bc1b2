"""The terms of the objective as functions of features and images.

Axes: B images, C channels, H rows, W columns. Every function returns one unweighted value, the mean
over the batch of what each image has on its own, so the batch size never changes an objective.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CONTENT_DISTANCES = ("mean", "half_sum")
GRAMS = ("chw", "hw", "none")
STYLE_DISTANCES = ("mean", "frobenius", "gatys")


def content_loss(features: Tensor, target: Tensor, distance: str = "mean") -> Tensor:
    """Return the feature reconstruction loss, a scalar.

    `features` and `target` are B × C × H × W. `mean` divides the sum of squared differences by CHW;
    `half_sum` halves it. Raises ValueError for another distance or for shapes that differ.
    Source: Johnson et al. 2016, eq. 2 (`mean`); Gatys et al. 2016, eq. 1 (`half_sum`).
    """
    if features.shape != target.shape:
        raise ValueError(f"features {tuple(features.shape)}, target {tuple(target.shape)}")
    squares = (features - target).square().sum()  # F.mse_loss's gradient leaves channels_last
    if distance == "mean":
        return squares / features.numel()
    if distance == "half_sum":
        return 0.5 * squares / len(features)
    raise ValueError(f"{distance!r}; expected one of {', '.join(CONTENT_DISTANCES)}")


def gram_matrix(features: Tensor, divisor: str = "chw", guide: Tensor | None = None) -> Tensor:
    """Return the Gram matrices of the channels, B × C × C.

    `features` is B × C × H × W, `divisor` what the inner products are divided by: `chw`, `hw`, or
    `none`. `guide`, 1 × 1 × H × W in [0, 1], says how much each position counts: HW is then its
    sum, which must not be 0. Raises ValueError for another divisor.
    Source: Johnson et al. 2016, eq. 3 (`chw`); Gatys et al. 2016, eq. 3 (`none`); guides: Gatys et
    al. 2017, section 4.
    Differs: the guide weighs the products, not each of their two factors, so that half a position
    counts half.
    """
    if divisor not in GRAMS:
        raise ValueError(f"{divisor!r}; expected one of {', '.join(GRAMS)}")
    channels = features.shape[1]
    positions = num_positions(features, guide)
    if guide is not None:
        features = features * guide.sqrt()
    count = {"chw": channels * positions, "hw": positions, "none": 1}[divisor]
    products: Tensor = InnerProducts.apply(features)
    return products / count


def num_positions(features: Tensor, guide: Tensor | None = None) -> float:
    """Return how many positions B × C × H × W features have; those of a guide count in part."""
    if guide is None:
        return features.shape[-2] * features.shape[-1]
    return float(guide.sum())


class InnerProducts(torch.autograd.Function):
    """ψψᵀ of B × C × H × W features, B × C × C, with its gradient (Z + Zᵀ)ψ written out.

    Autograd would take the product's two factors for different ones: two multiplications and an
    addition of the largest tensors there are. Pixels are kept as rows, so that channels_last
    features are read and their gradient is written without a copy. Of bf16 features the products
    are float32, their gradient is bf16 again.
    Source: the gradient is Gatys et al. 2016, eq. 6, without its weights.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # B × HW × C
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        return rows.transpose(1, 2) @ rows

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        batch, channels, height, width = features.shape
        rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # B × HW × C
        symmetric = (gradients[0] + gradients[0].transpose(1, 2)).to(rows.dtype)
        gradient: Tensor = (rows @ symmetric).view(batch, height, width, channels)
        return gradient.permute(0, 3, 1, 2)


def style_loss(
    gram: Tensor,
    target: Tensor,
    distance: str = "mean",
    *,
    num_positions: float = 1,
    target_num_positions: float = 1,
) -> Tensor:
    """Return the style reconstruction loss of one layer, a scalar.

    `gram` is B × C × C, `target` 1 × C × C or B × C × C. `mean` is the mean of the squared
    differences' entries, `frobenius` their sum, `gatys` their sum over 4 C² after each Gram matrix,
    undivided, is divided by its own number of positions HW (`num_positions`,
    `target_num_positions`; the other distances ignore them). Raises ValueError for another
    distance.
    Source: Johnson et al. 2016, eq. 4 (`frobenius`); Gatys et al. 2016, eq. 4 (`gatys`).
    Differs: `gatys` there assumes both images to have the same size; here each is divided by its
    own, which is the same number for equal sizes and still compares textures for others.
    """
    if distance == "gatys":
        gram, target = gram / num_positions, target / target_num_positions
    squares = (gram - target).square()
    if distance == "mean":
        return squares.mean()
    if distance == "frobenius":
        return squares.sum() / len(gram)
    if distance == "gatys":
        return 0.25 * squares.mean()
    raise ValueError(f"{distance!r}; expected one of {', '.join(STYLE_DISTANCES)}")


def tv_loss(images: Tensor) -> Tensor:
    """Return the total variation, a scalar: squared differences of neighbouring pixels, summed.

    `images` is B × C × H × W in [0, 1]; the differences are taken in units of 0…255.
    Source: Mahendran and Vedaldi 2015, eq. 6, with exponent 2.
    """
    rows = (images[..., 1:, :] - images[..., :-1, :]).square().sum()
    columns = (images[..., :, 1:] - images[..., :, :-1]).square().sum()
    return 255.0**2 * (rows + columns) / len(images)
