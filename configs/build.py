"""What a configuration describes, built: the transformation network and the objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from configs.schema import LossConfig, ModelConfig
from data.tensors import read_rgb
from losses.perceptual import PerceptualLoss, StyleImage
from models.transformer_net import TransformerNet
from models.vgg import VGGFeatures


def build_network(model: ModelConfig) -> TransformerNet:
    """Return the transformation network with fresh weights (from torch's global random state)."""
    return TransformerNet(**dataclasses.asdict(model)).to(memory_format=torch.channels_last)


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
