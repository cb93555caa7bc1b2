"""Many photos: what becomes what, and decode | paint | encode side by side."""

from __future__ import annotations

import glob
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from data.folders import files_below, is_hidden
from data.formats import RAW_SUFFIXES, SUFFIXES
from data.images import Photo
from data.pixels import Pixels
from errors import UserError, end_if_told, line_of, one_line
from inference import film_formats
from inference.painter import parse_blend

STDIO = "-"
AHEAD = 8
"""So many photos are read ahead, and so many paintings written behind, by a thread each."""
LEAST_AHEAD = 2
NAMES_TOLD = 5
"""Of so many files that are left out the names are told."""
WRITTEN_SUFFIXES = tuple(dict.fromkeys((*SUFFIXES, *film_formats.SUFFIXES)))
INPUT_SUFFIXES = (*WRITTEN_SUFFIXES, *RAW_SUFFIXES)
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


def plan(
    inputs: Sequence[str],
    output: Path | None,
    styles: Sequence[str],
    stdin_name: str = "stdin.png",
) -> tuple[list[Job], list[str], list[Outcome]]:
    """Return each input in each style with the file that its painting goes to; notices; failures.

    Without `output` that is INPUT_STYLE in the current folder. In an output folder it is the
    photo's path below the folder that was given, below one more for each style where there are
    several; what lies in the output folder is no input. Notices tell what of folders and globs is
    left out; folders and globs without an input are failures. `stdin_name` is what the standard
    input is called in a folder. Raises UserError where there is no input at all, and for outputs
    that would overwrite an input or one another.
    """
    pairs, notices, failures = find_inputs(inputs, stdin_name)
    if output is not None and any(_is_below(output, text) for text in inputs):
        pairs = [(source, path) for source, path in pairs if not _is_below(source, output)]
        if not pairs and not failures:
            raise UserError(
                f"-o {output}: all inputs lie in it, where paintings are no inputs; expected "
                "another folder. Choose one."
            )
    if not pairs:
        raise UserError(failures[0].error)
    text = str(output) if output is not None else ""
    to_file = text == STDIO or (
        output is not None
        and output.suffix.lower() in WRITTEN_SUFFIXES
        and not os.path.isdir(output)
    )
    count = len(pairs) * len(styles)
    if to_file and count > 1:
        raise UserError(f"-o {text}: one file for {count} paintings; expected a folder.")
    if (  # a mistyped suffix rather than a folder
        output is not None
        and not to_file
        and output.suffix
        and not os.path.isdir(output)
        and count == 1
    ):
        raise UserError(
            f"-o {output}: suffix {output.suffix!r}; expected a folder, or one of "
            f"{', '.join(WRITTEN_SUFFIXES)}."
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
                target = output / (name if len(styles) > 1 else "") / _written_as(relative)
            else:
                written = _written_as(relative)
                target = Path(f"{written.stem}_{name}{written.suffix}")
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
    return jobs, notices, failures


def _written_as(path: Path) -> Path:
    """Return the name of a painting: its photo's, and one suffix more if that is none we write."""
    suffix = path.suffix.lower()
    if suffix in WRITTEN_SUFFIXES:
        return path
    return path.with_name(path.name + (".jpg" if suffix in RAW_SUFFIXES else ".png"))


def _real_path(path: str) -> str:
    """Return an absolute path without links in its folder; a million take seconds."""
    folder, name = os.path.split(path)
    return os.path.join(_real_folder(folder), name)


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _is_below(path: str | Path, folder: str | Path) -> bool:
    whole, above = os.path.realpath(path), os.path.realpath(folder)
    return os.path.isdir(folder) and Path(whole).is_relative_to(above)


def style_label(style: str) -> str:
    """Return what a style, or a blend of them, is called in a file's name."""
    return "+".join(Path(name).stem for name, _ in parse_blend(style))


def find_inputs(
    inputs: Sequence[str], stdin_name: str = "stdin.png"
) -> tuple[list[tuple[str, Path]], list[str], list[Outcome]]:
    """Return each photo and film with its path below the folder that was given (else its name).

    A file that was named is taken as it is; of folders and globs, files with a photo's or a film's
    suffix. Notices say what else they hold. Folders and globs without an input are failures.
    """
    found: dict[str, tuple[str, Path]] = {}
    notices: list[str] = []
    failures: list[Outcome] = []
    for text in dict.fromkeys(inputs):
        path = Path(text)
        special: list[Path] = []
        if text == STDIO:
            pairs = [(STDIO, Path(stdin_name))]
        elif os.path.isdir(path) and text:
            below = sorted(file for file in files_below(path, special) if not is_hidden(file))
            pairs = [(str(path / file), file) for file in below]
        elif os.path.lexists(text) or (text and not glob.has_magic(text)):
            found.setdefault(_real_path(text), (text, Path(path.name)))
            continue
        else:
            names = sorted(glob.glob(text, recursive=True))
            special = [Path(name) for name in names if not os.path.isfile(name)]
            pairs = [(name, Path(os.path.basename(name))) for name in names]
        left_out = [source for source, file in pairs if file.suffix.lower() not in INPUT_SUFFIXES]
        left_out = sorted({*left_out, *map(str, special)})
        pairs = [pair for pair in pairs if pair[0] not in set(left_out)]
        if not pairs:
            error = (
                f"{text or repr(text)}: holds no photo or film; expected files that end in .jpg, "
                ".png, .heic, .mp4 or the like. Check the path."
            )
            failures.append(Outcome(text, "", "", "failed", error=error))
        if left_out and pairs:
            names = [os.path.basename(name) for name in left_out[:NAMES_TOLD]]
            names += ["…"] if len(left_out) > NAMES_TOLD else []
            told = ", ".join(names)
            notices.append(
                f"{text}: {len(left_out)} of its files are no photos or films and left out: {told}"
            )
        for source, file in pairs:  # a file that is named twice is painted once
            found.setdefault(_real_path(source), (source, file))
    return list(found.values()), notices, failures


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
    An error ends its job alone.
    """
    ahead = LEAST_AHEAD
    readers, writers = ThreadPoolExecutor(AHEAD), ThreadPoolExecutor(AHEAD)
    try:
        reading: deque[Future[Photo]] = deque()
        writing: deque[tuple[Outcome, Future[list[str]] | None]] = deque()
        rest = iter(jobs)
        for job in jobs:
            end_if_told()
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
            except Exception as error:
                writing.append((failed(outcome, error), None))
            while writing and (len(writing) > ahead or _is_settled(writing[0][1])):
                yield _settled(*writing.popleft())
        while writing:
            yield _settled(*writing.popleft())
    finally:  # what is being written is written whole or removed; what is read may never come
        readers.shutdown(wait=False, cancel_futures=True)
        writers.shutdown(cancel_futures=True)


def _is_settled(written: Future[list[str]] | None) -> bool:
    return written is None or written.done()


def _settled(outcome: Outcome, written: Future[list[str]] | None) -> Outcome:
    if written is None:
        return outcome
    try:
        return replace(outcome, notices=(*outcome.notices, *written.result()))
    except Exception as error:
        return failed(outcome, error)


def failed(outcome: Outcome, error: Exception) -> Outcome:
    """Return the outcome of a job that an error ended: it ends no other. `--debug` raises it."""
    line = line_of(error)
    if isinstance(error, BrokenPipeError) or "--debug" in sys.argv:
        raise error
    if line is None:
        line = (
            f"{type(error).__name__}: {error}; expected no such error, the fault is ours. Please "
            "report what --debug shows."
        )
    if not isinstance(error, UserError):
        line = f"{outcome.input}: {line}"
    return replace(outcome, status="failed", error=one_line(line))
