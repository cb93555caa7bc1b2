"""Adam within bounds: the other method that pictures are optimized by."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from baselines.lbfgs import Evaluate, Iterate

MOMENTS = ("exp_avg", "exp_avg_sq")


def minimize_by_adam(
    evaluate: Evaluate, start: Tensor | Iterate, *, low: float, high: float, learning_rate: float
) -> Iterator[Iterate]:
    """Yield the start and then one iterate after each step, without end.

    `evaluate` as for `baselines.lbfgs.minimize_in_box`; every iterate lies in [low, high], but an
    objective may rise. From an Iterate it goes on as if it had never stopped, and yields that one
    first.
    Source: Kingma and Ba 2015, by torch.optim.Adam; clipped to the bounds after every step.
    """
    if isinstance(start, Tensor):
        x = start.clamp(low, high)
        value, gradient = evaluate(x)
        start = Iterate(x, value, 1, gradient)
    x = start.x.clone()
    optimizer = torch.optim.Adam([x], learning_rate)
    if start.memory:
        moments = {name: start.memory[name].to(x, copy=True) for name in MOMENTS}
        optimizer.state[x] = {"step": torch.tensor(float(start.num_evaluations - 1)), **moments}
    yield start
    evaluations, gradient = start.num_evaluations, start.gradient
    while True:
        x.grad = gradient
        optimizer.step()
        x.clamp_(low, high)
        value, gradient = evaluate(x)
        evaluations += 1
        moments = {name: optimizer.state[x][name].clone() for name in MOMENTS}
        yield Iterate(x.clone(), value, evaluations, gradient, moments)
