"""The transformation network by PyTorch: GPUs, and the CPU where OpenVINO is not.

Axes: H rows, W columns.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.pixels import Pixels
from data.tensors import to_bytes
from errors import UserError
from inference.cuda_graph import GraphedPass
from models.device import has_fast_bf16, resolve_device
from models.style_file import load_style

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GRAPHED_PIXELS = 2**20
"""A larger photo keeps a GPU busy for longer than its kernels take to be launched one by one."""
GRAPHED_SIZES = 2
"""So many photo sizes have a graph, which keeps its memory: a camera's upright and lying photos."""


class TorchEngine:
    """One style on one device."""

    def __init__(
        self,
        path: Path,
        device: str = "auto",
        precision: str = "auto",
        margin_px: int = 0,
        graphs: bool = True,
    ) -> None:
        """Read a style file. Raises StyleFileError; UserError for what the device has not.

        `margin_px` of a photo, a multiple of 4, are mirrored around it while it is painted. With
        `graphs` a GPU has CUDA graphs for the sizes of small photos that come again.
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
        self.takes_graphs = graphs and self.device.type == "cuda"
        self._graphs: dict[tuple[int, ...], GraphedPass] = {}  # by a photo's shape
        self._seen: set[tuple[int, ...]] = set()

    @torch.inference_mode()
    def paint(self, photo: Pixels) -> Pixels:
        """Return the painting of an H × W × 3 photo, of its size."""
        if photo.shape in self._graphs:
            return self._graphs[photo.shape](photo)
        painting: Pixels = self._pass(torch.tensor(photo, device=self.device)).cpu().numpy()
        if self.takes_graphs and photo.shape[0] * photo.shape[1] <= GRAPHED_PIXELS:
            if photo.shape in self._seen and len(self._graphs) < GRAPHED_SIZES:
                self._add_graph(photo, painting)
            self._seen.add(photo.shape)
        return painting

    def _pass(self, photo: Tensor) -> Tensor:
        """Return the painting of H × W × 3 of uint8 on the device, in the same form."""
        images = photo[None].permute(0, 3, 1, 2)  # 1 × 3 × H × W
        images = images.to(PRECISIONS[self.precision]) / 255
        return to_bytes(self.network(images, self.margin_px))

    def _add_graph(self, photo: Pixels, painting: Pixels) -> None:
        """Have a graph for a photo's size, if one can be made that paints it as `painting` is."""
        try:
            graph = GraphedPass(self._pass, photo, self.device)
            away = np.abs(graph(photo).astype(np.int16) - painting).mean()
            if away > 1:
                raise RuntimeError(f"{away:.1f} levels of 255 away from single launches")
        except RuntimeError as error:
            self.takes_graphs = False
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(f"notice: painting without CUDA graphs ({reason})", file=sys.stderr)
            return
        self._graphs[photo.shape] = graph


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
