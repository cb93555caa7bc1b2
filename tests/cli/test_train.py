"""train.py as a user runs it, on real photos with the real VGG-16."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import PHOTOS, STYLES, Run

TINY = (
    f"data.root={PHOTOS}",
    f"style.image={STYLES}/woodcut.jpg",
    "style.size_px=96",
    "data.size_px=48",
    "model.width=8",
    "model.num_blocks=1",
    "train.batch_size=2",
    "data.num_workers=0",
)
CONFIG = "configs/quickstart.yaml"


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_writes_what_it_promises_and_resumes_to_identical_weights(
    run: Run, tmp_path: Path
) -> None:
    whole, again, stopped = tmp_path / "whole", tmp_path / "again", tmp_path / "stopped"
    photos = tmp_path / "photos"
    shutil.copytree(PHOTOS, photos)
    (photos / "broken.jpg").write_bytes((PHOTOS / "coffee.jpg").read_bytes()[:2000])
    steps = (
        f"data.root={photos}",
        "train.max_steps=6",
        "train.save_every_steps=3",
        "log.log_every_steps=2",
    )
    heldout = (f"data.heldout_root={PHOTOS}", "data.num_heldout=2", "log.image_every_steps=4")
    done = run("train.py", CONFIG, *TINY, *steps, *heldout, "--out", whole, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "6 steps in" in done.stdout

    metrics = lines(whole / "metrics.jsonl")
    assert [line["step"] for line in metrics] == [2, 4, 6]
    assert set(metrics[0]) == {
        "step",
        "total_loss",
        "content_loss",
        "style_loss",
        "tv_loss",
        "steps_per_s",
        "elapsed_s",
    }
    for line in metrics:
        total = line["content_loss"] + 5 * line["style_loss"] + 1e-6 * line["tv_loss"]
        assert line["total_loss"] == pytest.approx(total, rel=1e-4)
    assert [line["step"] for line in lines(whole / "heldout.jsonl")] == [0, 4, 6]
    assert "data:" in (whole / "config.yaml").read_text()
    (skipped,) = (whole / "skipped.txt").read_text().splitlines()
    assert skipped.startswith("broken.jpg\tbroken.jpg: cannot be read (")
    assert "skipped unreadable photos: 1" in done.stderr
    assert list((whole / "tensorboard").iterdir())
    names = [path.name for path in sorted((whole / "checkpoints").iterdir())]
    assert names == ["step_00000003.pt", "step_00000006.pt"]
    state = torch.load(whole / "checkpoints" / names[-1], weights_only=True)
    counts = {int(value["step"]) for value in state["optimizer"]["state"].values()}
    assert counts == {6}  # exactly max_steps updates

    # the same seed gives the same weights, and so does a run that was interrupted
    assert run("train.py", CONFIG, *TINY, *steps, "--out", again).returncode == 0
    # max_steps shapes the cosine: an interrupted run is one that lost what came after step 3
    assert run("train.py", CONFIG, *TINY, *steps, "--out", stopped).returncode == 0
    (stopped / "checkpoints" / names[-1]).unlink()
    (stopped / "style.safetensors").unlink()
    resumed = run("train.py", CONFIG, *TINY, *steps, "--out", stopped, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    expected = load_file(whole / "style.safetensors")
    for folder in (again, stopped):
        found = torch.load(folder / "checkpoints" / names[-1], weights_only=True)["network"]
        assert all(torch.equal(found[key], state["network"][key]) for key in found)
        weights = load_file(folder / "style.safetensors")
        assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert [line["step"] for line in lines(stopped / "metrics.jsonl")] == [2, 4, 6]

    # nothing is overwritten, and another config is another run
    for arguments, message in (
        ((), "holds a run already; expected a new folder. Go on with --resume"),
        (("--resume", "loss.style_weight=9"), "loss.style_weight was 5.0, is 9.0; expected the"),
    ):
        refused = run("train.py", CONFIG, *TINY, *steps, "--out", stopped, *arguments)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
    finished = run("train.py", CONFIG, *TINY, *steps, "--out", stopped, "--resume")
    assert "already at step 6 of 6" in finished.stdout


def test_a_non_finite_loss_stops_before_the_weights(run: Run, tmp_path: Path) -> None:
    bad = run(
        "train.py",
        CONFIG,
        *TINY,
        "train.max_steps=9",
        "train.save_every_steps=1",
        "loss.tv_weight=1e38",
        "--out",
        tmp_path / "run",
    )
    assert bad.returncode == 2
    assert (
        "step 1: total_loss is inf or NaN; expected a finite number. The photos were " in bad.stderr
    )
    assert ".jpg, " in bad.stderr
    assert "Traceback" not in bad.stderr
    assert not list((tmp_path / "run").glob("**/*.pt"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["configs/none.yaml"], "configs/none.yaml: No such file or directory; expected a YAML"),
        ([CONFIG], "data.root: empty; set it with data.root="),
        ([CONFIG, *TINY, "train.maxsteps=3"], "unknown key; did you mean train.max_steps?"),
        ([CONFIG, *TINY, "--device", "cuda:7"], "CUDA devices here; expected auto, cpu"),
        ([CONFIG, *TINY, "--device", "tpu"], "--device tpu: no such device; expected auto"),
        ([CONFIG, *TINY, "data.root=tests/none"], "data.root: tests/none is nothing; expected a"),
        ([CONFIG, *TINY, "style.image=none.jpg"], "none.jpg: No such file"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run("train.py", *arguments, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_print_config_is_a_config(run: Run, tmp_path: Path) -> None:
    done = run("train.py", CONFIG, "train.seed=5", "--print-config")
    assert done.returncode == 0
    (tmp_path / "a.yaml").write_text(done.stdout)
    again = run("train.py", tmp_path / "a.yaml", "--print-config")
    assert again.stdout == done.stdout
    assert "seed: 5" in done.stdout
