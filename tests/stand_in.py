"""Tensors without values that stand in for a GPU's: they know their device, and cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode


@contextmanager
def stand_in_gpu() -> Iterator[None]:
    """Make new tensors a GPU's, without one. What would wait for a value of theirs raises."""
    with FakeTensorMode(), torch.device("cuda"):
        yield


class OnTheGpu(TorchDispatchMode):
    """Counts operations, and asserts that none makes or takes a tensor elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in (*args, made):
            if isinstance(tensor, torch.Tensor):
                assert tensor.device.type == "cuda", operation
        self.count += 1
        return made
