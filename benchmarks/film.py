"""Print how much a painted film flickers: frame by frame, and under --smooth.

    python -m benchmarks.film --photo PHOTO [--style starry_night] [--frames 24]

The scene is a camera panning over a photo, by (2.3, 0.7) px a frame, with noise of σ 5 of 255.
Flicker is the mean difference, 0 to 255, between a painted frame and the one before, moved by the
pan, so that what stands still in the scene should be 0. Sharpness is the mean gradient.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from data.images import read_bytes, read_photo
from data.pixels import Array, Pixels
from errors import CommandLine, run_program
from inference.effects import luma
from inference.smoothing import Smoother
from inference.stylizer import Stylizer

PAN_PX = np.array([2.3, 0.7])
NOISE = 5.0
SIZE = (384, 256)  # width, height
BORDER_PX = 16  # what a pan brings in has nothing before it


def moved(picture: Pixels, by: Array) -> Array:
    """Return a picture seen `by` px further right and down, float32."""
    matrix = np.array([[1, 0, -by[0]], [0, 1, -by[1]]], np.float32)
    size = picture.shape[1], picture.shape[0]
    return cv2.warpAffine(picture.astype(np.float32), matrix, size, flags=cv2.INTER_CUBIC)


def scene(photo: Pixels, frames: int) -> Iterator[Pixels]:
    """Yield the frames of the pan."""
    random = np.random.default_rng(0)
    for i in range(frames):
        view = moved(photo, PAN_PX * i)[: SIZE[1], : SIZE[0]]
        yield np.clip(np.rint(view + random.normal(0, NOISE, view.shape)), 0, 255).astype(np.uint8)


def flicker_and_sharpness(frames: list[Pixels]) -> tuple[float, float]:
    """Return the mean moved difference between frames, and the mean gradient of luma."""
    inner = slice(BORDER_PX, -BORDER_PX)
    differences = [
        np.abs(new - moved(old, PAN_PX))[inner, inner].mean() for old, new in pairwise(frames[1:])
    ]
    gradients = [np.hypot(*np.gradient(luma(frame)))[inner, inner].mean() for frame in frames[1:]]
    return float(np.mean(differences)), float(np.mean(gradients))


def main() -> int:
    parser = CommandLine(description="Flicker of a painted film.")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--style", default="starry_night")
    parser.add_argument("--frames", type=int, default=24)
    args = parser.parse_args()
    width = SIZE[0] + round(PAN_PX[0] * args.frames) + 8
    photo = read_photo(read_bytes(args.photo), str(args.photo), longer_px=max(width, 520)).pixels
    stylizer = Stylizer(args.style, "cpu")
    print(f"{'':14} {'flicker':>8} {'sharpness':>10} {'s a frame':>10}")
    frames = list(scene(photo, args.frames))
    flicker, sharpness = flicker_and_sharpness(frames)
    print(f"{'the photos':14} {flicker:8.2f} {sharpness:10.2f}")
    for smooth in (0.0, 0.5, 1.0):
        smoother = Smoother(smooth) if smooth else None
        painted, seconds = [], []
        for frame in frames:
            started_s = time.perf_counter()
            painted.append(smoother(frame, stylizer) if smoother else stylizer(frame))
            seconds.append(time.perf_counter() - started_s)
        flicker, sharpness = flicker_and_sharpness(painted)
        name = f"smooth {smooth:g}" if smooth else "frame by frame"
        print(f"{name:14} {flicker:8.2f} {sharpness:10.2f} {median(seconds):10.2f}", flush=True)
    return 0


if __name__ == "__main__":
    run_program(main)
