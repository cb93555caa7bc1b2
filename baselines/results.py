"""What a comparison measures, photo by photo.

Source of the questions asked: Johnson et al. 2016, figure 5 and table 1.
"""

from __future__ import annotations

from dataclasses import dataclass

Terms = dict[str, float]


@dataclass(frozen=True)
class BaselineRun:
    """The baseline on one photo: its four terms and its seconds, iteration by iteration."""

    losses: list[Terms]
    """At iteration 0, 1, 2, …; shorter than asked where nothing lowers them more."""
    seconds: list[float]
    """Until that iteration, from the end of the first evaluation, which warms up."""
    machine: str
    """What it ran on."""

    def crossing(self, goal: float) -> int | None:
        """Return the first iteration whose objective is at or below a goal, or None."""
        totals = (terms["total_loss"] for terms in self.losses)
        return next((i for i, total in enumerate(totals) if total <= goal), None)

    @property
    def last(self) -> int:
        """The last iteration."""
        return len(self.losses) - 1

    def at(self, iteration: int, term: str = "total_loss") -> float:
        """Return a term at an iteration (the last, where it had ended before)."""
        return self.losses[min(iteration, self.last)][term]

    def seconds_until(self, iteration: int) -> float | None:
        """Return the seconds until an iteration; None where it was not reached."""
        return self.seconds[iteration] if iteration < len(self.seconds) else None


@dataclass(frozen=True)
class PhotoResult:
    """One photo at one size in one style: the network, and the baseline from one start."""

    style: str
    weights: str
    """The digest of the network's weights."""
    photo: str
    size_px: int
    init: str
    """noise | content: where the baseline starts."""
    network: Terms
    """The four terms of the network's picture."""
    network_s: float
    """Seconds of one forward pass, warmed up."""
    baseline: BaselineRun

    @property
    def crossing(self) -> int | None:
        """The first iteration at which the baseline is at or below the network, or None."""
        return self.baseline.crossing(self.network["total_loss"])
