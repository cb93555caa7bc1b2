"""train.py as a user runs it, on real photos with the real VGG-16."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

import train as train_module
from configs.schema import load_config
from data.photos import Crop, PhotoCrops
from models.style_file import read_info
from tests.conftest import PHOTOS, ROOT, STYLES, Run, heed_sigint
from train import train
from training.checkpoints import checkpoints, load_last_checkpoint
from training.processes import Processes

TINY = (
    f"data.root={PHOTOS}",
    f"style.image={STYLES}/woodcut.jpg",
    "style.size_px=96",
    "data.size_px=48",
    "model.width=8",
    "model.num_blocks=1",
    "train.start=",
    "train.small_share=0",
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
    assert names == ["step_00000003.pt", "step_00000006.pt"]  # the last two of three
    state = torch.load(whole / "checkpoints" / names[-1], weights_only=True)
    counts = {int(value["step"]) for value in state["optimizers"][0]["state"].values()}
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


def test_a_style_knows_the_runs_that_it_is_the_end_of(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    small = (*TINY, "train.max_steps=2", "name=mine", "train.optimizer=adam")
    small += ("train.learning_rate=0.002",)
    assert run("train.py", CONFIG, *small, "--out", first).returncode == 0
    (alone,) = read_info(first / "style.safetensors").runs
    assert (alone.start, alone.steps, alone.batch_size) == ("", 2, 2)
    assert (alone.optimizer, alone.learning_rate) == ("adam", 0.002)
    assert alone.num_photos == len(list(PHOTOS.glob("*.jpg")))
    assert alone.minutes > 0
    assert "cpu" in alone.device
    assert alone.command.startswith(f"python train.py {CONFIG} data.root=")
    assert alone.command.endswith(f"--out {first}")
    assert alone.heldout_objective is None

    # it takes them along, though the file that it began from may be another when it goes on
    start = shutil.copy(first / "style.safetensors", tmp_path / "start.safetensors")
    more = (*small, f"train.start={start}", "data.heldout_root=assets/photos", "data.num_heldout=1")
    done = run("train.py", CONFIG, *more, "train.save_every_steps=1", "--out", second)
    assert done.returncode == 0, done.stderr
    info = read_info(second / "style.safetensors")
    assert info.runs[0] == alone
    assert (len(info.runs), info.runs[1].start, info.steps) == (2, "mine", 2)
    assert info.runs[1].heldout_objective == info.losses["heldout_total_loss"]
    (second / "checkpoints/step_00000002.pt").unlink()
    shutil.copy(second / "style.safetensors", start)
    assert run("train.py", CONFIG, *more, "--out", second, "--resume").returncode == 0
    again = read_info(second / "style.safetensors").runs
    assert (len(again), again[0]) == (2, alone)

    # a style of another name is where it began, not its past
    other = tmp_path / "other"
    done = run("train.py", CONFIG, *more, "name=other", "--out", other)
    assert done.returncode == 0, done.stderr
    (only,) = read_info(other / "style.safetensors").runs
    assert only.start == "mine"


def test_a_non_finite_loss_goes_back_once_and_then_stops_with_good_weights(
    run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    bad = run("train.py", CONFIG, *TINY, "train.max_steps=9", "loss.tv_weight=1e38", "--out", out)
    assert bad.returncode == 2
    first, last = (line for line in bad.stderr.splitlines() if "is inf or NaN" in line)
    assert "step 1: total_loss is inf or NaN, with the photos " in first
    assert first.endswith("back to step 0, and on with other photos")
    assert last.startswith("error: step 1: total_loss is inf or NaN, with the photos ")
    assert "for the second time; expected a finite number. Lower " in last
    ends = (": back to step 0", ", for the second time")
    photos = [
        line.partition("with the photos ")[2].partition(end)[0]
        for line, end in zip((first, last), ends, strict=True)
    ]
    assert all(names.count(".jpg") == 2 for names in photos)
    assert photos[0] != photos[1]
    assert "Traceback" not in bad.stderr
    (checkpoint,) = (out / "checkpoints").iterdir()
    state = torch.load(checkpoint, weights_only=True)
    assert state["step"] == 0
    assert all(value.isfinite().all() for value in state["network"].values())


def test_one_broken_step_is_undone_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A photo that breaks the loss once: photos that are read never do, so one is made to."""
    read = PhotoCrops.__getitem__

    def broken_once(crops: PhotoCrops, index: int) -> Crop:
        crop = read(crops, index)
        if index == 9 and crops.draw == 0:  # the second photo of step 5
            crop = dataclasses.replace(crop, image=crop.image * torch.nan)
        return crop

    monkeypatch.setattr(PhotoCrops, "__getitem__", broken_once)
    steps = ("train.max_steps=7", "train.save_every_steps=3", "log.log_every_steps=1")
    config = load_config(ROOT / CONFIG, (*TINY, *steps))
    train(config, tmp_path, False, Processes("cpu"))
    said = capsys.readouterr()
    assert "step 5: content_loss is inf or NaN, with the photos " in said.err
    assert "back to step 3, and on with other photos" in said.err
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6, 7]
    state = load_last_checkpoint(tmp_path / "checkpoints")
    assert state is not None
    assert (state["step"], state["draw"]) == (7, 1)
    counts = {int(value["step"]) for value in state["optimizers"][0]["state"].values()}
    assert counts == {7}


def test_a_broken_gradient_does_not_reach_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All terms are finite, and one number of the gradient is not."""
    norm, calls = train_module.gradient_norm, []

    def of_a_broken_one(network: torch.nn.Module) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            last = list(network.parameters())[-1]
            assert last.grad is not None
            last.grad[0] = torch.inf
        return norm(network)

    monkeypatch.setattr(train_module, "gradient_norm", of_a_broken_one)
    config = load_config(ROOT / CONFIG, (*TINY, "train.max_steps=3", "log.log_every_steps=1"))
    train(config, tmp_path, False, Processes("cpu"))
    assert "step 2: gradient is inf or NaN, with the photos " in capsys.readouterr().err
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    state = load_last_checkpoint(tmp_path / "checkpoints")
    assert state is not None
    assert all(value.isfinite().all() for value in state["network"].values())


STEPS = (
    "train.max_steps=24",
    "train.save_every_steps=3",
    "train.small_share=0.5",
    "log.log_every_steps=1",
)


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start train.py for 24 small steps, as a terminal does."""
    command = [sys.executable, "train.py", CONFIG, *TINY, *STEPS, "--out", str(out), *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_sigint,
    )


def wait_for(process: subprocess.Popen[str], out: Path, step: int) -> None:
    """Return when the run has written its metrics of `step`, or has ended."""
    while process.poll() is None:
        path = out / "metrics.jsonl"
        if path.exists() and path.read_text().count("\n") >= step:
            return
        time.sleep(0.01)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights of the 24 steps when nobody disturbs them."""
    out = tmp_path_factory.mktemp("undisturbed")
    _, said = (process := start(out)).communicate()
    assert process.returncode == 0, said
    return load_file(out / "style.safetensors")


def assert_resumes_to(out: Path, expected: dict[str, torch.Tensor]) -> str:
    """Resume, compare the weights bit by bit, and return what was said on stderr."""
    _, said = (process := start(out, "--resume")).communicate()
    assert process.returncode == 0, said
    weights = load_file(out / "style.safetensors")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert [line["step"] for line in lines(out / "metrics.jsonl")] == list(range(1, 25))
    return said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_saves_and_tells_how_to_go_on(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor], number: int, code: int
) -> None:
    process = start(tmp_path)
    wait_for(process, tmp_path, 4)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == code
    step = lines(tmp_path / "metrics.jsonl")[-1]["step"]
    name = signal.Signals(number).name
    assert f"stopped by {name} after step {step}, and saved: go on with --resume" in said
    assert "Traceback" not in said
    assert checkpoints(tmp_path / "checkpoints")[-1].stem == f"step_{step:08d}"
    assert_resumes_to(tmp_path, undisturbed)


@pytest.mark.parametrize(
    "kills", [3, pytest.param(20, marks=pytest.mark.slow)], ids=["3 kills", "20 kills"]
)
def test_killed_at_any_moment_a_run_resumes_to_identical_weights(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor], kills: int
) -> None:
    random = np.random.default_rng(kills)
    for _ in range(kills):
        process = start(tmp_path, "--resume")
        reached = (
            len(lines(tmp_path / "metrics.jsonl")) if (tmp_path / "metrics.jsonl").exists() else 0
        )
        if random.random() < 0.8:  # else while it starts
            wait_for(process, tmp_path, min(22, reached - 3 + int(random.integers(1, 6))))
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.communicate()
    assert_resumes_to(tmp_path, undisturbed)


def test_a_cut_newest_checkpoint_costs_only_the_steps_since_the_one_before(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor]
) -> None:
    process = start(tmp_path)
    wait_for(process, tmp_path, 8)
    process.kill()
    process.communicate()
    newest = checkpoints(tmp_path / "checkpoints")[-1]
    with newest.open("r+b") as file:
        file.truncate(newest.stat().st_size // 2)
    said = assert_resumes_to(tmp_path, undisturbed)
    assert f"{newest}: cannot be read (" in said
    assert "; going on from step_" in said


def test_a_full_disk_is_one_line_and_costs_nothing(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor]
) -> None:
    process = start(tmp_path)
    wait_for(process, tmp_path, 4)
    size = checkpoints(tmp_path / "checkpoints")[0].stat().st_size
    # from now on no file may grow beyond half a checkpoint
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size // 2, size // 2))
    _, said = process.communicate()
    assert process.returncode == 2
    assert "cannot be written (" in said
    assert "; expected room for a checkpoint. Free some space and go on with --resume" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))
    assert_resumes_to(tmp_path, undisturbed)


def test_bf16_follows_float32(run: Run, tmp_path: Path) -> None:
    steps = ("train.max_steps=4", "log.log_every_steps=1", "data.num_heldout=0", "data.size_px=32")
    found = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        done = run("train.py", CONFIG, *TINY, *steps, f"train.precision={precision}", "--out", out)
        assert done.returncode == 0, done.stderr
        found[precision] = [line["total_loss"] for line in lines(out / "metrics.jsonl")]
        weights = torch.load(checkpoints(out / "checkpoints")[-1], weights_only=True)["network"]
        assert all(value.dtype == torch.float32 for value in weights.values())
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.01)


def test_a_teacher_comes_first_and_the_objective_after(run: Run, tmp_path: Path) -> None:
    taught = "train.teacher=udnie", "train.max_steps=4", "log.log_every_steps=1"
    assert run("train.py", CONFIG, *TINY, *taught, "--out", tmp_path / "run").returncode == 0
    losses = lines(tmp_path / "run/metrics.jsonl")
    assert [line["style_loss"] > 0 for line in losses] == [False, False, True, True]
    assert all(0 < line["total_loss"] < 1 for line in losses[:2])  # of pixels in 0...1
    refused = run("train.py", CONFIG, *TINY, "train.teacher=nobody", "--out", tmp_path / "no")
    assert refused.returncode == 2
    assert "train.teacher nobody: no such style; expected one of composition_vii" in refused.stderr


@pytest.mark.slow
def test_a_compiled_step_learns_the_same(run: Run, tmp_path: Path) -> None:
    steps = ("train.max_steps=4", "log.log_every_steps=1", "data.num_heldout=0")
    steps += ("train.precision=fp32",)
    found = []
    for flags in ((), ("--compile",)):
        out = tmp_path / f"run{len(flags)}"
        done = run("train.py", CONFIG, *TINY, *steps, *flags, "--out", out)
        assert done.returncode == 0, done.stderr
        assert "not possible" not in done.stderr
        found.append([line["total_loss"] for line in lines(out / "metrics.jsonl")])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_several_styles_in_one_command_over_one_cache(run: Run, tmp_path: Path) -> None:
    configs = []
    for style in ("woodcut", "stained_glass"):
        configs.append(tmp_path / f"{style}.yaml")
        configs[-1].write_text(f"style:\n  image: {STYLES}/{style}.jpg\n")
    tiny = [argument for argument in TINY if not argument.startswith("style.image")]
    steps = ("train.max_steps=2", f"data.cache={tmp_path}/cache", "data.num_heldout=0")
    done = run("train.py", *configs, *tiny, *steps, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 steps in") == 2
    assert done.stderr.count("data.cache: decoding 6 photos once") == 1
    assert len(list((tmp_path / "cache").iterdir())) == 2
    weights = [load_file(tmp_path / f"runs/{path.stem}/style.safetensors") for path in configs]
    assert any(not torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    twice = run("train.py", configs[0], configs[0], *tiny, "--out", tmp_path / "other")
    assert twice.returncode == 2
    assert "names woodcut, woodcut; expected a different one in each config" in twice.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.seed=1"], "no config; expected a YAML file. The ready ones are in configs/."),
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


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("RuntimeError('a bug')", 1, "RuntimeError: a bug"),
        (
            "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has')",
            2,
            "error: CUDA out of memory. Tried to allocate 2.00 GiB; expected room for the work. "
            "Take fewer or smaller pictures at a time, or --device cpu.",
        ),
    ],
)
def test_a_failure_ends_the_workers_and_the_program(
    run: Run, tmp_path: Path, error: str, code: int, said: str
) -> None:
    arguments = ["train.py", CONFIG, *TINY, "data.num_workers=2", f"--out={tmp_path / 'run'}"]
    program = (
        "import sys, torch, train\n"
        "def fails(network):\n"
        f"    raise {error}\n"
        "train.gradient_norm = fails\n"
        f"sys.argv = {arguments!r}\n"
        "train.run_program(train.main)\n"
    )
    done = run("-c", program)  # workers that went on would keep it from ending
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_run_that_is_killed_while_it_decodes(
    tmp_path: Path, number: signal.Signals
) -> None:
    photos, cache = tmp_path / "photos", tmp_path / "cache"
    photos.mkdir()
    shutil.copy(PHOTOS / "astronaut.jpg", photos / "0.jpg")
    for i in range(1, 2000):  # seconds of decoding
        (photos / f"{i}.jpg").hardlink_to(photos / "0.jpg")
    settings = [f"data.root={photos}", f"data.cache={cache}", "data.num_workers=2"]
    settings += ["data.size_px=256"]  # more of a photo than a pipe holds
    command = [sys.executable, "train.py", CONFIG, *TINY, *settings, "--out", tmp_path / "run"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        workers: list[psutil.Process] = []
        deadline_s = time.monotonic() + 60
        while len(workers) < 2 and time.monotonic() < deadline_s:
            workers = psutil.Process(process.pid).children()
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(number)
        process.wait(30)
    assert len(workers) == 2
    gone, left = psutil.wait_procs(workers, timeout=10)
    zombies = [worker for worker in left if worker.status() == psutil.STATUS_ZOMBIE]
    assert len(gone) + len(zombies) == 2
    if number == signal.SIGTERM:
        assert process.returncode == 143
        assert list(cache.iterdir()) == []


def test_names_that_are_no_text(run: Run, tmp_path: Path) -> None:
    photos = tmp_path / os.fsdecode(b"photos\xfe")
    shutil.copytree(PHOTOS, photos)
    name = os.fsdecode(b"broken\xff.jpg")
    (photos / name).write_bytes(b"no photo")
    steps = ("train.max_steps=4", f"data.root={photos}", "log.image_every_steps=4")
    done = run("train.py", CONFIG, *TINY, *steps, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    skipped = (tmp_path / "run/skipped.txt").read_bytes()
    assert skipped.startswith(b"broken\xff.jpg\tbroken")
    info = read_info(tmp_path / "run/style.safetensors")
    assert info.config["data"]["root"] == str(photos)
    assert f"data.root={photos}" in info.runs[-1].command
    resumed = run("train.py", CONFIG, *TINY, *steps, "--out", tmp_path / "run", "--resume")
    assert "already at step 4 of 4" in resumed.stdout
    style = str(tmp_path / "run/style.safetensors")
    command = [sys.executable, "stylize.py", "--style", style, "--card"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert b"photos\xfe" in shown.stdout  # as any program prints a name
