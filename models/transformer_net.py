"""The transformation network: one forward pass turns a photo into a painting.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.convolution import conv2d, conv_transpose2d, on_cpu_in_channels_last
from models.layout import (
    MIN_SIZE_PX,
    OUTPUT_KERNEL,
    STRIDE,
    balancing_matrix,
    channels_inward,
    check_choices,
    doubling_border,
    grid_px,
    shift_cancels,
)


class TransformerNet(nn.Module):
    """The residual image transformation network (convolutional; not the attention kind).

    Source: Johnson, Alahi and Fei-Fei 2016, supplementary material, table 1.
    Differs: instance instead of batch normalisation (Ulyanov et al. 2016) and reflected borders in
    every layer by default; `configs/paper.yaml` sets the paper's own choices. Convolutions that a
    normalisation follows carry no bias, since it would cancel.
    """

    def __init__(
        self,
        width: int = 32,
        num_blocks: int = 5,
        norm: str = "instance",
        upsample: str = "fractional4",
        padding: str = "reflect",
        output: str = "tanh",
        stem_stride: int = 1,
    ) -> None:
        """Build the network for `width` channels after the first layer, twice as many each further.

        With `stem_stride` 2 the first layer halves the photo and the last one doubles it, so that
        there are no features at full size. Raises ValueError for a choice outside those of
        models/layout.py.
        """
        super().__init__()
        check_choices(norm, upsample, padding, output, stem_stride)
        self.output = output
        self.stem_stride = stem_stride
        # Each unpadded block loses 2 px a side at a quarter of the size: 8 px of the photo.
        self.start_px = 8 * num_blocks if padding == "reflect-start" else 0
        border = "reflect" if padding == "reflect" else "zero"
        block_border = "none" if padding == "reflect-start" else border
        centred = shift_cancels(norm, upsample, padding)
        period = grid_px(upsample, output)
        inward = channels_inward(width, stem_stride)
        outward = inward[::-1]
        self.layers = nn.Sequential(
            ConvLayer(3, width, 9, stem_stride, norm, border),
            *(ConvLayer(few, many, 3, 2, norm, border) for few, many in pairwise(inward)),
            *(ResidualBlock(inward[-1], norm, block_border) for _ in range(num_blocks)),
            *(
                UpsampleLayer(many, few, upsample, norm, border, centred and many == inward[-1])
                for many, few in pairwise(outward)
            ),
            PaddedConv(width, 3, 9, 1, border, bias=True, grid_px=period)
            if stem_stride == 1
            else FractionalConv(width, 3, OUTPUT_KERNEL, border, bias=True, grid_px=period, more=1),
        )

    def forward(self, images: Tensor, margin_px: int = 0) -> Tensor:
        """Return the stylized images, B × 3 × H × W in [0, 1], of exactly the input's size.

        `images` is B × 3 × H × W in [0, 1], H and W at least 16; sizes that are no multiple of 4
        are continued by reflection and cropped back, and all are so by `margin_px`, a multiple of
        4, at each side. Raises ValueError for smaller ones.
        """
        height, width = images.shape[-2:]
        if min(height, width) < MIN_SIZE_PX:
            raise ValueError(f"{height} x {width} px; expected at least {MIN_SIZE_PX} px a side")
        start = self.start_px + margin_px
        x = reflect_pad(images, start, start + -width % STRIDE, start, start + -height % STRIDE)
        painted = self.in_range(self.layers(2 * x - 1))[..., margin_px:, margin_px:]
        return painted[..., :height, :width]

    def in_range(self, x: Tensor) -> Tensor:
        """Return what the last layer gave, brought into [0, 1].

        A fractional last layer gives a row and a column more, for a pixel to be the mean of 2 × 2:
        one of each phase. Balanced phases have the same mean, but what cuts off the brightest would
        make a grid of their different variances (docs/architecture.md).
        """
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # near 1 bf16 has steps of 1/256
        x = x.clamp(0, 1) if self.output == "linear" else 0.5 * (torch.tanh(x) + 1)
        return x if self.stem_stride == 1 else F.avg_pool2d(x, 2, stride=1)


class PaddedConv(nn.Module):
    """A convolution that keeps the size (divided by its stride) under the border asked for.

    With `grid_px` its kernel is balanced, so that no grid of that period passes through it.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int,
        border: str,
        bias: bool,
        grid_px: int = 1,
    ) -> None:
        super().__init__()
        self.balance = balance_buffer(kernel, grid_px)
        self.reflect_px = kernel // 2 if border == "reflect" else 0
        self.zeros_px = kernel // 2 if border == "zero" else 0
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, self.zeros_px, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.reflect_px:
            x = F.pad(x, [self.reflect_px] * 4, mode="reflect")
        return conv2d(x, self.weight(), self.conv.bias, self.conv.stride[0], self.zeros_px)

    def weight(self) -> Tensor:
        """Return the kernel that it applies, C_out × C_in × K × K."""
        return balanced_kernel(self.conv.weight, self.balance)


class ConvLayer(nn.Sequential):
    """Convolution, normalisation, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        stride: int,
        norm: str,
        border: str,
    ) -> None:
        super().__init__(
            PaddedConv(channels_in, channels_out, kernel, stride, border, bias=False),
            normalization(norm, channels_out),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions beside an identity; no ReLU after the sum.

    Source: Gross and Wilber 2016, as the paper uses it. With border `none` the identity is cropped
    to the convolutions' size (2 px a side less), which is the paper's own form.
    """

    def __init__(self, channels: int, norm: str, border: str) -> None:
        super().__init__()
        self.crop_px = 2 if border == "none" else 0
        self.body = nn.Sequential(
            ConvLayer(channels, channels, 3, 1, norm, border),
            PaddedConv(channels, channels, 3, 1, border, bias=False),
            normalization(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.crop_px:
            shortcut = x[..., self.crop_px : -self.crop_px, self.crop_px : -self.crop_px]
        return shortcut + self.body(x)  # type: ignore[no-any-return]


class FractionalConv(nn.Module):
    """A fractionally-strided (transposed) convolution of stride 1/2: H × W becomes 2H × 2W.

    With `more` it goes one row and one column on.

    A kernel of 3 covers the output's pixels unevenly (one, two or four of its taps), which prints a
    checkerboard; kernels of 4 and 8 cover each with exactly 4 and 16.
    Differs: the kernel of 4 starts as nearest-neighbour doubling followed by a 3 × 3 convolution,
    and those of 4 and 8 stay balanced: without that, training prints a grid into everything flat
    (docs/architecture.md). With `grid_px` 4 a kernel of 8 averages a grid of its input away too.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        border: str,
        bias: bool = False,
        grid_px: int = 2,
        more: int = 0,
    ) -> None:
        super().__init__()
        self.reflect_px, self.crop_px = doubling_border(kernel, border == "reflect")
        self.conv = nn.ConvTranspose2d(
            channels_in,
            channels_out,
            kernel,
            stride=2,
            padding=self.crop_px,
            output_padding=kernel % 2 + more,
            bias=bias,
        )
        self.balance = balance_buffer(kernel, 1 if kernel == 3 else grid_px)
        if kernel == 4:
            start = nn.Conv2d(channels_in, channels_out, 3, bias=False)
            with torch.no_grad():
                self.conv.weight.copy_(tied_kernel(start.weight))

    def forward(self, x: Tensor) -> Tensor:
        if self.reflect_px:
            x = F.pad(x, [self.reflect_px] * 4, mode="reflect")
        more = self.conv.output_padding[0]
        return conv_transpose2d(x, self.weight(), self.conv.bias, 2, self.crop_px, more)

    def weight(self) -> Tensor:
        """Return the kernel that it applies, C_in × C_out × K × K."""
        return balanced_kernel(self.conv.weight, self.balance)


def balance_buffer(kernel: int, period: int) -> nn.Buffer | None:
    """Return the matrix of `balanced_kernel` as a buffer that is not saved; None for period 1."""
    if period == 1:
        return None
    return nn.Buffer(torch.tensor(balancing_matrix(kernel, period)).float(), persistent=False)


def balanced_kernel(weight: Tensor, balance: Tensor | None) -> Tensor:
    """Return a kernel that answers everything repeating every `period` px with its mean alone.

    `weight` is C × C' × K × K, `balance` the period's `models.layout.balancing_matrix` (None: the
    kernel as it is). In a fractional kernel of stride `period` the phases are what the output's
    pixels see in turn: flat features then stay flat. In a convolution they meet what an input's
    grid repeats: the grid is then averaged away.
    """
    return weight if balance is None else (weight.flatten(2) @ balance).view_as(weight)


def tied_kernel(weight: Tensor) -> Tensor:
    """Return the 4 × 4 fractional kernel that equals nearest-neighbour doubling, then `weight`.

    `weight` is a convolution's, C_out × C_in × 3 × 3; the result is a transposed convolution's,
    C_in × C_out × 4 × 4. Doubling is a fractional convolution with a 2 × 2 kernel of ones, so the
    two together are one with the full convolution of both kernels.
    """
    c_out, c_in = weight.shape[:2]
    # A transposed convolution applies its kernel flipped.
    flipped = weight.flip(2, 3).reshape(c_out * c_in, 1, 3, 3)
    kernel = F.conv2d(flipped, weight.new_ones(1, 1, 2, 2), padding=1)  # (C_out C_in) × 1 × 4 × 4
    return kernel.reshape(c_out, c_in, 4, 4).transpose(0, 1)


class UpsampleLayer(nn.Sequential):
    """Doubling of the size, normalisation, ReLU.

    With `centred` each channel's mean is taken out first. It cancels in the normalisation, but the
    phases of a fractional kernel would round its sum differently: on a flat photo, where only
    rounding has any variance, the normalisations after it would make that a visible grid.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        upsample: str,
        norm: str,
        border: str,
        centred: bool = False,
    ) -> None:
        if upsample == "resize":
            double: nn.Module = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"),
                PaddedConv(channels_in, channels_out, 3, 1, border, bias=False),
            )
        else:
            double = FractionalConv(channels_in, channels_out, int(upsample[-1]), border)
        super().__init__(double, normalization(norm, channels_out), nn.ReLU(inplace=True))
        self.centred = centred

    def forward(self, x: Tensor) -> Tensor:
        if self.centred:
            x = x - x.mean((2, 3), keepdim=True)
        for layer in self:
            x = layer(x)
        return x


def normalization(norm: str, channels: int) -> nn.Module:
    """Return instance or batch normalisation with a learned scale and shift per channel."""
    return InstanceNorm(channels) if norm == "instance" else nn.BatchNorm2d(channels)


class InstanceNorm(nn.GroupNorm):
    """Instance normalisation of B × C × H × W, with a learned scale and shift per channel.

    It is group normalisation with one channel a group: the same numbers, and PyTorch runs this form
    on the CPU in channels_last where its own InstanceNorm2d copies to NCHW and back (on a GPU both
    copy, unless compiled). In training on the CPU it is batch normalisation of an image at a time,
    whose gradient is the faster one there (docs/architecture.md).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        if not (x.requires_grad and on_cpu_in_channels_last(x)):
            return super().forward(x)
        weight, bias = self.weight, self.bias
        images = [
            F.batch_norm(image, None, None, weight, bias, training=True, eps=self.eps)
            for image in x.chunk(len(x))
        ]
        return torch.cat(images)


def reflect_pad(images: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Return B × C × H × W continued by reflection, by any amount.

    One reflection reaches no further than the image is large, so a wide border takes several.
    """
    while left or right or top or bottom:
        max_rows, max_columns = images.shape[-2] - 1, images.shape[-1] - 1
        now = (
            min(left, max_columns),
            min(right, max_columns),
            min(top, max_rows),
            min(bottom, max_rows),
        )
        images = F.pad(images, now, mode="reflect")
        left, right = left - now[0], right - now[1]
        top, bottom = top - now[2], bottom - now[3]
    return images
