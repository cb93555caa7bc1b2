"""The convolutions of both networks: PyTorch's own, or a faster one where there is one.

On the CPU and in channels_last, 3 × 3 convolutions of many channels take a quarter of the
multiplications (models/winograd.py), a kernel of few outputs is taken row by row, and in float32
the gradient of every other weight is one product of matrices (models/columns.py).
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

    F.conv2d to some 1e-6 of the values' spread, in bf16 to 2e-2, with gradients. `kernel` keeps the
    transformed weight of a 3 × 3 convolution that does not change.
    """
    if not _in_reach(x):
        return F.conv2d(x, weight, bias, stride, padding)
    if stride == 1 and len(weight) <= FEW_OUTPUTS and weight.shape[2] > 1:
        return _by_rows(x, weight, bias, padding)
    precision = _precision(x)
    if stride == 1 and winograd.worthwhile(x.shape, weight.shape, precision):
        kernel = kernel or Kernel(weight)
        arguments = x.to(precision), weight, bias, padding, kernel
        convolved: Tensor = winograd.WinogradConvolution.apply(*arguments)
        return convolved
    if precision == torch.float32 and weight.requires_grad:
        convolved = columns.ColumnConvolution.apply(x, weight, bias, stride, padding)
        return convolved
    return F.conv2d(x, weight, bias, stride, padding)


def _by_rows(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Return the convolution: each of the kernel's rows by itself, then their sum in float32.

    A few outputs leave most of a vector register idle; as many for each row fill it.
    """
    channels_out, channels_in, side, _ = weight.shape
    rows = weight.permute(2, 0, 1, 3).reshape(side * channels_out, channels_in, 1, side)
    convolved = F.conv2d(x, rows, None, 1, padding)
    # taken apart at once: the gradient of each slice would be as large as all of them
    of_rows = convolved.view(len(x), side, channels_out, *convolved.shape[2:]).unbind(1)
    height = x.shape[2] + 2 * padding - side + 1
    total = of_rows[0][:, :, :height].to(torch.promote_types(x.dtype, torch.float32))
    for row in range(1, side):
        total = total + of_rows[row][:, :, row : row + height]
    if bias is not None:
        total = total + bias[:, None, None]
    return total.to(convolved.dtype)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    output_padding: int = 0,
) -> Tensor:
    """Return the fractionally-strided convolution of B × C × H × W with C × K × S × S.

    F.conv_transpose2d, with its gradients.
    """
    if _in_reach(x) and _precision(x) == torch.float32 and weight.requires_grad:
        convolved: Tensor = columns.FractionalColumnConvolution.apply(
            x, weight, stride, padding, output_padding
        )
        return convolved if bias is None else convolved + bias[:, None, None]
    return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)


def _in_reach(x: Tensor) -> bool:
    """Return whether our own ways may be taken."""
    return _allowed.get() and on_cpu_in_channels_last(x)


def _precision(x: Tensor) -> torch.dtype:
    """Return what a convolution on the CPU computes with; float64 is left as it is."""
    cast = torch.is_autocast_enabled("cpu") and x.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if cast else x.dtype


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
