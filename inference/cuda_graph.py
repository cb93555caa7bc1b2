"""A network's pass as one CUDA graph, for a GPU that is done before the next kernel is launched.

Axes: H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from data.pixels import Pixels


class GraphedPass:
    """A pass over photos of one size: its kernels are launched together, from the same memory."""

    def __init__(
        self, run: Callable[[Tensor], Tensor], photo: Pixels, device: torch.device
    ) -> None:
        """Capture `run`, which takes H × W × 3 of uint8 on a CUDA device and returns as much.

        `photo` is one of that size. Raises RuntimeError for what cannot be captured.
        """
        self._device = device
        self._photo = torch.empty(photo.shape, dtype=torch.uint8, pin_memory=True)
        self._painting = torch.empty(photo.shape, dtype=torch.uint8, pin_memory=True)
        self._input = torch.tensor(photo, device=device)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                run(self._input)  # libraries make room on a stream when they first use it
            torch.cuda.current_stream().wait_stream(aside)
            # other threads may decode, copy and wait meanwhile
            with torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local"):
                self._output = run(self._input)

    def __call__(self, photo: Pixels) -> Pixels:
        """Return the painting of a photo of the captured size."""
        self._photo.numpy()[:] = photo
        with torch.cuda.device(self._device):
            self._input.copy_(self._photo, non_blocking=True)
            self._graph.replay()
            self._painting.copy_(self._output, non_blocking=True)
            torch.cuda.current_stream().synchronize()
        painting: Pixels = self._painting.numpy().copy()
        return painting
