"""L-BFGS within bounds: every value it returns lies in the box, and the objective never rises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

from baselines.pairs import Pairs

Evaluate = Callable[[Tensor], tuple[float, Tensor]]

ARMIJO = 1e-4  # share of the predicted decrease that a step must bring
MAX_BACKTRACKS = 12
FIRST_STEP_RMS = 0.01  # of the box: the gradient has no scale of its own yet
MIN_CURVATURE = 1e-10  # of |s| |y|: flatter or concave pairs carry no usable scale


@dataclass(frozen=True)
class Iterate:
    """Where the optimizer stands after an iteration: all that the next one goes by."""

    x: Tensor
    value: float
    num_evaluations: int
    gradient: Tensor
    memory: dict[str, Tensor] = field(default_factory=dict)
    """What its method remembers, L-BFGS's pairs or Adam's moments: as it is until the next one."""


def minimize_in_box(
    evaluate: Evaluate,
    start: Tensor | Iterate,
    *,
    low: float,
    high: float,
    history: int = 100,
) -> Iterator[Iterate]:
    """Yield the start and then one iterate after each iteration, for as long as it gets better.

    `evaluate(x)` returns the objective and its gradient, of x's shape; it is called about once an
    iteration. Every iterate lies in [low, high] and none is worse than the one before. From an
    Iterate it goes on as if it had never stopped, and yields that one first.
    `low=-inf, high=inf` is plain L-BFGS.

    Source: L-BFGS (baselines/pairs.py); gradient projection in two metrics (Bertsekas 1982): pixels
    that a bound holds are taken out of the quadratic model, the step's arc is projected, and the
    line search and the history see the projected step.
    """
    if isinstance(start, Tensor):
        x = start.clamp(low, high)
        value, gradient = evaluate(x)
        start = Iterate(x, value, 1, gradient)
    x, value, gradient, evaluations = start.x, start.value, start.gradient, start.num_evaluations
    yield start
    pairs = Pairs(x, history, start.memory)
    while True:
        held = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
        free_gradient = gradient.masked_fill(held, 0)
        direction = pairs.direction(free_gradient, held)
        if float(free_gradient.flatten() @ direction.flatten()) >= 0:
            pairs.clear()
            direction = -free_gradient
        length = 1.0
        if not pairs:
            norm = float(direction.norm())
            if norm == 0:
                return
            length = FIRST_STEP_RMS * x.numel() ** 0.5 / norm
        for _ in range(MAX_BACKTRACKS):
            x_new = (x + length * direction).clamp(low, high)
            step = x_new - x
            predicted = float(gradient.flatten() @ step.flatten())
            value_new, gradient_new = evaluate(x_new)
            evaluations += 1
            if value_new <= value + ARMIJO * predicted and predicted < 0:
                break
            # the minimum of the parabola through both values and the slope, within reason
            excess = value_new - value - predicted
            best = -0.5 * predicted / excess if excess > 0 else 0.5
            length *= min(max(best, 0.1), 0.5)
        else:
            if not pairs:
                return  # not even a short step along the gradient helps: this is the minimum
            pairs.clear()
            continue
        change = gradient_new - gradient
        curvature = float(step.flatten() @ change.flatten())
        if curvature > MIN_CURVATURE * float(step.norm() * change.norm()):
            pairs.add(step, change)
        x, value, gradient = x_new, value_new, gradient_new
        yield Iterate(x, value, evaluations, gradient, pairs.state())
