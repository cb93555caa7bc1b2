"""L-BFGS in a box: known minima, and the promises that every iterate keeps."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.gatys import optimize_image
from baselines.lbfgs import Iterate, minimize_in_box
from configs.build import build_objective
from configs.schema import load_config
from data.tensors import read_rgb
from tests import reference
from tests.conftest import PHOTOS, STYLES

INF = float("inf")


def quadratic(x: Tensor) -> tuple[float, Tensor]:
    """Separable, badly conditioned, minimum at −1, −0.9, …, 2."""
    target = torch.linspace(-1, 2, x.numel(), dtype=x.dtype)
    scale = torch.logspace(0, 3, x.numel(), dtype=x.dtype)
    return float((scale * (x - target) ** 2).sum()), 2 * scale * (x - target)


def rosenbrock(x: Tensor) -> tuple[float, Tensor]:
    x = x.detach().requires_grad_()
    value = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    (gradient,) = torch.autograd.grad(value, x)
    return float(value.detach()), gradient


def run(evaluate: object, x: Tensor, low: float, high: float, iterations: int) -> list[Iterate]:
    iterates = minimize_in_box(evaluate, x, low=low, high=high)  # type: ignore[arg-type]
    return list(itertools.islice(iterates, iterations + 1))


def test_finds_the_minimum_inside_and_on_the_bounds() -> None:
    x = torch.full((31,), 0.5, dtype=torch.float64)
    last = run(quadratic, x, 0, 1, 100)[-1]
    expected = torch.linspace(-1, 2, 31, dtype=torch.float64).clamp(0, 1)
    torch.testing.assert_close(last.x, expected, rtol=0, atol=1e-6)


def test_unbounded_finds_rosenbrocks_minimum() -> None:
    last = run(rosenbrock, torch.zeros(10, dtype=torch.float64), -INF, INF, 200)[-1]
    torch.testing.assert_close(last.x, torch.ones(10, dtype=torch.float64), rtol=0, atol=1e-5)


def test_unbounded_is_plain_lbfgs_iteration_for_iteration() -> None:
    def in_numpy(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = rosenbrock(torch.from_numpy(x))
        return value, gradient.numpy()

    start = torch.linspace(-1, 1, 10, dtype=torch.float64)
    expected = reference.lbfgs(in_numpy, start.numpy(), 40)
    found = [iterate.value for iterate in run(rosenbrock, start, -INF, INF, 40)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_unbounded_is_plain_lbfgs_on_the_objective() -> None:
    config = load_config(None, ["style.size_px=64"])
    cpu = torch.device("cpu")
    objective = build_objective(config.loss, STYLES / "woodcut.jpg", 64, cpu)
    content = read_rgb(PHOTOS / "coffee.jpg", shorter_px=16, square=True)
    features = objective.content_features(content)

    def evaluate(x: Tensor) -> tuple[float, Tensor]:
        picture = x.view_as(content).detach().requires_grad_()
        total = objective(picture, features).total_loss
        (gradient,) = torch.autograd.grad(total, picture)
        return float(total.detach()), gradient.flatten()

    def in_numpy(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = evaluate(torch.from_numpy(x.astype(np.float32)))
        return value, gradient.numpy().astype(np.float64)

    start = content.flatten()
    expected = reference.lbfgs(in_numpy, start.numpy().astype(np.float64), 10)
    found = [iterate.value for iterate in run(evaluate, start, -INF, INF, 10)]
    assert found[10] < 0.3 * found[0]
    np.testing.assert_allclose(found, expected, rtol=2e-3)  # float32 against float64


def test_never_rises_never_leaves_and_leaves_the_start_alone() -> None:
    torch.manual_seed(0)
    start = torch.rand(40, dtype=torch.float64) * 0.9
    before = start.clone()
    iterates = run(rosenbrock, start, 0, 0.9, 120)
    assert torch.equal(start, before)
    for earlier, later in itertools.pairwise(iterates):
        assert later.value <= earlier.value
        assert float(later.x.min()) >= 0
        assert float(later.x.max()) <= 0.9
    assert iterates[-1].num_evaluations < 2 * len(iterates)


def test_ends_at_a_corner_that_nothing_improves() -> None:
    def plane(x: Tensor) -> tuple[float, Tensor]:
        return float(x.sum()), torch.ones_like(x)

    iterates = run(plane, torch.full((4,), 0.5), 0, 1, 200)
    assert len(iterates) < 200
    assert torch.equal(iterates[-1].x, torch.zeros(4))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(("init", "limit"), [("noise", 3.8e5), ("content", 3.4e5)])
def test_the_first_photo_keeps_to_its_figures(shared: Path, init: str, limit: float) -> None:
    """docs/objective.md: 25 iterations on the first validation photo, and 5 % room."""
    config = load_config(None, [f"optimize.init={init}", "optimize.iterations=25"])
    device = torch.device("cpu")
    style = shared / "styles/starry_night.jpg"
    objective = build_objective(config.loss, style, config.style.size_px, device)
    photo = sorted((shared / "data/val/coco").glob("*.jpg"))[0]
    content = read_rgb(photo, shorter_px=256, square=True)
    totals = [p.losses["total_loss"] for p in optimize_image(content, objective, config.optimize)]
    assert len(totals) == 26
    assert all(b <= a for a, b in itertools.pairwise(totals))
    assert totals[-1] < 1.05 * limit
