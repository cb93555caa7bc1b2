"""Print what an iteration of the baseline costs: the plain way and ours, in one run.

    python -m benchmarks.optimize_step [--sizes-px 256 512] [--device auto] [--iterations 100]

Plain: float32, NCHW, Gram matrices by autograd, F.conv2d, memory given back and asked for again.
fp32 and, where the device is fast at it, bf16: what optimize.py does. All by the same L-BFGS from
the same noise, each in a process of its own. `rounding` is how far the plain objective of the first
and last pictures is from our own; `apart`, how far the runs' last objectives are from the plain
one's: they drift as runs from noise moved by 1e-7 do.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from baselines.gatys import noise_image
from baselines.lbfgs import Evaluate, minimize_in_box
from configs.build import build_objective
from configs.schema import load_config
from data.tensors import read_rgb
from errors import CommandLine, run_program
from losses.functional import content_loss, tv_loss
from losses.perceptual import PerceptualLoss
from models.convolution import direct_convolutions
from models.device import chosen_precision, expect_same_sizes, in_precision, resolve_device

ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class Cost:
    """What the iterations of one kind took."""

    seconds: float
    """An iteration, median."""
    evaluation_s: float
    """Of it, the objective and its gradient, median."""
    objective: float
    """After the last one."""
    rounding: float
    """The largest share by which the plain objective of the same picture differs."""
    peak_mib: float


def plain_evaluation(objective: PerceptualLoss, content: Tensor) -> Evaluate:
    """Return the objective and its gradient as a textbook has them."""
    layers, style = list(objective.style_layers), objective.targets[0].grams
    target = objective.content_features(content)

    def evaluate(picture: Tensor) -> tuple[float, Tensor]:
        picture = picture.detach().requires_grad_()
        with direct_convolutions():
            features = objective.loss_network(picture, layers)
        total = content_loss(features["relu3_3"], target["relu3_3"]) + 1e-6 * tv_loss(picture)
        for name in layers:
            psi = features[name].flatten(2)
            gram = psi @ psi.transpose(1, 2) / psi[0].numel()
            total = total + 5 * (gram - style[name]).square().mean()
        (gradient,) = torch.autograd.grad(total, picture)
        return float(total.detach()), gradient

    return evaluate


def our_evaluation(objective: PerceptualLoss, content: Tensor, precision: str) -> Evaluate:
    """Return the objective and its gradient as optimize.py has them."""
    target = objective.content_features(content)
    autocast = in_precision(precision, content.device)

    def evaluate(picture: Tensor) -> tuple[float, Tensor]:
        picture = picture.detach().requires_grad_()
        with autocast:
            total = objective(picture.to(memory_format=torch.channels_last), target).total_loss
        (gradient,) = torch.autograd.grad(total, picture)
        return float(total.detach()), gradient

    return evaluate


def measure(kind: str, device_name: str, size_px: int, iterations: int) -> Cost:
    """Return the cost of one kind: `plain`, or ours in `fp32` or `bf16`."""
    device = torch.device(device_name)
    config = load_config(None)
    style = ASSETS / "styles/night_wind.jpg"
    objective = build_objective(config.loss, style, config.style.size_px, device)
    content = read_rgb(ASSETS / "photos/chelsea.jpg", shorter_px=size_px, square=True).to(device)
    if kind == "plain":
        assert isinstance(objective.loss_network, nn.Module)
        torch.backends.cudnn.benchmark = True
        objective.loss_network.to(memory_format=torch.contiguous_format)
        evaluate = plain_evaluation(objective, content)
    else:
        expect_same_sizes(size_px**2)
        evaluate = our_evaluation(objective, content, kind)
    evaluations: list[float] = []

    def timed(picture: Tensor) -> tuple[float, Tensor]:
        started_s = time.perf_counter()
        value, gradient = evaluate(picture)  # reading the value waits for a GPU
        evaluations.append(time.perf_counter() - started_s)
        return value, gradient

    seconds: list[float] = []
    start = noise_image(size_px, size_px, 0).to(device)
    history = min(config.optimize.history, iterations)
    iterates = minimize_in_box(timed, start, low=0, high=1, history=history)
    first = last = next(iterates)  # warms up
    for _ in range(iterations):
        started_s = time.perf_counter()
        last = next(iterates)
        seconds.append(time.perf_counter() - started_s)
    if device.type == "cuda":
        peak_mib = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    plainly = plain_evaluation(objective, content)
    rounding = max(abs(plainly(it.x)[0] / it.value - 1) for it in (first, last))
    return Cost(median(seconds), median(evaluations), last.value, rounding, peak_mib)


def main() -> int:
    parser = CommandLine(description="What an iteration of the baseline costs.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sizes-px", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--iterations", type=int, default=100)
    args = parser.parse_args()
    device = resolve_device(args.device)
    spawn = multiprocessing.get_context("spawn")

    def apart(function: Callable[..., Cost], *arguments: object) -> Cost:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            return pool.submit(function, *arguments).result()

    print(f"{device}, {torch.get_num_threads()} threads; L-BFGS from white noise")
    columns = "size | way | ms an iteration | evaluation | against plain | rounding | apart | MiB"
    print(f"| {columns} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    ways = dict.fromkeys(("plain", "fp32", chosen_precision("auto", device)))
    for size_px in args.sizes_px:
        plain: Cost | None = None
        for kind in ways:
            cost = apart(measure, kind, str(device), size_px, args.iterations)
            plain = plain or cost
            print(
                f"| {size_px} | {kind} | {1000 * cost.seconds:.0f} "
                f"| {1000 * cost.evaluation_s:.0f} | {plain.seconds / cost.seconds:.2f} x "
                f"| {cost.rounding:.0e} | {cost.objective / plain.objective - 1:+.2%} "
                f"| {cost.peak_mib:.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    run_program(main)
