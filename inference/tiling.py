"""Photos of any size: the network layer by layer over tiles that share its statistics.

Instance normalisation looks at the whole photo, so tiles painted one by one would differ in colour.
Here every layer is finished over all tiles before the next begins: its mean and variance are those
of the whole photo, and the painting is the untiled one. What lies between the layers at a quarter
of the size waits in temporary files. docs/architecture.md tells why, and what else was tried.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.pixels import Pixels
from data.tensors import to_pixels
from errors import UserError
from models.layout import STRIDE
from models.transformer_net import ConvLayer, TransformerNet
from progress import progress_bar

TILE_PX = 512
HEAD_HALO_PX = 8
"""What the convolutions before the blocks see around a tile: 4 + 1 + 2 px, in whole quarters."""
TAIL_HALO_PX = 16
"""What the layers after the blocks see: 6 + 3 + 4 px, in whole quarters."""
BAR_FROM_PIXELS = 16_000_000


@dataclass(frozen=True)
class Region:
    """Rows [top, bottom) and columns [left, right) of a picture, in its pixels."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, by: int, size: tuple[int, ...]) -> Region:
        """Return it with `by` more on each side that lies inside a picture of this size."""
        return Region(
            max(self.top - by, 0),
            min(self.bottom + by, size[0]),
            max(self.left - by, 0),
            min(self.right + by, size[1]),
        )

    def times(self, factor: int) -> Region:
        """Return it in a picture `factor` times as large."""
        return Region(*(v * factor for v in (self.top, self.bottom, self.left, self.right)))

    def cut(self, x: Tensor, outer: Region, factor: int = 1) -> Tensor:
        """Return its part of B × C × H × W over a region around it, in `factor` px each."""
        inner, top, left = self.times(factor), outer.top * factor, outer.left * factor
        return x[..., inner.top - top : inner.bottom - top, inner.left - left : inner.right - left]


class Statistics:
    """Mean and variance of each channel, over tiles of any size.

    Source: Chan, Golub and LeVeque 1979, for sums that lose no digits.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.deviation = torch.zeros(())  # sum of squares around the mean

    def add(self, x: Tensor) -> None:
        """Take in a tile, 1 × C × H × W."""
        var, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        var, mean = var.cpu().double(), mean.cpu().double()  # MPS has no double
        count = x.shape[-2] * x.shape[-1]
        total = self.count + count
        away = mean - self.mean
        self.deviation = self.deviation + var * count + away.square() * self.count * count / total
        self.mean = self.mean + away * count / total
        self.count = total

    @property
    def var(self) -> Tensor:
        """The variance, C values."""
        return self.deviation / self.count


class FeatureMap:
    """C × H × W features as float16 in a temporary file, read and written by region."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        """Reserve the room. Raises UserError where the disk lacks it."""
        self.shape = height, width, channels
        size = 2 * height * width * channels
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if free < size:
            raise UserError(
                f"{folder}: {free >> 20:,} MiB free; expected {size >> 20:,} MiB for "
                "a photo of this size. Free some space, or set TMPDIR to another folder."
            )
        self.file = tempfile.TemporaryFile()  # noqa: SIM115, as long as the map
        self.file.truncate(size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.file.fileno(), 0, size)

    def read(self, region: Region, device: torch.device) -> Tensor:
        """Return a region, 1 × C × H × W in float32."""
        part = np.array(self._part(region))
        return torch.from_numpy(part).to(device).float()[None].permute(0, 3, 1, 2)

    def write(self, region: Region, x: Tensor) -> None:
        """Keep a region, 1 × C × H × W."""
        self._part(region)[:] = x[0].permute(1, 2, 0).half().cpu().numpy()

    def _part(self, region: Region) -> npt.NDArray[np.float16]:
        # Mapped anew each time: pages that are no longer mapped do not count as the process's.
        mapped = np.memmap(self.file, np.float16, "r+", shape=self.shape)
        return mapped[region.top : region.bottom, region.left : region.right]

    def __enter__(self) -> FeatureMap:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


class TiledPainter:
    """Paints photos in tiles with one network."""

    def __init__(
        self,
        network: TransformerNet,
        device: torch.device,
        tile_px: int = TILE_PX,
        margin_px: int = 0,
    ) -> None:
        """Take a network in evaluation mode. Raises UserError for one that crops at its border.

        `margin_px`, a multiple of 4, of the photo are mirrored around it and painted with it.
        """
        if network.start_px:
            raise UserError(
                "model.padding reflect-start: cannot be painted in tiles; expected reflect or "
                "zero. Paint a smaller photo (--size-px)."
            )
        layers: list[Any] = list(network.layers)
        depth = sum(isinstance(layer, ConvLayer) for layer in layers)
        self.head, self.blocks, self.tail = layers[:depth], layers[depth:-depth], layers[-depth:]
        self.in_range = network.in_range
        self.device = device
        self.dtype = next(network.parameters()).dtype
        self.tile = -(-tile_px // STRIDE)  # its side at a quarter of the size
        self.margin_px = margin_px

    @torch.inference_mode()
    def paint(self, photo: Pixels, into: Pixels | None = None) -> Pixels:
        """Return the painting of an H × W × 3 photo, of its size.

        It is written `into` an array: the photo's own will do, and saves the room of another.
        Raises UserError where the disk lacks room for what lies between the layers.
        """
        self.photo = photo
        sides = (side + 2 * self.margin_px for side in photo.shape[:2])
        self.size = tuple(-(-side // STRIDE) for side in sides)  # at a quarter
        self.affine: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        painted = np.empty_like(photo) if into is None else into
        channels = self.head[-1][0].conv.out_channels
        with ExitStack() as stack:
            x, y, z = (stack.enter_context(FeatureMap(channels, *self.size)) for _ in range(3))
            passes = len(self.head) + 1 + 3 * len(self.blocks) + len(self.tail)
            total = len(list(self._regions())) * passes
            shown = photo.shape[0] * photo.shape[1] >= BAR_FROM_PIXELS
            self.progress = stack.enter_context(progress_bar(total, "tile", shown=shown))
            self._paint(x, y, z, painted)
        return painted

    def _paint(self, x: FeatureMap, y: FeatureMap, z: FeatureMap, painted: Pixels) -> None:
        """Run the network pass by pass: each ends at the next normalisation."""
        for depth, layer in enumerate(self.head, start=1):
            into = x if depth == len(self.head) else None
            self._pass(partial(self._head, depth), measure=layer[1], into=into)
        self._pass(partial(self._activated, x, layer[1]), into=x)
        for block in self.blocks:
            (conv1, norm1, _), conv2, norm2 = block.body
            self._pass(partial(self._conv, x, conv1), measure=norm1, into=y)
            self._pass(partial(self._conv, y, conv2, after=norm1), measure=norm2, into=z)
            self._pass(partial(self._sum, x, z, norm2), into=x)
        for depth, layer in enumerate(self.tail[:-1], start=1):
            self._pass(partial(self._tail, x, depth), measure=layer[1])
        for region in self._regions():
            stylized = to_pixels(self._tail(x, len(self.tail), region))
            px = region.times(STRIDE)
            top, left = px.top - self.margin_px, px.left - self.margin_px  # in the photo
            stylized = stylized[max(-top, 0) :, max(-left, 0) :]
            part = painted[max(top, 0) :, max(left, 0) :][: stylized.shape[0], : stylized.shape[1]]
            part[:] = stylized[: part.shape[0], : part.shape[1]]
            self.progress.update()

    def _regions(self) -> Iterator[Region]:
        height, width = self.size
        for top in range(0, height, self.tile):
            for left in range(0, width, self.tile):
                bottom, right = min(top + self.tile, height), min(left + self.tile, width)
                yield Region(top, bottom, left, right)

    def _pass(
        self,
        compute: Callable[[Region], Tensor],
        measure: nn.Module | None = None,
        into: FeatureMap | None = None,
    ) -> None:
        """Compute every tile, keep it, and learn the statistics that a normalisation needs."""
        statistics = Statistics()
        for region in self._regions():
            features = compute(region)
            if isinstance(measure, nn.GroupNorm):
                statistics.add(features)
            if into:
                into.write(region, features)
            self.progress.update()
        if isinstance(measure, nn.GroupNorm):
            self.affine[measure] = affine_of(measure, statistics.mean, statistics.var)
        elif isinstance(measure, nn.BatchNorm2d):
            assert measure.running_mean is not None
            assert measure.running_var is not None
            self.affine[measure] = affine_of(measure, measure.running_mean, measure.running_var)

    def _head(self, depth: int, region: Region) -> Tensor:
        """Return the `depth`-th convolution of the photo's region, before normalisation."""
        outer = region.grown(HEAD_HALO_PX // STRIDE, self.size)
        px = outer.times(STRIDE)
        rows = self._mirrored(px.top, px.bottom, self.photo.shape[0])
        columns = self._mirrored(px.left, px.right, self.photo.shape[1])
        part = torch.from_numpy(self.photo[np.ix_(rows, columns)])
        x = part.to(self.device)[None].permute(0, 3, 1, 2).to(self.dtype) / 255
        x = self.head[0][0](2 * x - 1)
        for before, layer in zip(self.head[: depth - 1], self.head[1:depth], strict=True):
            x = layer[0](F.relu(self._normalized(before[1], x)))
        return region.cut(x, outer, 2 ** (len(self.head) - depth))

    def _mirrored(self, start: int, stop: int, side: int) -> npt.NDArray[np.intp]:
        """Return where in the photo, `side` px there, those of the photo with its margin lie."""
        there_and_back = 2 * (side - 1)
        places = np.abs(np.arange(start, stop) - self.margin_px) % there_and_back
        mirrored: npt.NDArray[np.intp] = np.minimum(places, there_and_back - places)
        return mirrored

    def _conv(
        self, x: FeatureMap, conv: nn.Module, region: Region, after: nn.Module | None = None
    ) -> Tensor:
        outer = region.grown(1, self.size)
        features = x.read(outer, self.device)
        if after:
            features = F.relu(self._normalized(after, features))
        return region.cut(conv(features.to(self.dtype)), outer)

    def _activated(self, x: FeatureMap, norm: nn.Module, region: Region) -> Tensor:
        return F.relu(self._normalized(norm, x.read(region, self.device)))

    def _sum(self, x: FeatureMap, y: FeatureMap, norm: nn.Module, region: Region) -> Tensor:
        return x.read(region, self.device) + self._normalized(norm, y.read(region, self.device))

    def _tail(self, x: FeatureMap, depth: int, region: Region) -> Tensor:
        """Return the `depth`-th layer after the blocks over a region; the last one's in [0, 1]."""
        outer = region.grown(TAIL_HALO_PX // STRIDE, self.size)
        # The convolution alone: that its layer would centre x first changes nothing but rounding.
        features = self.tail[0][0](x.read(outer, self.device).to(self.dtype))
        for before, layer in zip(self.tail[: depth - 1], self.tail[1:depth], strict=True):
            conv = layer if layer is self.tail[-1] else layer[0]
            features = conv(F.relu(self._normalized(before[1], features)))
        if depth == len(self.tail):
            features = self.in_range(features)
        return region.cut(features, outer, min(2**depth, STRIDE))

    def _normalized(self, norm: nn.Module, x: Tensor) -> Tensor:
        scale, shift = self.affine[norm]
        return (x * scale + shift).to(self.dtype)


def affine_of(norm: nn.Module, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale and shift, C × 1 × 1, that a normalisation with these statistics is."""
    assert isinstance(norm, (nn.GroupNorm, nn.BatchNorm2d))
    weight, bias, mean, var = (t.cpu().double() for t in (norm.weight, norm.bias, mean, var))
    scale = weight * torch.rsqrt(var + norm.eps)
    shift = bias - mean * scale
    device = norm.weight.device
    return scale.float()[:, None, None].to(device), shift.float()[:, None, None].to(device)
