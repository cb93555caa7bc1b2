"""A baseline that is kept: run once, its pictures painted again where they are missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.kept import KeptBaseline, baseline_settings
from configs.build import build_objective
from configs.schema import load_config
from data.tensors import read_rgb
from losses.perceptual import PerceptualLoss
from tests.conftest import PHOTOS, STYLES

CONFIG = load_config(None, ["style.size_px=96", "optimize.iterations=6"])


@pytest.fixture
def kept(tmp_path: Path) -> KeptBaseline:
    style_image = STYLES / "woodcut.jpg"
    objective = build_objective(CONFIG.loss, style_image, CONFIG.style.size_px, torch.device("cpu"))
    photo = PHOTOS / "astronaut.jpg"
    content = read_rgb(photo, shorter_px=48, square=True)
    settings = baseline_settings(CONFIG, style_image.read_bytes(), photo.read_bytes(), 48)
    return KeptBaseline(content, objective, CONFIG.optimize, settings, tmp_path / "a.b")


def names(kept: KeptBaseline) -> list[str]:
    """What is kept, without the digest of the settings."""
    found = sorted(path.name for path in kept.stem.parent.iterdir())
    assert all(name.startswith("a.b_") for name in found)
    return [name[12:] for name in found]


def test_a_run_is_kept_with_its_pictures(kept: KeptBaseline) -> None:
    told: list[int] = []
    run = kept.run(0, "here", told.append)
    assert (run.last, sum(told), run.crossing(0)) == (6, 6, None)
    assert run.seconds[0] == 0 < run.seconds[1]  # what the first evaluation took is no iteration
    assert names(kept) == [".json", "_0006.png"]
    again = replace(kept, objective=None).run(0, "elsewhere", told.append)  # nothing to run it by
    assert again == run
    assert (again.machine, sum(told)) == ("here", 12)

    # Of a network as good as iteration 3: painted up to there.
    goal = run.at(3)
    assert run.crossing(goal) == 3
    third = kept.picture(3)
    assert names(kept) == [".json", "_0003.png", "_0006.png"]
    with torch.no_grad():
        losses = kept.objective(third, kept.objective.content_features(kept.content)).floats()
    assert losses["total_loss"] == pytest.approx(goal, rel=0.02)  # 8 bits

    # The same pictures come of a run that knows the goal.
    last = kept.picture(6)
    for path in kept.stem.parent.iterdir():
        path.unlink()
    kept.run(goal, "here", told.append)
    assert names(kept) == [".json", "_0003.png", "_0006.png"]
    assert torch.equal(kept.picture(3), third)
    assert torch.equal(kept.picture(6), last)


def test_a_run_that_ends_early_is_over_for_the_progress_bar(kept: KeptBaseline) -> None:
    nothing_to_do = PerceptualLoss(
        kept.objective.loss_network,
        [],
        content_layers={"relu1_2": 1.0},
        style_layers={},
        tv_weight=0,
    )
    told: list[int] = []
    optimize = replace(CONFIG.optimize, init="content")
    run = replace(kept, objective=nothing_to_do, optimize=optimize).run(0, "here", told.append)
    assert run.last < 6
    assert sum(told) == 6


@pytest.mark.parametrize(
    "override",
    [
        "loss.style_weight=9",
        "style.size_px=99",
        "optimize.init=content",
        "optimize.noise_ratio=0.5",
        "optimize.method=adam",
        "optimize.iterations=7",
        "optimize.learning_rate=9",
        "optimize.history=9",
        "optimize.seed=1",
        "optimize.precision=bf16",
        "model.width=8",
    ],
)
def test_whatever_decides_the_course_is_in_the_settings(override: str) -> None:
    other = load_config(None, ["style.size_px=96", "optimize.iterations=6", override])
    same = baseline_settings(CONFIG, b"a", b"b", 48) == baseline_settings(other, b"a", b"b", 48)
    assert same == override.startswith("model")


def test_other_files_and_sizes_are_other_baselines(kept: KeptBaseline) -> None:
    kept.run(0, "here", lambda _: None)
    loss = replace(CONFIG.loss, style_weight=9.0)
    for config, style_image, photo, size_px in (
        (CONFIG, b"a", b"b", 48),
        (CONFIG, b"b", b"b", 48),
        (CONFIG, b"a", b"a", 48),
        (CONFIG, b"a", b"b", 64),
        (replace(CONFIG, loss=loss), b"a", b"b", 48),
    ):
        settings = baseline_settings(config, style_image, photo, size_px)
        before = len(names(kept))
        replace(kept, settings=settings, optimize=replace(kept.optimize, iterations=1)).run(
            0, "here", lambda _: None
        )
        assert len(names(kept)) == before + 2
