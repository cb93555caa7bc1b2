"""What a comparison has measured, photo by photo, kept as it goes so that it can go on.

Source of the questions asked: Johnson et al. 2016, figure 5 and table 1.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from errors import UserError
from whole_file import whole_file


@dataclass(frozen=True)
class PhotoResult:
    """One photo at one size in one style: the network, and the baseline from one start."""

    style: str
    photo: str
    size_px: int
    init: str
    """noise | content: where the baseline starts."""
    network: dict[str, float]
    """The four terms of the network's picture."""
    network_s: float
    """Seconds of one forward pass, warmed up."""
    baseline: list[dict[str, float]]
    """The four terms at iteration 0, 1, 2, …; shorter than asked where nothing lowers them more."""
    baseline_s: list[float]
    """Seconds until that iteration, from the end of the first evaluation, which warms up."""

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What tells it from the other results of a comparison."""
        return self.style, self.size_px, self.photo, self.init

    @property
    def crossing(self) -> int | None:
        """The first iteration at which the baseline is at or below the network, or None."""
        goal = self.network["total_loss"]
        totals = (terms["total_loss"] for terms in self.baseline)
        return next((i for i, total in enumerate(totals) if total <= goal), None)

    def at(self, iteration: int, term: str = "total_loss") -> float:
        """A term of the baseline at an iteration (its last, where it had ended before)."""
        return self.baseline[min(iteration, len(self.baseline) - 1)][term]

    def seconds(self, iteration: int) -> float | None:
        """The baseline's seconds until an iteration; None where it was not reached."""
        return self.baseline_s[iteration] if iteration < len(self.baseline_s) else None


class ResultLog:
    """A folder's results: a line of JSON each, written when it is done."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        """Open or begin a comparison. Raises UserError for a folder with other settings in it."""
        self.path = folder / "results.jsonl"
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        records = [record for line in lines if (record := _parsed(line)) is not None]
        if records and records[0] != settings:
            before, now = records[0], settings
            changed = [key for key in now if before.get(key) != now[key]]
            raise UserError(
                f"{folder}: holds a comparison with other settings ({', '.join(changed)}); "
                "expected the same, or a new folder. Choose another with --out."
            )
        self.results = [PhotoResult(**record) for record in records[1:]]
        # Written anew: a line that an interruption cut short would spoil the next one.
        whole = [settings, *(asdict(result) for result in self.results)]
        with whole_file(self.path) as beside:
            beside.write_text("".join(f"{json.dumps(r)}\n" for r in whole), encoding="utf-8")

    def has(self, key: tuple[str, int, str, str]) -> bool:
        """Return whether a result is there."""
        return any(result.key == key for result in self.results)

    def add(self, result: PhotoResult) -> None:
        """Keep a result."""
        self.results.append(result)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(result))}\n")


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record
