"""Convolutions on the CPU whose weight's gradient is one product of matrices, strip by strip.

Axes: B images, C channels in, K channels out, H rows, W columns, S the kernel's side. The columns
of a pixel are the S × S × C values that its kernel sees (im2col); in channels_last S × C of them
lie side by side, so that they are gathered as fast as memory is copied.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

STRIP_VALUES = 1_000_000  # of the columns that are gathered at a time: 4 MB


class ColumnConvolution(torch.autograd.Function):
    """F.conv2d of B × C × H × W with K × C × S × S."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        side, stride, padding = weight.shape[-1], ctx.stride, ctx.padding
        of_x = of_weight = None
        if wants_x:
            left = [(size + 2 * padding - side) % stride for size in x.shape[2:]]
            of_x = F.conv_transpose2d(gradient, weight, None, stride, padding, left)
        if wants_weight and stride == 1 and len(weight) < x.shape[1]:
            # Fewer columns the other way round: those of the gradient, seen by the turned kernel.
            seen = _padded(gradient, side - 1 - padding)
            of_weight = weight_gradient(seen, x, side, 1).transpose(0, 1).flip(2, 3)
        elif wants_weight:
            of_weight = weight_gradient(_padded(x, padding), gradient, side, stride)
        return of_x, of_weight, gradient.sum((0, 2, 3)) if wants_bias else None, None, None


class FractionalColumnConvolution(torch.autograd.Function):
    """F.conv_transpose2d of B × C × H × W with C × K × S × S."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, output_padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.output_padding = stride, padding, output_padding
        return F.conv_transpose2d(x, weight, None, stride, padding, output_padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        of_x = of_weight = None
        if wants_x:
            of_x = F.conv2d(gradient, weight, None, ctx.stride, ctx.padding)
        if wants_weight:
            seen = _padded(gradient, ctx.padding)
            of_weight = weight_gradient(seen, x, weight.shape[-1], ctx.stride)
        return of_x, of_weight, None, None, None


def weight_gradient(x: Tensor, gradient: Tensor, side: int, stride: int) -> Tensor:
    """Return the gradient of a convolution's weight, K × C × S × S, S = `side`.

    `x` is the input with its padding, B × C × H × W, `gradient` the output's, B × K × H' × W', both
    in channels_last.
    """
    channels_in, channels_out, (height, width) = x.shape[1], gradient.shape[1], gradient.shape[2:]
    total = x.new_zeros(channels_out, side * side * channels_in)
    rows = max(1, STRIP_VALUES // (width * total.shape[1]))
    gathered = x.new_empty(min(rows, height), width, side, side * channels_in)
    image_stride, _, row_stride, column_stride = x.stride()
    strides = stride * row_stride, stride * column_stride, row_stride, 1
    for image in range(len(x)):
        for top in range(0, height, rows):
            strip = gradient[image, :, top : top + rows].permute(1, 2, 0).flatten(0, 1)
            columns = gathered[: min(rows, height - top)]
            first = x.storage_offset() + image * image_stride + top * stride * row_stride
            columns.copy_(x.as_strided(columns.shape, strides, first))
            total.addmm_(strip.t(), columns.view(len(strip), -1))
    return total.view(channels_out, side, side, channels_in).permute(0, 3, 1, 2)


def _padded(x: Tensor, border_px: int) -> Tensor:
    return F.pad(x, [border_px] * 4) if border_px else x
