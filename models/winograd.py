"""3 × 3 convolutions on the CPU with a quarter of the multiplications.

Axes: B images, C channels in, K channels out, H rows, W columns. A tile is 4 × 4 pixels of the
output and the 6 × 6 of the input that they see; a strip is some rows of tiles, of one image or of
several, so many that what lies between its steps stays small.

Source: Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", F(4 × 4, 3 × 3).
Differs: the transforms are sums of whole strips, one axis after the other, and the products one
batched matrix multiplication a strip: all of it PyTorch's own operations; in bf16, other points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.device import cpu_has

MIN_PRODUCT = {torch.float32: 64 * 128, torch.bfloat16: 256 * 256}
"""Of the channels in and out: below, the sums take longer than what is saved."""
MIN_CHANNELS = 64
MIN_TILES = 32  # in a batch: below, reading the kernels takes longer than multiplying
STRIP_VALUES = 4_000_000  # of the transformed input: 16 MB of float32

NEAR = {torch.float64: 1.0, torch.float32: 1.0, torch.bfloat16: 0.5**0.5}
"""Polynomials are evaluated at 0, ±NEAR, ±2 NEAR and infinity. At the paper's 1 and 2 one colour
stays one colour to the last bit: every sum of it but one is 0. 1/√2 and √2 round half as much."""


def worthwhile(x_shape: Sequence[int], weight_shape: Sequence[int], dtype: torch.dtype) -> bool:
    """Return whether F(4 × 4, 3 × 3) is faster (docs/architecture.md has the measurement)."""
    channels_out, channels_in, *sides = weight_shape
    tiles = x_shape[0] * (x_shape[-2] // 4) * (x_shape[-1] // 4)
    min_product = MIN_PRODUCT.get(dtype)
    if dtype == torch.bfloat16 and cpu_has("amx_bf16"):  # its products cost less than the sums
        min_product = None
    return (
        sides == [3, 3]
        and min_product is not None
        and min(channels_in, channels_out) >= MIN_CHANNELS
        and channels_in * channels_out >= min_product
        and tiles >= MIN_TILES
    )


class Kernel:
    """A weight, K × C × 3 × 3, and what the multiplications take of it, made when first needed."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.detach()
        self._made: dict[tuple[str, torch.dtype], Tensor] = {}

    def forward(self, dtype: torch.dtype) -> Tensor:
        """For the convolution, 36 × C × K."""
        return self._taken("forward", self._weight, dtype)

    def backward(self, dtype: torch.dtype) -> Tensor:
        """For the gradient of its input, which is the convolution with the turned weight."""
        return self._taken("backward", self._weight.flip(2, 3).transpose(0, 1), dtype)

    def _taken(self, direction: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
        key = direction, dtype
        if key not in self._made:
            with torch.autocast("cpu", enabled=False):
                self._made[key] = _transformed(weight, NEAR[dtype]).to(dtype)
        return self._made[key]


class WinogradConvolution(torch.autograd.Function):
    """The convolution and its gradients, each in strips."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, kernel: Kernel
    ) -> Tensor:
        ctx.padding, ctx.kernel = padding, kernel
        ctx.save_for_backward(x if weight.requires_grad else None)
        return _convolve(x, kernel.forward(x.dtype), bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_x = of_weight = None
        if wants_x:
            turned = ctx.kernel.backward(gradient.dtype)
            of_x = _convolve(gradient, turned, None, 2 - ctx.padding)
        if wants_weight:
            of_weight = _weight_gradient(x, gradient, ctx.padding)
        return of_x, of_weight, gradient.sum((0, 2, 3)) if wants_bias else None, None, None


@dataclass(frozen=True)
class Strips:
    """How an output of B × H × W is taken apart: in strips of one shape; tiles may hang over."""

    images: int
    """In a strip; more than one where whole images fit."""
    rows: int
    """Of tiles in a strip."""
    columns: int
    """Of tiles."""
    num_images: int
    """Of all strips, B or a few more."""
    num_rows: int
    """Of tiles in an image's strips."""

    @classmethod
    def over(cls, batch: int, height: int, width: int, channels: int) -> Strips:
        rows, columns = -(-height // 4), -(-width // 4)
        fitting = max(1, STRIP_VALUES // (36 * columns * channels))
        groups = -(-rows // fitting)
        rows_each = -(-rows // groups)
        batches = -(-batch // (max(1, fitting // rows) if groups == 1 else 1))
        images_each = -(-batch // batches)
        return cls(images_each, rows_each, columns, images_each * batches, rows_each * groups)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield each strip's first image and first row of tiles."""
        for image in range(0, self.num_images, self.images):
            for row in range(0, self.num_rows, self.rows):
                yield image, row

    @property
    def num_tiles(self) -> int:
        """Of a strip."""
        return self.images * self.rows * self.columns


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    x = x.permute(0, 2, 3, 1)  # B × H × W × C
    batch, height, width = x.shape[0], x.shape[1] + 2 * padding - 2, x.shape[2] + 2 * padding - 2
    channels = kernel.shape[2]
    strips = Strips.over(batch, height, width, max(kernel.shape[1:]))
    shape = strips.num_images, channels, 4 * strips.num_rows, 4 * strips.columns
    out = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    taker = _Input(x, strips, padding)
    products = x.new_empty(36, strips.num_tiles, channels)
    by_tile = products.view(6, 6, strips.images, strips.rows, strips.columns, channels)
    half = by_tile.new_empty(6, 4, *by_tile.shape[2:])  # columns × rows × tiles × K
    first, second = _scratch(by_tile[:, 0], 4), _scratch(half[0], 4)
    near = NEAR[x.dtype]
    for image, row in strips:
        torch.bmm(taker.transformed(image, row), kernel, out=products)
        _output_sums(by_tile.unbind(1), half.unbind(1), first, near)
        pixels = out[image : image + strips.images, :, 4 * row : 4 * (row + strips.rows)]
        tiled = pixels.permute(0, 2, 3, 1).view(
            strips.images, strips.rows, 4, strips.columns, 4, channels
        )
        _output_sums(half.unbind(0), tiled.permute(4, 2, 0, 1, 3, 5).unbind(0), second, near)
        if bias is not None:
            tiled += bias
    if shape == (batch, channels, height, width):
        return out
    return out[:batch, :, :height, :width].clone(memory_format=torch.channels_last)


def _weight_gradient(x: Tensor, gradient: Tensor, padding: int) -> Tensor:
    """Return the gradient of the weight, K × C × 3 × 3: of B × C × H × W and of the output's."""
    channels_in, channels_out = x.shape[1], gradient.shape[1]
    batch, height, width = len(x), gradient.shape[2], gradient.shape[3]
    strips = Strips.over(batch, height, width, max(channels_in, channels_out))
    taker = _Input(x.permute(0, 2, 3, 1), strips, padding)
    giver = _Gradient(gradient.permute(0, 2, 3, 1), strips)
    exact = torch.promote_types(x.dtype, torch.float32)
    total = x.new_zeros(36, channels_in, channels_out, dtype=exact)
    for image, row in strips:
        inputs = taker.transformed(image, row).transpose(1, 2)
        if x.dtype == exact:
            total.baddbmm_(inputs, giver.transformed(image, row))
        else:
            total += torch.bmm(inputs, giver.transformed(image, row))
    g = total.new_tensor(_kernel_transform(NEAR[x.dtype]))
    by_tap = total.view(6, 6, channels_in, channels_out)  # columns × rows × C × K
    return torch.einsum("ai,back,bj->kcij", g, by_tap, g)


class _Strip:
    """A strip of B × H × W × C pixels: images × rows × 4 × columns / 4 × C.

    The columns are dealt out in four, so that the transforms run over neighbouring values.
    """

    def __init__(self, x: Tensor, strips: Strips, padding: int, border: int) -> None:
        self._x, self._strips, self._padding = x, strips, padding
        shape = (4 * strips.rows + border, 4, strips.columns + (border > 0), x.shape[-1])
        self.pixels = x.new_zeros(strips.images, *shape)

    def fill(self, image: int, row: int) -> None:
        """Take the strip's pixels; zero is what lies outside of the image."""
        batch, height, width, _ = self._x.shape
        top = 4 * row - self._padding
        begin, end = max(0, top), max(0, min(height, top + self.pixels.shape[1]))
        images = min(batch - image, self._strips.images)
        self.pixels[images:].zero_()
        self.pixels[:, : begin - top].zero_()
        self.pixels[:, max(begin, end) - top :].zero_()
        for phase in range(4):
            skipped = int(phase < self._padding)
            first = 4 * skipped + phase - self._padding
            source = self._x[image : image + images, begin:end, first:width:4]
            columns = slice(skipped, skipped + source.shape[2])
            self.pixels[:images, begin - top : end - top, phase, columns] = source


class _Input(_Strip):
    """The input's tiles, of 6 × 6."""

    def __init__(self, x: Tensor, strips: Strips, padding: int) -> None:
        super().__init__(x, strips, padding, border=2)
        n, rows, columns, channels = strips.images, strips.rows, strips.columns, x.shape[-1]
        self._half = x.new_empty(6, n, rows, *self.pixels.shape[2:])
        self._whole = x.new_empty(6, 6, n, rows, columns, channels)
        self._scratch = _scratch(self._half[0], 2), _scratch(self._whole[0], 2)

    def transformed(self, image: int, row: int) -> Tensor:
        """Return the strip's Bᵀ d B, 36 (columns × rows) × tiles × C."""
        self.fill(image, row)
        rows, columns, near = self._strips.rows, self._strips.columns, NEAR[self.pixels.dtype]
        taps = [self.pixels[:, j : j + 4 * rows - 3 : 4] for j in range(6)]
        _input_sums(taps, self._half, self._scratch[0], near)
        taps = [self._half[..., j % 4, j // 4 : j // 4 + columns, :] for j in range(6)]
        _input_sums(taps, self._whole, self._scratch[1], near)
        return self._whole.view(36, self._strips.num_tiles, -1)


class _Gradient(_Strip):
    """The output gradient's tiles, of 4 × 4."""

    def __init__(self, x: Tensor, strips: Strips) -> None:
        super().__init__(x, strips, padding=0, border=0)
        n, rows, columns, channels = strips.images, strips.rows, strips.columns, x.shape[-1]
        self._half = x.new_empty(6, n, rows, 4, columns, channels)
        self._whole = x.new_empty(6, 6, n, rows, columns, channels)
        self._scratch = _scratch(self._half[0], 2), _scratch(self._whole[0], 2)

    def transformed(self, image: int, row: int) -> Tensor:
        """Return the strip's A d Aᵀ, 36 (columns × rows) × tiles × K."""
        self.fill(image, row)
        near = NEAR[self.pixels.dtype]
        images, rows, *others = self.pixels.shape
        pixels = self.pixels.view(images, rows // 4, 4, *others)
        _gradient_sums(pixels.unbind(2), self._half, self._scratch[0], near)
        _gradient_sums(self._half.unbind(3), self._whole, self._scratch[1], near)
        return self._whole.view(36, self._strips.num_tiles, -1)


def _transformed(weight: Tensor, near: float) -> Tensor:
    """Return G w Gᵀ of K × C × 3 × 3 as 36 (columns × rows) × C × K."""
    g = weight.new_tensor(_kernel_transform(near))
    return torch.einsum("ai,kcij,bj->back", g, weight, g).flatten(0, 1).contiguous()


def _scratch(like: Tensor, count: int) -> list[Tensor]:
    return [torch.empty_like(like, memory_format=torch.contiguous_format) for _ in range(count)]


def _input_sums(
    d: Sequence[Tensor], v: Sequence[Tensor] | Tensor, scratch: list[Tensor], near: float
) -> None:
    """v = Bᵀ d: six values of six."""
    (a, b), square = scratch, near * near
    torch.sub(d[4], d[2], alpha=4 * square, out=a)
    torch.sub(d[3], d[1], alpha=4 * square, out=b)
    torch.add(a, b, alpha=near, out=v[1])
    torch.sub(a, b, alpha=near, out=v[2])
    torch.sub(d[4], d[2], alpha=square, out=a)
    torch.sub(d[3], d[1], alpha=square, out=b)
    torch.add(a, b, alpha=2 * near, out=v[3])
    torch.sub(a, b, alpha=2 * near, out=v[4])
    torch.sub(d[4], d[2], alpha=5 * square, out=a)
    torch.add(a, d[0], alpha=4 * square**2, out=v[0])
    torch.sub(d[5], d[3], alpha=5 * square, out=a)
    torch.add(a, d[1], alpha=4 * square**2, out=v[5])


def _output_sums(
    m: Sequence[Tensor], y: Sequence[Tensor], scratch: list[Tensor], near: float
) -> None:
    """y = Aᵀ m: four values of six."""
    a, b, c, d = scratch
    torch.add(m[1], m[2], out=a)
    torch.sub(m[1], m[2], out=b)
    torch.add(m[3], m[4], out=c)
    torch.sub(m[3], m[4], out=d)
    if near != 1:
        for odd in (b, d):
            odd.mul_(near)
    torch.add(b, d, alpha=2, out=y[1])
    torch.add(a, c, alpha=4, out=y[2])
    if near != 1:
        y[2].mul_(near**2)
    a.add_(c)
    torch.add(a, m[0], out=y[0])
    b.add_(d, alpha=8)
    torch.add(m[5], b, alpha=near**2, out=y[3])


def _gradient_sums(y: Sequence[Tensor], m: Tensor, scratch: list[Tensor], near: float) -> None:
    """m = A y: six values of four."""
    (a, b), square = scratch, near * near
    torch.add(y[0], y[2], alpha=square, out=a)
    torch.add(y[1], y[3], alpha=square, out=b)
    torch.add(a, b, alpha=near, out=m[1])
    torch.sub(a, b, alpha=near, out=m[2])
    torch.add(y[0], y[2], alpha=4 * square, out=a)
    torch.add(y[1], y[3], alpha=4 * square, out=b)
    torch.add(a, b, alpha=2 * near, out=m[3])
    torch.sub(a, b, alpha=2 * near, out=m[4])
    m[0].copy_(y[0])
    m[5].copy_(y[3])


def _kernel_transform(near: float) -> list[list[float]]:
    """Return G, 6 × 3; Bᵀ and Aᵀ are written out as the sums above."""
    square = near * near
    rows = [[1 / (4 * square**2), 0.0, 0.0]]
    for point, scale in ((near, -6.0), (-near, -6.0), (2 * near, 24.0), (-2 * near, 24.0)):
        rows.append([point**power / (scale * square**2) for power in range(3)])
    return [*rows, [0.0, 0.0, 1.0]]
