"""Muon, the optimizer whose steps move a kernel alike in all its directions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

ITERATIONS = 5
COEFFICIENTS = 3.4445, -4.775, 2.0315
SCALE = 0.3


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal: for convolutions whose output is normalised.

    A kernel, C × C' × K × K, is a matrix of C rows. Its momentum UΣVᵀ becomes about UVᵀ, so that
    what few photos agree on moves it as far as what all do, and is scaled until its weights move
    about as Adam's would at the same learning rate.
    Source: Jordan et al. 2024; the scale: Liu et al. 2025.
    Differs: torch.optim.Muon takes no kernels, and works in bf16, which costs a CPU without it
    1.2 s a step instead of 0.07. SCALE (0.2 there) and momentum (0.95 there): docs/training.md.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.8,
    ) -> None:
        """Take parameters of at least two dimensions, or groups of them."""
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            moves: dict[torch.Size, dict[Tensor, Tensor]] = defaultdict(dict)
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(gradient)
                    momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
                    moves[parameter.shape][parameter] = gradient.lerp(momentum, group["momentum"])
            for shape, alike in moves.items():  # kernels of one shape in one product
                matrices = orthogonalized(torch.stack([move.flatten(1) for move in alike.values()]))
                distance = group["lr"] * SCALE * math.sqrt(max(matrices.shape[1:]))
                for parameter, matrix in zip(alike, matrices, strict=True):
                    parameter.sub_(matrix.view(shape), alpha=distance)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Return N × R × C matrices UΣVᵀ with singular values between about 0.7 and 1.2 instead of Σ.

    Newton-Schulz iterations of an odd polynomial, which acts on the singular values alone; those
    below a thousandth of the root of their squares' sum stay smaller.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x
