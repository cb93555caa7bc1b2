"""The frozen loss network: VGG-16 or VGG-19, its layers by name, its normalisation inside.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import UserError
from models.convolution import conv2d
from models.winograd import Kernel

NETWORKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in each of the five blocks: configurations D and E of the paper."""
CHANNELS = (64, 128, 256, 512, 512)
POOLINGS = ("max", "average")
WEIGHTS = ("bundled", "torchvision", "torchvision:IMAGENET1K_V1")
"""Beside these, `weights` may be the path of a .safetensors or .pth file."""
NORMALIZATIONS = ("auto", "original", "imagenet")
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers of a floating-point number's size: masking those converts nothing."""
BUNDLED_FILE = Path(__file__).parents[1] / "assets/weights/vgg16_to_conv5_1_fp16.safetensors"

# Input = (RGB in [0, 1] − mean) / std.
ORIGINAL_MEAN_STD = ((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255))
IMAGENET_MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def conv_names(network: str) -> list[str]:
    """Return the convolutions' names in order: `conv1_1`, `conv1_2`, `conv2_1`, …"""
    blocks = enumerate(NETWORKS[network], start=1)
    return [f"conv{block}_{i}" for block, count in blocks for i in range(1, count + 1)]


def layer_names(network: str) -> list[str]:
    """Return every name that a loss can ask for: each convolution's value and its ReLU's."""
    return [kind + name[4:] for name in conv_names(network) for kind in ("conv", "relu")]


class VGGFeatures(nn.Module):
    """Features of named layers, computed no deeper than asked; nothing in it is trained.

    `relu3_3` is the value after the third ReLU of the third block, `conv4_2` one before its ReLU.
    Source: Simonyan and Zisserman 2014, configurations D and E; layer order and zero padding as in
    torchvision's `vgg16().features`, checked against it (tests/unit/test_vgg.py).
    Differs: `pooling="average"` replaces max pooling (Gatys et al. 2016, section 2).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        layers: Iterable[str],
        network: str = "vgg16",
        weights: str = "bundled",
        pooling: str = "max",
        normalization: str = "auto",
    ) -> None:
        """Build the network down to the deepest of `layers` and load its weights.

        `weights` is one of `WEIGHTS` or a file's path; `normalization` `auto` takes the one that
        the weights were trained with (a file: the original one). Raises UserError for a network,
        layer, or weights that do not exist or do not fit.
        """
        super().__init__()
        valid = layer_names(network)
        layers = list(layers)
        for name in layers:
            if name not in valid:
                raise UserError(
                    f"layer {name!r}: not in {network}; expected {valid[0]} … {valid[-1]}."
                )
        self.network = network
        self.average = pooling == "average"
        depth = max((valid.index(name) // 2 for name in layers), default=-1) + 1
        self.convs = nn.ModuleDict()
        channels = 3
        for name in conv_names(network)[:depth]:
            wider = CHANNELS[int(name[4]) - 1]
            self.convs[name] = nn.Conv2d(channels, wider, 3, padding=1)
            channels = wider
        self._load(*_read_weights(network, weights))
        if normalization == "auto":
            imagenet = weights.startswith("torchvision") and not _is_original(network, weights)
            normalization = "imagenet" if imagenet else "original"
        mean, std = IMAGENET_MEAN_STD if normalization == "imagenet" else ORIGINAL_MEAN_STD
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self._kernels: dict[str, Kernel] = {}

    def _load(self, state: dict[str, Tensor], source: str) -> None:
        indices = _conv_indices(self.network)
        for (name, conv), index in zip(self.convs.items(), indices, strict=False):
            assert isinstance(conv, nn.Conv2d)
            for kind, parameter in (("weight", conv.weight), ("bias", conv.bias)):
                key = f"features.{index}.{kind}"
                value = state.get(key, state.get(key.removeprefix("features.")))
                if value is None:
                    raise UserError(
                        f"{source}: has no {key} ({name} of {self.network}); expected a "
                        f"{self.network} state dict that reaches {list(self.convs)[-1]}. "
                        "Choose shallower layers or set loss.weights to a fuller file."
                    )
                if parameter is None or value.shape != parameter.shape:
                    raise UserError(
                        f"{source}: {key} is {tuple(value.shape)}; expected "
                        f"{tuple(conv.weight.shape if kind == 'weight' else (conv.out_channels,))} "
                        f"for {self.network}. Check loss.network and loss.weights."
                    )
                with torch.no_grad():
                    parameter.copy_(value)

    def forward(self, images: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Return {layer: B × C × H' × W'} for the named layers.

        `images` is B × 3 × H × W in [0, 1]. Layers must be no deeper than those the network was
        built for (KeyError otherwise). Raises UserError for images that pooling leaves empty.
        """
        wanted = set(layers)
        features: dict[str, Tensor] = {}
        x = (images - self.mean) / self.std
        block = "1"
        for name, conv in self.convs.items():
            if len(features) == len(wanted):
                break
            if name[4] != block:
                block = name[4]
                if min(x.shape[-2:]) < 2:
                    raise UserError(
                        f"image of {images.shape[-1]} x {images.shape[-2]} px: too small for "
                        f"{name} of {self.network}; expected at least "
                        f"{2 ** (int(block) - 1)} px a side. Take a larger one or shallower layers."
                    )
                x = F.avg_pool2d(x, 2) if self.average else F.max_pool2d(x, 2)
            assert isinstance(conv, nn.Conv2d)
            if name not in self._kernels:
                self._kernels[name] = Kernel(conv.weight)
            x = conv2d(x, conv.weight, conv.bias, 1, 1, self._kernels[name])
            relu = "relu" + name[4:]
            if name in wanted:
                features[name] = x
                x = F.relu(x)
            elif relu in wanted or not x.requires_grad or torch.compiler.is_compiling():
                x = F.relu_(x)
            else:
                x = MaskedReLU.apply(x)
            if relu in wanted:
                features[relu] = x
        if len(features) < len(wanted):
            raise KeyError(f"{sorted(wanted - set(features))}: deeper than this network was built")
        return features


class MaskedReLU(torch.autograd.Function):
    """ReLU in place that remembers which values it passed, a byte each, and not the values.

    A frozen convolution needs no input for its gradient, so nothing else would keep them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        # any bit is faster than > 0, and the same but for -0
        ctx.save_for_backward(x.relu_().view(BITS[x.itemsize]).bool())
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (passed,) = ctx.saved_tensors
        gradient = gradients[0]
        bits = gradient.view(BITS[gradient.itemsize]) * passed.view(torch.int8)
        kept: Tensor = bits.view(gradient.dtype)
        return kept


def _conv_indices(network: str) -> list[int]:
    """Positions of the convolutions in torchvision's `features`: ReLUs and pools count too."""
    indices, index = [], 0
    for count in NETWORKS[network]:
        indices += [index + 2 * i for i in range(count)]
        index += 2 * count + 1
    return indices


def _is_original(network: str, weights: str) -> bool:
    return network == "vgg16" and weights == "torchvision"


def _read_weights(network: str, weights: str) -> tuple[dict[str, Tensor], str]:
    """Return a state dict and what to call it in an error."""
    if weights == "bundled":
        if network != "vgg16":
            raise UserError(
                f"loss.weights: bundled has vgg16 only, not {network}; expected torchvision or a "
                "file's path. Set loss.weights=torchvision to download them."
            )
        return read_state_dict(BUNDLED_FILE), BUNDLED_FILE.name
    if weights in WEIGHTS:
        return _torchvision_weights(network, weights), weights
    return read_state_dict(Path(weights)), weights


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors or .pth file; nothing in the file is executed.

    Raises UserError for a missing file, another suffix, or a content that is not a state dict.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; expected the loss network's weights (one of "
            f"{', '.join(WEIGHTS)}, or a .safetensors or .pth file with torchvision's names). "
            "Restore assets/weights from the repository or set loss.weights=torchvision to "
            "download them; stylizing needs none of them."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix in (".pth", ".pt"):
            state = torch.load(path, map_location="cpu", weights_only=True)
            if isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values()):
                return state
            raise UserError(f"{path}: holds no state dict; expected names and tensors.")
    except UserError:
        raise
    except Exception as error:  # both libraries raise many kinds for one cause: not such a file
        reason = re.split(r"[\n.]", str(error))[0]
        raise UserError(
            f"{path}: cannot be read as {path.suffix} weights ({reason}); expected a state dict "
            "with torchvision's names. Download or export it again."
        ) from error
    raise UserError(f"{path}: suffix {path.suffix!r}; expected .safetensors or .pth.")


def _torchvision_weights(network: str, weights: str) -> dict[str, Tensor]:
    """Return torchvision's own weights, downloaded once into its cache and checked by hash."""
    from torchvision.models import VGG16_Weights, VGG19_Weights

    if network == "vgg19":
        choice = VGG19_Weights.IMAGENET1K_V1
    elif _is_original(network, weights):
        choice = VGG16_Weights.IMAGENET1K_FEATURES
    else:
        choice = VGG16_Weights.IMAGENET1K_V1
    try:
        state: dict[str, Tensor] = choice.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"loss.weights: {choice.url} could not be downloaded ({error}); expected a network "
            "connection or the file in torch's cache. Use loss.weights=bundled or a file; "
            "stylizing needs none of them."
        ) from error
    return state
