"""What a configuration builds."""

from __future__ import annotations

import pytest
import torch

from configs.build import build_network
from configs.schema import ModelConfig
from errors import UserError
from models.style_file import find_style, load_style


def test_a_network_begins_with_a_trained_styles_weights_and_can_be_trained() -> None:
    expected = load_style(find_style("wave"))[0].state_dict()
    network = build_network(ModelConfig(), "wave")
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.training


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("wave", r"train.start: wave has model.width 32; expected the network to be trained"),
        ("monet", r"train.start monet: no such style; expected one of .*starry_night"),
    ],
)
def test_a_start_of_another_kind_is_refused(start: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_network(ModelConfig(width=16), start)
