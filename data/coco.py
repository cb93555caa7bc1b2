"""Fetch MS-COCO's photos: a .zip that training reads in place.

python -m data.coco --split train2017 --to DIR
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from pypdl import Pypdl

from errors import CommandLine, UserError, run_program
from progress import progress_bar

BASE_URL = "http://images.cocodataset.org/zips"
RETRIES = 10
SEGMENTS = 4  # ranges fetched at a time
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A split's .zip."""

    md5: str
    gb: float


SPLITS = {
    "train2017": Archive("cced6f7f71b7629ddf16f17bbcfab6b2", 19.3),
    "val2017": Archive("442b8da7639aecaf257c1dceb8ba8c80", 0.8),
    "train2014": Archive("0da8c0bd3d6becc4dcb32757491aca88", 13.5),
    "val2014": Archive("a3d79f5ed8d289b7a7554ce06a5782b3", 6.6),
}
"""Checksums: those that torchvision's users and other downloaders of COCO check against."""


def fetch(url: str, path: Path, md5: str, retries: int = RETRIES) -> bool:
    """Download `url` to `path` and check it; return False if it was there already, and whole.

    An interrupted download goes on where it stopped: its parts lie beside `path`. Raises UserError
    where the server cannot be reached, keeps failing, or sends something else.
    """
    if path.exists():
        if (found := md5_of(path)) == md5:
            return False
        raise UserError(
            f"{path}: has MD5 {found}; expected {md5}. It is cut or another file: delete it and "
            "run the command again."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    last_error = LastError()
    logger = logging.Logger("data.coco")
    logger.addHandler(last_error)
    downloader = Pypdl(logger=logger)
    try:
        downloader.start(
            url,
            str(part),
            segments=SEGMENTS,
            retries=retries,
            block=False,
            display=False,
        )
        with progress_bar(0, "B") as progress:
            while not downloader.completed:
                time.sleep(0.1)
                progress.total = downloader.size or 0
                progress.update(downloader.current_size - progress.n)
    finally:
        downloader.shutdown()  # keeps what has come
    if downloader.failed:
        raise UserError(
            f"{url}: cannot be fetched ({last_error.text}); expected an archive. Look after the "
            "connection and run the command again: it goes on where it stopped."
        )
    if (found := md5_of(part)) != md5:
        part.unlink()
        raise UserError(
            f"{url}: what came has MD5 {found}; expected {md5}. Run the command again; if it stays "
            "so, the server has another file."
        )
    part.replace(path)
    return True


class LastError(logging.Handler):
    """Remembers what went wrong last, which the downloader only logs."""

    text = "no answer"

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            self.text = " ".join((str(error) or type(error).__name__).split())


def md5_of(path: Path) -> str:
    """Return a file's MD5 checksum in hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def main() -> int:
    parser = CommandLine("python -m data.coco", description="Fetch MS-COCO's photos as a .zip.")
    parser.add_argument("--split", choices=tuple(SPLITS), default="train2017")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    parser.add_argument("--base-url", default=BASE_URL, help="a mirror")
    parser.add_argument("--md5", help="the checksum of a mirror's own archive")
    parser.add_argument("--retries", type=int, default=RETRIES, help="after a failure")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()
    archive = SPLITS[args.split]
    path = args.to / f"{args.split}.zip"
    folder = args.to
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    if not path.exists() and not args.md5 and free_gb < 2 * archive.gb:
        raise UserError(
            f"{args.to}: {free_gb:.1f} GB free; expected {2 * archive.gb:.1f}, twice the archive, "
            "while its parts are joined. Choose another folder with --to."
        )
    url = f"{args.base_url}/{args.split}.zip"
    new = fetch(url, path, args.md5 or archive.md5, args.retries)
    print(f"{path}: {'fetched' if new else 'already there'}, whole. Train with data.root={path}")
    return 0


if __name__ == "__main__":
    run_program(main)
