"""The iterative baseline: optimize the picture itself, on the objective that networks train on.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from baselines.adam import minimize_by_adam
from baselines.lbfgs import Evaluate, Iterate, minimize_in_box
from configs.schema import OptimizeConfig
from errors import UserError
from losses.perceptual import LossTerms, PerceptualLoss
from models.device import chosen_precision, in_precision

NOISE_MEAN, NOISE_STD = 127.5 / 255, 50 / 255


@dataclass(frozen=True)
class Painting:
    """The picture after an iteration, and its objective."""

    iteration: int
    """0 is the start."""
    iterate: Iterate
    """What the optimization goes on from."""
    losses: dict[str, float]
    """`total_loss`, `content_loss`, `style_loss`, `tv_loss`."""
    elapsed_s: float
    """Since the start."""

    @property
    def picture(self) -> Tensor:
        """The picture, 1 × 3 × H × W in [0, 1]."""
        return self.iterate.x

    @property
    def num_evaluations(self) -> int:
        """How often the objective and its gradient were evaluated so far."""
        return self.iterate.num_evaluations

    def state_dict(self) -> dict[str, Any]:
        """Return it as a dictionary that torch.save takes: tensors and plain values."""
        state = {key: getattr(self, key) for key in ("iteration", "losses", "elapsed_s")}
        iterate = {f.name: getattr(self.iterate, f.name) for f in fields(Iterate)}
        # torch.save would write all of what a tensor is a part of
        iterate["memory"] = {name: value.clone() for name, value in iterate["memory"].items()}
        return state | {"iterate": iterate}

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], device: torch.device) -> Painting:
        """Return what `state_dict` was made from, its tensors on a device."""
        values = dict(state["iterate"])
        values |= {key: values[key].to(device) for key in ("x", "gradient")}
        return cls(state["iteration"], Iterate(**values), state["losses"], state["elapsed_s"])


def optimize_image(
    content: Tensor | None,
    objective: PerceptualLoss,
    config: OptimizeConfig,
    start: Tensor | Painting | None = None,
) -> Iterator[Painting]:
    """Yield the start and the picture after each of `config.iterations` iterations.

    `content` is 1 × 3 × H × W in [0, 1], or None for an objective without a content term. `start`
    is the first picture, of that size (None: `start_image`); from a Painting it goes on as if it
    had never stopped, and yields that one first. Every picture lies in [0, 1]; by L-BFGS none has
    a higher objective than the one before, and it ends early where no step lowers it any more.
    Raises UserError where the objective is not finite.
    Source: Gatys et al. 2016; L-BFGS with the picture kept in 0…255 as in Johnson et al. 2016,
    section 4.1.
    Differs: the bounds are part of the method (baselines/lbfgs.py) instead of a clip after every
    iteration, which makes L-BFGS wander and in the end blow up (docs/objective.md).
    """
    if start is None:
        assert content is not None
        start = start_image(content, config)
    resumed = start if isinstance(start, Painting) else None
    content_features = {} if content is None else objective.content_features(content)
    device = (start.picture if isinstance(start, Painting) else start).device
    autocast = in_precision(chosen_precision(config.precision, device), device)
    last: LossTerms | None = None

    def evaluate(picture: Tensor) -> tuple[float, Tensor]:
        nonlocal last
        picture = picture.detach().requires_grad_()
        with autocast:
            last = objective(picture.to(memory_format=torch.channels_last), content_features)
        (gradient,) = torch.autograd.grad(last.total_loss, picture)
        return float(last.total_loss.detach()), gradient

    started_s = time.perf_counter() - (resumed.elapsed_s if resumed else 0)
    iterates = _iterates(evaluate, start.iterate if isinstance(start, Painting) else start, config)
    if resumed:
        yield resumed
        next(iterates)
        if resumed.iteration >= config.iterations:
            return
    for iteration, iterate in enumerate(iterates, start=resumed.iteration + 1 if resumed else 0):
        # The last evaluation before a yield is the one of the iterate.
        assert last is not None
        if (term := last.first_nonfinite()) is not None:
            raise UserError(
                f"iteration {iteration}: {term} is inf or NaN; expected a finite number. "
                "Lower the loss weights."
            )
        elapsed_s = time.perf_counter() - started_s
        yield Painting(iteration, iterate, last.floats(), elapsed_s)
        if iteration >= config.iterations:
            return


def _iterates(
    evaluate: Evaluate, start: Tensor | Iterate, config: OptimizeConfig
) -> Iterator[Iterate]:
    if config.method == "adam":
        rate = config.learning_rate
        return minimize_by_adam(evaluate, start, low=0, high=1, learning_rate=rate)
    history = min(config.history, config.iterations)
    return minimize_in_box(evaluate, start, low=0, high=1, history=history)


def start_image(content: Tensor, config: OptimizeConfig) -> Tensor:
    """Return what `config.init` names, for 1 × 3 × H × W in [0, 1]: the photo, noise, or a mix."""
    if config.init == "content":
        return content.clone()
    noise = noise_image(content.shape[-2], content.shape[-1], config.seed).to(content.device)
    return config.noise_ratio * noise + (1 - config.noise_ratio) * content


def noise_image(height: int, width: int, seed: int) -> Tensor:
    """Return white noise around the middle grey, 1 × 3 × H × W in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((1, 3, height, width), generator=generator)
    return (NOISE_MEAN + NOISE_STD * noise).clamp(0, 1)
