"""What the styles that ship paint: no grid, no border."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.grid import grid_of
from benchmarks.model_cards import README, readme
from configs.schema import config_from_dict, load_config
from data.images import read_bytes, read_photo
from data.tensors import read_rgb
from inference.stylizer import Stylizer
from models.style_file import LITE, load_style, read_info, style_files
from tests.conftest import PHOTOS

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", style_files(), ids=lambda path: path.stem)
def test_no_grid(path: Path) -> None:
    """Photos themselves peak at 2 to 5; a style with a weave at 15 and 19, a checkerboard at 30.

    Flat grey comes out flat: a checkerboard spreads over 0.7, rounding that the normalisations
    enlarge a step of 8 bits.
    """
    photos = [read_rgb(PHOTOS / name) for name in ("astronaut.jpg", "chelsea.jpg", "coffee.jpg")]
    network = load_style(path)[0]
    grid = grid_of(network, photos)
    flat = network.double()(torch.full((1, 3, 128, 128), 0.5, dtype=torch.float64))
    assert float((flat.amax((2, 3)) - flat.amin((2, 3))).max()) < 1e-6
    assert grid.flat < 1 / 255
    assert grid.half < 8
    assert grid.quarter < 4


@pytest.mark.parametrize("path", style_files(), ids=lambda path: path.stem)
def test_no_border_on_a_flat_photo(path: Path) -> None:
    network, _ = load_style(path)
    for grey in (0.1, 0.5, 0.9):
        painted = network(torch.full((1, 3, 90, 110), grey))
        inner = painted[..., 30:-30, 30:-30].mean((2, 3), keepdim=True)
        assert float((painted - inner).abs().max()) < 0.01


@pytest.mark.parametrize("path", style_files(), ids=lambda path: path.stem)
def test_no_border_on_photos(path: Path) -> None:
    """The mean of the outermost row, less the photo's, is that of the fifth to the sixteenth.

    In levels of 255; wave's last row is 70 away without a margin.
    """
    away = [rows[:, 0].mean() - rows[:, 4:16].mean() for rows in from_each_edge(path)]
    assert np.abs(away).max() < 10


@pytest.mark.parametrize("path", style_files(), ids=lambda path: path.stem)
def test_no_frame_on_photos(path: Path) -> None:
    """The mean colour of the outer twelve rows, less the photo's, is that of the next but twelve.

    In levels of 255 of the colour that is most away; networks have learned red frames, 66 and 82
    away with a margin of 8 px on three windows, and a yellow one, 69 (docs/training.md). Large
    areas of colour that lie so by chance count too: the more windows, the less.
    """
    away = [
        rows[:, :12].mean((0, 1, 2)) - rows[:, 24:48].mean((0, 1, 2))
        for rows in from_each_edge(path)
    ]
    assert np.abs(away).max() < 25


@cache
def from_each_edge(path: Path) -> list[np.ndarray]:
    """What a style changes in the corners of three photos, 10 × 300 × 300 × 3: each edge first."""
    stylizer, changes = Stylizer(path, "cpu"), []
    for name in ("astronaut.jpg", "chelsea.jpg", "coffee.jpg"):
        photo = read_photo(read_bytes(PHOTOS / name), name).pixels
        for top, left in product(*({0, side - 300} for side in photo.shape[:2])):
            window = photo[top : top + 300, left : left + 300]
            changes.append(stylizer(window).astype(int) - window)
    return [np.rot90(changes, turns, (1, 2)) for turns in range(4)]


@pytest.mark.parametrize("path", style_files(), ids=lambda path: path.stem)
def test_its_config_is_the_one_it_was_trained_with(path: Path) -> None:
    yaml = CONFIGS / "styles" / f"{path.stem}.yaml"
    config = load_config(yaml)
    if not config.style.image:  # a painting that is not in the repository
        config = load_config(yaml, [f"style.image={path.stem.removesuffix(LITE)}.jpg"])
    trained = config_from_dict(read_info(path).config, path.name)
    assert config.name == trained.name == path.stem
    assert config.model == trained.model
    assert config.style == trained.style
    assert config.loss == trained.loss
    assert config.train == trained.train
    assert config.data.size_px == trained.data.size_px
    assert f"python train.py configs/styles/{yaml.name}" in yaml.read_text()


@pytest.mark.parametrize("path", style_files(), ids=lambda path: path.stem)
def test_its_card_is_its_own(path: Path) -> None:
    info = read_info(path)
    run = info.runs[-1]
    train = info.config["train"]
    keys = ("start", "batch_size", "teacher", "optimizer", "learning_rate")
    assert {key: getattr(run, key) for key in keys} == {key: train[key] for key in keys}
    assert run.style_weight == info.config["loss"]["style_weight"]
    assert (run.steps, run.num_photos) == (info.steps, info.num_photos)
    assert run.heldout_objective == info.losses["heldout_total_loss"]
    assert run.command.startswith(f"python train.py configs/styles/{path.stem}.yaml ")
    assert run.minutes > 0
    assert run.device
    assert run.commit
    assert not run.commit.endswith("-dirty")


def test_the_page_of_cards_is_what_the_files_say() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == readme(text)
