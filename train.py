"""Train one style: a transformation network against the frozen loss network.

python train.py configs/quickstart.yaml data.root=PHOTOS style.image=PAINTING.jpg
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from configs.build import build_network, build_objective
from configs.schema import Config, TrainConfig, load_config
from data.photos import PhotoCrops, Photos, batches
from errors import UserError, run_program
from models.device import resolve_device
from models.style_file import SUFFIX, StyleInfo, save_style
from progress import progress_bar
from training.checkpoints import (
    checkpoints,
    load_last_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from training.heldout import open_heldout
from training.run_log import RunLog

FREE_TO_CHANGE = (
    "train.max_steps",
    "train.save_every_steps",
    "data.num_workers",
    "log",
)
"""What a resumed run may change and still be the same run."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train one style (docs/training.md).")
    parser.add_argument("config", type=Path, help="a YAML file, like configs/quickstart.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="train.max_steps=500 …")
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/NAME)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--print-config", action="store_true", help="print the config and stop")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_intermixed_args()


def main() -> int:
    args = parse_arguments()
    required = () if args.print_config else ("data.root", "style.image")
    config = load_config(args.config, args.overrides, required)
    if args.print_config:
        print(config.to_yaml(), end="")
        return 0
    device = resolve_device(args.device)
    out = args.out or Path("runs") / config.name
    checkpoint = open_run(out, args.resume, config)
    step, max_steps = (checkpoint["step"] if checkpoint else 0), config.train.max_steps
    if step >= max_steps:
        print(f"{out}: already at step {step} of {max_steps}")
        return 0

    # the photos to train on, those to score on, and the objective
    photos = Photos(Path(config.data.root))
    names, heldout = open_heldout(photos, config.data, device)
    crops = PhotoCrops(photos, names, config.data.size_px, config.train.seed, config.data.max_zoom)
    objective = build_objective(config.loss, Path(config.style.image), config.style.size_px, device)

    # the network, fresh or as the checkpoint left it
    torch.manual_seed(config.train.seed)
    network = build_network(config.model).to(device)
    # Adam moves every weight alike, and no normalisation follows the last layer: at the full rate
    # its 2,592 inputs together drive tanh into saturation (docs/training.md).
    *hidden, output = network.layers
    optimizer = torch.optim.Adam(
        [
            {"params": [p for layer in hidden for p in layer.parameters()], "rate": 1.0},
            {"params": list(output.parameters()), "rate": config.train.output_rate},
        ]
    )
    elapsed_s = 0.0
    if checkpoint:
        network.load_state_dict(checkpoint["network"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        set_random_state(checkpoint["random_state"])
        elapsed_s = checkpoint["elapsed_s"]

    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    with (
        RunLog(out, step) as log,
        progress_bar(max_steps, "step", initial=step) as progress,
    ):
        log.text("config", config.to_yaml())
        heldout_losses: dict[str, float] = {}
        if step == 0 and heldout.photos:
            heldout_losses = heldout.score(network, objective)
            log.heldout(
                step,
                heldout_losses,
                heldout.pictures(network, Path(config.style.image)),
            )
        started_s = time.perf_counter() - elapsed_s
        logged_step, logged_s = step, elapsed_s

        for batch in batches(
            crops, config.train.batch_size, step, max_steps, config.data.num_workers
        ):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * learning_rate(config.train, step)

            # paint the photos, and score the paintings
            images = batch.images.to(device, memory_format=torch.channels_last)  # B × 3 × H × W
            terms = objective(network(images), objective.content_features(images))

            # learn from it, unless a number is broken: then the weights stay as they were
            stop_unless_finite(terms.first_nonfinite(), step, batch.names, out)
            optimizer.zero_grad()
            terms.total_loss.backward()
            norm = torch.nn.utils.get_total_norm(
                p.grad for p in network.parameters() if p.grad is not None
            )
            stop_unless_finite(None if norm.isfinite() else "gradient", step, batch.names, out)
            optimizer.step()
            step += 1

            # write down where we are
            losses = terms.floats()
            progress.set_postfix_str(
                f"total {losses['total_loss']:.3g}, content {losses['content_loss']:.3g}, "
                f"style {losses['style_loss']:.3g}",
                refresh=False,
            )
            progress.update()
            if batch.skipped and log.note_skipped(batch.skipped):
                notice = f"skipped unreadable photos: {len(log.skipped)} ({out}/skipped.txt)"
                progress.write(notice, file=sys.stderr)
            if step % config.log.log_every_steps == 0 or step == max_steps:
                elapsed_s = time.perf_counter() - started_s
                steps_per_s = (step - logged_step) / (elapsed_s - logged_s)
                logged_step, logged_s = step, elapsed_s
                layers = {name: float(value.detach()) for name, value in terms.by_layer.items()}
                log.metrics(
                    step,
                    losses | {"steps_per_s": steps_per_s, "elapsed_s": elapsed_s},
                    layers | {"learning_rate": optimizer.param_groups[0]["lr"]},
                )
            look = step % config.log.image_every_steps == 0 or step == max_steps
            if look and heldout.photos:
                heldout_losses = heldout.score(network, objective)
                pictures = heldout.pictures(network, Path(config.style.image))
                log.heldout(step, heldout_losses, pictures)
                total = heldout_losses["total_loss"]
                progress.write(f"step {step}: held-out objective {total:.4g}", file=sys.stderr)
            if step % config.train.save_every_steps == 0 or step == max_steps:
                state = {
                    "step": step,
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "random_state": random_state(),
                    "elapsed_s": time.perf_counter() - started_s,
                    "config": config.to_dict(),
                }
                save_checkpoint(out / "checkpoints", step, state)
                losses |= {f"heldout_{name}": value for name, value in heldout_losses.items()}
                info = StyleInfo(config.name, config.to_dict(), step, losses, len(names))
                save_style(out / f"style{SUFFIX}", network, info)
    print(f"{out / f'style{SUFFIX}'}: {max_steps} steps in {elapsed_s / 60:.1f} min")
    return 0


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


def stop_unless_finite(term: str | None, step: int, names: Sequence[str], out: Path) -> None:
    """Raise UserError that names the step, the broken term and its photos, if there is one."""
    if term is not None:
        raise UserError(
            f"step {step + 1}: {term} is inf or NaN; expected a finite number. The photos were "
            f"{', '.join(names)}. The weights are as they were: lower train.learning_rate or the "
            f"loss weights and --resume from the last checkpoint in {out / 'checkpoints'}."
        )


if __name__ == "__main__":
    run_program(main)
