"""Print what a training step costs: the plain way and ours, in one run, on the same photos.

    python -m benchmarks.train_step [--device auto] [--batch-size 4 16] [--compile] [--losses STEPS]

Plain: float32, NCHW, the content photo through the whole loss network, Gram matrices by autograd.
Ours: what train.py does; with --compile compiled too, and on a GPU in CUDA graphs. The limit is our
step's arithmetic at the rate that a 3 × 3 convolution of 128 channels reaches here, in the same
precision. --losses trains so many steps either way, from the same weights on the same photos, and
prints how far their losses differ.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from configs.build import build_network, build_objective
from configs.schema import load_config
from data.photos import PhotoCrops, Photos, PreparedPhotos, batches
from errors import CommandLine, run_program
from losses.functional import content_loss, tv_loss
from losses.perceptual import PerceptualLoss
from models.convolution import direct_convolutions
from models.device import chosen_precision, expect_same_sizes, in_precision, resolve_device
from training.compiling import compiled

ASSETS = Path(__file__).parents[1] / "assets"
STYLE_IMAGE = ASSETS / "styles/night_wind.jpg"
PHOTOS = ASSETS / "photos"
WARM_UP = 2
RATE_REPEATS = 50


@dataclass(frozen=True)
class Cost:
    """What a step of one kind took."""

    name: str
    seconds: float
    peak_mib: float
    gflop: float


def plain_step(network: nn.Module, objective: PerceptualLoss) -> Callable[[Tensor], Tensor]:
    """Return the step as a textbook has it."""
    layers, style = list(objective.style_layers), objective.targets[0].grams

    def gram(features: Tensor) -> Tensor:
        psi = features.flatten(2)
        return psi @ psi.transpose(1, 2) / psi[0].numel()

    def step(images: Tensor) -> Tensor:
        stylized = network(images)
        content = objective.loss_network(images, layers)["relu3_3"].detach()
        features = objective.loss_network(stylized, layers)
        total: Tensor = content_loss(features["relu3_3"], content) + 1e-6 * tv_loss(stylized)
        for name in layers:
            total = total + 5 * (gram(features[name]) - style[name]).square().mean()
        return total

    return step


def our_step(network: nn.Module, objective: PerceptualLoss) -> Callable[[Tensor], Tensor]:
    """Return the step that train.py takes."""

    def step(images: Tensor) -> Tensor:
        total: Tensor = objective(network(images), objective.content_features(images)).total_loss
        return total

    return step


class Training:
    """One kind of training: `plain`, `ours`, `compiled` or `graphs`."""

    def __init__(self, name: str, device: torch.device) -> None:
        torch.backends.cudnn.benchmark = True
        config = load_config(None)
        torch.manual_seed(0)
        self.layout = torch.contiguous_format if name == "plain" else torch.channels_last
        self.network = build_network(config.model).to(device).to(memory_format=self.layout)
        objective = build_objective(config.loss, STYLE_IMAGE, config.style.size_px, device)
        assert isinstance(objective.loss_network, nn.Module)
        objective.loss_network.to(memory_format=self.layout)
        output = list(self.network.layers[-1].parameters())
        hidden = list(self.network.parameters())[: -len(output)]
        rate = config.train.learning_rate
        groups: list[dict[str, Any]] = [
            {"params": hidden},
            {"params": output, "lr": rate * config.train.output_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, rate, fused=device.type == "cuda")
        step = (plain_step if name == "plain" else our_step)(self.network, objective)
        self._step = step
        if name in ("compiled", "graphs"):
            self._step = compiled(step, graphs=name == "graphs")
        precision = chosen_precision("fp32" if name == "plain" else "auto", device)
        self._autocast = in_precision(precision, device)

    def loss(self, photos: Tensor) -> Tensor:
        """Return the total loss of B × 3 × H × W photos."""
        with self._autocast:
            return self._step(photos.to(memory_format=self.layout))

    def train(self, photos: Tensor) -> float:
        """Take a step with these photos; return their loss before it."""
        self.optimizer.zero_grad()
        total = self.loss(photos)
        torch.autograd.backward(total)
        self.optimizer.step()
        return float(total.detach())


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(name: str, device_name: str, batch_size: int, size_px: int, repeats: int) -> Cost:
    """Return the cost of one kind of training's step, in a process of its own.

    Peak memory is the device's, or on the CPU the whole process's.
    """
    device = torch.device(device_name)
    if name != "plain":
        expect_same_sizes(batch_size * size_px**2)
    training = Training(name, device)
    photos = torch.rand(batch_size, 3, size_px, size_px, device=device)
    for _ in range(WARM_UP):
        training.train(photos)
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        started_s = time.perf_counter()
        training.train(photos)
        synchronize(device)
        seconds.append(time.perf_counter() - started_s)
    if device.type == "cuda":
        peak_mib = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    gflop = 0.0
    if name == "ours":
        with direct_convolutions(), FlopCounterMode(display=False) as counter:
            training.train(photos)
        gflop = counter.get_total_flops() / 1e9
    return Cost(name, median(seconds), peak_mib, gflop)


def compare_losses(name: str, device_name: str, batch_size: int, size_px: int, steps: int) -> str:
    """Return a line on how far the losses of one kind of step are from the plain step's.

    Two trainings drift apart by rounding alone, so each loss is taken a second time, with the
    weights that the plain training has at that step.
    """
    device = torch.device(device_name)
    plain, ours, beside = Training("plain", device), Training(name, device), Training(name, device)
    photos = Photos(PHOTOS)
    crops = PhotoCrops(PreparedPhotos(photos, 2 * size_px), photos.names, size_px, seed=0)
    theirs, alike, apart = [], [], []
    for batch in batches(crops, batch_size, 0, steps, num_workers=0):
        images = batch.images(device)
        beside.network.load_state_dict(plain.network.state_dict())
        with torch.no_grad():
            same = float(beside.loss(images))
        expected = plain.train(images)
        theirs.append(expected)
        alike.append(abs(same / expected - 1))
        apart.append(ours.train(images))
    last = max(1, steps // 10)
    return (
        f"{name}, {steps} steps at batch {batch_size}: with the same weights {max(alike):.1e} from "
        f"plain at most; the last {last} losses of a training of its own {mean(apart[-last:]):.4g} "
        f"in the mean, of the plain one {mean(theirs[-last:]):.4g}"
    )


def convolution_rate(device_name: str) -> float:
    """Return the GFLOP/s of a 3 × 3 convolution of 128 channels, forward, on 128 × 128 px.

    One image, on a GPU eight: on the CPU more would be new memory each time, which takes as long.
    """
    device = torch.device(device_name)
    torch.backends.cudnn.benchmark = True
    dtype = torch.bfloat16 if chosen_precision("auto", device) == "bf16" else torch.float32
    conv = nn.Conv2d(128, 128, 3, padding=1, bias=False, device=device, dtype=dtype)
    conv.to(memory_format=torch.channels_last)
    count = 8 if device.type == "cuda" else 1
    x = torch.rand(count, 128, 128, 128, device=device, dtype=dtype)
    x = x.to(memory_format=torch.channels_last)
    seconds = []
    with torch.no_grad():
        for _ in range(RATE_REPEATS + WARM_UP):
            synchronize(device)
            started_s = time.perf_counter()
            conv(x)
            synchronize(device)
            seconds.append(time.perf_counter() - started_s)
    return 2 * 9 * 128 * 128 * count * 128 * 128 / median(seconds[WARM_UP:]) / 1e9


def main() -> int:
    parser = CommandLine(description="What a training step costs.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[4])
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="our step compiled as well")
    parser.add_argument("--losses", type=int, metavar="STEPS", help="compare so many steps")
    args = parser.parse_args()
    device = resolve_device(args.device)
    kinds = ["plain", "ours"]
    if args.compile:
        kinds += ["compiled", "graphs"] if device.type == "cuda" else ["compiled"]
    spawn = multiprocessing.get_context("spawn")

    def apart(function: Callable[..., object], *arguments: object) -> object:
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            return pool.submit(function, *arguments).result()

    rate = apart(convolution_rate, str(device))
    assert isinstance(rate, float)
    precision = chosen_precision("auto", device)
    print(
        f"{device}, {args.size_px} x {args.size_px} px; {precision} convolution {rate:.0f} GFLOP/s"
    )
    print("| step | batch | ms | images a second | peak MiB | against plain | of the limit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for batch_size in args.batch_size:
        plain_s = gflop = 0.0
        for kind in kinds:
            cost = apart(measure, kind, str(device), batch_size, args.size_px, args.repeats)
            assert isinstance(cost, Cost)
            plain_s = plain_s or cost.seconds
            gflop = cost.gflop or gflop
            share = f"{gflop / rate / cost.seconds:.0%}" if gflop else "–"
            print(
                f"| {kind} | {batch_size} | {1000 * cost.seconds:.1f} "
                f"| {batch_size / cost.seconds:.2f} | {cost.peak_mib:.0f} "
                f"| {plain_s / cost.seconds:.2f} x | {share} |",
                flush=True,
            )
            if args.losses and kind != "plain":
                arguments = str(device), batch_size, args.size_px, args.losses
                print(apart(compare_losses, kind, *arguments), flush=True)
    return 0


if __name__ == "__main__":
    run_program(main)
