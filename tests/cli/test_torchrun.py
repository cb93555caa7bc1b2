"""train.py under torchrun, as several GPUs run it: here two processes on the CPU, over gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from configs.build import build_network
from configs.schema import config_from_dict
from tests.conftest import PHOTOS, ROOT, STYLES, Run

ARGUMENTS = (
    "configs/quickstart.yaml",
    f"data.root={PHOTOS}",
    f"style.image={STYLES}/woodcut.jpg",
    "style.size_px=96",
    "data.size_px=48",
    "model.width=8",
    "model.num_blocks=1",
    "train.start=",
    "train.small_share=0",
    "data.num_workers=0",
    "train.batch_size=4",
    "train.precision=fp32",
    "train.lr_schedule=constant",
    "train.save_every_steps=3",
    "log.log_every_steps=1",
)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py")


def state_of(out: Path, step: int) -> dict[str, dict[str, torch.Tensor]]:
    state = torch.load(out / f"checkpoints/step_{step:08d}.pt", weights_only=True)
    return state["network"], state["config"]


def assert_same_training(ours: Path, theirs: Path, step: int) -> None:
    """Adam divides by tiny numbers: rounding shows in the weights, up to 2 % of their movement."""
    (found, config), (expected, _) = state_of(ours, step), state_of(theirs, step)
    torch.manual_seed(0)
    network = build_network(config_from_dict(config, "test").model)
    start = {key: value.clone() for key, value in network.state_dict().items()}
    for key in found:
        if key.endswith("body.2.bias"):  # a constant that the next normalisation takes out again
            continue
        moved = (expected[key] - start[key]).norm()
        assert float((found[key] - expected[key]).norm() / moved) < 0.02, key
    photo = torch.rand(1, 3, 64, 64)
    pictures = []
    for weights in (start, found, expected):
        network.load_state_dict(weights)
        with torch.no_grad():
            pictures.append(network(photo))
    difference, movement = (
        float((picture - pictures[2]).abs().max()) for picture in (pictures[1], pictures[0])
    )
    assert difference < 0.002
    assert movement > 10 * difference


def test_two_processes_of_batch_2_train_as_one_of_batch_4(run: Run, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    whole = (*ARGUMENTS, f"data.heldout_root={PHOTOS}", "data.num_heldout=1")
    six = (*whole, "train.max_steps=6", "log.image_every_steps=3")
    three = (*whole, "train.max_steps=3", "log.image_every_steps=3")
    assert run("train.py", *six, "--out", one).returncode == 0
    done = run(*TORCHRUN, *three, "--out", two, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 steps in") == 1
    assert_same_training(two, one, 3)

    # a run may go on with another number of processes
    assert run("train.py", *six, "--out", two, "--resume").returncode == 0
    assert_same_training(two, one, 6)
    for name in ("metrics.jsonl", "heldout.jsonl"):
        mine, theirs = (
            [json.loads(line) for line in (out / name).read_text().splitlines()]
            for out in (two, one)
        )
        assert [line["step"] for line in mine] == [line["step"] for line in theirs]
        for line, other in zip(mine, theirs, strict=True):
            assert line["total_loss"] == pytest.approx(other["total_loss"], rel=1e-3)


def test_a_batch_that_cannot_be_shared_is_refused(run: Run, tmp_path: Path) -> None:
    done = run(*TORCHRUN, *ARGUMENTS, "train.batch_size=3", "--out", tmp_path / "run")
    assert done.returncode != 0
    assert "train.batch_size: 3 photos a step for 2 processes; expected a multiple" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lost_process_ends_the_others_with_a_line_and_a_signal_stops_all(
    tmp_path: Path, number: int
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, *TORCHRUN, *ARGUMENTS, "train.max_steps=900", "--out", str(out)]
    parent = subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = out / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert parent.poll() is None
        time.sleep(0.05)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[1]) if number == signal.SIGKILL else parent.pid, number)
    _, said = parent.communicate(timeout=120)
    assert parent.returncode != 0
    if number == signal.SIGKILL:
        assert "process 0 of 2: lost another one (" in said
        assert "with --resume" in said
    else:
        assert said.count("stopped by SIGTERM after step ") == 1
        last = json.loads(metrics.read_text().splitlines()[-1])["step"]
        assert (out / f"checkpoints/step_{last:08d}.pt").exists()
