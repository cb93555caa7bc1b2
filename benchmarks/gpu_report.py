"""Measure this machine and write the figures as a piece for docs/benchmarks.md.

    python -m benchmarks.gpu_report --photos DIR [--out gpu_report] [--quick]

A step of each kind, short trainings, painting, the baseline, the loader, and the tests that only a
GPU can run: meant for ten minutes on a GPU, and with --quick a few on a CPU. Each piece is written
when it is there; one that fails leaves what it printed and its error, the rest goes on, and the
exit code is 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from errors import CommandLine, UserError, run_program
from models.device import resolve_device
from provenance import commit, machine

ROOT = Path(__file__).parents[1]
STYLE_IMAGE = ROOT / "assets/styles/night_wind.jpg"
EXIT_SOME_FAILED = 1
Kinds = list[list[str]]
PAPERS_STEPS = 40_000


class Failed(Exception):
    """A command ended with an error: its text is what was printed, then the error."""


def run(*arguments: object) -> str:
    """Return what a command of this repository printed. Raises Failed."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise Failed(f"{done.stdout}\n`{' '.join(command[1:])}` failed: {last}".strip())
    return done.stdout


def short_training(out: Path, photos: Path, device: str, steps: int, *arguments: str) -> str:
    """Train for `steps` and return a row: time, steps a second at the end, held-out objective."""
    started_s = time.perf_counter()
    settings = [f"data.root={photos}", f"style.image={STYLE_IMAGE}", f"data.cache={out / 'cache'}"]
    settings += [f"data.heldout_root={ROOT / 'assets/photos'}", "data.num_heldout=4"]
    settings += [f"train.max_steps={steps}", f"log.image_every_steps={steps}"]
    folder = out / "runs" / "_".join(arguments or ("default",)).replace("--", "")
    command = ("train.py", "configs/quickstart.yaml", *settings, *arguments)
    run(*command, "--device", device, "--out", folder)
    elapsed_s = time.perf_counter() - started_s
    metrics = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    heldout = json.loads((folder / "heldout.jsonl").read_text().splitlines()[-1])
    return (
        f"| {' '.join(arguments) or 'as it comes'} | {steps} | {elapsed_s:.0f} "
        f"| {metrics['steps_per_s']:.2f} | {PAPERS_STEPS / metrics['steps_per_s'] / 60:.1f} "
        f"| {heldout['total_loss']:.3g} |"
    )


def short_trainings(out: Path, photos: Path, device: str, steps: int, kinds: Kinds) -> str:
    """Return the rows of a training of each kind. Raises Failed when all were tried."""
    rows = ["| training | steps | s in all | steps a second | 40,000 steps, min | held-out |"]
    rows += ["| --- | --- | --- | --- | --- | --- |"]
    errors = []
    for kind in kinds:
        try:
            rows.append(short_training(out, photos, device, steps, *kind))
        except Failed as error:
            errors.append(f"\n{error}")
    if errors:
        raise Failed("\n".join(rows + errors))
    return "\n".join(rows)


def main() -> int:
    parser = CommandLine(description="The figures of this machine.")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("gpu_report"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="small numbers, for a CPU")
    args = parser.parse_args()
    device = resolve_device(args.device)
    photos, out = args.photos.resolve(), args.out.resolve()
    if (out / "runs").exists():
        raise UserError(f"{out}: holds a report already; expected a new folder. Change --out.")
    out.mkdir(parents=True, exist_ok=True)
    small = args.quick
    if small:
        steps, tiny = 4, ["data.size_px=48", "style.size_px=96"]
        kinds = [tiny, [*tiny, "train.optimizer=adam"]]
        step = "--batch-size 2 --size-px 64 --repeats 2"
        painting = "--sizes 64x64 --repeats 1"
        baseline = "--sizes-px 64 --iterations 3"
        loader = "--count 80 --num-workers 0 1 --repeats 1"
    else:
        steps, kinds = 1000, [[], ["--compile"], ["train.precision=fp32"], ["train.optimizer=adam"]]
        step = "--batch-size 4 32 --compile --repeats 20"
        painting = "--sizes 512x512 1920x1080 --repeats 50"
        baseline = "--sizes-px 256 512 1024 --iterations 120"
        loader = "--count 2000 --num-workers 0 1 4 16"
    on = ("--device", device)
    folder = () if small else ("--folder", photos)
    pieces: dict[str, Callable[[], str]] = {
        "A training step": partial(run, "-m", "benchmarks.train_step", *on, *step.split()),
        "Short trainings": partial(short_trainings, out, photos, str(device), steps, kinds),
        "Painting": partial(run, "-m", "benchmarks.stylize", *on, *folder, *painting.split()),
        "The baseline": partial(run, "-m", "benchmarks.optimize_step", *on, *baseline.split()),
        "Training photos": partial(
            run, "-m", "benchmarks.loader", "--photos", photos, *loader.split()
        ),
    }
    if device.type == "cuda":
        pieces["Tests"] = partial(run, "-m", "pytest", "-m", "gpu", "-n0", "tests/cli/test_gpu.py")

    lines = [f"{machine(str(device))}, commit {commit() or 'unknown'}."]
    failed = False
    for title, piece in pieces.items():
        started_s = time.perf_counter()
        how = "done"
        try:
            text = piece()
        except Failed as error:
            text, how, failed = str(error), "FAILED", True
        elapsed_s = time.perf_counter() - started_s
        text = text.strip() if "| --- |" in text else f"```\n{text.rstrip()}\n```"
        lines += ["", f"### {title} ({elapsed_s:.0f} s)", "", text]
        (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{title}: {how}", flush=True)
    print(out / "report.md")
    return EXIT_SOME_FAILED if failed else 0


if __name__ == "__main__":
    run_program(main)
