"""Where a figure or a style comes from: the machine, the commit, the command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent


def device_name(device: str, count: int = 1, precision: str = "fp32") -> str:
    """Return what so many devices are called: a GPU by its name, a CPU by its kind and threads.

    What networks compute in is told of where it is not float32.
    """
    if precision != "fp32":
        return f"{device_name(device, count)}, {precision}"
    if count > 1:
        return f"{count} × {device_name(device)}"
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    threads = torch.get_num_threads()
    return f"{platform.machine()} {device}, {threads} thread{'s' if threads > 1 else ''}"


def machine(device: str, precision: str = "fp32") -> str:
    """Return a line about what figures were measured on."""
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{device_name(device, precision=precision)}, {versions}"


def commit() -> str:
    """Return this repository's commit, `-dirty` after it where files differ; empty without one."""
    where = [f"--git-dir={ROOT / '.git'}", f"--work-tree={ROOT}"]  # no repository around it
    command = ["git", *where, "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return ""
    return done.stdout.strip()


def command() -> str:
    """Return the command that started this program, as it was typed."""
    return f"python {shlex.join(sys.argv)}"
