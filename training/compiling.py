"""torch.compile where it works, and one line of notice where it does not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])

FOR_AVX512 = "native -fno-tree-slp-vectorize"
"""The CPU to compile for, and an option for GCC, which PyTorch has no other place for."""


def compiled(function: Function, graphs: bool = False) -> Function:
    """Return `function` compiled at its first call, or as it is where no compiler is.

    Each size of its arguments is compiled by itself: code for any size, which PyTorch would make at
    the second, takes 1.6 times as long. For a CPU with AVX-512, whose gradients in bf16 GCC may
    make NaN of (docs/training.md), one of its optimizations is left out. With `graphs` a GPU is
    given all of it in one CUDA graph; what a call returns is then overwritten by the next.
    """
    from torch._inductor import config  # it takes a second

    options: dict[str, Any] = {"triton.cudagraphs": graphs}
    if torch.backends.cpu.get_cpu_capability() == "AVX512" and hasattr(config.cpp, "march"):
        options["cpp.march"] = FOR_AVX512
    chosen: Callable[..., Any] = torch.compile(function, dynamic=False, options=options)
    tried = False

    def call(*arguments: Any) -> Any:
        nonlocal chosen, tried
        if tried:
            return chosen(*arguments)
        tried = True
        try:
            return chosen(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:  # a missing compiler, most often
            reason = str(error).strip().splitlines()[0]
            print(f"--compile: not possible here ({reason}); going on without", file=sys.stderr)
            chosen = function
            return function(*arguments)

    return call  # type: ignore[return-value]
