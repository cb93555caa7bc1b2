"""Print how many training photos a second are read, decoded and cropped, and from the cache.

    python -m benchmarks.loader --photos DIR

A training step must never wait: compare with the images a second of benchmarks.train_step.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from data.photo_cache import PhotoCache
from data.photos import PhotoCrops, Photos, PreparedPhotos, batches
from errors import CommandLine, run_program

BATCH_SIZE = 4


def rate(prepared: PreparedPhotos, size_px: int, num_workers: int, count: int) -> float:
    """Return crops a second over `count` crops, start of the workers excluded."""
    crops = PhotoCrops(prepared, prepared.photos.names, size_px, seed=0)
    stream = batches(crops, BATCH_SIZE, 0, count // BATCH_SIZE + 8, num_workers)
    for _ in range(8):
        next(stream)
    started_s = time.perf_counter()
    number = sum(len(batch.names) for batch in stream)
    return number / (time.perf_counter() - started_s)


def main() -> int:
    parser = CommandLine(description="Training photos a second.")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--num-workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--count", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    photos = Photos(args.photos)
    shorter_px = round(1.0625 * args.size_px)

    def row(name: str, rates: Sequence[float]) -> None:
        print(f"{name:28} {median(rates):8.0f} photos a second", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        cache = PhotoCache(photos, shorter_px, Path(folder))
        started_s = time.perf_counter()
        cache.build(max(args.num_workers))
        made_s = time.perf_counter() - started_s
        size_mb = cache.pixels_file.stat().st_size / 1e6
        print(f"cache of {len(photos)} photos: {made_s:.1f} s, {size_mb:.0f} MB")
        for num_workers in args.num_workers:
            for name, prepared in (
                ("decoded", PreparedPhotos(photos, shorter_px)),
                ("cached", cache),
            ):
                repeats = range(args.repeats)
                rates = [rate(prepared, args.size_px, num_workers, args.count) for _ in repeats]
                row(f"{name}, {num_workers} workers", rates)
    return 0


if __name__ == "__main__":
    run_program(main)
