"""Paint one photo by the iterative baseline, on the objective that networks train on.

python optimize.py PHOTO.jpg PAINTING.jpg -o out.png optimize.iterations=300
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from baselines.gatys import optimize_image
from configs.build import build_objective
from configs.schema import load_config
from data.images import check_writable
from data.tensors import read_rgb, write_image
from errors import run_program
from models.device import resolve_device
from progress import progress_bar


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Paint one photo by optimizing its pixels.")
    parser.add_argument("content", type=Path, metavar="CONTENT", help="the photo")
    parser.add_argument("style", type=Path, metavar="STYLE", help="the style image")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="optimize.init=content …")
    parser.add_argument("-o", "--output", type=Path, help="default: CONTENT_STYLE.png, here")
    parser.add_argument("--config", type=Path, help="a YAML file, as for train.py")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_intermixed_args()


def main() -> int:
    args = parse_arguments()
    config = load_config(args.config, args.overrides)
    device = resolve_device(args.device)
    output = args.output or Path(f"{args.content.stem}_{args.style.stem}.png")
    check_writable(output)
    content = read_rgb(args.content, longer_px=config.optimize.size_px).to(device)
    objective = build_objective(config.loss, args.style, config.style.size_px, device)

    trace: list[dict[str, float]] = []
    with progress_bar(config.optimize.iterations, "iteration") as progress:
        for painting in optimize_image(content, objective, config.optimize):
            trace.append(
                {
                    "iteration": painting.iteration,
                    **painting.losses,
                    "num_evaluations": painting.num_evaluations,
                    "elapsed_s": round(painting.elapsed_s, 3),
                }
            )
            terms = (f"{k.removesuffix('_loss')} {v:.3g}" for k, v in painting.losses.items())
            progress.set_postfix_str(", ".join(terms), refresh=False)
            progress.update(painting.iteration - progress.n)
            every = config.optimize.snapshot_every
            if every and painting.iteration and painting.iteration % every == 0:
                name = f"{output.stem}_{painting.iteration:05d}{output.suffix}"
                write_image(output.with_name(name), painting.picture)
    write_image(output, painting.picture)
    record = {"config": config.to_dict(), "trace": trace}
    output.with_suffix(".json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    if painting.iteration < config.optimize.iterations:
        print(f"no step lowers the objective any more after {painting.iteration} iterations")
    print(f"{output}: objective {painting.losses['total_loss']:.4g} ({painting.elapsed_s:.0f} s)")
    return 0


if __name__ == "__main__":
    run_program(main)
