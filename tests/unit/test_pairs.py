"""What L-BFGS remembers: its direction against the inverse Hessian written out as a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from baselines import pairs as module
from baselines.pairs import Pairs

Drawn = list[tuple[Tensor, Tensor]]


def drawn(count: int, size: int, dtype: torch.dtype = torch.float64) -> Drawn:
    """Return pairs of a quadratic that is nearly diagonal, the third with a concave part."""
    torch.manual_seed(0)
    scale = torch.logspace(-1, 1, size, dtype=dtype)
    steps = torch.randn(count, size, dtype=dtype)
    changes = scale * steps + 0.1 * torch.randn(count, size, dtype=dtype)
    changes[2, : size // 2] *= -1
    return list(zip(steps, changes, strict=True))


def filled(given: Drawn, history: int) -> Pairs:
    pairs = Pairs(given[0][0], history)
    for step, change in given:
        pairs.add(step, change)
    return pairs


def expected_direction(given: Drawn, gradient: Tensor, held: Tensor) -> np.ndarray:
    """Nocedal and Wright, eq. 7.16 and 7.20, in the space of the free values."""
    free = (~held).numpy()
    vectors = [(s.numpy()[free], y.numpy()[free]) for s, y in given]
    vectors = [(s, y) for s, y in vectors if s @ y > 0]
    s, y = vectors[-1]
    inverse = np.eye(len(s)) * (s @ y) / (y @ y)
    for s, y in vectors:
        turn = np.eye(len(s)) - np.outer(s, y) / (s @ y)
        inverse = turn @ inverse @ turn.T + np.outer(s, s) / (s @ y)
    direction = np.zeros(len(free))
    direction[free] = -inverse @ gradient.numpy()[free]
    return direction


@pytest.mark.parametrize("share_held", [0, 0.3, 0.9])
@pytest.mark.parametrize("history", [3, 5, 20])
def test_direction_is_that_of_the_matrix(
    history: int, share_held: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_AT_ONCE", 7)
    given = drawn(8, 60)
    held = torch.rand(60) < share_held
    gradient = torch.randn(60, dtype=torch.float64).masked_fill(held, 0)
    found = filled(given, history).direction(gradient, held)
    expected = expected_direction(given[-history:], gradient, held)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_a_pair_that_is_concave_where_it_is_free_is_passed_over() -> None:
    given = drawn(4, 60)
    held = torch.arange(60) >= 30
    step, change = given[2]
    assert step @ change > 0 > step[~held] @ change[~held]
    gradient = torch.randn(60, dtype=torch.float64).masked_fill(held, 0)
    found = filled(given, 4).direction(gradient, held)
    expected = filled([*given[:2], given[3]], 4).direction(gradient, held)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_float32_is_near() -> None:
    given = drawn(30, 1000, torch.float32)
    held = torch.rand(1000) < 0.1
    gradient = torch.randn(1000).masked_fill(held, 0)
    found = filled(given, 20).direction(gradient, held).numpy()
    doubled = [(step.double(), change.double()) for step, change in given[-20:]]
    expected = expected_direction(doubled, gradient.double(), held)
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("count", [3, 9])
def test_put_back_it_goes_on_alike(count: int) -> None:
    given = drawn(12, 50)
    pairs = filled(given[:count], 5)
    restored = Pairs(given[0][0], 5, {k: v.clone() for k, v in pairs.state().items()})
    held = torch.zeros(50, dtype=torch.bool)
    for step, change in given[count:]:
        assert torch.equal(restored.direction(step, held), pairs.direction(step, held))
        pairs.add(step, change)
        restored.add(step, change)
    assert len(restored) == len(pairs) == 5


def test_cleared_it_goes_along_the_gradient() -> None:
    given = drawn(6, 20)
    pairs, held = filled(given, 4), torch.zeros(20, dtype=torch.bool)
    pairs.clear()
    assert torch.equal(pairs.direction(given[0][0], held), -given[0][0])
    pairs.add(*given[5])
    assert torch.equal(
        pairs.direction(given[0][0], held), filled(given[5:], 4).direction(given[0][0], held)
    )


class Waits(TorchDispatchMode):
    """Counts what a GPU's queue has to be empty for."""

    OPERATIONS = ("aten::_local_scalar_dense", "aten::_to_copy", "aten::nonzero")
    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.count += func._schema.name in self.OPERATIONS
        return func(*args, **kwargs or {})


def test_more_pairs_are_no_more_waits() -> None:
    counts = []
    for history in (3, 40):
        given = drawn(40, 50, torch.float32)
        pairs, held = filled(given, history), torch.rand(50) < 0.2
        with Waits() as waits:
            pairs.add(*given[0])
            pairs.direction(given[1][0], held)
        counts.append(waits.count)
    assert counts[0] == counts[1] <= 6
