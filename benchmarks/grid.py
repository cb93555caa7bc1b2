"""Print how much of a grid styles paint: power at 1/2 and 1/4 of the sampling rate.

    python -m benchmarks.grid --photos DIR STYLE...

Each peak is a ratio to the power around it: 1 is none. `flat` is the spread of the painting of a
flat grey photo, which has to be flat too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.photos import Photos
from data.tensors import read_rgb
from errors import CommandLine, run_program
from models.style_file import find_style, load_style
from models.transformer_net import TransformerNet

TILE_PX = 64
NEAR = 3  # bins on each side that a peak is compared with


def power(picture: Tensor) -> Tensor:
    """Return the mean power spectrum of a picture's tiles, `TILE_PX` × `TILE_PX`."""
    grey = picture[0].mean(0)
    tiles = grey.unfold(0, TILE_PX, TILE_PX).unfold(1, TILE_PX, TILE_PX).flatten(0, 1)
    window = torch.hann_window(TILE_PX)
    tiles = (tiles - tiles.mean((1, 2), keepdim=True)) * window[:, None] * window
    spectrum: Tensor = torch.fft.fft2(tiles).abs().square().mean(0)
    return spectrum


def peak(spectrum: Tensor, row: int, column: int) -> float:
    """Return the power at a bin over the median of those around it."""
    offsets = range(-NEAR, NEAR + 1)
    near = [
        spectrum[(row + i) % TILE_PX, (column + j) % TILE_PX]
        for i in offsets
        for j in offsets
        if max(abs(i), abs(j)) > 1  # the window spreads a peak over its neighbours
    ]
    return float(spectrum[row, column] / torch.stack(near).median())


@dataclass(frozen=True)
class Grid:
    """How much of a grid a style paints."""

    flat: float
    """Spread of the painting of a flat grey photo, in [0, 1]."""
    half: float
    """Largest peak at 1/2 of the sampling rate, over the power around it."""
    quarter: float
    """Largest peak at 1/4."""


@torch.inference_mode()
def grid_of(network: TransformerNet, photos: Sequence[Tensor]) -> Grid:
    """Return the grid that a network paints on 1 × 3 × H × W photos in [0, 1], and on flat grey."""
    flat = network(torch.full((1, 3, 128, 128), 0.5))
    spectra = [power(network(photo)) for photo in photos]
    spectrum = torch.stack([s / s.sum() for s in spectra]).mean(0)

    def largest(bin_: int) -> float:
        return max(peak(spectrum, *at) for at in ((bin_, 0), (0, bin_), (bin_, bin_)))

    spread = float((flat.amax((2, 3)) - flat.amin((2, 3))).max())
    return Grid(spread, largest(TILE_PX // 2), largest(TILE_PX // 4))


def main() -> int:
    parser = CommandLine(description="The grid that styles paint.")
    parser.add_argument("styles", nargs="+", help="names or files")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--num-photos", type=int, default=6)
    args = parser.parse_args()
    names = Photos(args.photos).names[: args.num_photos]
    photos = [read_rgb(args.photos / name) for name in names]
    print(f"{'style':40} {'flat':>8} {'peak at 1/2':>12} {'peak at 1/4':>12}")
    for style in args.styles:
        grid = grid_of(load_style(find_style(style))[0], photos)
        name = style[-40:]
        print(f"{name:40} {grid.flat:8.4f} {grid.half:12.2f} {grid.quarter:12.2f}", flush=True)
    return 0


if __name__ == "__main__":
    run_program(main)
