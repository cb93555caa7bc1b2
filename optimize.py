"""Paint one photo by the iterative baseline, on the objective that networks train on.

python optimize.py PHOTO.jpg PAINTING.jpg -o out.png optimize.iterations=300
"""

from __future__ import annotations

import argparse
import json
import pickle
import signal
import sys
from pathlib import Path

import torch

from baselines.gatys import Painting, optimize_image
from configs.build import build_objective
from configs.schema import Config, load_config
from data.images import check_writable
from data.tensors import read_rgb, write_image
from errors import Stopped, UserError, run_program
from models.device import keep_freed_memory, resolve_device
from progress import progress_bar
from training.stop_signals import StopSignals
from whole_file import whole_file


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Paint one photo by optimizing its pixels.")
    parser.add_argument("content", type=Path, metavar="CONTENT", help="the photo")
    parser.add_argument("style", type=Path, metavar="STYLE", help="the style image")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="optimize.init=content …")
    parser.add_argument("-o", "--output", type=Path, help="default: CONTENT_STYLE.png, here")
    parser.add_argument("--config", type=Path, help="a YAML file, as for train.py")
    parser.add_argument("--resume", action="store_true", help="go on where it was stopped")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_intermixed_args()


def main() -> int:
    args = parse_arguments()
    config = load_config(args.config, args.overrides)
    device = resolve_device(args.device)
    keep_freed_memory()
    output = args.output or Path(f"{args.content.stem}_{args.style.stem}.png")
    check_writable(output)
    state_path = output.with_suffix(".state.pt")
    resume, trace = load_state(args, state_path, config, device) if args.resume else (None, [])
    content = read_rgb(args.content, longer_px=config.optimize.size_px).to(device)
    objective = build_objective(config.loss, args.style, config.style.size_px, device)

    with (
        StopSignals() as stop,
        progress_bar(config.optimize.iterations, "iteration") as progress,
    ):
        for painting in optimize_image(content, objective, config.optimize, resume):
            if len(trace) <= painting.iteration:  # the one resumed from is there already
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
            if stop.number and painting.iteration < config.optimize.iterations:
                break
    write_image(output, painting.picture)
    record = {"config": config.to_dict(), "trace": trace}
    output.with_suffix(".json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    if stop.number and painting.iteration < config.optimize.iterations:
        state = {"painting": painting.state_dict(), "trace": trace, "config": config.to_dict()}
        with whole_file(state_path) as beside:
            torch.save(state | {"images": images_of(args)}, beside)
        name = signal.Signals(stop.number).name
        print(
            f"stopped by {name} after iteration {painting.iteration}, and saved: {output}; go on "
            "with --resume",
            file=sys.stderr,
        )
        raise Stopped(stop.number)
    state_path.unlink(missing_ok=True)
    if painting.iteration < config.optimize.iterations:
        print(f"no step lowers the objective any more after {painting.iteration} iterations")
    print(f"{output}: objective {painting.losses['total_loss']:.4g} ({painting.elapsed_s:.0f} s)")
    return 0


def images_of(args: argparse.Namespace) -> list[str]:
    """Return the names of the photo and the style image."""
    return [args.content.name, args.style.name]


def load_state(
    args: argparse.Namespace, path: Path, config: Config, device: torch.device
) -> tuple[Painting, list[dict[str, float]]]:
    """Return where the optimization stopped, and its trace. Raises UserError."""
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; expected what a stopped optimization left. Check -o, or start "
            "without --resume."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        painting = Painting.from_state_dict(state["painting"], device)
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{path}: cannot be read ({str(error).splitlines()[0][:80]}); expected a whole state. "
            "Start without --resume."
        ) from error
    if state["images"] != images_of(args):
        found, now = (" and ".join(names) for names in (state["images"], images_of(args)))
        raise UserError(
            f"{path}: is of {found}; expected {now}. Name those, or start without --resume."
        )
    iterations = {"optimize": {**config.to_dict()["optimize"], "iterations": 0}}
    before = {"optimize": {**state["config"]["optimize"], "iterations": 0}}
    if {**state["config"], **before} != {**config.to_dict(), **iterations}:
        raise UserError(
            f"{path}: is of another config; expected the same but for optimize.iterations. Change "
            "it back, or start without --resume."
        )
    return painting, state["trace"]


if __name__ == "__main__":
    run_program(main)
