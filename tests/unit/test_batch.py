"""What becomes what, who paints which share, and decode | paint | encode side by side."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from data.images import Photo
from errors import UserError
from inference.batch import AHEAD, LEAST_AHEAD, Job, paint_all, plan, shard_of, style_label


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "deep/b.PNG", "deep/.hidden.jpg", "notes.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def test_folders_are_mirrored(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert [job.target for job in plan([str(photos)], out, ["mine"])[0]] == [
        str(out / "a.jpg"),
        str(out / "deep/b.PNG"),
    ]
    several, *_ = plan([str(photos)], out, ["one", "two"])
    assert [job.target for job in several][::2] == [str(out / s / "a.jpg") for s in ("one", "two")]
    alone, *_ = plan([str(photos / "a.jpg")], None, ["x/mine.safetensors:0.7,two:0.3"])
    assert alone[0].target == "a_mine+two.jpg"
    assert plan(["-"], None, ["mine"]) == ([Job("-", "-", "mine")], [], [])


def test_paintings_of_an_earlier_run_are_no_photos(photos: Path) -> None:
    out = photos / "painted"
    first, *_ = plan([str(photos)], out, ["mine"])
    for job in first:
        Path(job.target).parent.mkdir(parents=True, exist_ok=True)
        Path(job.target).touch()
    assert plan([str(photos)], out, ["mine"])[0] == first
    assert len(first) == 2


def test_films_are_inputs_and_what_is_left_out_is_told(photos: Path, tmp_path: Path) -> None:
    for name in ("walk.MP4", "deep/x.txt", "deep/talk: one.webm", "old.jfif"):
        (photos / name).touch()
    os.mkfifo(photos / "deep/fifo.png")
    jobs, notices, _ = plan([str(photos)], tmp_path / "out", ["mine"])
    assert [Path(job.source).name for job in jobs] == [
        "a.jpg",
        "b.PNG",
        "talk: one.webm",
        "old.jfif",
        "walk.MP4",
    ]
    assert notices == [
        f"{photos}: 3 of its files are no photos or films and left out: fifo.png, x.txt, notes.txt"
    ]
    jobs, notices, _ = plan([f"{photos}/*"], tmp_path / "out", ["mine"])
    assert [Path(job.source).name for job in jobs] == ["a.jpg", "old.jfif", "walk.MP4"]
    assert notices == [
        f"{photos}/*: 2 of its files are no photos or films and left out: deep, notes.txt"
    ]
    jobs, notices, _ = plan([f"{photos}/*.MP4"], tmp_path / "out", ["mine"])
    assert ([Path(job.source).name for job in jobs], notices) == (["walk.MP4"], [])


def test_what_holds_nothing_does_not_stop_the_others(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bad = [str(tmp_path / "empty"), str(tmp_path / "no*.jpg"), ""]
    jobs, notices, failures = plan([*bad, str(photos / "a.jpg")], tmp_path / "out", ["mine"])
    assert ([Path(job.source).name for job in jobs], notices) == (["a.jpg"], [])
    assert [failure.input for failure in failures] == bad
    assert {failure.status for failure in failures} == {"failed"}
    for failure in failures:
        assert failure.error.startswith(f"{failure.input or repr('')}: holds no photo or film; exp")
    with pytest.raises(UserError, match="empty: holds no photo or film"):
        plan(bad, tmp_path / "out", ["mine"])


def test_a_file_that_is_named_twice_is_painted_once(photos: Path, tmp_path: Path) -> None:
    named = [str(photos / "a.jpg"), str(photos / "deep/../a.jpg"), str(photos)]
    jobs, *_ = plan(named, tmp_path / "out", ["mine"])
    assert [Path(job.source).name for job in jobs] == ["a.jpg", "b.PNG"]


def test_inputs_that_all_lie_in_the_output_folder_are_refused(photos: Path) -> None:
    with pytest.raises(UserError, match=r"all inputs lie in it.*expected another folder"):
        plan([str(photos)], photos, ["mine"])


def test_names_that_we_do_not_write_get_a_suffix(photos: Path, tmp_path: Path) -> None:
    (photos / "a.NEF").touch()
    named = [str(photos / name) for name in ("notes.txt", "a.jpg", "a.NEF")]
    jobs, *_ = plan(named, tmp_path / "out", ["mine"])
    assert [Path(job.target).name for job in jobs] == ["notes.txt.png", "a.jpg", "a.NEF.jpg"]
    jobs, *_ = plan(named, None, ["mine"])
    assert [job.target for job in jobs] == ["notes.txt_mine.png", "a_mine.jpg", "a.NEF_mine.jpg"]


@pytest.mark.parametrize("of", ["reading", "painting", "writing"])
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("odd"), "1: ValueError: odd; expected no such error, the fault is ours."),
        (MemoryError(), "1: there is not enough memory; expected room for the work."),
        (OSError(errno.ENOSPC, "No space", "/tmp/x"), "1: /tmp/x: No space; expected room"),
    ],
)
def test_any_error_is_that_of_its_photo_alone(of: str, error: Exception, line: str) -> None:
    jobs = [Job(str(i), f"{i}.png", "s") for i in range(3)]
    photo = Photo(np.zeros((4, 5, 3), np.uint8), None)

    def fail(job: Job, when: str) -> None:
        if (job.source, when) == ("1", of):
            raise error

    outcomes = list(
        paint_all(
            jobs,
            lambda job: fail(job, "reading") or photo,
            lambda job, photo: fail(job, "painting") or photo.pixels,
            lambda job, photo, pixels: fail(job, "writing") or [],
        )
    )
    assert [outcome.status for outcome in outcomes] == ["painted", "failed", "painted"]
    assert outcomes[1].error.startswith(line)


def test_style_labels() -> None:
    assert style_label("wave") == "wave"
    assert style_label("a/wave.safetensors") == "wave"
    assert style_label("wave:0.6,udnie:0.4") == "wave+udnie"


def test_shards_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "SLURM_ARRAY_TASK_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert shard_of("") == (0, 1)
    everything = list(range(10))
    parts = [everything[i::n] for i, n in (shard_of(f"{k}/3") for k in (1, 2, 3))]
    assert sorted(chain(*parts)) == everything
    for text in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2"):
        with pytest.raises(UserError, match="no share; expected I/N with I from 1 to N"):
            shard_of(text)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    assert shard_of("") == (2, 4)
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "10")
    monkeypatch.setenv("SLURM_ARRAY_TASK_STEP", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "14")
    assert shard_of("") == (2, 5)
    assert shard_of("1/2") == (0, 2)


def test_reading_painting_and_writing_overlap_in_order() -> None:
    jobs = [Job(str(i), f"{i}.png", "s") for i in range(6)]
    photo = Photo(np.zeros((4, 5, 3), np.uint8), None, notices=("of the file",))
    next_was_read = [threading.Event() for _ in jobs] + [threading.Event()]
    next_was_read[-1].set()
    written = []

    def read(job: Job) -> Photo:
        next_was_read[int(job.source)].set()
        if job.source == "3":
            raise UserError("3: bad")
        return photo

    def paint(job: Job, _: Photo) -> np.ndarray:
        assert next_was_read[int(job.source) + 1].wait(5), "the next photo was not read meanwhile"
        return photo.pixels

    def write(job: Job, _: Photo, __: np.ndarray) -> list[str]:
        written.append(job.source)
        if job.source == "4":
            raise UserError("4: full")
        return [f"{job.source} has no title"]

    outcomes = list(paint_all(jobs, read, paint, write))
    assert [outcome.input for outcome in outcomes] == list("012345")
    assert [outcome.status for outcome in outcomes] == ["painted"] * 3 + ["failed"] * 2 + [
        "painted"
    ]
    assert [outcome.error for outcome in outcomes if outcome.error] == ["3: bad", "4: full"]
    assert sorted(written) == list("01245")
    assert outcomes[0].to_dict()["width"] == 5
    assert "error" not in outcomes[0].to_dict()
    assert outcomes[0].notices == ("of the file", "0 has no title")


@pytest.mark.parametrize(
    ("side_px", "at_once"),
    [(4, AHEAD), (6000, LEAST_AHEAD)],
    ids=["small photos", "photos that fill the memory"],
)
def test_as_many_wait_as_memory_holds(side_px: int, at_once: int) -> None:
    jobs = [Job(str(i), f"{i}.png", "s") for i in range(4 * AHEAD)]
    photo = Photo(np.broadcast_to(np.uint8(0), (side_px, side_px, 3)), None)
    now, most = Counter[str](), Counter[str]()
    lock = threading.Lock()

    def slowly(what: str) -> None:
        with lock:
            now[what] += 1
            most[what] = max(most[what], now[what])
        time.sleep(0.02)
        with lock:
            now[what] -= 1

    def read(_: Job) -> Photo:
        slowly("read")
        return photo

    def write(_: Job, __: Photo, ___: np.ndarray) -> list[str]:
        slowly("written")
        return []

    assert len(list(paint_all(jobs, read, lambda _, photo: photo.pixels, write))) == len(jobs)
    assert most["read"] <= at_once
    assert most["written"] <= at_once + 1
    for count in most.values():
        assert (count > LEAST_AHEAD + 1) == (at_once == AHEAD)


def test_what_is_written_is_told_of_while_the_next_is_painted() -> None:
    jobs = [Job(str(i), f"{i}.png", "s") for i in range(4)]
    photo = Photo(np.zeros((4, 5, 3), np.uint8), None)
    written, painted = [threading.Event() for _ in jobs], []

    def paint(job: Job, _: Photo) -> np.ndarray:
        if painted:
            assert written[int(painted[-1])].wait(5)
            time.sleep(0.2)  # and its thread has ended
        painted.append(job.source)
        return photo.pixels

    def write(job: Job, _: Photo, __: np.ndarray) -> list[str]:
        written[int(job.source)].set()
        return []

    for number, outcome in enumerate(paint_all(jobs, lambda _: photo, paint, write)):
        assert outcome.input == str(number)
        assert len(painted) <= min(number + 2, len(jobs))
