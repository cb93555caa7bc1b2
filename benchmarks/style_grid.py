"""Draw what a style's weight and size ask for, before a network is trained on them.

    python -m benchmarks.style_grid PAINTING.jpg --out grid.webp

The baseline paints the photo, from the photo, on each objective: what a network comes to look like
after long training. Rows are style sizes, columns style weights; a table of the terms goes with it.
"""

from __future__ import annotations

from pathlib import Path

from baselines.gatys import Painting, optimize_image
from baselines.scene import Scene, Sources, picture_sizes
from configs.schema import load_config
from data.images import Pixels, picture_sheet, read_pixels, write_pixels
from data.tensors import to_pixels
from errors import CommandLine, run_program
from models.device import keep_freed_memory, resolve_device
from progress import progress_bar

PHOTO = Path(__file__).parents[1] / "assets/photos/astronaut.jpg"


def main() -> int:
    parser = CommandLine(description="A style by weight and size.")
    parser.add_argument("style", help="the style image")
    parser.add_argument("--photo", default=str(PHOTO))
    parser.add_argument("--photo-px", type=int, default=256, help="longer side")
    parser.add_argument("--weights", type=float, nargs="+", default=[1, 5, 25])
    parser.add_argument("--sizes-px", type=int, nargs="+", default=[256, 384, 512])
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device = resolve_device(args.device)
    keep_freed_memory(max(args.photo_px, *args.sizes_px) ** 2)
    sources = Sources.named(args.photo, [args.style])
    rows: list[list[Pixels]] = []
    titles: list[list[str]] = []
    table = [
        "| style size | style weight | content loss | style loss |",
        "| --- | --- | --- | --- |",
    ]
    cells = len(args.weights) * len(args.sizes_px)
    with progress_bar(cells * args.iterations, "iteration") as progress:
        for style_px in args.sizes_px:
            row: list[Pixels] = []
            for weight in args.weights:
                settings = {
                    "style.size_px": style_px,
                    "loss.style_weight": weight,
                    "optimize.size_px": args.photo_px,
                    "optimize.iterations": args.iterations,
                    "optimize.init": "content",
                }
                config = load_config(None, [f"{key}={value}" for key, value in settings.items()])
                (size,) = picture_sizes(sources, config)
                scene = Scene(sources, config, size, size, device)
                painting: Painting
                for painting in optimize_image(
                    scene.content, scene.objective, config.optimize, scene.start()
                ):
                    progress.update(min(painting.iteration, 1))
                row.append(to_pixels(painting.picture))
                losses = painting.losses
                content, style = losses["content_loss"], losses["style_loss"]
                table.append(f"| {style_px} | {weight:g} | {content:.3g} | {style:.3g} |")
            rows.append([*row, read_pixels(Path(args.style))] if not rows else row)
            titles.append([f"{style_px} px, weight {weight:g}" for weight in args.weights])
    titles[0].append("style")
    write_pixels(args.out, picture_sheet(rows, titles, args.photo_px))
    print("\n".join(table))
    return 0


if __name__ == "__main__":
    run_program(main)
