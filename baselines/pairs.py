"""What L-BFGS remembers of an objective's shape, and the direction that it makes of it.

The two-loop recursion takes some four products with each remembered vector, one after the other,
and a GPU's queue runs empty at each. All that it computes are sums of those vectors and the
gradient, so here it runs on their coefficients, a few hundred numbers; what it asks of the vectors
are their inner products, of which each new pair brings only its own (docs/baseline.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Products = npt.NDArray[np.float64]

HELD_AT_ONCE = 2**16
"""Of so many held values the products are taken at a time: what bounds the memory."""


class Pairs:
    """The last steps, and how the gradient changed along each.

    Source: Nocedal and Wright 2006, algorithm 7.4, on coefficients as in Chen et al. 2014.
    Differs: values that a bound holds are left out of every product.
    """

    def __init__(
        self, like: Tensor, history: int, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Keep up to `history` pairs of `like`'s size; `state` puts back what `state` returned."""
        self.history = history
        # a step and its change beside each other, so that those of a few values are a few rows
        self._vectors = like.new_empty(like.numel(), 2 * history)
        self._products: Products = np.zeros((2 * history, 2 * history))
        self._order: list[int] = []  # the places of the pairs, oldest first
        self._new: dict[int, Tensor] = {}  # those without products yet: step and change as rows
        if state:
            self._order = state["order"].tolist()
            self._used.copy_(state["vectors"])
            count = 2 * len(self._order)
            self._products[:count, :count] = state["products"].numpy()
            for place in state["new"].tolist():
                self._new[place] = self._vectors[:, _columns(place)].T.contiguous()

    def state(self) -> dict[str, Tensor]:
        """Return it as tensors. They are no copies: what comes later may change them."""
        count = 2 * len(self._order)
        return {
            "order": torch.tensor(self._order, dtype=torch.int64),
            "new": torch.tensor(list(self._new), dtype=torch.int64),
            "vectors": self._used,
            "products": torch.from_numpy(self._products[:count, :count]),
        }

    def __len__(self) -> int:
        return len(self._order)

    @property
    def _used(self) -> Tensor:
        return self._vectors[:, : 2 * len(self._order)]

    def clear(self) -> None:
        """Forget all."""
        self._order, self._new = [], {}

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step and the gradient's change along it; the oldest pair makes room."""
        full = len(self._order) == self.history
        place = self._order.pop(0) if full else len(self._order)
        self._order.append(place)
        self._new[place] = torch.stack([step.flatten(), change.flatten()])
        self._vectors[:, _columns(place)] = self._new[place].T

    def direction(self, gradient: Tensor, held: Tensor) -> Tensor:
        """Return minus the inverse Hessian's estimate times the gradient, within the free values.

        `held` says which values a bound holds; the gradient is 0 there.
        """
        if not self._order:
            return -gradient
        # the gradient's products and a new pair's in one reading of all vectors
        rows = torch.cat([gradient.reshape(1, -1), *self._new.values()])
        of_gradient, *of_new = _in_float64(rows @ self._used)
        count = len(of_gradient)
        for i, place in enumerate(self._new):
            products = np.stack(of_new[2 * i : 2 * i + 2])
            self._products[_columns(place), :count] = products
            self._products[:count, _columns(place)] = products.T
        self._new = {}
        products = self._products[:count, :count] - self._held_products(held)
        coefficients, scale = _two_loop(products, of_gradient, self._order)
        sums = self._used @ torch.from_numpy(coefficients).to(gradient)
        return -(scale * gradient + sums.view_as(gradient)).masked_fill(held, 0)

    def _held_products(self, held: Tensor) -> Products:
        count = 2 * len(self._order)
        products = self._vectors.new_zeros(count, count)
        places_held = held.flatten().nonzero().squeeze(1)
        for places in torch.split(places_held, HELD_AT_ONCE):
            values = self._used.index_select(0, places)
            products.addmm_(values.T, values)
        return _in_float64(products)


def _two_loop(
    products: Products, of_gradient: Products, order: list[int]
) -> tuple[Products, float]:
    """Return the coefficients of the remembered vectors, and of the gradient.

    `products` are the vectors' with each other, `of_gradient` those with the gradient.
    """
    coefficients = np.zeros(len(products))
    alphas: dict[int, float] = {}
    scale = 0.0
    for place in reversed(order):
        step, change = 2 * place, 2 * place + 1
        curvature = products[step, change]
        if curvature <= 0:  # possible where the bounds hold what made it positive
            continue
        scale = scale or float(curvature / products[change, change])
        product = of_gradient[step] + products[step] @ coefficients
        alphas[place] = float(product / curvature)
        coefficients[change] -= alphas[place]
    scale = scale or 1.0
    coefficients *= scale
    for place in reversed(alphas):
        step, change = 2 * place, 2 * place + 1
        product = scale * of_gradient[change] + products[change] @ coefficients
        coefficients[step] += alphas[place] - product / products[step, change]
    return coefficients, scale


def _columns(place: int) -> slice:
    return slice(2 * place, 2 * place + 2)


def _in_float64(values: Tensor) -> Products:
    """Return values in memory that NumPy reads: on a GPU, what waits for it."""
    array: Products = values.to("cpu", torch.float64).numpy()
    return array
