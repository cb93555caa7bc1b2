"""Paint photos and films in a trained style, one forward pass each.

python stylize.py photo.jpg --style starry_night -o painted.jpg
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import threads  # noqa: F401, it is for torch to read

from errors import EXIT_USER_ERROR, CommandLine, UserError, end_if_told, run_program

if TYPE_CHECKING:  # --help does without them
    from data.animation import PaintedAnimation
    from data.images import Photo
    from data.pixels import Pixels
    from inference.batch import Job, Outcome
    from inference.film import PaintedFilm
    from inference.painter import Painter
    from inference.stylizer import Stylizer

EXIT_SOME_FAILED = 1
ALL = "all"
PHOTO, ANIMATION, FILM = "photo", "animation", "film"
MAX_SCALE = 10_000
DARK = 8
"""A mask without a larger value is a mistake, of those who write 0 and 1 for instance."""
MAX_SIZE_PX = 1_000_000_000


def parse_arguments() -> argparse.Namespace:
    parser = CommandLine(description="Paint photos in a trained style.")
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="photos, folders, 'globs*.jpg', films, - for stdin",
    )
    parser.add_argument(
        "--style", metavar="NAME|FILE", help="a style of --list, its file, a blend a:0.6,b:0.4, all"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE|DIR|-",
        help="default: INPUT_STYLE.ext, here",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument("--list", action="store_true", help="list the styles and stop")
    parser.add_argument("--card", action="store_true", help="print the style's card and stop")
    parser.add_argument(
        "--export", nargs=2, metavar=("onnx|torchscript", "FILE"), help="write the style and stop"
    )

    look = parser.add_argument_group("look")
    look.add_argument("--strength", type=float, default=1.0, help="0 (photo) to 1 (painting)")
    look.add_argument("--preserve-color", action="store_true", help="keep the photo's colours")
    look.add_argument(
        "--stroke-scale",
        type=stroke_scale,
        default=1.0,
        metavar="S|auto",
        help="strokes S times as large; auto: by the photo's size",
    )
    look.add_argument("--mask", type=Path, metavar="FILE", help="paint where it is white")
    look.add_argument(
        "--background", default="none", metavar="STYLE", help="the style where the mask is black"
    )
    look.add_argument(
        "--feather-px", type=float, metavar="N", help="soften the mask's edges; default: a little"
    )
    look.add_argument(
        "--grain", type=int, default=2, metavar="N", help="noise for flat areas: levels; default 2"
    )
    look.add_argument(
        "--margin-px", type=int, default=24, metavar="N", help="painted beyond the edge; default 24"
    )
    look.add_argument(
        "--smooth", type=float, default=0.0, metavar="S", help="films: less flicker, 0 to 1"
    )
    look.add_argument(
        "--sheet", action="store_true", help="one labelled picture of the photo in every --style"
    )
    look.add_argument(
        "--cell-px", type=int, default=512, metavar="N", help="longer side in a sheet; default 512"
    )

    size = parser.add_argument_group("size")
    size.add_argument("--size-px", type=int, metavar="N", help="resize first: longer side in px")
    size.add_argument("--scale", type=float, default=1.0, help="resize first: by this factor")
    size.add_argument("--tile-px", type=int, default=0, metavar="N", help="paint in tiles of N px")
    size.add_argument("--max-pixels", type=int, default=0, metavar="N", help="refuse larger photos")

    how = parser.add_argument_group("how it runs")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    how.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 or int8")
    how.add_argument("--engine", default="auto", help="auto, openvino or torch")
    how.add_argument("--shard", default="", metavar="I/N", help="paint share I of N of the photos")
    how.add_argument("--json", action="store_true", help="print a JSON object per photo")
    how.add_argument("--report", type=Path, metavar="FILE", help="write what became of each photo")
    how.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_intermixed_args()  # inputs may stand before and after options
    for name in ("card", "export"):
        if getattr(args, name) and not args.style:
            parser.error(f"--{name}; expected --style NAME with it; --list shows the styles")
    if not (args.list or args.card or args.export) and not (args.inputs and args.style):
        parser.error("expected INPUT... and --style NAME; --list shows the styles")
    for name, low, high in (
        ("size_px", 1, MAX_SIZE_PX),
        ("cell_px", 1, None),
        ("tile_px", 0, None),
        ("max_pixels", 0, None),
        ("strength", 0, 1),
        ("smooth", 0, 1),
        ("feather_px", 0, None),
    ):
        value = getattr(args, name)
        if value is not None and not (low <= value and (high is None or value <= high)):
            valid = f"at least {low}" if high in (None, MAX_SIZE_PX) else f"{low} to {high}"
            parser.error(f"--{name.replace('_', '-')} {value}; expected {valid}")
    if not 0 < args.scale <= MAX_SCALE:
        parser.error(f"--scale {args.scale}; expected more than 0, at most {MAX_SCALE}")
    if args.background != "none" and not args.mask:
        parser.error(f"--background {args.background}; expected --mask FILE with it")
    if str(args.output) == "-" and args.json:
        parser.error("--json; expected -o FILE or DIR with it, since - is the standard output")
    return args


def stroke_scale(text: str) -> float | None:
    """Return what --stroke-scale says, None for auto. Raises ArgumentTypeError."""
    try:
        scale = None if text == "auto" else float(text)
    except ValueError:
        scale = 0
    if scale is not None and not 0 < scale < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; expected more than 0, or auto")
    return scale


def main() -> int:
    args = parse_arguments()
    if args.list:
        list_styles()
        return 0
    if args.card:
        print_cards(args.style)
        return 0
    if args.export:
        return export_style(args)

    # OpenVINO loads its converter of other formats where it can: 0.1 s that painting does not need.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    from data.formats import check_writable
    from inference.batch import STDIO, paint_all, plan, shard_of
    from progress import progress_bar

    styles = styles_of(args.style)
    studio = Studio(args, styles)
    name = studio.stdin_name() if STDIO in args.inputs else ""
    columns = ["sheet"] if args.sheet else styles
    planned, left_out, outcomes = plan(args.inputs, args.output, columns, name)
    for notice in left_out:
        print(f"notice: {notice}", file=sys.stderr)
    index, count = shard_of(args.shard)
    jobs = planned[index::count]
    if len(planned) > 1 and not args.overwrite:
        jobs, finished = without_finished(jobs)
        outcomes += finished
    jobs, refused = studio.checked(jobs)
    outcomes += refused
    if args.report:
        check_writable(args.report, (".json",))
    if jobs:
        studio.open_styles()  # what is wrong with a style is said before any work

    moving = [job for job in jobs if studio.kind_of(job) != PHOTO]
    photos = [job for job in jobs if studio.kind_of(job) == PHOTO]
    shown = len(photos) > 1 and sys.stderr.isatty()
    with progress_bar(len(photos), "photo") if shown else nullcontext() as progress:
        for outcome in paint_all(photos, studio.read, studio.paint, studio.write):
            outcomes.append(outcome)
            if progress:
                progress.update()
            with progress.external_write_mode() if progress else nullcontext():
                tell(outcome, args.json)
    for job in moving:
        outcomes.append(studio.paint_frames(job))
        tell(outcomes[-1], args.json)
    if args.report:
        write_report(args.report, outcomes)
    return conclude(outcomes)


def styles_of(text: str) -> list[str]:
    """Return the styles that --style names: one, a blend, or all that ship but the lite forms."""
    from models.style_file import LITE, style_files

    if text != ALL:
        return [text]
    return [path.stem for path in style_files() if not path.stem.endswith(LITE)]


def without_finished(jobs: list[Job]) -> tuple[list[Job], list[Outcome]]:
    """Return the jobs still to be done, and those whose output is there."""
    from inference.batch import Outcome

    todo, skipped = [], []
    for job in jobs:
        if os.path.exists(job.target):
            skipped.append(Outcome(job.source, job.target, job.style, "skipped"))
        else:
            todo.append(job)
    return todo, skipped


class Studio:
    """Reads, paints and writes one photo after another, as the command line asks."""

    def __init__(self, args: argparse.Namespace, styles: list[str]) -> None:
        self.args = args
        self.styles = styles
        self.stylizers: dict[str, Stylizer] = {}
        self.painters: dict[str, Painter] = {}
        self.masks: dict[tuple[int, int], Pixels] = {}
        self.kinds: dict[str, str] = {}

    def checked(self, jobs: list[Job]) -> tuple[list[Job], list[Outcome]]:
        """Return the jobs whose output can be written, and what became of the others."""
        from inference.batch import Outcome, failed

        good: list[Job] = []
        bad: list[Outcome] = []
        for job in jobs:
            try:
                self._check_output(job)
                good.append(job)
            except UserError as error:
                bad.append(failed(Outcome(job.source, job.target, job.style, "failed"), error))
        return good, bad

    def _check_output(self, job: Job) -> None:
        """Raise UserError for a place that cannot be written, or a file that would be lost."""
        from data.formats import SUFFIXES, check_writable
        from inference.batch import STDIO
        from inference.film_formats import FILM_CODECS

        film = self.kind_of(job) == FILM
        if film and self.args.sheet:
            raise UserError(f"--sheet {job.source}: is a film; expected photos. Name those.")
        target = Path(job.target)
        if job.target == STDIO and sys.stdout.name == os.devnull:  # `run_program` found it closed
            raise UserError("-o -: the standard output is closed; expected a pipe or a file.")
        if film or job.target != STDIO:
            check_writable(target, tuple(FILM_CODECS) if film else SUFFIXES)
            if os.path.exists(target) and not self.args.overwrite:
                raise UserError(
                    f"{target}: exists; expected a new file. Add --overwrite, or choose another "
                    "with -o."
                )

    def kind_of(self, job: Job) -> str:
        """Return whether a job's input is a PHOTO, an ANIMATION (or several pages), or a FILM."""
        from inference.batch import STDIO
        from inference.film_formats import is_film

        source = job.source
        if source not in self.kinds:
            kind = FILM if is_film(Path(source)) else PHOTO
            if kind == PHOTO and not self.args.sheet:
                kind = self._kind_of_image(self.stdin if source == STDIO else Path(source))
            self.kinds[source] = kind
        return self.kinds[source]

    def _kind_of_image(self, image: Path | bytes) -> str:
        """Return whether an image file, or its content, is a PHOTO or an ANIMATION."""
        from data.formats import begins_as_jpeg

        if begins_as_jpeg(image):  # the usual photo, without the 5 ms that the next import takes
            return PHOTO
        from data.frames import number_of_frames

        return ANIMATION if number_of_frames(image) > 1 else PHOTO

    @cached_property
    def stdin(self) -> bytes:
        """What the standard input holds. Raises UserError for one that is closed or has no end."""
        from inference.memory import GIB, available_bytes

        if sys.stdin is None:
            raise UserError("-: the standard input is closed; expected a photo. Pipe one in.")
        most = min(4 * GIB, available_bytes() // 4)
        content = sys.stdin.buffer.read(most + 1)
        if len(content) > most:
            raise UserError(
                f"-: more than {most / GIB:.1f} GiB; expected a photo that memory holds. Give its "
                "file as INPUT."
            )
        return content

    def stdin_name(self) -> str:
        """Return what the standard input would be called as a file, by its format."""
        from data.formats import ImageError, suffix_of
        from data.images import open_image

        try:
            return f"stdin{suffix_of(open_image(self.stdin, '-').format or '')}"
        except ImageError:  # which reading it will tell
            return "stdin.png"

    def open_styles(self) -> None:
        """Load every style. Raises UserError."""
        for style in self.styles:
            self.painter(style)

    def content(self, job: Job) -> bytes:
        """Return the content of a job's input. Raises UserError that names it."""
        from data.images import read_bytes
        from inference.batch import STDIO

        return self.stdin if job.source == STDIO else read_bytes(Path(job.source))

    def read(self, job: Job) -> Photo:
        """Return a job's photo. Raises UserError that names it."""
        from data.images import read_photo

        args = self.args
        return read_photo(
            self.content(job),
            job.source,
            longer_px=args.size_px or 0,
            scale=args.scale,
            max_pixels=args.max_pixels,
            check=lambda width, height: self.check_size(job, width, height),
        )

    def check_size(self, job: Job, width: int, height: int) -> None:
        """Raise UserError for a size that is too large for the output or for this machine."""
        from data.formats import check_size
        from data.images import MAX_PIXELS
        from inference.memory import check_room

        stroke_scale = min(1, self.args.stroke_scale or 1)
        painted = math.ceil(width / stroke_scale), math.ceil(height / stroke_scale)
        most = self.args.max_pixels or MAX_PIXELS
        if painted[0] * painted[1] > most:
            raise UserError(
                f"{job.source}: {painted[0]} x {painted[1]} px to paint, by --size-px, --scale or "
                f"--stroke-scale; expected at most {most:,} pixels. Take less, or raise "
                "--max-pixels."
            )
        if not self.args.sheet:
            check_size(job.target, width, height)
        check_room(job.source, *painted)

    def paint(self, job: Job, photo: Photo) -> Pixels:
        """Return a job's painting. Raises UserError that names its photo."""
        pixels = photo.pixels
        try:
            mask = self._mask(pixels, photo.original_size)
            if not self.args.sheet:
                return self.painter(job.style)(pixels, mask)
            pictures = [pixels, *(self.painter(style)(pixels, mask) for style in self.styles)]
        except UserError as error:
            raise UserError(f"{job.source}: {error}") from error
        from data.sheets import picture_sheet

        names = ["photo", *self.styles]
        # nearly square, with as few gaps as may be
        root = math.ceil(len(names) ** 0.5)
        columns = min((root, root + 1), key=lambda width: -len(names) % width)
        starts = range(0, len(names), columns)
        rows = [pictures[i : i + columns] for i in starts]
        titles = [names[i : i + columns] for i in starts]
        return picture_sheet(rows, titles, cell_px=min(self.args.cell_px, max(pixels.shape[:2])))

    def write(self, job: Job, photo: Photo, painting: Pixels) -> list[str]:
        """Write a painting to where its job says; return what is not kept. Raises UserError."""
        from data.encoding import encode, write_photo
        from data.formats import suffix_of
        from inference.batch import STDIO

        photo = replace(photo, pixels=painting)
        if self.args.sheet:
            photo = replace(photo, alpha=None)
        if job.target != STDIO:
            return write_photo(Path(job.target), photo)
        content = io.BytesIO()  # some formats seek, and a pipe cannot
        notices = encode(content, suffix_of(photo.format), photo)
        sys.stdout.buffer.write(content.getvalue())
        sys.stdout.buffer.flush()
        return notices

    def paint_frames(self, job: Job) -> Outcome:
        """Paint a film or an animation, frame by frame, and return what became of it."""
        from inference.batch import Outcome, failed

        started_s = time.perf_counter()
        outcome = Outcome(job.source, job.target, job.style, "painted")
        try:
            is_film = self.kind_of(job) == FILM
            done: PaintedFilm | PaintedAnimation
            done = self._film(job) if is_film else self._animation(job)
        except Exception as error:
            return failed(outcome, error)
        return replace(
            outcome,
            width=done.width,
            height=done.height,
            seconds=round(time.perf_counter() - started_s, 3),
            notices=done.notices,
        )

    def _film(self, job: Job) -> PaintedFilm:
        from inference.film import paint_film

        return paint_film(Path(job.source), Path(job.target), self._frame_painter(job))

    def _animation(self, job: Job) -> PaintedAnimation:
        from data.animation import paint_animation
        from inference.batch import STDIO

        target = io.BytesIO() if job.target == STDIO else Path(job.target)
        painter = self._frame_painter(job)
        content, most = self.content(job), self.args.max_pixels
        done = paint_animation(content, job.source, target, painter, max_pixels=most)
        if isinstance(target, io.BytesIO):
            sys.stdout.buffer.write(target.getvalue())
            sys.stdout.buffer.flush()
        return done

    def _frame_painter(self, job: Job) -> Callable[[Pixels], Pixels]:
        """Return what paints one frame after another, resized as the command line asks."""
        from data.resizing import resize_pixels, resized_size

        args = self.args
        painter = self.painter(job.style)
        smoother = None
        if args.smooth:
            from inference.smoothing import Smoother

            smoother = Smoother(args.smooth)

        def paint(frame: Pixels) -> Pixels:
            end_if_told()
            size = frame.shape[1], frame.shape[0]
            self.check_size(job, *resized_size(size, args.size_px or 0, args.scale))
            frame = resize_pixels(frame, args.size_px or 0, args.scale)

            def paint_frame(frame: Pixels) -> Pixels:
                try:
                    return painter(frame, self._mask(frame, size))
                except UserError as error:
                    raise UserError(f"{job.source}: {error}") from error

            return smoother(frame, paint_frame) if smoother else paint_frame(frame)

        return paint

    def _mask(self, photo: Pixels, original: tuple[int, int]) -> Pixels | None:
        """Return the mask of a photo that was of the `original` width and height."""
        from data.images import read_mask

        if not self.args.mask:
            return None
        size = photo.shape[1], photo.shape[0]
        if size not in self.masks:
            mask = read_mask(self.args.mask, size, original)
            if (most := int(mask.max())) < DARK:
                print(
                    f"notice: {self.args.mask}: its largest value is {most} of 255; so nearly "
                    "nothing is painted",
                    file=sys.stderr,
                )
            self.masks[size] = mask
        return self.masks[size]

    def painter(self, style: str) -> Painter:
        """Return the painter of a style, loaded once. Raises UserError."""
        from inference.painter import Look, Painter

        args = self.args
        if style not in self.painters:
            look = Look(
                style=style,
                strength=args.strength,
                preserve_color=args.preserve_color,
                stroke_scale=args.stroke_scale,
                background=args.background,
                feather_px=args.feather_px,
            )
            self.painters[style] = Painter(look, self._open)
        return self.painters[style]

    def _open(self, style: str) -> Stylizer:
        from inference.stylizer import Stylizer

        args = self.args
        if style not in self.stylizers:
            self.stylizers[style] = Stylizer(
                style,
                args.device,
                precision=args.precision,
                engine=args.engine,
                tile_px=args.tile_px,
                grain=args.grain,
                margin_px=args.margin_px,
            )
        return self.stylizers[style]


def list_styles() -> None:
    """Print each shipped style with its title, artist and a line about it."""
    from models.style_file import read_info, style_files

    for path in style_files():
        info = read_info(path)
        print(f"{info.name:20}  {info.title}\n{'':20}  {info.about}")


def print_cards(text: str) -> None:
    """Print the model cards of what --style names."""
    from models.card import card
    from models.style_file import find_style, read_info

    print("\n".join(card(read_info(find_style(style))) for style in styles_of(text)), end="")


def export_style(args: argparse.Namespace) -> int:
    """Write a style for other programs."""
    from inference.export import export

    format_, target = args.export[0], Path(args.export[1])
    if target.exists() and not args.overwrite:
        raise UserError(
            f"{target}: exists; expected a new file. Add --overwrite, or choose another."
        )
    export(args.style, format_, target)
    print(target)
    return 0


def tell(outcome: Outcome, as_json: bool) -> None:
    """Print what became of a photo, or where its painting is."""
    from inference.batch import STDIO

    if as_json:
        print(json.dumps(outcome.to_dict()), flush=True)
    elif outcome.status == "painted" and outcome.output != STDIO:
        print(outcome.output, flush=True)


def write_report(path: Path, outcomes: list[Outcome]) -> None:
    """Write what became of every photo as JSON."""
    counts = dict.fromkeys(("painted", "skipped", "failed"), 0)
    for outcome in outcomes:
        counts[outcome.status] += 1
    record = {**counts, "photos": [outcome.to_dict() for outcome in outcomes]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1), encoding="utf-8")


def tell_notices(outcomes: list[Outcome]) -> None:
    """Print what was not kept, a line for all files of which the same is to be said."""
    inputs: dict[str, dict[str, None]] = {}
    for outcome in outcomes:
        for text in outcome.notices:
            inputs.setdefault(text, {})[outcome.input] = None
    for text, names in inputs.items():
        first, more = next(iter(names)), len(names) - 1
        print(f"notice: {first}{f' and {more} more' if more else ''}: {text}", file=sys.stderr)


def conclude(outcomes: list[Outcome]) -> int:
    """Print what failed and how many of several photos were painted; return the exit code."""
    tell_notices(outcomes)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    skipped = sum(outcome.status == "skipped" for outcome in outcomes)
    painted = len(outcomes) - len(failed) - skipped
    if len(outcomes) == 1 and failed:
        raise UserError(failed[0].error)
    for outcome in failed:
        print(f"error: {outcome.error}", file=sys.stderr)
    if len(outcomes) > 1:
        there = f", {skipped} were there already" if skipped else ""
        print(
            f"painted {painted} of {len(outcomes)} photos{there}; {len(failed)} failed",
            file=sys.stderr,
        )
    if not failed:
        return 0
    return EXIT_SOME_FAILED if painted + skipped else EXIT_USER_ERROR


if __name__ == "__main__":
    run_program(main)
