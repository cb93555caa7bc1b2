"""Compare trained networks with the iterative baseline: the same photos, the same objective.

python compare.py --style starry_night --style-image PAINTING.jpg --photos DIR --out DIR
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from statistics import mean, median

import threads  # noqa: F401, it is for torch to read

import torch
from torch import Tensor

from baselines.kept import KeptBaseline, baseline_settings
from baselines.report import write_report
from baselines.results import PhotoResult
from configs.build import build_objective
from configs.schema import INITS, PRECISIONS, Config, config_from_dict
from data.photos import Photos
from data.tensors import decode_rgb, picture_grid, read_rgb, write_image
from errors import CommandLine, UserError, run_program
from losses.perceptual import LossTerms, PerceptualLoss
from models.device import chosen_precision, expect_same_sizes, in_precision, resolve_device
from models.layout import MIN_SIZE_PX
from models.style_file import find_style, load_style, weights_digest
from models.transformer_net import TransformerNet
from progress import progress_bar
from provenance import command, machine

TIMED_PASSES = 5
SHOWN = 6
DEFAULTS = {"num_photos": 10, "sizes_px": [256], "steps": 500}
QUICK = {"num_photos": 2, "sizes_px": [128], "steps": 60}


def parse_arguments() -> argparse.Namespace:
    parser = CommandLine(description="Networks against the iterative baseline.")
    parser.add_argument("--style", required=True, nargs="+", metavar="NAME|FILE")
    parser.add_argument(
        "--style-image", type=Path, required=True, nargs="+", help="what each was trained on"
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder, .zip or .txt list")
    parser.add_argument("--out", type=Path, required=True, help="the report's folder")
    parser.add_argument("--num-photos", type=int, help="the first so many by name; default 10")
    parser.add_argument("--sizes-px", type=int, nargs="+", help="square photos; default 256")
    parser.add_argument("--steps", type=int, help="the baseline's iterations; default 500")
    parser.add_argument(
        "--init", choices=INITS, nargs="+", default=["noise"], help="where the baseline starts"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="of both ways; auto: bf16 where the device is fast at it",
    )
    parser.add_argument("--quick", action="store_true", help="2 photos of 128 px, 60 iterations")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="score the pictures in DIR, named as the photos",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else DEFAULTS).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    for name in ("num_photos", "steps"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} {getattr(args, name)}; expected at least 1")
    if min(args.sizes_px) < MIN_SIZE_PX:
        parser.error(f"--sizes-px {min(args.sizes_px)}; expected at least {MIN_SIZE_PX}")
    if len(args.style) != len(args.style_image):
        parser.error(
            f"{len(args.style)} --style, {len(args.style_image)} --style-image; expected as many"
        )
    return args


@dataclasses.dataclass(frozen=True)
class Style:
    """A trained network and the objective it was trained on."""

    name: str
    weights: str
    """Their digest."""
    network: TransformerNet
    objective: PerceptualLoss
    config: Config
    image: bytes
    """The style image's file."""

    @torch.no_grad()
    def score(self, picture: Tensor, content: Tensor) -> dict[str, float]:
        """Return the four terms of a picture of a photo, both 1 × 3 × H × W in [0, 1]."""
        terms: LossTerms = self.objective(picture, self.objective.content_features(content))
        return terms.floats()


def main() -> int:
    args = parse_arguments()
    device = resolve_device(args.device)
    args.precision = chosen_precision(args.precision, device)
    expect_same_sizes(max(args.sizes_px) ** 2)
    styles = []
    for name, image in zip(args.style, args.style_image, strict=True):
        path = find_style(name)
        network, info = load_style(path, device)
        config = config_from_dict(info.config, name)
        objective = build_objective(config.loss, image, config.style.size_px, device)
        weights = weights_digest(path)
        styles.append(Style(info.name, weights, network, objective, config, image.read_bytes()))
    photos = Photos(args.photos)
    names = photos.names[: args.num_photos]
    for name in names:  # a bad one is told of now, not after hours
        decode_rgb(photos.read(name), name, shorter_px=MIN_SIZE_PX, square=True)
    if args.pictures:
        return score_pictures(args, styles, photos, names, device)

    where = machine(str(device), args.precision)
    jobs = [(s, size, n) for s in styles for size in args.sizes_px for n in names]
    results: list[PhotoResult] = []
    rows: list[list[Tensor]] = []
    with progress_bar(len(jobs) * len(args.init) * args.steps, "iteration") as progress:
        for style, size_px, name in jobs:
            file = photos.read(name)
            content = decode_rgb(file, name, shorter_px=size_px, square=True).to(device)
            with torch.no_grad(), in_precision(args.precision, device):
                stylized = style.network(content)
                network_s = time_network(style.network, content)
            terms = style.score(stylized, content)
            folder = args.out / "pictures" / f"{style.name}_{size_px}"
            write_image(folder / f"{Path(name).stem}_photo.png", content)
            write_image(folder / f"{Path(name).stem}_network.png", stylized)
            for init in args.init:
                optimize = dataclasses.replace(
                    style.config.optimize,
                    init=init,
                    noise_ratio=1.0,
                    iterations=args.steps,
                    precision=args.precision,
                )
                config = dataclasses.replace(style.config, optimize=optimize)
                kept = KeptBaseline(
                    content,
                    style.objective,
                    optimize,
                    baseline_settings(config, style.image, file, size_px),
                    args.out / "baselines" / f"{Path(name).stem}_{size_px}_{init}",
                )
                run = kept.run(terms["total_loss"], where, progress.update)
                about = (style.name, style.weights, name, size_px, init)
                results.append(PhotoResult(*about, terms, network_s, run))
                first = (styles[0], args.sizes_px[0], args.init[0])
                if (style, size_px, init) == first and len(rows) < SHOWN:
                    equal = results[-1].crossing
                    shown = (run.last if equal is None else equal, run.last)
                    rows.append([content, stylized, *(kept.picture(i) for i in shown)])
    write_report(results, args.steps, where, command(), args.out)
    last = f"baseline, {args.steps} iterations"
    grid = picture_grid(rows, ("photo", "network", "baseline, as good", last))
    write_image(args.out / "pictures.png", grid)
    print(f"{args.out / 'report.md'}, report.json, iterations.csv, objective.png, pictures.png")
    return 0


def score_pictures(
    args: argparse.Namespace,
    styles: list[Style],
    photos: Photos,
    names: list[str],
    device: torch.device,
) -> int:
    """Score pictures made elsewhere, beside the network's own, and write pictures.json."""
    found = {path.stem: path for path in sorted(args.pictures.glob("*")) if path.is_file()}
    there = [name for name in names if Path(name).stem in found]
    if not there:
        raise UserError(
            f"--pictures {args.pictures}: none is named as one of {len(names)} photos "
            f"({', '.join(Path(name).stem for name in names[:3])}, …); expected the same names. "
            "Check the folder, or raise --num-photos."
        )
    record = []
    for style in styles:
        for size_px in args.sizes_px:
            for name in there:
                shape = {"shorter_px": size_px, "square": True}
                content = decode_rgb(photos.read(name), name, **shape).to(device)
                picture = read_rgb(found[Path(name).stem], **shape).to(device)
                with torch.no_grad(), in_precision(args.precision, device):
                    stylized = style.network(content)
                record.append(
                    {
                        "style": style.name,
                        "size_px": size_px,
                        "photo": name,
                        "picture": style.score(picture, content),
                        "network": style.score(stylized, content),
                    }
                )
            rows = [r for r in record if (r["style"], r["size_px"]) == (style.name, size_px)]
            theirs, ours = (
                mean(row[who]["total_loss"] for row in rows) for who in ("picture", "network")
            )
            print(
                f"{style.name}, {size_px} px, {len(rows)} of {len(names)} photos: objective "
                f"{theirs:.4g}, the network's {ours:.4g}"
            )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "pictures.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 0


@torch.inference_mode()
def time_network(network: TransformerNet, content: Tensor) -> float:
    """Return the seconds of one forward pass, median of several after one that warms up."""
    network(content)
    seconds = []
    for _ in range(TIMED_PASSES):
        started_s = time.perf_counter()
        network(content).cpu()  # there, a GPU has finished too
        seconds.append(time.perf_counter() - started_s)
    return median(seconds)


if __name__ == "__main__":
    run_program(main)
