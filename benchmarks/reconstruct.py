"""Draw what each layer knows: a photo from its content, and a texture from a painting's style.

    python -m benchmarks.reconstruct --out docs/images/reconstructions.webp

One term alone each time: the content of one layer, and the style of it and those above, from white
noise by L-BFGS. Source of the figure: Gatys et al. 2016, figure 1.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from baselines.gatys import Painting, optimize_image
from baselines.scene import NONE, Scene, Sources, picture_sizes
from configs.schema import load_config
from data.encoding import write_pixels
from data.pixels import Pixels
from data.sheets import picture_sheet
from data.tensors import to_pixels
from errors import CommandLine, run_program
from models.device import expect_same_sizes, resolve_device
from progress import progress_bar

ASSETS = Path(__file__).parents[1] / "assets"
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_1")


def main() -> int:
    parser = CommandLine(description="A photo and a texture from each layer.")
    parser.add_argument("--photo", default=str(ASSETS / "photos/chelsea.jpg"))
    parser.add_argument("--style", default=str(ASSETS / "styles/night_wind.jpg"))
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument("--cell-px", type=int, default=156, help="longer side in the drawing")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device = resolve_device(args.device)
    expect_same_sizes(args.size_px**2)
    config = load_config(
        None,
        [
            f"optimize.size_px={args.size_px}",
            f"style.size_px={args.size_px}",
            f"optimize.iterations={args.iterations}",
            "loss.tv_weight=0",
        ],
    )
    rows: list[list[Pixels]] = [[], []]
    with progress_bar(2 * len(LAYERS) * args.iterations, "iteration") as progress:
        for depth, layer in enumerate(LAYERS):
            loss = dataclasses.replace(
                config.loss,
                content_layers={layer: 1.0},
                style_layers=dict.fromkeys(LAYERS[: depth + 1], 1.0),
            )
            for row, (photo, style) in zip(
                rows, ((args.photo, NONE), (NONE, args.style)), strict=True
            ):
                sources = Sources.named(photo, [style])
                (size,) = picture_sizes(sources, config)
                scene = Scene(sources, dataclasses.replace(config, loss=loss), size, size, device)
                painting: Painting
                for painting in optimize_image(
                    scene.content, scene.objective, config.optimize, scene.start()
                ):
                    progress.update(min(painting.iteration, 1))
                row.append(to_pixels(painting.picture))
    titles = [list(LAYERS), [f"to {layer}" for layer in LAYERS]]
    write_pixels(args.out, picture_sheet(rows, titles, args.cell_px))
    print(args.out)
    return 0


if __name__ == "__main__":
    run_program(main)
