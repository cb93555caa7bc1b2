"""Print what a 3 × 3 convolution takes on the CPU: F.conv2d and our conv2d, by layer, in one run.

OMP_NUM_THREADS=2 python -m benchmarks.convolution [--bf16]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from errors import CommandLine, run_program
from models import winograd
from models.convolution import conv2d, direct_convolutions
from models.device import expect_same_sizes
from models.winograd import Kernel

# Channels in and out, side in pixels: VGG-16's at 256 × 256
LAYERS = (
    (64, 64, 256),
    (64, 128, 128),
    (128, 128, 128),
    (128, 256, 64),
    (256, 256, 64),
    (256, 512, 32),
    (512, 512, 32),
)


def seconds(function: Callable[[], Tensor], repeats: int) -> float:
    """Return the median of a call's seconds, after one that warms up."""
    function()
    taken = []
    for _ in range(repeats):
        started_s = time.perf_counter()
        function()
        taken.append(time.perf_counter() - started_s)
    return median(taken)


def error(found: Tensor, exact: Tensor) -> float:
    """Return how far two tensors are apart, in the second one's spread."""
    return float((found - exact).square().mean().sqrt() / exact.std())


@torch.inference_mode()
def main() -> int:
    parser = CommandLine(description="A 3 x 3 convolution by layer.")
    parser.add_argument("--scale", type=int, default=1, help="sides are so many times as long")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--bf16", action="store_true", help="instead of float32")
    args = parser.parse_args()
    expect_same_sizes(0)
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    winograd.MIN_PRODUCT[dtype] = 0  # also where it is not worthwhile
    print(f"{torch.get_num_threads()} threads, {str(dtype).removeprefix('torch.')}")
    print(
        "| channels | side | F.conv2d, ms | GFLOP/s | rms error | ours, ms | rms error "
        "| times as fast |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for channels_in, channels_out, side in LAYERS:
        side *= args.scale
        x = torch.randn(1, channels_in, side, side).relu()
        x = x.to(dtype, memory_format=torch.channels_last)
        weight = torch.randn(channels_out, channels_in, 3, 3) / (9 * channels_in) ** 0.5
        weight = weight.to(dtype, memory_format=torch.channels_last)
        exact = F.conv2d(x.double(), weight.double(), padding=1)
        kernel = Kernel(weight)

        def convolve(x: Tensor = x, weight: Tensor = weight, kernel: Kernel = kernel) -> Tensor:
            return conv2d(x, weight, None, 1, 1, kernel)

        with direct_convolutions():
            direct_s, direct_error = seconds(convolve, args.repeats), error(convolve(), exact)
        ours_s, our_error = seconds(convolve, args.repeats), error(convolve(), exact)
        rate = 2 * 9 * channels_in * channels_out * side**2 / direct_s / 1e9
        print(
            f"| {channels_in} to {channels_out} | {side} | {1000 * direct_s:.1f} | {rate:.0f} "
            f"| {direct_error:.0e} | {1000 * ours_s:.1f} | {our_error:.0e} "
            f"| {direct_s / ours_s:.2f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    run_program(main)
