"""What an optimization is given: sizes, starts, masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from baselines.scene import Scene, Sources, picture_sizes
from configs.schema import load_config
from data.encoding import write_pixels
from tests.conftest import PHOTOS, STYLES, size_of

PHOTO, STYLE = PHOTOS / "coffee.jpg", STYLES / "woodcut.jpg"
CPU = torch.device("cpu")


def test_sizes_double_and_never_enlarge_the_photo() -> None:
    sources = Sources.named(str(PHOTO), [str(STYLE)])
    width, height = size_of(PHOTO)
    assert picture_sizes(sources, load_config(None, ["optimize.size_px=100000"])) == [
        (height, width)
    ]
    config = load_config(None, ["optimize.size_px=96", "optimize.num_sizes=3"])
    rows = round(height * 96 / width)
    assert picture_sizes(sources, config) == [
        (round(rows / 4), 24),
        (round(rows / 2), 48),
        (rows, 96),
    ]
    texture = Sources.named("none", [str(STYLE)])
    config = load_config(None, ["optimize.size_px=96", "optimize.texture_height_px=40"])
    assert picture_sizes(texture, config) == [(40, 96)]


def test_a_coarser_scene_has_coarser_styles_and_goes_on_from_the_coarser_picture() -> None:
    config = load_config(None, ["style.size_px=128"])
    sources = Sources.named(str(PHOTO), [str(STYLE)])
    fine, coarse = (
        Scene(sources, config, size, (64, 96), CPU).objective.targets[0].num_positions["relu1_2"]
        for size in ((64, 96), (32, 48))
    )
    assert coarse * 4 == fine
    scene = Scene(sources, config, (64, 96), (64, 96), CPU)
    grey = torch.full((1, 3, 32, 48), 0.6)
    torch.testing.assert_close(scene.start(grey), torch.full((1, 3, 64, 96), 0.6))


def test_the_start_is_the_photo_where_no_mask_is(tmp_path: Path) -> None:
    width, height = size_of(PHOTO)
    mask = np.zeros((height, width, 3), np.uint8)
    mask[:, : width // 2] = 255
    write_pixels(tmp_path / "left.png", mask)
    left = str(tmp_path / "left.png")
    config = load_config(None)
    scene = Scene(
        Sources.named(str(PHOTO), [str(STYLE)], masks=[left]), config, (64, 96), (64, 96), CPU
    )
    assert scene.content is not None
    start = scene.start()
    assert torch.equal(start[..., 52:], scene.content[..., 52:])
    assert float((start - scene.content)[..., :44].abs().mean()) > 0.1
    everywhere = Sources.named(str(PHOTO), [str(STYLE), str(STYLE)], masks=[left, "none"])
    start = Scene(everywhere, config, (64, 96), (64, 96), CPU).start()
    assert float((start - scene.content)[..., 52:].abs().mean()) > 0.1
