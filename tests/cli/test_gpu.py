"""What only a GPU can show: the programs on one, held against the CPU. `pytest -m gpu`."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.pairs import Pairs
from data.images import read_bytes, read_photo
from data.resizing import resized
from inference.stylizer import Stylizer
from inference.torch_engine import TorchEngine
from models.style_file import find_style
from tests.conftest import PHOTOS, STYLES, Run

DEVICE = "cuda"
STYLE_IMAGE = STYLES / "woodcut.jpg"
TRAINING = (
    "configs/quickstart.yaml",
    f"data.root={PHOTOS}",
    f"data.heldout_root={PHOTOS}",
    "data.num_heldout=2",
    f"style.image={STYLE_IMAGE}",
    "style.size_px=192",
    "data.size_px=128",
    "train.small_share=0",
    "train.save_every_steps=4",
    "log.log_every_steps=1",
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def totals(out: Path) -> list[float]:
    """Return a run's total losses, step by step."""
    text = (out / "metrics.jsonl").read_text()
    return [json.loads(line)["total_loss"] for line in text.splitlines()]


def test_a_training_has_the_losses_of_the_cpu(run: Run, tmp_path: Path) -> None:
    for device in ("cpu", DEVICE):
        settings = (*TRAINING, "train.max_steps=4", "train.precision=fp32")
        done = run("train.py", *settings, "--device", device, "--out", tmp_path / device)
        assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(totals(tmp_path / DEVICE), totals(tmp_path / "cpu"), rtol=0.02)


@pytest.mark.parametrize("options", [(), ("--compile",)], ids=str)
def test_a_training_goes_on_and_its_style_paints_on_the_cpu(
    run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    out = tmp_path / "run"
    for steps in (4, 8):
        settings = (*TRAINING, f"train.max_steps={steps}", "--device", DEVICE, *options)
        done = run("train.py", *settings, "--out", out, *(["--resume"] if steps == 8 else []))
        assert done.returncode == 0, done.stderr
        assert "going on without" not in done.stderr
    found = totals(out)
    assert len(found) == 8
    assert all(np.isfinite(found))
    photo, painting = PHOTOS / "coffee.jpg", tmp_path / "painting.png"
    style = out / "style.safetensors"
    done = run("stylize.py", photo, "--style", style, "--device", "cpu", "-o", painting)
    assert done.returncode == 0, done.stderr


def test_torchrun_trains_on_every_gpu(run: Run, tmp_path: Path) -> None:
    count = max(1, torch.cuda.device_count())
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")
    settings = (*TRAINING, "train.max_steps=4", f"train.batch_size={2 * count}")
    done = run(*torchrun, "train.py", *settings, "--device", DEVICE, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert len(totals(tmp_path / "run")) == 4


@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 50), ("bf16", 40), ("fp16", 40)])
@pytest.mark.parametrize("style", ["wave", "wave-lite"])
def test_a_painting_is_that_of_the_cpu(style: str, precision: str, least_db: float) -> None:
    """PyTorch's float32 convolutions are TF32 on a GPU that has it, a mantissa of 10 bits."""
    photo = read_photo(read_bytes(PHOTOS / "chelsea.jpg"), "chelsea.jpg").pixels
    expected = Stylizer(style, "cpu", engine="torch", precision="fp32")(photo)
    found = Stylizer(style, DEVICE, precision=precision)(photo)
    error = np.square(found.astype(float) - expected).mean()
    assert 10 * np.log10(255**2 / error) >= least_db


def test_graphs_paint_what_single_launches_do(capsys: pytest.CaptureFixture[str]) -> None:
    path, photo = find_style("wave"), read_photo(read_bytes(PHOTOS / "coffee.jpg"), "").pixels
    engine, single = (TorchEngine(path, DEVICE, margin_px=24, graphs=on) for on in (True, False))
    crops = [np.roll(photo[: 96 + i % 3], i, axis=1)[:, :128] for i in range(12)]
    with ThreadPoolExecutor() as threads:  # which allocate while graphs are captured
        others = threads.map(TorchEngine(path, DEVICE, graphs=False).paint, crops)
        painted = [engine.paint(crop) for crop in crops]
        list(others)
    for crop, painting in zip(crops, painted, strict=True):
        np.testing.assert_allclose(painting, single.paint(crop).astype(int), atol=3)
    assert capsys.readouterr().err == ""


def test_a_photo_that_a_gpu_does_not_hold_is_painted_in_tiles(
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo = read_photo(read_bytes(PHOTOS / "coffee.jpg"), "coffee.jpg").pixels
    photo = resized(photo, (6000, 4000))
    stylizer = Stylizer("wave", DEVICE)
    whole = stylizer(photo)
    assert capsys.readouterr().err == ""
    torch.cuda.empty_cache()
    share = 2 * 2**30 / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        tiled = stylizer(photo)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "notice: 6000 x 4000 px are more than cuda:0 holds at once" in capsys.readouterr().err
    assert np.abs(tiled.astype(int) - whole).mean() < 1


def test_the_baseline_has_the_objective_of_the_cpu(run: Run, tmp_path: Path) -> None:
    ends = []
    for device in ("cpu", DEVICE):
        out = tmp_path / f"{device}.png"
        settings = ("optimize.size_px=128", "style.size_px=192", "optimize.iterations=20")
        images = (PHOTOS / "coffee.jpg", STYLE_IMAGE)
        done = run("optimize.py", *images, *settings, "--device", device, "-o", out)
        assert done.returncode == 0, done.stderr
        trace = json.loads(out.with_suffix(".json").read_text())["trace"]
        ends.append([trace[0]["total_loss"], trace[-1]["total_loss"]])
    assert ends[1][0] == pytest.approx(ends[0][0], rel=0.01)
    assert ends[1][1] == pytest.approx(ends[0][1], rel=0.1)  # two courses drift apart


def test_a_comparison_runs(run: Run, tmp_path: Path) -> None:
    arguments = ("--style", "night_wind", "--style-image", STYLES / "night_wind.jpg")
    arguments += ("--photos", PHOTOS, "--quick", "--precision", "auto", "--out", tmp_path)
    done = run("compare.py", *arguments, "--device", DEVICE)
    assert done.returncode == 0, done.stderr
    assert "bf16" in (tmp_path / "report.md").read_text()


def test_a_direction_of_lbfgs_is_that_of_the_cpu() -> None:
    torch.manual_seed(0)
    steps = torch.randn(30, 3000)
    changes = torch.rand(3000) * steps + 0.1 * torch.randn(30, 3000)
    held = torch.rand(3000) < 0.1
    gradient = torch.randn(3000).masked_fill(held, 0)
    directions = []
    for device in ("cpu", DEVICE):
        pairs = Pairs(gradient.to(device), 20)
        for step, change in zip(steps.to(device), changes.to(device), strict=True):
            pairs.add(step, change)
        directions.append(pairs.direction(gradient.to(device), held.to(device)).cpu())
    torch.testing.assert_close(directions[1], directions[0], rtol=1e-4, atol=1e-5)
