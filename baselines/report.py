"""The comparison's report: JSON, Markdown and a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch

COLUMNS = (0, 25, 50, 75, 100, 150, 200, 300, 400, 500)


@dataclass(frozen=True)
class PhotoResult:
    """One photo at one size under both methods."""

    photo: str
    size_px: int
    network: dict[str, float]
    """The four terms of the network's picture."""
    network_s: float
    """Seconds of one forward pass, warmed up."""
    baseline: list[dict[str, float]]
    """The four terms at iteration 0, 1, 2, …; shorter than asked where nothing lowers them more."""
    baseline_s: list[float]
    """Seconds until that iteration."""

    @property
    def crossing(self) -> int | None:
        """The first iteration at which the baseline is at or below the network, or None."""
        goal = self.network["total_loss"]
        totals = (terms["total_loss"] for terms in self.baseline)
        return next((i for i, total in enumerate(totals) if total <= goal), None)

    def at(self, iteration: int) -> float:
        """The baseline's objective at an iteration (its last, where it had ended before)."""
        return self.baseline[min(iteration, len(self.baseline) - 1)]["total_loss"]


@dataclass(frozen=True)
class Comparison:
    """Everything that a report says."""

    style: str
    style_image: str
    config: dict[str, Any]
    init: str
    steps: int
    device: str
    results: list[PhotoResult]

    def sizes(self) -> list[int]:
        """The sizes in the order they were run."""
        return list(dict.fromkeys(result.size_px for result in self.results))

    def at_size(self, size_px: int) -> list[PhotoResult]:
        """The results of one size."""
        return [result for result in self.results if result.size_px == size_px]


def write_report(comparison: Comparison, folder: Path) -> None:
    """Write report.json, report.md and objective.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = {str(size): _summary(comparison, size) for size in comparison.sizes()}
    record = {"machine": machine(comparison.device), "summary": summary, **asdict(comparison)}
    for row, result in zip(record["results"], comparison.results, strict=True):
        row["crossing_iteration"] = result.crossing
    (folder / "report.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    (folder / "report.md").write_text(_markdown(comparison, summary), encoding="utf-8")
    _plot(comparison, folder / "objective.png")


def machine(device: str) -> str:
    """Return a line about what the figures were measured on."""
    if device.startswith("cuda"):
        where = torch.cuda.get_device_name(torch.device(device))
    else:
        where = f"{platform.machine()} {device}, {torch.get_num_threads()} threads"
    return f"{where}, torch {torch.__version__}, Python {platform.python_version()}"


def _summary(comparison: Comparison, size_px: int) -> dict[str, Any]:
    results = comparison.at_size(size_px)
    crossings = [result.crossing for result in results]
    crossed = [value for value in crossings if value is not None]
    network_s = median(result.network_s for result in results)
    baseline_s = median(result.baseline_s[-1] for result in results)
    return {
        "num_photos": len(results),
        "network_mean_total_loss": mean(result.network["total_loss"] for result in results),
        "baseline_mean_total_loss": {
            str(i): mean(result.at(i) for result in results)
            for i in sorted({*(c for c in COLUMNS if c <= comparison.steps), comparison.steps})
        },
        "photos_crossed": len(crossed),
        # a photo that never crossed counts as later than every one that did
        "median_crossing_iteration": _median_crossing(crossings),
        "network_median_s": network_s,
        "baseline_median_s": baseline_s,
        "speed_up": baseline_s / network_s,
    }


def _median_crossing(crossings: Sequence[int | None]) -> float | None:
    value = median(float("inf") if crossing is None else crossing for crossing in crossings)
    return None if value == float("inf") else value


def _markdown(comparison: Comparison, summary: dict[str, dict[str, Any]]) -> str:
    start = "white noise" if comparison.init == "noise" else "the photo"
    lines = [
        f"# {comparison.style}: the network against the iterative baseline",
        "",
        f"Mean objective of the same photos. The network: one forward pass. The baseline: bounded "
        f"L-BFGS from {start}. Machine: {machine(comparison.device)}.",
        "",
    ]
    for size, values in summary.items():
        by_iteration = values["baseline_mean_total_loss"]
        crossing = values["median_crossing_iteration"]
        passed = (
            f"The baseline passes the network at iteration {crossing:g} (median)"
            if crossing is not None
            else f"The baseline does not pass the network (median) in {comparison.steps} iterations"
        )
        lines += [
            f"## {size} × {size} px, {values['num_photos']} photos",
            "",
            f"| | network | {' | '.join(f'iteration {i}' for i in by_iteration)} |",
            f"| --- |{' --- |' * (1 + len(by_iteration))}",
            f"| objective | {values['network_mean_total_loss']:.3g} | "
            f"{' | '.join(f'{value:.3g}' for value in by_iteration.values())} |",
            "",
            f"{passed}; {values['photos_crossed']} of {values['num_photos']} photos passed. "
            f"Network {1000 * values['network_median_s']:.0f} ms a photo (median, warmed up), "
            f"baseline {values['baseline_median_s']:.1f} s for {comparison.steps} iterations: "
            f"{values['speed_up']:.0f} times as long.",
            "",
            "| photo | network | baseline, last | passes at iteration | after s |",
            "| --- | --- | --- | --- | --- |",
        ]
        for result in comparison.at_size(int(size)):
            crossing = result.crossing
            after = "–" if crossing is None else f"{result.baseline_s[crossing]:.1f}"
            lines.append(
                f"| {os.path.basename(result.photo)} | {result.network['total_loss']:.3g} | "
                f"{result.at(comparison.steps):.3g} | {'–' if crossing is None else crossing} | "
                f"{after} |"
            )
        lines.append("")
    lines += ["![objective by iteration](objective.png)", "", "![pictures](pictures.png)", ""]
    return "\n".join(lines)


def _plot(comparison: Comparison, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes = comparison.sizes()
    figure, axes = plt.subplots(
        1, len(sizes), figsize=(6.4 * len(sizes), 4.4), squeeze=False, layout="constrained"
    )
    for axis, size_px in zip(axes[0], sizes, strict=True):
        results = comparison.at_size(size_px)
        iterations = range(comparison.steps + 1)
        columns = [sorted(result.at(i) for result in results) for i in iterations]
        axis.fill_between(
            iterations,
            [column[0] for column in columns],
            [column[-1] for column in columns],
            color="tab:orange",
            alpha=0.25,
            linewidth=0,
            label="baseline, all photos",
        )
        axis.plot(
            iterations,
            [median(column) for column in columns],
            color="tab:orange",
            label="baseline, median",
        )
        network = median(result.network["total_loss"] for result in results)
        axis.axhline(network, color="tab:blue", label="network, median (one pass)")
        axis.set(
            yscale="log",
            xlabel="L-BFGS iteration",
            ylabel="objective",
            title=f"{comparison.style}, {size_px} × {size_px} px",
        )
        axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
