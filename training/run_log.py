"""What a run writes down while it goes: metrics, held-out scores, skipped photos, TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """A run's folder of records. Resuming cuts off what lies after the checkpoint's step."""

    def __init__(self, folder: Path, start_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for name in ("metrics.jsonl", "heldout.jsonl"):
            _cut_after(folder / name, start_step)
        skipped = folder / "skipped.txt"
        lines = skipped.read_text(encoding="utf-8").splitlines() if skipped.exists() else []
        self.skipped = dict(line.partition("\t")[::2] for line in lines)
        self.note_skipped({})
        self.tensorboard = SummaryWriter(
            str(folder / "tensorboard"),
            purge_step=start_step + 1 if start_step else None,
        )

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.tensorboard.close()

    def metrics(self, step: int, values: Mapping[str, float], extra: Mapping[str, float]) -> None:
        """Append a line to metrics.jsonl; `values` and `extra` become TensorBoard scalars."""
        _append(self.folder / "metrics.jsonl", {"step": step, **values})
        for name, value in {**values, **extra}.items():
            if name != "elapsed_s":
                self.tensorboard.add_scalar(f"train/{name}", value, step)

    def heldout(self, step: int, values: Mapping[str, float], pictures: Tensor) -> None:
        """Append a line to heldout.jsonl; show the values and 1 × 3 × H × W pictures."""
        _append(self.folder / "heldout.jsonl", {"step": step, **values})
        for name, value in values.items():
            self.tensorboard.add_scalar(f"heldout/{name}", value, step)
        self.tensorboard.add_image("photo | style | stylized", pictures[0], step)

    def text(self, name: str, content: str) -> None:
        """Show a text in TensorBoard, as it stands."""
        self.tensorboard.add_text(name, "    " + content.replace("\n", "\n    "))

    def note_skipped(self, photos: Mapping[str, str]) -> bool:
        """Add unreadable photos (name, reason) to skipped.txt; return whether any is new."""
        new = {name: reason for name, reason in photos.items() if name not in self.skipped}
        self.skipped |= new
        with (self.folder / "skipped.txt").open("a", encoding="utf-8") as file:
            file.writelines(f"{name}\t{reason}\n" for name, reason in new.items())
        return bool(new)


def _append(path: Path, record: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _cut_after(path: Path, step: int) -> None:
    if path.exists():
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step and step > 0:
                    kept.append(line + "\n")
            except ValueError:  # the half-written last line of a run that was killed
                continue
        path.write_text("".join(kept), encoding="utf-8")
