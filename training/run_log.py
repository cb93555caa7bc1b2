"""What a run writes down while it goes: metrics, held-out scores, skipped photos, TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

NAMES: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
"""How text is kept in which there are file names, which need be no UTF-8."""


class RunLog:
    """A run's folder of records; only one of several processes writes them."""

    def __init__(
        self, folder: Path, resumed_step: int | None, config: str, writes: bool = True
    ) -> None:
        """Go on after `resumed_step`, forgetting what came later; None begins afresh.

        `config` is the resolved config, as YAML. Without `writes` nothing is written.
        """
        self.folder = folder
        self.writes = writes
        self.skipped: dict[str, str] = {}
        if not writes:
            return
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        self.go_back(-1 if resumed_step is None else resumed_step)
        skipped = folder / "skipped.txt"
        text = skipped.read_text(**NAMES) if skipped.exists() else ""
        self.skipped = dict(line.partition("\t")[::2] for line in text.splitlines())
        self.note_skipped({})
        self.tensorboard = tensorboard_writer(
            folder / "tensorboard", None if resumed_step is None else resumed_step + 1
        )
        self.tensorboard.add_text("config", "    " + config.replace("\n", "\n    "))

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.writes:
            self.tensorboard.close()

    def go_back(self, step: int) -> None:
        """Forget the metrics and held-out scores after `step`, as if it were only just reached."""
        if self.writes:
            for name in ("metrics.jsonl", "heldout.jsonl"):
                _cut_after(self.folder / name, step)

    def metrics(self, step: int, values: Mapping[str, float], extra: Mapping[str, float]) -> None:
        """Append a line to metrics.jsonl; `values` and `extra` become TensorBoard scalars."""
        if self.writes:
            _append(self.folder / "metrics.jsonl", {"step": step, **values})
            for name, value in {**values, **extra}.items():
                if name != "elapsed_s":
                    self.tensorboard.add_scalar(f"train/{name}", value, step)

    def heldout(self, step: int, values: Mapping[str, float], pictures: Tensor) -> None:
        """Append a line to heldout.jsonl; show the values and 1 × 3 × H × W pictures."""
        if self.writes:
            _append(self.folder / "heldout.jsonl", {"step": step, **values})
            for name, value in values.items():
                self.tensorboard.add_scalar(f"heldout/{name}", value, step)
            self.tensorboard.add_image("photo | style | stylized", pictures[0], step)

    def note_skipped(self, photos: Mapping[str, str]) -> bool:
        """Add unreadable photos (name, reason) to skipped.txt; return whether any is new."""
        new = {name: reason for name, reason in photos.items() if name not in self.skipped}
        self.skipped |= new
        if self.writes:
            with (self.folder / "skipped.txt").open("a", **NAMES) as file:
                file.writelines(f"{name}\t{reason}\n" for name, reason in new.items())
        return bool(new)


def tensorboard_writer(folder: Path, start: int | None) -> SummaryWriter:
    """Write a folder's TensorBoard from step `start`; what it has of later ones is forgotten."""
    return SummaryWriter(str(folder), purge_step=start)


def _append(path: Path, record: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _cut_after(path: Path, step: int) -> None:
    if path.exists():
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except ValueError:  # the half-written last line of a run that was killed
                continue
        beside = path.with_suffix(".tmp")
        beside.write_text("".join(kept), encoding="utf-8")
        os.replace(beside, path)
