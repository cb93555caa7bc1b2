"""Where a network runs."""

from __future__ import annotations

import ctypes
import re
import sys
from functools import cache

import torch

from errors import UserError

DEVICES = "auto, cpu, cuda, cuda:N or mps"
KEPT_PIXELS = 512 * 512


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the best there is. Raises UserError otherwise.

    A device that was asked for by name and is not there is an error, never another device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UserError(f"--device {name}: no such device; expected {DEVICES}.")
    device = torch.device(name)
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UserError(
            f"--device {name}: {count} CUDA devices here; expected {DEVICES}. Use auto."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"--device {name}: no MPS here; expected {DEVICES}. Use auto.")
    return device


def chosen_precision(name: str, device: torch.device) -> str:
    """Return `fp32` or `bf16`; for `auto`, bf16 where the device is fast at it."""
    if name == "auto":
        return "bf16" if has_fast_bf16(device) else "fp32"
    return name


def in_precision(name: str, device: torch.device) -> torch.autocast:
    """Return the context in which networks compute on a device in a `chosen_precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=name == "bf16")


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies bf16 faster than float32 (not merely somehow)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return cpu_has("amx_bf16") or cpu_has("avx512_bf16")
    return False


@cache
def cpu_has(capability: str) -> bool:
    """Return whether the CPU has these instructions, as far as torch (from 2.10) can tell."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get(capability))


def expect_same_sizes(pixels: int) -> None:
    """Make ready for pictures of the same sizes again and again, so many pixels at a time.

    A GPU's convolutions are tried out at each size's first step, by cuDNN. And where the C library
    is glibc, it keeps what is freed for the next allocation: by default every tensor of 32 MiB and
    more is new memory from the kernel, which clears it page by page, a tenth of an iteration at
    512 px. Of more than `KEPT_PIXELS` the gaps between what is kept would take too much memory.
    """
    torch.backends.cudnn.benchmark = True
    if not sys.platform.startswith("linux") or pixels > KEPT_PIXELS:
        return
    m_trim_threshold, m_mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, -1)
