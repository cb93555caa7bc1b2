"""The transformation network by PyTorch: GPUs, and the CPU where OpenVINO is not.

Axes: C channels, H rows, W columns.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from data.images import Pixels
from data.tensors import to_pixels
from errors import UserError
from models.device import has_fast_bf16, resolve_device
from models.style_file import load_style

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """One style on one device."""

    def __init__(
        self, path: Path, device: str = "auto", precision: str = "auto", margin_px: int = 0
    ) -> None:
        """Read a style file. Raises StyleFileError; UserError for what the device has not.

        `margin_px` of a photo, a multiple of 4, are mirrored around it while it is painted.
        """
        self.device = resolve_device(device)
        if self.device.type == "cuda" and self.device.index is None:
            # torchrun's processes on this machine take a GPU each, or share them
            rank = int(os.environ.get("LOCAL_RANK", "0"))
            self.device = torch.device("cuda", rank % torch.cuda.device_count())
        self.network, self.info = load_style(path, self.device)
        self.precision = resolve_precision(precision, self.device)
        self.network.to(PRECISIONS[self.precision])
        self.margin_px = margin_px

    @torch.inference_mode()
    def paint(self, photo: Pixels) -> Pixels:
        """Return the painting of an H × W × 3 photo, of its size."""
        images = torch.tensor(photo, device=self.device)[None].permute(0, 3, 1, 2)  # 1 × 3 × H × W
        images = images.to(PRECISIONS[self.precision]) / 255
        return to_pixels(self.network(images, self.margin_px))


def resolve_precision(name: str, device: torch.device) -> str:
    """Return the precision called `name` on a device; `auto` is the fastest that looks the same.

    Raises UserError for one that the device has not, or is slow at.
    """
    valid = ["fp32"]
    if has_fast_bf16(device):
        valid.append("bf16")
    if device.type == "cuda":
        valid.append("fp16")
    if name == "auto":
        return valid[-1]
    if name not in valid:
        raise UserError(
            f"--precision {name}: not on {device}; expected auto, {', '.join(valid)}. Use auto."
        )
    return name
