"""optimize.py and compare.py as a user runs them, on the objective that train.py trains on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from configs.build import build_objective
from configs.schema import config_from_dict, load_config
from data.tensors import read_rgb
from models.style_file import StyleInfo, load_style, save_style
from models.transformer_net import TransformerNet
from tests.conftest import PHOTOS, STYLES, Run, size_of

STYLE_IMAGE = STYLES / "woodcut.jpg"
SMALL = ("optimize.size_px=64", "style.size_px=96", "optimize.iterations=6")


@pytest.mark.parametrize("init", ["noise", "content"])
def test_the_baseline_paints_and_never_rises(run: Run, tmp_path: Path, init: str) -> None:
    out = tmp_path / "out.png"
    done = run(
        "optimize.py", PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", out, *SMALL,
        f"optimize.init={init}", "optimize.snapshot_every=3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert size_of(out) == (64, 43)
    assert (tmp_path / "out_00003.png").is_file()
    assert (tmp_path / "out_00006.png").is_file()
    record = json.loads((tmp_path / "out.json").read_text())
    trace = record["trace"]
    assert [line["iteration"] for line in trace] == list(range(7))
    assert all(b["total_loss"] <= a["total_loss"] for a, b in itertools.pairwise(trace))
    assert trace[-1]["total_loss"] < 0.8 * trace[0]["total_loss"]

    # the trace's last line is the objective of the picture that was saved, up to its 8 bits
    config = config_from_dict(record["config"], "trace")
    device = torch.device("cpu")
    objective = build_objective(config.loss, STYLE_IMAGE, config.style.size_px, device)
    content = read_rgb(PHOTOS / "coffee.jpg", longer_px=64)
    terms = objective(read_rgb(out), objective.content_features(content)).floats()
    assert terms["total_loss"] == pytest.approx(trace[-1]["total_loss"], rel=0.02)


def test_gatys_setting_runs(run: Run, tmp_path: Path) -> None:
    done = run(
        "optimize.py", PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", tmp_path / "a.png", *SMALL,
        "loss.pooling=average", "loss.content_layers={conv4_2: 1}", "loss.gram=none",
        "loss.style_layers={conv1_1: .2, conv2_1: .2, conv3_1: .2, conv4_1: .2, conv5_1: .2}",
        "loss.style_distance=gatys", "loss.content_distance=half_sum", "loss.tv_weight=0",
        "loss.style_weight=1e3", "optimize.noise_ratio=0.5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trace = json.loads((tmp_path / "a.json").read_text())["trace"]
    assert trace[-1]["total_loss"] < trace[0]["total_loss"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", STYLE_IMAGE], "none.jpg: No such file or directory; expected an image"),
        ([PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", "a.gif"], "suffix '.gif'; expected one of"),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "optimize.init=photo"],
            "expected one of noise, content",
        ),
        ([PHOTOS / "coffee.jpg", STYLE_IMAGE, "optimize.size_px=9"], "too small for conv4_1"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run: Run, arguments: list[object], message: str) -> None:
    done = run("optimize.py", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_comparison_reports_both_on_the_same_objective(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = load_config(None, ["model.width=4", "model.num_blocks=1", "style.size_px=96"])
    style = tmp_path / "mine.safetensors"
    save_style(style, TransformerNet(4, 1), StyleInfo("mine", config.to_dict(), 1), "float32")
    done = run(
        "compare.py", "--style", style, "--style-image", STYLE_IMAGE, "--photos", PHOTOS,
        "--out", tmp_path / "out", "--num-photos", 2, "--sizes-px", 48, 64, "--steps", 5,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert [(r["photo"], r["size_px"]) for r in report["results"]] == [
        ("astronaut.jpg", 48),
        ("camera.jpg", 48),
        ("astronaut.jpg", 64),
        ("camera.jpg", 64),
    ]
    first = report["results"][0]
    assert len(first["baseline"]) == len(first["baseline_s"]) == 6
    network, _ = load_style(style)
    device = torch.device("cpu")
    objective = build_objective(config.loss, STYLE_IMAGE, 96, device)
    content = read_rgb(PHOTOS / "astronaut.jpg", shorter_px=48, square=True)
    with torch.no_grad():
        terms = objective(network(content), objective.content_features(content)).floats()
    assert first["network"] == pytest.approx(terms, rel=1e-4)
    goal = first["network"]["total_loss"]
    totals = [terms["total_loss"] for terms in first["baseline"]]
    crossing = first["crossing_iteration"]
    if crossing is None:
        assert min(totals) > goal
    else:
        assert totals[crossing] <= goal
        assert all(total > goal for total in totals[:crossing])
    text = (tmp_path / "out/report.md").read_text()
    assert "## 48 × 48 px, 2 photos" in text
    assert "astronaut.jpg" in text
    for name in ("objective.png", "pictures.png"):
        assert size_of(tmp_path / "out" / name)[0] > 300


def test_the_comparison_needs_a_style_and_photos(run: Run, tmp_path: Path) -> None:
    done = run(
        "compare.py", "--style", "mona", "--style-image", STYLE_IMAGE, "--photos", PHOTOS,
        "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--style mona: no such style" in done.stderr
