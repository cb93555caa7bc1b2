"""The baseline on one photo, run once and kept: whatever network it is held against later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from baselines.gatys import optimize_image
from baselines.results import BaselineRun
from configs.schema import Config, OptimizeConfig
from data.tensors import read_rgb, write_image
from losses.perceptual import PerceptualLoss
from whole_file import whole_file


def baseline_settings(
    config: Config, style_image: bytes, photo: bytes, size_px: int
) -> dict[str, Any]:
    """Return all that decides the baseline on one photo, from the files' content: no network."""
    of_run = "init noise_ratio method iterations learning_rate history precision seed"
    return {
        "photo": _digest(photo),
        "size_px": size_px,
        "style_image": _digest(style_image),
        "style_size_px": config.style.size_px,
        "loss": asdict(config.loss),
        "optimize": {key: getattr(config.optimize, key) for key in of_run.split()},
    }


@dataclass(frozen=True)
class KeptBaseline:
    """The baseline on one photo, and the files that keep its run and two pictures of it."""

    content: Tensor
    """The photo, 1 × 3 × H × W in [0, 1]."""
    objective: PerceptualLoss
    optimize: OptimizeConfig
    settings: dict[str, Any]
    """What tells it from others: see `baseline_settings`."""
    stem: Path
    """Where the files' names begin."""

    def run(self, goal: float, machine: str, progress: Callable[[int], object]) -> BaselineRun:
        """Return the run: the kept one, or one that is made now and kept.

        Made now, its last picture is kept, and the first whose objective is at or below `goal`.
        `progress` is told of `optimize.iterations` in all. Raises OSError.
        """
        path = self._path(".json")
        if path.exists():
            progress(self.optimize.iterations)
            record = json.loads(path.read_text(encoding="utf-8"))
            return BaselineRun(**{key: record[key] for key in ("losses", "seconds", "machine")})
        losses, seconds, reached = [], [], False
        for painting in optimize_image(self.content, self.objective, self.optimize):
            losses.append(painting.losses)
            seconds.append(painting.elapsed_s)
            if not reached and painting.losses["total_loss"] <= goal:
                reached = True
                write_image(self._picture(painting.iteration), painting.picture)
            progress(min(painting.iteration, 1))
        progress(self.optimize.iterations - painting.iteration)  # where nothing lowered it more
        write_image(self._picture(painting.iteration), painting.picture)
        run = BaselineRun(losses, [value - seconds[0] for value in seconds], machine)
        record = {"settings": self.settings, **asdict(run)}
        with whole_file(path) as beside:
            beside.write_text(json.dumps(record), encoding="utf-8")
        return run

    def picture(self, iteration: int) -> Tensor:
        """Return the picture at an iteration, 1 × 3 × H × W: the kept one, or painted again."""
        path = self._picture(iteration)
        if not path.exists():
            until = replace(self.optimize, iterations=iteration)
            *_, painting = optimize_image(self.content, self.objective, until)
            write_image(path, painting.picture)
        return read_rgb(path)

    def _picture(self, iteration: int) -> Path:
        return self._path(f"_{iteration:04d}.png")

    def _path(self, ending: str) -> Path:
        digest = _digest(json.dumps(self.settings, sort_keys=True).encode())
        return self.stem.with_name(f"{self.stem.name}_{digest[:8]}{ending}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
