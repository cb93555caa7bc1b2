"""Draw what a style's settings ask for, before a network is trained on them.

    python -m benchmarks.style_grid PAINTING.jpg --out grid.webp

The baseline paints the photo, from the photo, on each objective: what a network comes to look like
after long training. Rows and columns are two keys of the config; a table of the terms goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from baselines.gatys import Painting, optimize_image
from baselines.scene import Scene, Sources, picture_sizes
from configs.schema import Config, load_config
from data.encoding import write_pixels
from data.images import read_pixels
from data.pixels import Pixels
from data.sheets import picture_sheet
from data.tensors import to_pixels
from errors import CommandLine, UserError, run_program
from models.device import expect_same_sizes, resolve_device
from progress import progress_bar

PHOTO = Path(__file__).parents[1] / "assets/photos/astronaut.jpg"
SETTINGS = ("optimize.init=content", "optimize.size_px=256", "optimize.iterations=100")


def main() -> int:
    parser = CommandLine(description="A style by two of its settings.")
    parser.add_argument("style", help="the style image")
    parser.add_argument("settings", nargs="*", help="key=value: of every cell")
    parser.add_argument("--photo", default=str(PHOTO))
    for axis, default in (
        ("--rows", ["style.size_px", "256", "384", "512"]),
        ("--columns", ["loss.style_weight", "1", "5", "25"]),
    ):
        parser.add_argument(axis, nargs="+", default=default, metavar="KEY VALUE")
    parser.add_argument("--cell-px", type=int, default=256, help="longer side in the drawing")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_intermixed_args()
    device = resolve_device(args.device)
    sources = Sources.named(args.photo, [args.style])
    row_key, column_key = args.rows[0], args.columns[0]
    grid = [
        [
            load_config(None, [*SETTINGS, *args.settings, f"{row_key}={y}", f"{column_key}={x}"])
            for x in _values("--columns", args.columns)
        ]
        for y in _values("--rows", args.rows)
    ]
    cells = [config for row in grid for config in row]
    expect_same_sizes(max(max(c.optimize.size_px, c.style.size_px) for c in cells) ** 2)
    table = [
        f"| {row_key} | {column_key} | content loss | style loss | total variation |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows: list[list[Pixels]] = []
    titles: list[list[str]] = []
    with progress_bar(sum(c.optimize.iterations for c in cells), "iteration") as progress:
        for y, configs in zip(args.rows[1:], grid, strict=True):
            rows.append([])
            titles.append([])
            for x, config in zip(args.columns[1:], configs, strict=True):
                painting: Painting
                for painting in _optimize(sources, config, device):
                    progress.update(min(painting.iteration, 1))
                rows[-1].append(to_pixels(painting.picture))
                titles[-1].append(f"{row_key.split('.')[-1]} {y}, {column_key.split('.')[-1]} {x}")
                terms = (painting.losses[f"{term}_loss"] for term in ("content", "style", "tv"))
                table.append(f"| {y} | {x} | {' | '.join(f'{term:.3g}' for term in terms)} |")
    rows[0].append(read_pixels(Path(args.style)))
    titles[0].append("style")
    write_pixels(args.out, picture_sheet(rows, titles, args.cell_px))
    print("\n".join(table))
    return 0


def _values(axis: str, words: list[str]) -> list[str]:
    if len(words) < 2 or "." not in words[0]:
        raise UserError(
            f"{axis} {' '.join(words)}: expected a key of the config and its values. Write them as "
            "in: --rows style.size_px 256 384."
        )
    return words[1:]


def _optimize(sources: Sources, config: Config, device: torch.device) -> Iterator[Painting]:
    (size,) = picture_sizes(sources, config)
    scene = Scene(sources, config, size, size, device)
    return optimize_image(scene.content, scene.objective, config.optimize, scene.start())


if __name__ == "__main__":
    run_program(main)
