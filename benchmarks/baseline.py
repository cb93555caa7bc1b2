"""Print the baseline's mean objective by iteration, beside that of L-BFGS with a clip behind it.

    python -m benchmarks.baseline --photos DIR --style-image FILE --init noise --iterations 500

The photos are the first by name, shorter side 256 px, centre-cropped. The clipped figures are those
of docs/objective.md, for starry_night on four COCO photos, and mean something for these alone.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch

from baselines.gatys import optimize_image
from configs.build import build_objective
from configs.schema import load_config
from data.photos import Photos
from data.tensors import read_rgb
from errors import CommandLine, run_program

COLUMNS = (25, 50, 75, 100, 150, 200, 300, 400, 500)
CLIPPED = {
    "noise": (4.51e5, 2.82e5, 2.41e5, 2.10e5, 2.05e5, 1.92e5, 1.88e5, 2.02e5, 3.17e6),
    "content": (4.09e5, 2.36e5, 2.05e5, 1.91e5, 1.88e5, 1.86e5, 1.96e5),
}


def main() -> int:
    parser = CommandLine(description="The baseline's mean objective by iteration.")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--style-image", type=Path, required=True)
    parser.add_argument("--num-photos", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--init", choices=("noise", "content"), default="noise")
    parser.add_argument("--out", type=Path, help="JSON with every photo's trace")
    args = parser.parse_args()

    config = load_config(
        None, (f"optimize.init={args.init}", f"optimize.iterations={args.iterations}")
    )
    device = torch.device("cpu")
    objective = build_objective(config.loss, args.style_image, config.style.size_px, device)
    traces: dict[str, list[float]] = {}
    for name in Photos(args.photos).names[: args.num_photos]:
        content = read_rgb(args.photos / name, shorter_px=256, square=True)
        paintings = list(optimize_image(content, objective, config.optimize))
        values = [painting.losses["total_loss"] for painting in paintings]
        traces[name] = values + values[-1:] * (args.iterations + 1 - len(values))
        print(
            f"{name}: {values[-1]:.4g} after {len(values) - 1} iterations and "
            f"{paintings[-1].num_evaluations} evaluations, {paintings[-1].elapsed_s:.0f} s, "
            f"rose {sum(b > a for a, b in itertools.pairwise(values))} times",
            flush=True,
        )
        if args.out:
            args.out.write_text(json.dumps(traces), encoding="utf-8")
    print(f"{'iteration':>10} {'bounded':>10} {'clipped':>10} {'ratio':>7}")
    for index, column in enumerate(COLUMNS):
        if column <= args.iterations:
            mean = sum(trace[column] for trace in traces.values()) / len(traces)
            clipped = CLIPPED[args.init][index] if index < len(CLIPPED[args.init]) else float("nan")
            print(f"{column:10} {mean:10.4g} {clipped:10.4g} {mean / clipped:7.3f}")
    return 0


if __name__ == "__main__":
    run_program(main)
