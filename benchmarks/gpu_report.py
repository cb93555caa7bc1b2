"""Measure this machine and write the figures as a piece for docs/benchmarks.md.

    python -m benchmarks.gpu_report --photos DIR [--out gpu_report] [--quick]

A step of each kind, the loader, painting, and a short training of each kind: under ten minutes on a
GPU, and with --quick in a few on a CPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from errors import CommandLine, UserError, run_program
from models.device import resolve_device
from provenance import commit, machine

ROOT = Path(__file__).parents[1]
STYLE_IMAGE = ROOT / "assets/styles/night_wind.jpg"


def run(*arguments: object) -> str:
    """Return what a command of this repository printed. Raises UserError with its last line."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise UserError(f"{' '.join(command[1:])}: {last}; expected it to run. Try it alone.")
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
        f"| {metrics['steps_per_s']:.2f} | {heldout['total_loss']:.3g} |"
    )


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
    kinds: tuple[list[str], ...] = (
        [],
        ["train.optimizer=adam"],
        ["train.precision=fp32"],
        ["--compile"],
    )
    lines = [f"{machine(str(device))}, commit {commit() or 'unknown'}.", ""]

    def add(title: str, text: str) -> None:
        lines.extend([f"### {title}", "", text.rstrip(), ""])
        (out / "report.md").write_text("\n".join(lines), encoding="utf-8")
        print(f"{title}: done", flush=True)

    sizes = "--batch-size 4 16 64 --compile --repeats 20"
    if small:
        sizes = "--batch-size 2 --size-px 64 --repeats 2"
    add("A training step", run("-m", "benchmarks.train_step", "--device", device, *sizes.split()))
    count = "--count 4000 --num-workers 0 1 4 8 16"
    if small:
        count = "--count 80 --num-workers 0 1 --repeats 1"
    add("Training photos", run("-m", "benchmarks.loader", "--photos", photos, *count.split()))
    painting = ["--sizes", "512x512", "1920x1080", "--repeats", "50", "--folder", str(photos)]
    if small:
        painting = ["--sizes", "64x64", "--repeats", "1"]
    text = run("-m", "benchmarks.stylize", "--device", device, *painting)
    add("Painting", f"```\n{text}```")
    rows = ["| training | steps | s in all | steps a second | held-out objective |"]
    rows += ["| --- | --- | --- | --- | --- |"]
    tiny = ["data.size_px=48", "style.size_px=96"] if small else []
    for kind in kinds[: 2 if small else None]:
        rows += [short_training(out, photos, str(device), 4 if small else 2000, *tiny, *kind)]
    add("Short trainings", "\n".join(rows))
    print(out / "report.md")
    return 0


if __name__ == "__main__":
    run_program(main)
