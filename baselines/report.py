"""The comparison's report: Markdown, JSON, CSV and a plot, beside the paper's own figures."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, quantiles
from types import ModuleType
from typing import Any

from baselines.results import PhotoResult

COLUMNS = (0, 25, 50, 75, 100, 150, 200, 300, 400, 500)
TIMED = (100, 300, 500)
TERMS = ("total_loss", "content_loss", "style_loss", "tv_loss")
STARTS = {"noise": "white noise", "content": "the photo"}
PAPER = {
    256: (0.015, (3.17, 9.52, 15.86)),
    512: (0.05, (10.97, 32.91, 54.85)),
    1024: (0.21, (42.89, 128.66, 214.44)),
}
"""Table 1 of the paper, on a Titan X: seconds of a pass, and of `TIMED` iterations of L-BFGS."""

Group = tuple[str, int, str]


def write_report(
    results: Sequence[PhotoResult], steps: int, machine: str, command: str, folder: Path
) -> None:
    """Write report.md, report.json, iterations.csv and objective.png into a folder.

    `steps` is the baseline's iterations, `command` and `machine` what made the results.
    """
    groups: dict[Group, list[PhotoResult]] = {}
    for result in results:
        groups.setdefault((result.style, result.size_px, result.init), []).append(result)
    rows = [_summary(group, members, steps) for group, members in groups.items()]
    record = {"machine": machine, "command": command, "summary": rows}
    (folder / "report.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    text = _markdown(rows, results, steps, machine, command)
    (folder / "report.md").write_text(text, encoding="utf-8", errors="surrogateescape")
    csv_file = folder / "iterations.csv"
    with csv_file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["style", "size_px", "photo", "method", "iteration", *TERMS, "seconds"])
        for result in results:
            where = [result.style, result.size_px, result.photo]
            network = [result.network[term] for term in TERMS]
            writer.writerow([*where, "network", "", *network, result.network_s])
            for i, terms in enumerate(result.baseline.losses):
                values = [terms[term] for term in TERMS]
                writer.writerow([*where, result.init, i, *values, result.baseline.seconds[i]])
    _plot(groups, steps, folder / "objective.png")


def _summary(group: Group, results: Sequence[PhotoResult], steps: int) -> dict[str, Any]:
    crossings = [result.crossing for result in results]
    columns = sorted({*(c for c in COLUMNS if c <= steps), steps})
    network_s = median(result.network_s for result in results)
    seconds = {}
    for iteration in (i for i in (*TIMED, steps) if i <= steps):
        reached = [
            s for result in results if (s := result.baseline.seconds_until(iteration)) is not None
        ]
        if reached:
            seconds[iteration] = median(reached)
    return {
        "style": group[0],
        "weights": results[0].weights,
        "size_px": group[1],
        "init": group[2],
        "num_photos": len(results),
        "network": {term: mean(r.network[term] for r in results) for term in TERMS},
        "baseline": {
            i: {term: mean(r.baseline.at(i, term) for r in results) for term in TERMS}
            for i in columns
        },
        "photos_crossed": sum(crossing is not None for crossing in crossings),
        "crossing_quartiles": _quartiles(crossings),
        "network_s": network_s,
        "baseline_s": seconds,
        "speed_up": {i: s / network_s for i, s in seconds.items()},
    }


def _quartiles(crossings: Sequence[int | None]) -> list[float | None]:
    """Return the lower quartile, median and upper quartile; None where they are not reached.

    A photo that never crossed counts as later than every one that did.
    """
    never = 1e9
    values = [never if crossing is None else float(crossing) for crossing in crossings]
    if len(values) == 1:
        values *= 2
    low, high = (quantiles(values, n=4, method="inclusive")[i] for i in (0, 2))
    return [None if q > never / 1e3 else q for q in (low, median(values), high)]


def _markdown(
    rows: Sequence[dict[str, Any]],
    results: Sequence[PhotoResult],
    steps: int,
    machine: str,
    command: str,
) -> str:
    lines = [
        "# The network against the iterative baseline",
        "",
        "The same photos, the same objective. The network: one forward pass, warmed up. The "
        "baseline: L-BFGS kept to 0…255; its seconds count from the end of the first evaluation. "
        f"Machine: {_machines(results, machine)}. Command: `{command}`.",
        "",
        "## Objective (the paper's figure 5)",
        "",
        "Means over the photos. The paper's network, after 40,000 steps, reaches what L-BFGS from "
        "white noise does after 50 to 100 iterations.",
        "",
    ]
    for row in rows:
        quartiles = [_number(q) for q in row["crossing_quartiles"]]
        lines += [
            f"**{row['style']}, {row['size_px']} × {row['size_px']} px, {row['num_photos']} "
            f"photos, baseline from {STARTS[row['init']]}**: it passes the network at iteration "
            f"{quartiles[1]} (median; quartiles {quartiles[0]} and {quartiles[2]}); "
            f"{row['photos_crossed']} of {row['num_photos']} photos passed.",
            "",
            f"| | network | {' | '.join(f'iteration {i}' for i in row['baseline'])} |",
            f"| --- |{' --- |' * (1 + len(row['baseline']))}",
        ]
        for term in TERMS:
            values = [row["network"][term], *(terms[term] for terms in row["baseline"].values())]
            name = {"total_loss": "objective"}.get(term, term.replace("_", " ") + ", unweighted")
            lines.append(f"| {name} | {' | '.join(_short(value) for value in values)} |")
        lines.append("")
    lines += _times(rows)
    lines += ["## Photo by photo", ""]
    titles = "style | size | start | photo | network | baseline, last | passes at | after s"
    lines += [f"| {titles} |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for result in results:
        crossing = result.crossing
        after = "–" if crossing is None else f"{result.baseline.seconds[crossing]:.1f}"
        lines.append(
            f"| {result.style} | {result.size_px} | {result.init} | "
            f"{os.path.basename(result.photo)} | {_short(result.network['total_loss'])} | "
            f"{_short(result.baseline.at(steps))} | {_number(crossing)} | {after} |"
        )
    lines += ["", "![objective by iteration](objective.png)", "", "![pictures](pictures.png)", ""]
    return "\n".join(lines)


def _machines(results: Sequence[PhotoResult], machine: str) -> str:
    """Return the machine, and others where baselines were run before."""
    before = sorted({result.baseline.machine for result in results} - {machine})
    return "; baselines kept from ".join([machine, *before])


def _times(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table of times, ours and the paper's."""
    head = " | ".join(f"{i} iterations" for i in TIMED)
    lines = [
        "## Time (the paper's table 1)",
        "",
        f"| | size | network, one pass | {head} | times as long |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        times = [f"{row['baseline_s'][i]:.1f} s" if i in row["baseline_s"] else "–" for i in TIMED]
        ratios = [f"{row['speed_up'][i]:.0f}" for i in TIMED if i in row["speed_up"]]
        if not ratios:
            last, ratio = list(row["speed_up"].items())[-1] if row["speed_up"] else (0, 0.0)
            ratios = [f"{ratio:.0f} after {last}"]
        lines.append(
            f"| {row['style']}, from {row['init']} | {row['size_px']} | "
            f"{1000 * row['network_s']:.1f} ms | {' | '.join(times)} | {' / '.join(ratios)} |"
        )
    for size_px in sorted({row["size_px"] for row in rows} & PAPER.keys()):
        network_s, seconds = PAPER[size_px]
        times = [f"{s:.2f} s" for s in seconds]
        ratios = [f"{s / network_s:.0f}" for s in seconds]
        lines.append(
            f"| the paper, Titan X | {size_px} | {1000 * network_s:.0f} ms | "
            f"{' | '.join(times)} | {' / '.join(ratios)} |"
        )
    return [*lines, ""]


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e+0", "e")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def plot_trace(trace: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the objective and its terms, unweighted, by iteration."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    iterations = [line["iteration"] for line in trace]
    for term in TERMS:
        values = [line[term] for line in trace]
        if any(values):
            label = "objective" if term == "total_loss" else f"{term.replace('_', ' ')}, unweighted"
            axis.plot(iterations, values, label=label, linewidth=2 if term == "total_loss" else 1)
    axis.set(yscale="log", xlabel="iteration")
    axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _pyplot() -> ModuleType:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    module: ModuleType = plt
    return module


def _plot(groups: dict[Group, list[PhotoResult]], steps: int, path: Path) -> None:
    plt = _pyplot()
    panels = list(dict.fromkeys(group[:2] for group in groups))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(6.4 * len(panels), 4.4), squeeze=False, layout="constrained"
    )
    colors = {"noise": "tab:orange", "content": "tab:green"}
    for axis, (style, size_px) in zip(axes[0], panels, strict=True):
        for init, color in colors.items():
            results = groups.get((style, size_px, init), [])
            if not results:
                continue
            columns = [sorted(r.baseline.at(i) for r in results) for i in range(steps + 1)]
            axis.fill_between(
                range(steps + 1),
                [column[0] for column in columns],
                [column[-1] for column in columns],
                color=color,
                alpha=0.2,
                linewidth=0,
            )
            label = f"baseline from {STARTS[init]}: median, all photos"
            axis.plot([median(column) for column in columns], color=color, label=label)
            network = median(r.network["total_loss"] for r in results)
        axis.axhline(network, color="tab:blue", label="network, one pass: median")
        axis.set(
            yscale="log",
            xlabel="L-BFGS iteration",
            ylabel="objective",
            title=f"{style}, {size_px} × {size_px} px",
        )
        axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
