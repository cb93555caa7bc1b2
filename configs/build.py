"""What a configuration describes, built: the transformation network and the objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from configs.schema import LossConfig, ModelConfig, config_from_dict
from data.tensors import read_rgb
from errors import UserError
from losses.perceptual import PerceptualLoss, StyleImage
from models.style_file import find_style, load_style
from models.transformer_net import TransformerNet
from models.vgg import VGGFeatures


def build_network(model: ModelConfig, start: str = "") -> TransformerNet:
    """Return the transformation network with fresh weights (from torch's global random state).

    With `start`, a trained style's name or file, with that style's weights. Raises UserError where
    there is none, or where its network is another.
    """
    network = TransformerNet(**dataclasses.asdict(model)).to(memory_format=torch.channels_last)
    if start:
        trained, info = load_style(find_style(start, "train.start"))
        found = dataclasses.asdict(config_from_dict(info.config, start).model)
        wanted = dataclasses.asdict(model)
        others = [f"model.{key} {found[key]}" for key in found if found[key] != wanted[key]]
        if others:
            raise UserError(
                f"train.start: {start} has {', '.join(others)}; expected the network to be "
                "trained. Set the same, choose another start, or train.start= for fresh weights."
            )
        network.load_state_dict(trained.state_dict())
    return network


def build_objective(
    loss: LossConfig,
    style: Path | Sequence[StyleImage],
    style_size_px: int,
    device: torch.device,
) -> PerceptualLoss:
    """Return the objective against a style image whose longer side is made `style_size_px`.

    Style images that are read already stay as they are. Raises UserError for weights or an image
    that cannot be read.
    """
    if isinstance(style, Path):
        style = [StyleImage(read_rgb(style, longer_px=style_size_px).to(device))]
    loss_network = VGGFeatures(
        [*loss.content_layers, *loss.style_layers],
        network=loss.network,
        weights=loss.weights,
        pooling=loss.pooling,
        normalization=loss.normalization,
    )
    loss_network.to(memory_format=torch.channels_last).to(device)
    return PerceptualLoss(
        loss_network,
        style,
        content_layers=loss.content_layers,
        style_layers=loss.style_layers,
        content_weight=loss.content_weight,
        style_weight=loss.style_weight,
        tv_weight=loss.tv_weight,
        gram=loss.gram,
        content_distance=loss.content_distance,
        style_distance=loss.style_distance,
    )
