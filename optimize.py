"""Paint one photo by the iterative baseline, on the objective that networks train on.

python optimize.py PHOTO.jpg PAINTING.jpg -o out.png optimize.iterations=300
"""

from __future__ import annotations

import argparse
import json
import pickle
import signal
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import threads  # noqa: F401, it is for torch to read

import torch

from baselines.gatys import Painting, optimize_image
from baselines.report import plot_trace
from baselines.scene import NONE, Scene, Sources, picture_sizes
from configs.schema import Config, load_config
from data.encoding import write_pixels
from data.formats import check_writable
from data.images import read_pixels
from data.pixels import Pixels
from data.resizing import resized
from data.tensors import to_pixels
from errors import CommandLine, Stopped, UserError, run_program
from inference.effects import with_photo_colors
from inference.film import write_film
from inference.film_formats import SUFFIXES as FILM_SUFFIXES
from inference.memory import available_bytes
from models.device import expect_same_sizes, resolve_device
from progress import progress_bar
from training.run_log import tensorboard_writer
from training.stop_signals import StopSignals
from whole_file import whole_file

FILM_RATE = 12  # snapshots a second
BYTES_A_PIXEL = 2_600
"""What the objective and its gradient take of the picture (docs/benchmarks.md)."""
BYTES_A_STYLE_PIXEL = 600
BYTES_A_PAIR = 2 * 3 * 4
"""What a pair of L-BFGS's keeps of each pixel."""
UNREADABLE = (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError)
"""What a state that is damaged, or of another version, ends in."""


def parse_arguments() -> argparse.Namespace:
    parser = CommandLine(
        usage="optimize.py CONTENT STYLE [STYLE ...] [key=value ...] [options]",
        description="Paint one photo by optimizing its pixels. CONTENT none makes a texture of the "
        "style, STYLE none brings the photo back from its features.",
    )
    parser.add_argument("arguments", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help="default: CONTENT_STYLE.png, here")
    parser.add_argument(
        "--style-weight", type=float, action="append", default=[], help="once for each style image"
    )
    parser.add_argument(
        "--style-mask",
        action="append",
        default=[],
        metavar="FILE",
        help="white where it goes, once for each style image (none: everywhere)",
    )
    parser.add_argument(
        "--preserve-color", action="store_true", help="write the photo's colours, not the style's"
    )
    parser.add_argument("--film", type=Path, help="of the snapshots: .mp4, .gif, .webp …")
    parser.add_argument("--plot", action="store_true", help="the objective by iteration")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="the same, and snapshots")
    parser.add_argument("--config", type=Path, help="a YAML file, as for train.py")
    parser.add_argument("--resume", action="store_true", help="go on where it was stopped")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_intermixed_args()
    given = args.arguments
    args.overrides = [text for text in given if "=" in text and not Path(text).exists()]
    args.images = [text for text in given if text not in args.overrides]
    if len(args.images) < 2:
        parser.error(f"{len(args.images)} images; expected CONTENT and STYLE, either may be {NONE}")
    return args


def main() -> int:
    args = parse_arguments()
    content, *styles = args.images
    sources = Sources.named(content, styles, args.style_weight, args.style_mask)
    config = load_config(args.config, args.overrides)
    device = resolve_device(args.device)
    output = args.output or Path(f"{sources.stem}.png")
    check_writable(output)
    if args.film:
        check_writable(args.film, FILM_SUFFIXES)
    sizes = picture_sizes(sources, config)
    check_memory(sizes[-1], config, device)
    expect_same_sizes(sizes[-1][0] * sizes[-1][1])
    state_path = output.with_suffix(".state.pt")
    state = load_state(state_path, sources, config) if args.resume else {}
    trace: list[dict[str, Any]] = state.get("trace", [])
    iterations = config.optimize.iterations
    total = len(sizes) * iterations
    painting = Painting.from_state_dict(state["painting"], device) if state else None

    with ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        progress = stack.enter_context(progress_bar(total, "iteration", at_once=False))
        board = None
        if args.tensorboard:
            board = stack.enter_context(tensorboard_writer(args.tensorboard, len(trace)))
        for level, size in enumerate(sizes):
            if level < state.get("level", 0):
                continue
            scene = Scene(sources, config, size, sizes[-1], device)
            start = painting if state else scene.start(painting.picture if painting else None)
            state, before = {}, level * iterations
            before_s = max((t["elapsed_s"] for t in trace if t["iteration"] <= before), default=0)
            for painting in optimize_image(scene.content, scene.objective, config.optimize, start):
                iteration = before + painting.iteration
                if not trace or iteration > trace[-1]["iteration"]:
                    elapsed_s = round(before_s * (level > 0) + painting.elapsed_s, 3)
                    evaluations = {"num_evaluations": painting.num_evaluations}
                    values = painting.losses | evaluations | {"elapsed_s": elapsed_s}
                    trace.append({"iteration": iteration, "size_px": max(size)} | values)
                    if board:
                        for name, value in painting.losses.items():
                            board.add_scalar(f"optimize/{name}", value, iteration)
                terms = (f"{k.removesuffix('_loss')} {v:.3g}" for k, v in painting.losses.items())
                progress.set_postfix_str(", ".join(terms), refresh=False)
                progress.update(iteration - progress.n)
                every = config.optimize.snapshot_every
                if every and painting.iteration and iteration % every == 0:
                    snapshot = finished(painting, scene, args.preserve_color)
                    write_pixels(snapshot_path(output, iteration), snapshot)
                    if board:
                        board.add_image("picture", snapshot, iteration, dataformats="HWC")
                if stop.number:
                    break
            if stop.number:
                break
    assert painting is not None
    write_pixels(output, finished(painting, scene, args.preserve_color))
    record = {"config": config.to_dict(), "images": sources.to_dict(), "trace": trace}
    output.with_suffix(".json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    if args.plot:
        plot_trace(trace, output.with_name(f"{output.stem}_trace.png"))
    if stop.number and iteration < total:
        progressed = {"painting": painting.state_dict(), "level": level, "trace": trace}
        with whole_file(state_path) as beside:
            torch.save(
                {"config": record["config"], "images": record["images"]} | progressed, beside
            )
        print(
            f"stopped by {signal.Signals(stop.number).name} after iteration {iteration}, and "
            f"saved: {output}; go on with --resume",
            file=sys.stderr,
        )
        raise Stopped(stop.number)
    state_path.unlink(missing_ok=True)
    if args.film:
        make_film(output, iteration, args.film)
    if painting.iteration < iterations:
        print(f"no step lowers the objective any more after {painting.iteration} iterations")
    objective = painting.losses["total_loss"]
    print(f"{output}: objective {objective:.4g} ({trace[-1]['elapsed_s']:.0f} s)")
    return 0


def check_memory(size: tuple[int, int], config: Config, device: torch.device) -> None:
    """Raise UserError, before any work is done, for sizes that the CPU's memory cannot hold."""
    pairs = config.optimize.history if config.optimize.method == "lbfgs" else 2
    style_px = config.style.size_px
    for name, side_px, pixels, each in (
        ("optimize.size_px", max(size), size[0] * size[1], BYTES_A_PIXEL + pairs * BYTES_A_PAIR),
        ("style.size_px", style_px, style_px**2, BYTES_A_STYLE_PIXEL),
    ):
        needed, there = pixels * each, available_bytes()
        if device.type == "cpu" and needed > there:
            raise UserError(
                f"{name}: {side_px} px take about {needed / 2**30:.1f} GiB of memory; expected at "
                f"most the {there / 2**30:.1f} GiB that are free. Set it to "
                f"{0.95 * side_px * (there / needed) ** 0.5:.0f} or less."
            )


def finished(painting: Painting, scene: Scene, preserve_color: bool) -> Pixels:
    """Return what is written of a painting."""
    pixels = to_pixels(painting.picture)
    if preserve_color and scene.content is not None:
        pixels = with_photo_colors(pixels, to_pixels(scene.content))
    return pixels


def snapshot_path(output: Path, iteration: int) -> Path:
    """Return the file of the picture after an iteration."""
    return output.with_name(f"{output.stem}_{iteration:05d}{output.suffix}")


def make_film(output: Path, iteration: int, path: Path) -> None:
    """Write a film of the snapshots before an iteration, and of the picture, at its size."""
    last = read_pixels(output)
    size = last.shape[1], last.shape[0]
    found = (snapshot_path(output, i) for i in range(1, iteration))
    frames = (resized(read_pixels(snapshot), size) for snapshot in found if snapshot.is_file())
    write_film(chain(frames, [last]), path, FILM_RATE)


def load_state(path: Path, sources: Sources, config: Config) -> dict[str, Any]:
    """Return what a stopped optimization has left. Raises UserError."""
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; expected what a stopped optimization left. Check -o, or start "
            "without --resume."
        )
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before, images = state["config"], state["images"]
        Painting.from_state_dict(state["painting"], torch.device("cpu"))
    except UNREADABLE as error:
        raise UserError(
            f"{path}: cannot be read ({str(error).splitlines()[0][:80]}); expected a whole state. "
            "Start without --resume."
        ) from error
    if images != sources.to_dict():
        raise UserError(
            f"{path}: is of {_listed(images)}; expected {_listed(sources.to_dict())}. Name "
            "those, or start without --resume."
        )
    now = config.to_dict()
    if config.optimize.num_sizes == 1:
        before["optimize"]["iterations"] = now["optimize"]["iterations"]
    if before != now:
        raise UserError(
            f"{path}: is of another config; expected the same but for optimize.iterations. Change "
            "it back, or start without --resume."
        )
    return state


def _listed(images: dict[str, Any]) -> str:
    return "; ".join(f"{key}: {value}" for key, value in images.items())


if __name__ == "__main__":
    run_program(main)
