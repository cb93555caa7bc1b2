"""Compare a trained network with the iterative baseline: the same photos, the same objective.

python compare.py --style starry_night --style-image PAINTING.jpg --photos DIR --out DIR
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from statistics import median

import torch

from baselines.gatys import optimize_image
from baselines.report import Comparison, PhotoResult, write_report
from configs.build import build_objective
from configs.schema import INITS, config_from_dict
from data.photos import Photos
from data.tensors import decode_rgb, picture_grid, write_image
from errors import run_program
from models.device import resolve_device
from models.layout import MIN_SIZE_PX
from models.style_file import find_style, load_style
from models.transformer_net import TransformerNet
from progress import progress_bar

TIMED_PASSES = 5
SHOWN = 6


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The network against the iterative baseline.")
    parser.add_argument("--style", required=True, metavar="NAME|FILE", help="the trained style")
    parser.add_argument("--style-image", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--photos", type=Path, required=True, help="a folder, .zip or .txt list")
    parser.add_argument("--out", type=Path, required=True, help="the report's folder")
    parser.add_argument("--num-photos", type=int, default=10, help="the first so many by name")
    parser.add_argument("--sizes-px", type=int, nargs="+", default=[256], help="square photos")
    parser.add_argument("--steps", type=int, default=500, help="the baseline's iterations")
    parser.add_argument("--init", choices=INITS, default="noise", help="the baseline's start")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()
    for name in ("num_photos", "steps"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(args, name)}; expected at least 1")
    if min(args.sizes_px) < MIN_SIZE_PX:
        parser.error(f"--sizes-px {min(args.sizes_px)}; expected at least {MIN_SIZE_PX}")
    return args


def main() -> int:
    args = parse_arguments()
    device = resolve_device(args.device)
    network, info = load_style(find_style(args.style), device)
    config = config_from_dict(info.config, args.style)
    optimize = dataclasses.replace(config.optimize, init=args.init, iterations=args.steps)
    objective = build_objective(config.loss, args.style_image, config.style.size_px, device)
    photos = Photos(args.photos)
    names = photos.names[: args.num_photos]

    results: list[PhotoResult] = []
    rows: list[list[torch.Tensor]] = []
    total = len(names) * len(args.sizes_px) * args.steps
    with progress_bar(total, "iteration") as progress:
        for size_px in args.sizes_px:
            for name in names:
                content = decode_rgb(photos.read(name), name, shorter_px=size_px, square=True)
                content = content.to(device)
                with torch.no_grad():
                    stylized = network(content)
                    terms = objective(stylized, objective.content_features(content))
                baseline, baseline_s = [], []
                for painting in optimize_image(content, objective, optimize):
                    baseline.append(painting.losses)
                    baseline_s.append(painting.elapsed_s)
                    progress.update(min(painting.iteration, 1))
                results.append(
                    PhotoResult(
                        photo=name,
                        size_px=size_px,
                        network=terms.floats(),
                        network_s=time_network(network, content),
                        baseline=baseline,
                        baseline_s=baseline_s,
                    )
                )
                if len(rows) < SHOWN:
                    rows.append([content.cpu(), stylized.cpu(), painting.picture.cpu()])

    comparison = Comparison(
        style=info.name,
        style_image=args.style_image.name,
        config=config.to_dict(),
        init=args.init,
        steps=args.steps,
        device=str(device),
        results=results,
    )
    write_report(comparison, args.out)
    titles = ("photo", "network, one pass", f"baseline, {args.steps} iterations")
    write_image(args.out / "pictures.png", picture_grid(rows, titles))
    print(f"{args.out / 'report.md'}, report.json, objective.png, pictures.png")
    return 0


@torch.inference_mode()
def time_network(network: TransformerNet, content: torch.Tensor) -> float:
    """Return the seconds of one forward pass, median of several after one that warms up."""
    network(content)
    seconds = []
    for _ in range(TIMED_PASSES):
        started_s = time.perf_counter()
        network(content).cpu()  # there, a GPU has finished too
        seconds.append(time.perf_counter() - started_s)
    return median(seconds)


if __name__ == "__main__":
    run_program(main)
