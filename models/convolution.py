"""The convolutions of both networks: PyTorch's own, or a faster one where there is one.

On the CPU, in float32 and channels_last, 3 × 3 convolutions of many channels take a quarter of the
multiplications (models/winograd.py), and the gradient of every other weight is one product of
matrices (models/columns.py). A kernel of few outputs is taken row by row, in any precision.
docs/architecture.md has what decided it.

Axes: B images, C channels in, K channels out, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor

from models import columns, winograd
from models.winograd import Kernel

FEW_OUTPUTS = 4

_allowed = ContextVar("_allowed", default=True)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    kernel: Kernel | None = None,
) -> Tensor:
    """Return the convolution of B × C × H × W with K × C × S × S, zeros around it.

    F.conv2d to some 1e-6 of the values' spread, with gradients. `kernel` keeps the transformed
    weight of a 3 × 3 convolution that does not change.
    """
    if (
        _allowed.get()
        and on_cpu_in_channels_last(x)
        and stride == 1
        and len(weight) <= FEW_OUTPUTS
        and weight.shape[2] > 1
    ):
        return _by_rows(x, weight, bias, padding)
    if has_faster(x):
        if stride == 1 and winograd.worthwhile(x.shape, weight.shape):
            kernel = kernel or Kernel(weight)
            convolved: Tensor = winograd.WinogradConvolution.apply(x, weight, bias, padding, kernel)
            return convolved
        if weight.requires_grad:
            convolved = columns.ColumnConvolution.apply(x, weight, bias, stride, padding)
            return convolved
    return F.conv2d(x, weight, bias, stride, padding)


def _by_rows(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Return the convolution, at least float32: each of the kernel's rows by itself, then added.

    A few outputs leave most of a vector register idle; as many for each row fill it.
    """
    channels_out, channels_in, side, _ = weight.shape
    rows = weight.permute(2, 0, 1, 3).reshape(side * channels_out, channels_in, 1, side)
    convolved = F.conv2d(x, rows, None, 1, padding)
    of_rows = convolved.view(len(x), side, channels_out, *convolved.shape[2:])
    height = x.shape[2] + 2 * padding - side + 1
    total: Tensor = of_rows[:, 0, :, :height].to(torch.promote_types(x.dtype, torch.float32))
    for row in range(1, side):
        total = total + of_rows[:, row, :, row : row + height]
    return total if bias is None else total + bias[:, None, None]


def conv_transpose2d(
    x: Tensor, weight: Tensor, stride: int, padding: int, output_padding: int = 0
) -> Tensor:
    """Return the fractionally-strided convolution of B × C × H × W with C × K × S × S.

    F.conv_transpose2d, with its gradients.
    """
    if has_faster(x) and weight.requires_grad:
        convolved: Tensor = columns.FractionalColumnConvolution.apply(
            x, weight, stride, padding, output_padding
        )
        return convolved
    return F.conv_transpose2d(x, weight, None, stride, padding, output_padding)


def has_faster(x: Tensor) -> bool:
    """Return whether our own way may be taken: on the CPU, float32, channels_last, not compiled."""
    return (
        _allowed.get()
        and on_cpu_in_channels_last(x)
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


def on_cpu_in_channels_last(x: Tensor) -> bool:
    """Return whether B × C × H × W is computed there and so, and is not being compiled."""
    return (
        x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and x.is_contiguous(memory_format=torch.channels_last)
    )


@contextmanager
def direct_convolutions() -> Iterator[None]:
    """Have PyTorch's own within: to compare with, and to count multiplications."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)
