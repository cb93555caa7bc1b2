"""Networks that others trained, as ours."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.layout import weight_shapes
from models.style_file import Array, StyleFileError, check_weights

FIRST_WEIGHT = "conv1.conv2d.weight"


def import_state(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the model keys and the weights of a foreign network, as ours.

    `path` is a state dict as the fast_neural_style example of pytorch/examples saves it, or a
    checkpoint that holds one: names like `conv1.conv2d.weight`, pictures of 0 to 255 in and out,
    nearest-neighbour upsampling, no tanh. Biases that a normalisation cancels, and its unused
    running statistics, are left out. Raises StyleFileError.
    """
    foreign = _read_torch_state(path)
    blocks = sum(1 for name in foreign if re.fullmatch(r"res\d+\.conv1\.conv2d\.weight", name))
    names = {"conv1": "0.0", "in1": "0.1", "conv2": "1.0", "in2": "1.1", "conv3": "2.0"}
    names |= {"in3": "2.1"}
    for i in range(blocks):
        ours, theirs = f"{i + 3}.body", f"res{i + 1}"
        names |= {f"{theirs}.conv1": f"{ours}.0.0", f"{theirs}.in1": f"{ours}.0.1"}
        names |= {f"{theirs}.conv2": f"{ours}.1", f"{theirs}.in2": f"{ours}.2"}
    up1, up2, last = (str(blocks + i) for i in (3, 4, 5))
    names |= {"deconv1": f"{up1}.0.1", "in4": f"{up1}.1", "deconv2": f"{up2}.0.1"}
    names |= {"in5": f"{up2}.1", "deconv3": last}
    state = {}
    for theirs, ours in names.items():
        if f"{theirs}.conv2d.weight" in foreign:
            state[f"layers.{ours}.conv.weight"] = foreign[f"{theirs}.conv2d.weight"]
        for key in ("weight", "bias"):
            if f"{theirs}.{key}" in foreign:
                state[f"layers.{ours}.{key}"] = foreign[f"{theirs}.{key}"]
    # 255 x is 127.5 (2 x - 1) and a constant, which the normalisation takes away.
    state["layers.0.0.conv.weight"] = state["layers.0.0.conv.weight"] * np.float32(127.5)
    for key in ("weight", "bias"):
        if f"deconv3.conv2d.{key}" in foreign:
            state[f"layers.{last}.conv.{key}"] = foreign[f"deconv3.conv2d.{key}"] / np.float32(255)
    model: dict[str, Any] = {
        "width": int(foreign[FIRST_WEIGHT].shape[0]),
        "num_blocks": blocks,
        "norm": "instance",
        "upsample": "resize",
        "padding": "reflect",
        "output": "linear",
    }
    check_weights(path, state, weight_shapes(**model))
    return model, state


def _network_state(saved: object) -> dict[str, Any]:
    """Return the weights of the network in what was saved, by their names in the network.

    Training programs save them within more (`{"state_dict": …, "epoch": …}`), and wrappers put
    something before the names (`module.`). Empty where there are none.
    """
    if not isinstance(saved, Mapping):
        return {}
    named = {str(name): value for name, value in saved.items()}
    for name in named:
        if name.endswith(FIRST_WEIGHT):
            before = name.removesuffix(FIRST_WEIGHT)
            return {key.removeprefix(before): value for key, value in named.items()}
    within = (_network_state(value) for value in named.values())
    return next((state for state in within if state), {})


def _read_torch_state(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise StyleFileError(f"{path}: no such file; expected a state dict. Check the path.")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)  # executes nothing
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0][:100]
        raise StyleFileError(
            f"{path}: cannot be read ({reason}); expected a state dict that torch saved. "
            "Get the file again."
        ) from error
    state = _network_state(saved)
    if not state:
        found = ", ".join(sorted(map(str, saved))[:3]) if isinstance(saved, Mapping) else ""
        raise StyleFileError(
            f"{path}: holds {found or type(saved).__name__}; expected a state dict of "
            f"fast_neural_style ({FIRST_WEIGHT}, …). Nothing else can be imported."
        )
    return {k: v.float().numpy() for k, v in state.items() if isinstance(v, torch.Tensor)}
