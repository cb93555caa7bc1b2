"""Paint photos in a trained style, one forward pass each.

python stylize.py photo.jpg --style starry_night -o painted.jpg
"""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from errors import EXIT_USER_ERROR, UserError, run_program

if TYPE_CHECKING:  # torch takes a second: --help does without
    from inference.stylizer import Stylizer

EXIT_SOME_FAILED = 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Paint photos in a trained style.")
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="photos, folders, 'globs*.jpg'")
    parser.add_argument("--style", metavar="NAME|FILE", help="a style of --list, or its file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE|DIR",
        help="default: INPUT_STYLE.ext, here",
    )
    parser.add_argument(
        "--size-px",
        type=int,
        metavar="N",
        help="resize first: the longer side in pixels",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--list", action="store_true", help="list the styles and stop")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args()
    if not args.list and not (args.inputs and args.style):
        parser.error("expected INPUT... and --style NAME; --list shows the styles")
    if args.size_px is not None and args.size_px < 1:
        parser.error(f"--size-px {args.size_px}; expected at least 1")
    return args


def main() -> int:
    args = parse_arguments()
    if args.list:
        list_styles()
        return 0

    from data.images import check_writable
    from inference.stylizer import Stylizer

    jobs = list(plan(args.inputs, args.output, Path(args.style).stem))
    for _, output in jobs:
        check_writable(output)
    stylizer = Stylizer(args.style, args.device)
    failed = 0
    for source, output in jobs:
        try:
            paint(stylizer, source, output, args.size_px)
            print(output)
        except UserError as error:
            if len(jobs) == 1:
                raise
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    if len(jobs) > 1:
        print(
            f"painted {len(jobs) - failed} of {len(jobs)} photos; {failed} failed",
            file=sys.stderr,
        )
    if failed:
        return EXIT_SOME_FAILED if failed < len(jobs) else EXIT_USER_ERROR
    return 0


def list_styles() -> None:
    """Print each shipped style with a line about it."""
    from models.style_file import read_info, style_files

    for path in style_files():
        info = read_info(path)
        print(f"{info.name:20}  {info.title} ({info.steps:,} steps)")


def paint(stylizer: Stylizer, source: Path, output: Path, size_px: int | None) -> None:
    """Paint one file into another. Raises UserError that names it."""
    from data.images import read_photo, write_image

    photo = read_photo(source, longer_px=size_px or 0)
    try:
        painted = stylizer(photo.rgb)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    write_image(output, painted, photo.alpha)


def plan(inputs: list[str], output: Path | None, style_name: str) -> Iterator[tuple[Path, Path]]:
    """Yield each photo with the file that its painting goes to.

    Raises UserError for inputs that are not there, and for outputs that would overwrite an input
    or one another.
    """
    from data.images import SUFFIXES

    pairs = list(find_photos(inputs))
    to_file = output is not None and output.suffix.lower() in SUFFIXES and not output.is_dir()
    if to_file and len(pairs) > 1:
        raise UserError(f"-o {output}: one file for {len(pairs)} photos; expected a folder.")
    if (
        output is not None
        and output.suffix
        and not to_file
        and len(pairs) == 1
        and not output.is_dir()
    ):
        raise UserError(
            f"-o {output}: suffix {output.suffix!r}; expected one of {', '.join(SUFFIXES)}, or "
            "a folder."
        )
    sources = {source.resolve() for source, _ in pairs}
    taken: dict[Path, Path] = {}
    for source, relative in pairs:
        if to_file:
            assert output is not None
            target = output
        elif output is not None:
            target = output / relative
        else:
            target = Path(f"{source.stem}_{style_name}{source.suffix}")
        other = taken.setdefault(target.resolve(), source)
        if other != source:
            raise UserError(
                f"{source} and {other} would both become {target}; expected different names. "
                "Give their common folder as INPUT, or paint them one by one."
            )
        if target.resolve() in sources:
            raise UserError(
                f"{target}: is an input; expected a place where nothing is lost. "
                "Choose another with -o."
            )
        yield source, target


def find_photos(inputs: list[str]) -> Iterator[tuple[Path, Path]]:
    """Yield each input photo and its path below the folder that was given (else its name).

    A file that was named is taken as it is; of folders and globs, files with a photo's suffix.
    """
    from data.images import SUFFIXES

    for text in dict.fromkeys(inputs):
        path = Path(text)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            found = [(file, file.relative_to(path)) for file in files]
        elif path.exists() or not glob.has_magic(text):
            found = [(path, Path(path.name))]
        else:
            files = sorted(Path(p) for p in glob.glob(text, recursive=True))
            found = [(p, Path(p.name)) for p in files if p.suffix.lower() in SUFFIXES]
        if not found:
            raise UserError(
                f"{text}: holds no photo; expected files that end in {', '.join(SUFFIXES)}. "
                "Check the path."
            )
        yield from found


if __name__ == "__main__":
    run_program(main)
