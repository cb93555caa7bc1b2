"""The objective's terms as slow float64 loops, written from the papers' formulas alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def content(features: Array, target: Array, distance: str) -> float:
    """Johnson et al. 2016, eq. 2, or Gatys et al. 2016, eq. 1; C × H × W."""
    channels, height, width = features.shape
    total = 0.0
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                total += (features[c, i, j] - target[c, i, j]) ** 2
    return total / (channels * height * width) if distance == "mean" else total / 2


def gram(features: Array, divisor: str) -> Array:
    """Johnson et al. 2016, eq. 3, or Gatys et al. 2016, eq. 3; C × H × W gives C × C."""
    channels, height, width = features.shape
    result: Array = np.zeros((channels, channels))
    for c in range(channels):
        for d in range(channels):
            for i in range(height):
                for j in range(width):
                    result[c, d] += features[c, i, j] * features[d, i, j]
    if divisor == "chw":
        return result / (channels * height * width)
    if divisor == "hw":
        return result / (height * width)
    return result


def style(features: Array, target: Array, divisor: str, distance: str) -> float:
    """Johnson et al. 2016, eq. 4, its released code, or Gatys et al. 2016, eq. 4."""
    channels = features.shape[0]
    if distance == "gatys":
        a, b = gram(features, "none"), gram(target, "none")
        m, n = features.shape[1] * features.shape[2], target.shape[1] * target.shape[2]
        total = 0.0
        for c in range(channels):
            for d in range(channels):
                total += (a[c, d] / m - b[c, d] / n) ** 2
        return total / (4 * channels**2)
    a, b = gram(features, divisor), gram(target, divisor)
    total = 0.0
    for c in range(channels):
        for d in range(channels):
            total += (a[c, d] - b[c, d]) ** 2
    return total / channels**2 if distance == "mean" else total


def tv(image: Array) -> float:
    """Squared differences of neighbours in units of 0…255; C × H × W in [0, 1]."""
    channels, height, width = image.shape
    total = 0.0
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                if i + 1 < height:
                    total += (255 * image[c, i + 1, j] - 255 * image[c, i, j]) ** 2
                if j + 1 < width:
                    total += (255 * image[c, i, j + 1] - 255 * image[c, i, j]) ** 2
    return total


def lbfgs(evaluate: Any, x: Array, iterations: int) -> list[float]:
    """Plain L-BFGS with the inverse Hessian written out as a matrix: the objective by iteration.

    Nocedal and Wright, eq. 7.16 and 7.20. Steps backtrack to the minimum of the parabola through
    both values and the slope until the decrease is 1e-4 of what the slope predicts (eq. 3.6a).
    """
    value, gradient = evaluate(x)
    values, pairs = [value], []
    for _ in range(iterations):
        inverse = np.eye(x.size)
        if pairs:
            s, y = pairs[-1]
            inverse *= (s @ y) / (y @ y)
        for s, y in pairs:
            rho = 1 / (s @ y)
            turn = np.eye(x.size) - rho * np.outer(s, y)
            inverse = turn @ inverse @ turn.T + rho * np.outer(s, s)
        direction = -inverse @ gradient
        slope = gradient @ direction
        length = 1.0 if pairs else 0.01 * np.sqrt(x.size) / np.linalg.norm(gradient)
        while True:
            new_value, new_gradient = evaluate(x + length * direction)
            if new_value <= value + 1e-4 * length * slope:
                break
            parabola = new_value - value - length * slope
            length *= np.clip(-0.5 * length * slope / parabola, 0.1, 0.5)
        step, change = length * direction, new_gradient - gradient
        if step @ change > 1e-10 * np.linalg.norm(step) * np.linalg.norm(change):
            pairs.append((step, change))
        x, value, gradient = x + step, new_value, new_gradient
        values.append(value)
    return values
