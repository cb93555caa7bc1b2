"""Print what float16 weights of the loss network change: the objective under both, photo by photo.

    python -m benchmarks.weights --weights VGG16.safetensors --photos DIR --style-image FILE

Three pictures of each photo are scored: white noise, the photo itself, and the baseline's after 20
iterations from the photo.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import torch

from baselines.gatys import optimize_image, start_image
from configs.build import build_objective
from configs.schema import OptimizeConfig, load_config
from data.photos import Photos
from data.tensors import read_rgb
from errors import CommandLine, run_program


def main() -> int:
    parser = CommandLine(description="The objective with float16 and float32 weights.")
    parser.add_argument("--weights", required=True, help="the same network in float32")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--style-image", type=Path, required=True)
    parser.add_argument("--num-photos", type=int, default=4)
    args = parser.parse_args()

    config = load_config(None)
    objectives = [
        build_objective(
            dataclasses.replace(config.loss, weights=weights),
            args.style_image,
            config.style.size_px,
            torch.device("cpu"),
        )
        for weights in ("bundled", args.weights)
    ]
    print(f"{'photo':22} {'picture':12} {'float16':>12} {'float32':>12} {'difference':>11}")
    for name in Photos(args.photos).names[: args.num_photos]:
        photo = read_rgb(args.photos / name, shorter_px=256, square=True)
        from_photo = OptimizeConfig(init="content", iterations=20)
        *_, painted = itertools.islice(optimize_image(photo, objectives[1], from_photo), 21)
        noise = start_image(photo, OptimizeConfig())
        for what, picture in (("noise", noise), ("photo", photo), ("optimized", painted.picture)):
            with torch.no_grad():
                half, full = (
                    float(o(picture, o.content_features(photo)).total_loss) for o in objectives
                )
            print(f"{name:22} {what:12} {half:12.6g} {full:12.6g} {half / full - 1:+11.2e}")
    return 0


if __name__ == "__main__":
    run_program(main)
