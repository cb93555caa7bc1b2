"""The objective's numbers on real photos with the real VGG-16, so that no refactor moves them.

python -m tests.golden.test_objective    # writes objective.json anew
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from configs.build import build_objective
from configs.schema import load_config
from data.tensors import read_rgb
from tests.conftest import PHOTOS, STYLES

FILE = Path(__file__).with_name("objective.json")
COMMAND = "python -m tests.golden.test_objective"
VARIANTS = {
    "canonical": [],
    "paper's text": ["loss.style_distance=frobenius"],
    "keras notes": ["loss.gram=hw"],
    "gatys": [
        "loss.pooling=average",
        "loss.content_layers={conv4_2: 1}",
        "loss.style_layers={conv1_1: .2, conv2_1: .2, conv3_1: .2, conv4_1: .2, conv5_1: .2}",
        "loss.gram=none",
        "loss.style_distance=gatys",
        "loss.content_distance=half_sum",
    ],
}


def measure(overrides: list[str]) -> dict[str, float]:
    """The four terms and each layer's distance: a cup of coffee as a painting of a cat."""
    config = load_config(None, overrides)
    style = STYLES / "woodcut.jpg"
    objective = build_objective(config.loss, style, 192, torch.device("cpu"))
    content = read_rgb(PHOTOS / "chelsea.jpg", shorter_px=96, square=True)
    picture = read_rgb(PHOTOS / "coffee.jpg", shorter_px=96, square=True)
    with torch.no_grad():
        terms = objective(picture, objective.content_features(content))
    return terms.floats() | {name: float(value) for name, value in terms.by_layer.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_objective(variant: str) -> None:
    golden = json.loads(FILE.read_text(encoding="utf-8"))
    assert golden["command"] == COMMAND
    assert measure(VARIANTS[variant]) == pytest.approx(golden[variant], rel=1e-4)


if __name__ == "__main__":
    numbers = {variant: measure(overrides) for variant, overrides in VARIANTS.items()}
    text = json.dumps({"command": COMMAND, **numbers}, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")
