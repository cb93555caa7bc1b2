"""Many photos: what becomes what, and decode | paint | encode side by side."""

from __future__ import annotations

import glob
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from data.folders import files_below, is_photo
from data.formats import SUFFIXES
from data.images import Photo
from data.pixels import Pixels
from errors import UserError
from inference import film
from inference.painter import parse_blend

STDIO = "-"
AHEAD = 8
"""So many photos are read ahead, and so many paintings written behind, by a thread each."""
LEAST_AHEAD = 2
WAITING_PIXELS = 50_000_000
"""Fewer where photos of the last one's size would be more than this together."""


@dataclass(frozen=True)
class Job:
    """One photo in one style."""

    source: str
    """A file, or `-` for the standard input."""
    target: str
    """A file, or `-` for the standard output."""
    style: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    input: str
    output: str
    style: str
    status: str
    """painted | skipped (was there already) | failed"""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    """Of painting alone."""
    error: str = ""
    notices: tuple[str, ...] = ()
    """What of the photo is not kept, or was guessed: a line each."""

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values, without an error or notices where there were none."""
        optional = ("error", "notices")
        return {key: value for key, value in asdict(self).items() if key not in optional or value}


def plan(inputs: Sequence[str], output: Path | None, styles: Sequence[str]) -> list[Job]:
    """Return each photo in each style with the file that its painting goes to.

    Without `output` that is INPUT_STYLE in the current folder. In an output folder it is the
    photo's path below the folder that was given, below one more for each style where there are
    several; what lies in the output folder is no input. Raises UserError for inputs that are not
    there, and for outputs that would overwrite an input or one another.
    """
    pairs = list(find_photos(inputs))
    if output is not None and any(_is_below(output, text) for text in inputs):
        pairs = [(source, path) for source, path in pairs if not _is_below(Path(source), output)]
    text = str(output) if output is not None else ""
    files = (*SUFFIXES, *film.SUFFIXES)
    to_file = text == STDIO or (
        output is not None and output.suffix.lower() in files and not output.is_dir()
    )
    count = len(pairs) * len(styles)
    if to_file and count > 1:
        raise UserError(f"-o {text}: one file for {count} paintings; expected a folder.")
    if output is not None and not to_file and output.suffix and not output.is_dir() and count == 1:
        raise UserError(
            f"-o {output}: suffix {output.suffix!r}; expected one of {', '.join(files)}, or "
            "a folder."
        )
    sources = {_real_path(source) for source, _ in pairs if source != STDIO}
    taken: dict[str, str] = {}
    jobs = []
    for style in styles:
        name = style_label(style)
        for source, relative in pairs:
            if to_file or (output is None and source == STDIO):
                target = Path(text or STDIO)
            elif output is not None:
                target = output / (name if len(styles) > 1 else "") / relative
            else:
                suffix = relative.suffix if relative.suffix.lower() in files else ".png"
                target = Path(f"{relative.stem}_{name}{suffix}")
            jobs.append(Job(source, str(target), style))
            if str(target) == STDIO:
                continue
            real_target = _real_path(str(target))
            other = taken.setdefault(real_target, source)
            if other != source:
                raise UserError(
                    f"{source} and {other} would both become {target}; expected different names. "
                    "Give their common folder as INPUT, or paint them one by one."
                )
            if real_target in sources:
                raise UserError(
                    f"{target}: is an input; expected a place where nothing is lost. "
                    "Choose another with -o."
                )
    return jobs


def _real_path(path: str) -> str:
    """Return an absolute path without links in its folder; a million take seconds."""
    folder, name = os.path.split(path)
    return os.path.join(_real_folder(folder), name)


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _is_below(path: Path, folder: str | Path) -> bool:
    return path.resolve().is_relative_to(Path(folder).resolve()) and Path(folder).is_dir()


def style_label(style: str) -> str:
    """Return what a style, or a blend of them, is called in a file's name."""
    return "+".join(Path(name).stem for name, _ in parse_blend(style))


def find_photos(inputs: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield each input photo and its path below the folder that was given (else its name).

    A file that was named is taken as it is; of folders and globs, files with a photo's suffix.
    """
    for text in dict.fromkeys(inputs):
        path = Path(text)
        if text == STDIO:
            yield STDIO, Path("stdin.png")
            continue
        if path.is_dir():
            files = sorted(file for file in files_below(path) if is_photo(file))
            found = [(str(path / file), file) for file in files]
        elif path.exists() or not glob.has_magic(text):
            found = [(text, Path(path.name))]
        else:
            files = [Path(name) for name in sorted(glob.glob(text, recursive=True))]
            found = [(str(p), Path(p.name)) for p in files if is_photo(Path(p.name))]
        if not found:
            raise UserError(
                f"{text}: holds no photo; expected files that end in {', '.join(SUFFIXES)}. "
                "Check the path."
            )
        yield from found


def shard_of(text: str) -> tuple[int, int]:
    """Return (index from 0, number) of the share `I/N` that this process paints, I from 1.

    An empty text takes what torchrun or a Slurm array says, else everything. Raises UserError.
    """
    if not text:
        return _shard_of_cluster()
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UserError(f"--shard {text}: no share; expected I/N with I from 1 to N, like 1/4.")
    return int(index) - 1, int(count)


def _shard_of_cluster() -> tuple[int, int]:
    values = os.environ
    if "SLURM_ARRAY_TASK_COUNT" in values:
        first = int(values.get("SLURM_ARRAY_TASK_MIN", "0"))
        step = int(values.get("SLURM_ARRAY_TASK_STEP", "1"))
        index = (int(values["SLURM_ARRAY_TASK_ID"]) - first) // step
        return index, int(values["SLURM_ARRAY_TASK_COUNT"])
    if "WORLD_SIZE" in values and "RANK" in values:
        return int(values["RANK"]), int(values["WORLD_SIZE"])
    return 0, 1


def paint_all(
    jobs: Sequence[Job],
    read: Callable[[Job], Photo],
    paint: Callable[[Job, Photo], Pixels],
    write: Callable[[Job, Photo, Pixels], list[str]],
) -> Iterator[Outcome]:
    """Read, paint and write every job, and yield what became of it, in order.

    Photos are read ahead and paintings written behind, in threads of their own, while the next one
    is painted: several at a time, for storage may be far away and some formats are slow to encode.
    A UserError ends its job alone.
    """
    ahead = LEAST_AHEAD
    with ThreadPoolExecutor(AHEAD) as readers, ThreadPoolExecutor(AHEAD) as writers:
        reading: deque[Future[Photo]] = deque()
        writing: deque[tuple[Outcome, Future[list[str]] | None]] = deque()
        rest = iter(jobs)
        for job in jobs:
            while len(reading) < ahead and (later := next(rest, None)):
                reading.append(readers.submit(read, later))
            outcome = Outcome(job.source, job.target, job.style, "painted")
            try:
                photo = reading.popleft().result()
                started_s = time.perf_counter()
                pixels = paint(job, photo)
                height, width = pixels.shape[:2]
                ahead = min(AHEAD, max(LEAST_AHEAD, WAITING_PIXELS // (height * width)))
                seconds = round(time.perf_counter() - started_s, 3)
                outcome = replace(
                    outcome, width=width, height=height, seconds=seconds, notices=photo.notices
                )
                writing.append((outcome, writers.submit(write, job, photo, pixels)))
                del photo, pixels
            except UserError as error:
                writing.append((_failed(outcome, error), None))
            while writing and (len(writing) > ahead or _is_settled(writing[0][1])):
                yield _settled(*writing.popleft())
        while writing:
            yield _settled(*writing.popleft())


def _is_settled(written: Future[list[str]] | None) -> bool:
    return written is None or written.done()


def _settled(outcome: Outcome, written: Future[list[str]] | None) -> Outcome:
    if written is None:
        return outcome
    try:
        return replace(outcome, notices=(*outcome.notices, *written.result()))
    except UserError as error:
        return _failed(outcome, error)


def _failed(outcome: Outcome, error: UserError) -> Outcome:
    return replace(outcome, status="failed", error=str(error))
