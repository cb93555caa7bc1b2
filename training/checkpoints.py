"""Checkpoints that a run resumes from as if it had never stopped."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from errors import FULL_DISK, UserError

KEEP = 2


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` as the checkpoint of `step`, complete or not at all; keep the last `KEEP`.

    The file is written beside, flushed to disk and renamed. Raises UserError for a full disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:08d}.pt"
    beside = path.with_suffix(".tmp")
    try:
        with beside.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except (OSError, RuntimeError) as error:
        # torch's writer ends in a RuntimeError of its own when the file takes no more.
        reason = error if isinstance(error, OSError) else error.__context__
        beside.unlink(missing_ok=True)
        if isinstance(reason, OSError) and reason.errno in FULL_DISK:
            raise UserError(
                f"{path}: cannot be written ({reason.strerror}); expected room for a checkpoint. "
                "Free some space and go on with --resume: the one before is whole."
            ) from error
        raise
    _sync_folder(folder)
    files = checkpoints(folder)
    last = files.index(path) + 1
    for other in files[: max(0, last - KEEP)] + files[last:]:  # later ones: of a time undone
        other.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Return a folder's checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step_*.pt") if re.fullmatch(r"step_\d+", path.stem))


def load_last_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest readable checkpoint's state on the CPU, or None where there is no file.

    Nothing in a file is executed. One that cannot be read is passed over with a line on stderr.
    Raises UserError where none can be read.
    """
    reasons: list[str] = []
    for path in reversed(checkpoints(folder)):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for one cause: not a whole checkpoint
            what = (str(error) or type(error).__name__).splitlines()[0]
            reasons.append(f"{path}: cannot be read ({what})")
            continue
        for reason in reasons:
            print(f"{reason}; going on from {path.name}", file=sys.stderr)
        return state
    if reasons:
        raise UserError(
            f"{reasons[0]}, nor can any other there; expected a checkpoint. Put one back, or start "
            "again in a new folder with --out."
        )
    return None


class RunState:
    """All that a run's future depends on: a checkpoint holds it, and going back restores it."""

    def __init__(self, network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.network = network
        self.optimizers = optimizers
        self.step = 0
        """Updates done; with `draw` and the config's seed it is the position in the photos."""
        self.draw = 0
        """Which draw of photos: another one after a step that broke."""
        self.elapsed_s = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return it as a dictionary that a checkpoint can hold."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "draw": self.draw,
            "elapsed_s": self.elapsed_s,
            "random_state": {"cpu": torch.get_rng_state(), "cuda": cuda},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        for optimizer, before in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(before)
        self.step, self.draw = state["step"], state["draw"]
        self.elapsed_s = state["elapsed_s"]
        torch.set_rng_state(state["random_state"]["cpu"])
        cuda = state["random_state"]["cuda"]
        if torch.cuda.is_available() and len(cuda) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(cuda)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to disk, where the system lets one."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
