"""Write the cards in styles/README.md: what the files of the styles that ship say of themselves.

    python -m benchmarks.model_cards [--comparison comparison/report.json]

With --comparison, compare.py's figures go into the style files first.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from errors import CommandLine, UserError, run_program
from models.card import card, number
from models.style_file import (
    LITE,
    STYLES_DIR,
    Comparison,
    StyleInfo,
    read_info,
    rewrite_info,
    style_files,
    weights_digest,
)

README = STYLES_DIR / "README.md"
ITERATIONS = ("50", "75", "100", "200", "300")
MARK = "<!-- from here on: python -m benchmarks.model_cards -->\n"


def readme(before: str) -> str:
    """Return styles/README.md: what is above the mark `before`, and the cards as they are now."""
    infos = {path.stem: read_info(path) for path in style_files()}
    lines = [
        "| | held-out objective | passed at | lite form | passed at | above the full one |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, info in infos.items():
        if not name.endswith(LITE):
            lite = infos[name + LITE]
            stands = (
                cell for one in (info, lite) for cell in (number(objective(one)), crossing(one))
            )
            lines.append(f"| {' | '.join((name, *stands, above(lite, info)))} |")
    cards = [card(infos[path.stem]) for path in style_files()]
    return "\n".join([before.partition(MARK)[0] + MARK, *lines, "", *cards])


def crossing(info: StyleInfo) -> str:
    """Return the iteration at which the baseline passes a style, if it is known."""
    known = [f"{one.crossing:g}" for one in info.comparisons if one.crossing]
    return known[0] if known else "–"


def above(lite: StyleInfo, full: StyleInfo) -> str:
    """Return how far a lite form's objective is above the full one's, if it is the same one."""
    if lite.runs[-1].style_weight != full.runs[-1].style_weight:
        return "another style weight"
    return f"{objective(lite) / objective(full) - 1:.0%}".replace("%", " %")


def objective(info: StyleInfo) -> float:
    """Return a style's held-out objective."""
    return info.losses["heldout_total_loss"]


def add_comparison(row: dict[str, Any], machine: str) -> Path:
    """Put a group of compare.py's report into the card of its style; return the style's file.

    It takes the place of one at that size. Raises UserError for a report of other weights than the
    file's.
    """
    path = STYLES_DIR / f"{row['style']}.safetensors"
    theirs, ours = row.get("weights"), weights_digest(path)
    if theirs != ours:
        raise UserError(
            f"the comparison of {row['style']}: of weights {theirs}; expected {ours}, those of "
            f"{path}. Run compare.py again: it keeps the baseline."
        )
    baseline = {i: terms["total_loss"] for i, terms in row["baseline"].items() if i in ITERATIONS}
    compared = Comparison(
        num_photos=row["num_photos"],
        size_px=row["size_px"],
        network=row["network"]["total_loss"],
        baseline=baseline,
        crossing=row["crossing_quartiles"][1],
        machine=machine,
    )
    info = read_info(path)
    others = [one for one in info.comparisons if one.size_px != compared.size_px]
    comparisons = tuple(sorted([*others, compared], key=lambda one: one.size_px))
    rewrite_info(path, dataclasses.replace(info, comparisons=comparisons))
    return path


def main() -> int:
    parser = CommandLine(description="The model cards of the styles that ship.")
    parser.add_argument(
        "--comparison", type=Path, nargs="+", action="extend", default=[], metavar="REPORT.json"
    )
    for report in parser.parse_args().comparison:
        if not report.is_file():
            raise UserError(f"{report}: no such file; expected compare.py's report.json. Run it.")
        record = json.loads(report.read_text(encoding="utf-8"))
        for row in record["summary"]:
            if row["init"] == "noise":
                print(add_comparison(row, record["machine"]))
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(README)
    return 0


if __name__ == "__main__":
    run_program(main)
