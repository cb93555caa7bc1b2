"""Print what a training step costs: the plain way and ours, in one run, on the same photos.

    python -m benchmarks.train_step

Plain: NCHW, the content photo through the whole loss network, Gram matrices by autograd. Ours: what
train.py does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from configs.build import build_network, build_objective
from configs.schema import load_config
from errors import run_program
from losses.functional import content_loss, tv_loss
from losses.perceptual import LossTerms, PerceptualLoss
from models.device import resolve_device

STYLE_IMAGE = Path(__file__).parents[1] / "assets/styles/night_wind.jpg"


def plain_step(network: nn.Module, objective: PerceptualLoss) -> Callable[[Tensor], Tensor]:
    """Return the step as a textbook has it."""
    layers = list(objective.style_layers)

    def gram(features: Tensor) -> Tensor:
        psi = features.flatten(2)
        return psi @ psi.transpose(1, 2) / psi[0].numel()

    def step(images: Tensor) -> Tensor:
        stylized = network(images)
        content = objective.loss_network(images, layers)["relu3_3"].detach()
        features = objective.loss_network(stylized, layers)
        total: Tensor = content_loss(features["relu3_3"], content) + 1e-6 * tv_loss(stylized)
        for name in layers:
            total = total + 5 * (gram(features[name]) - objective.style_grams[name]).square().mean()
        return total

    return step


def our_step(network: nn.Module, objective: PerceptualLoss) -> Callable[[Tensor], Tensor]:
    """Return the step that train.py takes."""

    def step(images: Tensor) -> Tensor:
        terms: LossTerms = objective(network(images), objective.content_features(images))
        return terms.total_loss

    return step


def main() -> int:
    parser = argparse.ArgumentParser(description="Milliseconds of a training step.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = resolve_device(args.device)
    config = load_config(None)
    torch.manual_seed(0)
    images = torch.rand(args.batch_size, 3, args.size_px, args.size_px, device=device)
    medians: dict[str, float] = {}
    for name, layout, make in (
        ("plain", torch.contiguous_format, plain_step),
        ("ours", torch.channels_last, our_step),
    ):
        network = build_network(config.model).to(device).to(memory_format=layout)
        objective = build_objective(config.loss, STYLE_IMAGE, config.style.size_px, device)
        objective.to(memory_format=layout)
        assert isinstance(objective.loss_network, nn.Module)
        objective.loss_network.to(memory_format=layout)
        optimizer = torch.optim.Adam(network.parameters())
        step = make(network, objective)
        photos = images.to(memory_format=layout)
        seconds = []
        for _ in range(args.repeats + 1):  # the first warms up
            started_s = time.perf_counter()
            optimizer.zero_grad()
            torch.autograd.backward(step(photos))
            optimizer.step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - started_s)
        medians[name] = median(seconds[1:])
        print(
            f"{name:6} {1000 * medians[name]:8.0f} ms a step, "
            f"{args.batch_size / medians[name]:7.2f} images a second",
            flush=True,
        )
    print(f"ratio  {medians['plain'] / medians['ours']:.2f}")
    return 0


if __name__ == "__main__":
    run_program(main)
