"""A style's model card: what its file says of it, as Markdown."""

from __future__ import annotations

from models.style_file import Comparison, StyleInfo, TrainingRun

HEAD = (
    "steps",
    "batch",
    "small crops",
    "optimizer, rate",
    "style weight",
    "photos",
    "device",
    "minutes",
    "commit",
    "held-out objective",
)
PAPERS_CROPS = 160_000
"""40,000 steps of batch 4. Source: Johnson et al. 2016, section 4.1."""


def card(info: StyleInfo) -> str:
    """Return a style's card: work, licence, runs and their command, and how good it is."""
    style = info.config.get("style", {})
    work = "; ".join(filter(None, (info.title, style.get("licence"), style.get("credit"))))
    parts = [f"## {info.name}", f"{work}."]
    parts += [_of_runs(info), _runs(info.runs)] if info.runs else [f"{info.about}."]
    parts += map(_compared, info.comparisons)
    if info.runs and info.runs[-1].command:
        at = f", at {info.runs[-1].commit}" if info.runs[-1].commit else ""
        parts.append(f"The last run{at}:\n\n    {info.runs[-1].command}")
    return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """Return an objective as the documents write it."""
    return f"{value:.2e}".replace("e+0", "e").replace("e+", "e")


def _short(minutes: float) -> str:
    """Return minutes as a table has them."""
    return f"{minutes:,.{0 if minutes >= 10 else 1}f}"


def _of_runs(info: StyleInfo) -> str:
    """Return where the runs began, and their sums."""
    start = info.runs[0].start
    minutes = sum(run.minutes for run in info.runs)
    time = f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{_short(minutes)} minutes"
    begin = f"the weights of {start}" if start else "fresh weights"
    steps = sum(run.steps for run in info.runs)
    crops = sum(run.steps * run.batch_size for run in info.runs)
    again = "; each run goes on from the one above" if len(info.runs) > 1 else ""
    shown = f"{steps:,} steps and {crops:,} crops (the paper's: {PAPERS_CROPS:,})"
    return f"From {begin}, {shown}, {time}{again}:"


def _runs(runs: tuple[TrainingRun, ...]) -> str:
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    for run in runs:
        teacher = f"teacher {run.teacher}, " if run.teacher else ""
        cells = (
            f"{run.steps:,}",
            run.batch_size,
            f"{run.small_steps:,}" if run.small_steps else "–",
            f"{teacher}{run.optimizer.capitalize()}, {run.learning_rate:g}",
            f"{run.style_weight:g}",
            f"{run.num_photos:,}",
            run.device,
            _short(run.minutes),
            run.commit or "–",
            "–" if run.heldout_objective is None else number(run.heldout_objective),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _compared(compared: Comparison) -> str:
    """Return how the style stands beside the baseline."""
    side = compared.size_px
    where = f" ({compared.machine})" if compared.machine else ""
    iterations = ", ".join(f"{i}: {number(v)}" for i, v in compared.baseline.items())
    text = (
        f"On {compared.num_photos} photos, {side} × {side} px{where}: {number(compared.network)}. "
        f"The iterative baseline from white noise after so many iterations: {iterations}."
    )
    if compared.crossing is not None:
        text += f" It passes the network at iteration {compared.crossing:g} (median)."
    return text
