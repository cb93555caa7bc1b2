"""Checkpoints that a run resumes from as if it had never stopped."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

from errors import UserError

KEEP = 2


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` as the checkpoint of `step`, complete or not at all; keep the last `KEEP`.

    The file is written beside, flushed to disk and renamed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:08d}.pt"
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Return a folder's checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step_*.pt") if re.fullmatch(r"step_\d+", path.stem))


def load_last_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint's state on the CPU, or None where there is none.

    Nothing in the file is executed. Raises UserError for a file that cannot be read.
    """
    files = checkpoints(folder)
    if not files:
        return None
    try:
        state: dict[str, Any] = torch.load(files[-1], map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for one cause: not a whole checkpoint
        raise UserError(
            f"{files[-1]}: cannot be read ({str(error).splitlines()[0]}); expected a checkpoint. "
            "Delete it to resume from the one before."
        ) from error
    return state


def random_state() -> dict[str, Any]:
    """Return torch's random state on every device."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
