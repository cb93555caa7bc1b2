"""Print what painting costs: the plain way and ours, in one run, on the same photo.

    python -m benchmarks.stylize [--device auto] [--sizes 512x512 1920x1080] [--folder DIR]

Plain: what everyone runs, PyTorch eager in float32 and NCHW, its whole command with torchvision.
Ours: what stylize.py does. The limit is the network's arithmetic at the rate that a 3 × 3
convolution of 128 channels reaches here, in bf16 where that is fast; int8 may pass it. Passes are
timed in turn, after one that warms up; a style and its lite form in turns of many photos, as in a
folder; commands from their cold start, file to file. All are medians.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.train_step import convolution_rate
from data.images import read_bytes, read_photo
from data.pixels import Pixels
from data.resizing import resized
from data.tensors import to_pixels, to_tensor
from errors import CommandLine, UserError, run_program
from inference.stylizer import Stylizer
from inference.torch_engine import TorchEngine
from models.device import resolve_device
from models.style_file import LITE, find_style, load_style, style_files
from provenance import machine

ROOT = Path(__file__).parents[1]
TURN_S = 1.0
"""So long does a style paint before its lite form does, and the other way round."""
PHOTO = ROOT / "assets/photos/astronaut.jpg"
PLAIN_COMMAND = """
import sys
import torch
import torchvision.transforms.functional as functional
from PIL import Image
sys.path.insert(0, {root!r})
from pathlib import Path
from models.style_file import load_style
network, _ = load_style(Path({style!r}))
network.to(memory_format=torch.contiguous_format)
photo = functional.to_tensor(Image.open({photo!r}).convert("RGB"))[None]
with torch.no_grad():
    painting = network(photo)[0]
functional.to_pil_image(painting.clamp(0, 1)).save({output!r})
"""


def seconds_of(
    kinds: dict[str, Callable[[], object]], repeats: int, turn_s: float = 0
) -> dict[str, float]:
    """Return the median seconds of each kind, taken in turn: a busy machine hits them all.

    A turn is one run, or the mean of as many as `turn_s` takes.
    """
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for repeat in range(repeats + 1):
        for name, run in kinds.items():
            started_s, elapsed_s, runs = time.perf_counter(), 0.0, 0
            while not runs or elapsed_s < turn_s:
                run()
                runs += 1
                elapsed_s = time.perf_counter() - started_s
            if repeat:
                times[name].append(elapsed_s / runs)
    return {name: median(values) for name, values in times.items()}


def psnr(a: Pixels, b: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB; 99 for the same pixels."""
    error = float(np.square(a.astype(np.float32) - b).mean())
    return min(99.0, 10 * math.log10(255**2 / max(error, 1e-9)))


def ways_of_ours(style: str, device: str) -> dict[str, Stylizer]:
    """Return what `--precision auto` takes, and int8 where that is to be had: the plain way's work.

    So without margin and grain, which `commands` and `folder_throughput` have.
    """
    ours = partial(Stylizer, style, device, margin_px=0, grain=0)
    ways = [ours()]
    with contextlib.suppress(UserError):  # not on this device
        ways.append(ours(precision="int8"))
    return {
        f"ours, {type(way.engine).__name__.removesuffix('Engine')} {way.engine.precision}": way
        for way in ways
    }


def passes(style: str, device: torch.device, sizes: list[tuple[int, int]], repeats: int) -> None:
    """Print a pass of the network, each way, at each size."""
    plain, _ = load_style(find_style(style), device)
    plain.to(memory_format=torch.contiguous_format)
    ours = ways_of_ours(style, str(device))
    single = partial(TorchEngine, find_style(style), str(device), graphs=False)
    torchs = {"PyTorch float32, NHWC": single("fp32")}
    if device.type == "cuda":
        torchs["PyTorch, no graphs"] = single()
    photo = read_photo(read_bytes(PHOTO), str(PHOTO)).pixels
    rate = 1e9 * convolution_rate(str(device))
    print(f"{'size':>12} {'way':28} {'ms':>9} {'ratio':>7} {'dB':>6} {'share of limit':>15}")
    for width, height in sizes:
        pixels = np.ascontiguousarray(resized(photo, (width, height)))
        images = to_tensor(pixels).to(device)

        @torch.inference_mode()
        def run_plain(images: torch.Tensor = images) -> Pixels:
            return to_pixels(plain(images))

        ways: dict[str, Callable[[], Pixels]] = {
            "plain: eager, float32, NCHW": run_plain,
            **{name: partial(engine.paint, pixels) for name, engine in torchs.items()},
            **{name: partial(stylizer, pixels) for name, stylizer in ours.items()},
        }
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            plain(images)
        seconds = seconds_of(dict(ways), repeats)
        expected = run_plain()
        limit_s = counter.get_total_flops() / rate
        first = seconds["plain: eager, float32, NCHW"]
        for name, value in seconds.items():
            share = f"{limit_s / value:.0%}" if name in ours else ""
            print(
                f"{f'{width} x {height}':>12} {name:28} {value * 1e3:9.1f} {first / value:6.2f}x "
                f"{psnr(ways[name](), expected):6.1f} {share:>15}",
                flush=True,
            )


def lite_form(style: str, device: str, sizes: list[tuple[int, int]], repeats: int) -> None:
    """Print a photo's time with a style beside that with its lite form, where there is one.

    That of the network alone, and that of a painting with its margin and grain; at each size.
    """
    if f"{style}{LITE}" not in {path.stem for path in style_files()}:
        return
    photo = read_photo(read_bytes(PHOTO), str(PHOTO)).pixels
    print(
        f"\n{'size':>12} {'precision':>10} {'of it':>9} {'full ms':>9} {'lite ms':>9} {'ratio':>7}"
    )
    kinds: dict[str, Callable[..., Stylizer]] = {
        "network": partial(Stylizer, margin_px=0, grain=0),
        "painting": Stylizer,
    }
    for precision, (kind, opened) in product(("auto", "fp32"), kinds.items()):
        full, lite = (
            opened(name, device, precision=precision) for name in (style, f"{style}{LITE}")
        )
        if precision == "auto" and full.engine.precision == "fp32":
            continue
        for width, height in sizes:
            pixels = np.ascontiguousarray(resized(photo, (width, height)))
            full_s, lite_s = seconds_of(
                {"full": partial(full, pixels), "lite": partial(lite, pixels)}, repeats, TURN_S
            ).values()
            print(
                f"{f'{width} x {height}':>12} {full.engine.precision:>10} {kind:>9} "
                f"{full_s * 1e3:9.1f} {lite_s * 1e3:9.1f} {full_s / lite_s:6.2f}x",
                flush=True,
            )


def commands(style: str, device: str, repeats: int) -> None:
    """Print the whole command, cold, file to file, and --help."""
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder, "out.png"))
        path = str(find_style(style))
        code = PLAIN_COMMAND.format(root=str(ROOT), style=path, photo=str(PHOTO), output=output)
        stylize = [sys.executable, str(ROOT / "stylize.py")]
        ours = [*stylize, str(PHOTO), "--style", path, "-o", output, "--overwrite"]
        kinds = {
            "plain command": [sys.executable, "-c", code],
            "stylize.py": [*ours, "--device", device],
            "stylize.py --help": [*stylize, "--help"],
        }
        peaks: dict[str, float] = {}

        def runner(name: str, command: list[str]) -> Callable[[], None]:
            def run() -> None:
                wrapped = (
                    "import resource, subprocess, sys\n"
                    "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
                    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
                )
                done = subprocess.run(
                    [sys.executable, "-S", "-c", wrapped, *command],
                    check=True,
                    capture_output=True,
                    text=True,
                    cwd=ROOT,
                )
                peaks[name] = float(done.stdout)

            return run

        seconds = seconds_of({name: runner(name, c) for name, c in kinds.items()}, repeats)
    print(f"\n{'command, 512 x 512':28} {'s':>6} {'share':>7} {'peak MiB':>9}")
    for name, value in seconds.items():
        share = value / seconds["plain command"]
        print(f"{name:28} {value:6.2f} {share:6.0%} {peaks[name]:9.0f}", flush=True)


def folder_throughput(style: str, device: str, photos: Path) -> None:
    """Print the photos a second of a folder, of decoding alone, and of the engine alone."""
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    started_s = time.perf_counter()
    decoded = [read_photo(read_bytes(path), str(path)).pixels for path in files]
    decode_s = time.perf_counter() - started_s
    stylizer = Stylizer(style, device)
    sample = decoded[:: max(1, len(decoded) // 100)]
    started_s = time.perf_counter()
    for pixels in sample:
        stylizer(pixels)
    engine_s = (time.perf_counter() - started_s) / len(sample) * len(decoded)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "stylize.py", str(photos), "--style", style, "-o", out]
        started_s = time.perf_counter()
        subprocess.run([*command, "--device", device], check=True, cwd=ROOT, capture_output=True)
        whole_s = time.perf_counter() - started_s
    print(f"\n{len(files)} photos of {photos.name}, {sum(p.size for p in decoded) / 3e6:.0f} Mpx")
    for name, value in (("decoding", decode_s), ("engine", engine_s), ("stylize.py", whole_s)):
        print(f"{name:28} {len(files) / value:9.1f} photos/s", flush=True)


def main() -> int:
    parser = CommandLine(description="The cost of painting.")
    parser.add_argument("--style", default="starry_night", help="a name or a file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1920x1080"], metavar="WxH")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="also the throughput of a folder of photos")
    args = parser.parse_args()
    device = resolve_device(args.device)
    print(machine(str(device)))
    sizes = [(int(w), int(h)) for w, h in (size.split("x") for size in args.sizes)]
    passes(args.style, device, sizes, args.repeats)
    lite_form(args.style, str(device), sizes, args.repeats)
    commands(args.style, str(device), args.repeats)
    if args.folder:
        folder_throughput(args.style, str(device), args.folder)
    return 0


if __name__ == "__main__":
    run_program(main)
