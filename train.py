"""Train a style: a transformation network against the frozen loss network.

python train.py configs/quickstart.yaml data.root=PHOTOS style.image=PAINTING.jpg
torchrun --nproc-per-node=8 train.py …
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections import ChainMap
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import threads  # noqa: F401, it is for torch to read

import torch
from torch import Tensor

from configs.build import build_network, build_objective
from configs.schema import Config, TrainConfig, load_config
from data.photo_cache import PhotoCache
from data.photos import Batch, PhotoCrops, Photos, PreparedPhotos, batches, workers_beside
from errors import CommandLine, Stopped, UserError, run_program
from losses.perceptual import LossTerms
from models.device import chosen_precision, expect_same_sizes, in_precision
from models.style_file import SUFFIX, StyleInfo, save_style
from models.transformer_net import TransformerNet
from progress import progress_bar
from provenance import device_name
from training.checkpoints import RunState, checkpoints, load_last_checkpoint, save_checkpoint
from training.compiling import compiled
from training.heldout import open_heldout
from training.history import History
from training.muon import Muon
from training.processes import Processes
from training.run_log import RunLog
from training.stop_signals import StopSignals
from training.teacher import Teacher

FREE_TO_CHANGE = (
    "train.max_steps",
    "train.save_every_steps",
    "data.num_workers",
    "data.cache",
    "log",
)
"""What a resumed run may change and still be the same run."""


def parse_arguments() -> argparse.Namespace:
    parser = CommandLine(description="Train styles (docs/training.md).")
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="CONFIG | key=value",
        help="YAML files, like configs/quickstart.yaml, a style each; and train.max_steps=500 …",
    )
    parser.add_argument("--out", type=Path, help="a run's folder (several: theirs are inside it)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--compile", action="store_true", help="with torch.compile: for long runs")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--print-config", action="store_true", help="print the config and stop")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_intermixed_args()


def main() -> int:
    args = parse_arguments()
    paths = [Path(argument) for argument in args.arguments if "=" not in argument]
    overrides = [argument for argument in args.arguments if "=" in argument]
    if not paths:
        raise UserError("no config; expected a YAML file. The ready ones are in configs/.")
    required = () if args.print_config else ("data.root", "style.image")
    configs = [load_config(path, overrides, required) for path in paths]
    if args.print_config:
        print("---\n".join(config.to_yaml() for config in configs), end="")
        return 0
    names = [config.name for config in configs]
    if len(set(names)) < len(names):
        raise UserError(f"names {', '.join(names)}; expected a different one in each config.")
    expect_same_sizes(max(c.train.batch_size * c.data.size_px**2 for c in configs))
    with Processes(args.device) as processes:
        for config in configs:
            out = args.out or Path("runs") / config.name
            if args.out and len(configs) > 1:
                out = args.out / config.name
            train(config, out, args.resume, processes, args.compile)
    return 0


def train(
    config: Config, out: Path, resume: bool, processes: Processes, compiles: bool = False
) -> None:
    """Train the style of `config`, with everything that is kept of it in the folder `out`."""
    max_steps, batch_size = config.train.max_steps, config.train.batch_size
    device, is_first = processes.device, processes.is_first
    processes.check_batch_size(batch_size)
    checkpoint = open_run(out, resume, config)
    processes.wait()  # all have looked before one writes
    if checkpoint and checkpoint["step"] >= max_steps:
        if is_first:
            print(f"{out}: already at step {checkpoint['step']} of {max_steps}")
        return

    # the photos to train on, those to score on, and the objective
    photos = Photos(Path(config.data.root))
    names, heldout = open_heldout(photos, config.data, device)
    num_workers = config.data.num_workers
    if num_workers < 0:
        share = batch_size // processes.count
        num_workers = workers_beside(device, 3 * config.data.size_px**2 * share)
    shorter_px = round(config.data.size_px * config.data.max_zoom)
    prepared = PreparedPhotos(photos, shorter_px)
    if config.data.cache:
        prepared = cache = PhotoCache(photos, shorter_px, Path(config.data.cache))
        if is_first:
            cache.build(num_workers)
        processes.wait()
    style_image = Path(config.style.image)
    objective = build_objective(config.loss, style_image, config.style.size_px, device)

    # the network, fresh or as the checkpoint left it
    torch.manual_seed(config.train.seed)
    network = build_network(config.model, config.train.start).to(device)
    painter = processes.wrap(network)
    optimizers = build_optimizers(network, config.train, device)
    precision = chosen_precision(config.train.precision, device)
    autocast = in_precision(precision, device)
    run = RunState(network, optimizers)
    devices = device_name(str(device), processes.count, precision)
    history = History(config, devices, len(names))
    if checkpoint:
        run.load_state_dict(checkpoint)
        history.load_state_dict(checkpoint.get("runs_before", []))

    def score(images: Tensor) -> LossTerms:
        terms: LossTerms = objective(painter(images), objective.content_features(images))
        return terms

    if compiles:
        score = compiled(score)

    # a teacher's paintings first, where there is one
    teacher = Teacher(config.train.teacher, device) if config.train.teacher else None
    teacher_steps = round(config.train.teacher_share * max_steps)

    def draw_batches() -> Generator[Batch, None, None]:
        size_px = config.data.size_px
        small_steps = round(config.train.small_share * max_steps)
        for part, first, last in ((2, 0, small_steps), (1, small_steps, max_steps)):
            crops = PhotoCrops(prepared, names, size_px, config.train.seed, run.draw, part)
            where = (max(first, run.step), last, num_workers, processes.rank, processes.count)
            yield from batches(crops, batch_size, *where)

    with (
        StopSignals() as stop,
        RunLog(out, run.step if checkpoint else None, config.to_yaml(), is_first) as log,
        progress_bar(max_steps, "step", run.step, is_first) as progress,
        ExitStack() as at_end,
    ):
        started_s = time.perf_counter() - run.elapsed_s
        logged_step, logged_s = run.step, run.elapsed_s
        losses: dict[str, float] = {}

        def tell(text: str) -> None:
            if is_first:
                progress.write(text, file=sys.stderr)

        def look() -> None:
            if is_first and heldout.photos:
                terms = heldout.score(network, objective)
                log.heldout(run.step, terms, heldout.pictures(network, style_image))
                losses.update({f"heldout_{name}": value for name, value in terms.items()})
                total = terms["total_loss"]
                tell(f"step {run.step}: held-out objective {total:.4g}")

        def save() -> None:
            if is_first:
                run.elapsed_s = time.perf_counter() - started_s
                state = {"config": config.to_dict(), "runs_before": history.state_dict()}
                save_checkpoint(out / "checkpoints", run.step, run.state_dict() | state)
                runs = history.runs(run.step, run.elapsed_s, losses.get("heldout_total_loss"))
                info = StyleInfo(config.name, config.to_dict(), run.step, losses, len(names), runs)
                save_style(out / f"style{SUFFIX}", network, info)

        if not checkpoint:
            look()
            save()
        stream = draw_batches()
        at_end.callback(lambda: stream.close())  # its workers heed no signal, only this
        while run.step < max_steps:
            batch = next(stream)
            rate = learning_rate(config.train, run.step)
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = group["rate"] * rate

            # paint the photos, score the paintings, and see what each weight did to the score
            images = batch.images(device)  # B × 3 × H × W
            with autocast:
                if teacher and run.step < teacher_steps:
                    terms = teacher.score(painter, images)
                else:
                    terms = score(images)
            network.zero_grad()
            torch.autograd.backward(terms.total_loss)

            # the only numbers of a step that a GPU is waited for; what one process met concerns all
            numbers = terms.floats(gradient_norm=gradient_norm(network))
            broken = None if all_finite(numbers) else terms.first_nonfinite() or "gradient"
            is_broken, stop_number, is_skipped = processes.agree(
                [broken is not None, stop.number, bool(batch.skipped)]
            )
            if is_skipped:
                skipped = dict(ChainMap(*processes.gather(batch.skipped)))
                if log.note_skipped(skipped):
                    tell(f"skipped unreadable photos: {len(log.skipped)} ({out}/skipped.txt)")

            # a broken number must not reach the weights: back, and on with other photos, once
            if is_broken:
                what = describe(run.step + 1, processes.gather((broken, batch.names)))
                if run.draw:
                    raise UserError(
                        f"{what}, for the second time; expected a finite number. Lower "
                        "train.learning_rate or the loss weights in a new run; "
                        f"{out / 'checkpoints'} has the last good weights."
                    )
                run.load_state_dict(load_last_checkpoint(out / "checkpoints") or {})
                run.draw += 1
                log.go_back(run.step)
                progress.n = logged_step = run.step
                logged_s = time.perf_counter() - started_s
                tell(f"{what}: back to step {run.step}, and on with other photos")
                stream.close()
                stream = draw_batches()
                continue

            # learn from it
            for optimizer in optimizers:
                optimizer.step()
            run.step += 1

            # write down where we are
            is_last = run.step == max_steps
            norm = numbers.pop("gradient_norm")
            losses |= numbers
            progress.set_postfix_str(
                f"total {losses['total_loss']:.3g}, content {losses['content_loss']:.3g}, "
                f"style {losses['style_loss']:.3g}",
                refresh=False,
            )
            progress.update()
            if run.step % config.log.log_every_steps == 0 or is_last:
                elapsed_s = time.perf_counter() - started_s
                steps_per_s = (run.step - logged_step) / (elapsed_s - logged_s)
                logged_step, logged_s = run.step, elapsed_s
                layers = processes.mean(terms.layer_floats())
                log.metrics(
                    run.step,
                    processes.mean(numbers) | {"steps_per_s": steps_per_s, "elapsed_s": elapsed_s},
                    layers | {"learning_rate": rate, "gradient_norm": norm},
                )
            if run.step % config.log.image_every_steps == 0 or is_last:
                look()
            if run.step % config.train.save_every_steps == 0 or is_last or stop_number:
                save()
            if stop_number and not is_last:
                name = signal.Signals(stop_number).name
                tell(f"stopped by {name} after step {run.step}, and saved: go on with --resume")
                raise Stopped(stop_number)
    if is_first:
        print(f"{out / f'style{SUFFIX}'}: {max_steps} steps in {run.elapsed_s / 60:.1f} min")


def build_optimizers(
    network: TransformerNet, config: TrainConfig, device: torch.device
) -> list[torch.optim.Optimizer]:
    """Return what moves the weights; a group's "rate" is its share of the learning rate."""
    *hidden, output = network.layers
    weights = [p for layer in hidden for p in layer.parameters()]
    kernels = [p for p in weights if p.ndim == 4 and config.optimizer == "muon"]
    others = [p for p in weights if p.ndim != 4 or config.optimizer == "adam"]
    # Adam moves every weight alike, and no normalisation follows the last layer: at the full rate
    # its 2,592 inputs together drive tanh into saturation (docs/training.md).
    groups = [
        {"params": others, "rate": 1.0},
        {"params": list(output.parameters()), "rate": config.output_rate},
    ]
    adam = torch.optim.Adam(groups, fused=device.type == "cuda")
    return [adam, Muon([{"params": kernels, "rate": 1.0}])] if kernels else [adam]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of update number `step`, counted from 0."""
    rate = config.learning_rate * min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.lr_schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / config.max_steps))
    return rate


def open_run(out: Path, resume: bool, config: Config) -> dict[str, Any] | None:
    """Return the checkpoint to go on from, or None for a fresh run.

    Raises UserError for a fresh run into a folder that holds one (nothing is overwritten), and for
    resuming with another config than the run's.
    """
    folder = out / "checkpoints"
    if not resume:
        if (out / "metrics.jsonl").exists() or checkpoints(folder):
            raise UserError(
                f"{out}: holds a run already; expected a new folder. Go on with --resume, or "
                "choose another with --out."
            )
        return None
    state = load_last_checkpoint(folder)
    if state is None:
        return None
    before, now = flatten(state["config"]), flatten(config.to_dict())
    changed = [
        f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
        for key in now
        if before.get(key) != now[key] and not key.startswith(FREE_TO_CHANGE)
    ]
    if changed:
        raise UserError(
            f"{out}: {'; '.join(changed)}; expected the config that the run began with "
            f"({out / 'config.yaml'}). Change it back, or start a new run with --out."
        )
    return state


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def gradient_norm(network: torch.nn.Module) -> Tensor:
    """Return the length of the network's gradient, a scalar: inf or NaN if any of it is."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def all_finite(numbers: Mapping[str, float]) -> bool:
    """Return whether none of the numbers is inf or NaN."""
    return all(map(math.isfinite, numbers.values()))


def describe(step: int, broken: Sequence[tuple[str | None, Sequence[str]]]) -> str:
    """Return what broke at a step, from each process's broken term (or None) and photos."""
    term, names = next(one for one in broken if one[0] is not None)
    return f"step {step}: {term} is inf or NaN, with the photos {', '.join(names)}"


if __name__ == "__main__":
    run_program(main)
