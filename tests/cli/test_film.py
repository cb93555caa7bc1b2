"""Films and animations as a user paints them."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from benchmarks.film import flicker_and_sharpness, scene
from data.images import read_bytes, read_photo
from inference.film import paint_film
from inference.smoothing import Smoother
from inference.stylizer import Stylizer
from tests.conftest import PHOTOS, ROOT, Run, heed_sigint


def make_film(
    path: Path, frames: int = 9, size: tuple[int, int] = (96, 64), pix_fmt: str = "yuv420p"
) -> Path:
    """A pan with a tone of 440 Hz, at 24000/1001 frames a second, with a gap after the fifth."""
    photo = read_photo(read_bytes(PHOTOS / "coffee.jpg"), "", longer_px=200).pixels
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=Fraction(24000, 1001))
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        sound = out.add_stream("aac", rate=44100)
        sound.layout = "mono"
        for i in range(frames):
            down, right = i % 40, 2 * (i % 40)  # and back, where the photo ends
            view = np.ascontiguousarray(photo[down : down + size[1], right : right + size[0]])
            frame = av.VideoFrame.from_ndarray(view, format="rgb24")
            frame.pts, frame.time_base = 1001 * (i + (i >= 5)), Fraction(1, 24000)
            out.mux(video.encode(frame))
            times = np.arange(i * 1840, (i + 1) * 1840) / 44100
            wave = np.sin(2 * np.pi * 440 * times).astype(np.float32)[None]
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 44100, i * 1840, Fraction(1, 44100)
            out.mux(sound.encode(tone))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return path


def described(path: Path) -> tuple[list[Fraction], tuple[int, int], list[bytes]]:
    """The frames' times, their size, and the sound's packets."""
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
        times = [frame.pts * frame.time_base for frame in frames]
        size = frames[0].width, frames[0].height
    with av.open(str(path)) as film:
        sound = [bytes(packet) for packet in film.demux(audio=0) if packet.size]
    return times, size, sound


@pytest.mark.parametrize("options", [(), ("--smooth", 1)])
def test_times_size_and_sound_are_kept(
    run: Run, style: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    film = make_film(tmp_path / "film.mp4")
    out = tmp_path / "out.mp4"
    done = run("stylize.py", film, "--style", style, "-o", out, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    assert described(out) == described(film)
    assert len(described(out)[0]) == 9


def test_a_film_is_painted_frame_by_frame(run: Run, style: Path, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv")
    done = run("stylize.py", film, "--style", style, "-o", tmp_path / "out.mkv", "--strength", 0.5)
    assert done.returncode == 0, done.stderr
    stylizer = Stylizer(style, "cpu")
    with av.open(str(film)) as before, av.open(str(tmp_path / "out.mkv")) as after:
        for old, new in zip(before.decode(video=0), after.decode(video=0), strict=True):
            photo, found = (frame.to_ndarray(format="rgb24") for frame in (old, new))
            expected = 0.5 * photo + 0.5 * stylizer(photo)
            assert np.abs(found - expected).mean() < 8  # what the codec loses


def test_an_odd_size_is_kept_and_a_resized_one_is_even(
    run: Run, style: Path, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "film.mp4", frames=2, size=(51, 33), pix_fmt="yuv444p")
    for name, options, size in (("kept", (), (51, 33)), ("half", ("--size-px", 39), (38, 24))):
        out = tmp_path / f"{name}.mp4"
        done = run("stylize.py", film, "--style", style, "-o", out, *options)
        assert done.returncode == 0, done.stderr
        assert described(out)[1] == size
        with av.open(str(out)) as painted:
            pix_fmt = painted.streams.video[0].pix_fmt
        assert pix_fmt == ("yuv444p" if size[0] % 2 else "yuv420p")


def test_a_film_that_lies_on_its_side_comes_out_upright(
    run: Run, style: Path, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "film.mp4", frames=3)
    content = bytearray(film.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # the picture's track header, ISO 14496-12, 8.3.2
    content[matrix : matrix + 20] = struct.pack(">5i", 0, 1 << 16, 0, -(1 << 16), 0)  # clockwise
    film.write_bytes(content)
    out = tmp_path / "out.mp4"
    done = run("stylize.py", film, "--style", style, "-o", out, "--strength", 0)
    assert done.returncode == 0, done.stderr
    with av.open(str(film)) as before, av.open(str(out)) as after:
        stored = next(before.decode(video=0))
        found = next(after.decode(video=0))
        assert stored.rotation == -90
        assert found.rotation == 0
        expected = np.rot90(stored.to_ndarray(format="rgb24"), -1)
        assert np.abs(found.to_ndarray(format="rgb24") - expected.astype(float)).mean() < 8


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_still_one_is_a_photo(run: Run, style: Path, tmp_path: Path, suffix: str) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    with Image.open(PHOTOS / "coffee.jpg") as photo:
        photo.resize((60, 40)).save(photos / f"still{suffix}")
    done = run("stylize.py", photos, "--style", style, "-o", out)
    assert done.returncode == 0, done.stderr
    with Image.open(out / f"still{suffix}") as painting:
        assert (painting.size, getattr(painting, "n_frames", 1)) == ((60, 40), 1)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_keep_durations_and_loops(
    run: Run, style: Path, tmp_path: Path, suffix: str
) -> None:
    with Image.open(PHOTOS / "chelsea.jpg") as image:
        views = [image.resize((80, 60)).crop((4 * i, 0, 4 * i + 48, 40)) for i in range(4)]
    path = tmp_path / f"a{suffix}"
    durations = [50, 100, 150, 200]
    views[0].save(path, save_all=True, append_images=views[1:], duration=durations, loop=3)
    out = tmp_path / f"b{suffix}"
    done = run("stylize.py", path, "--style", style, "-o", out)
    assert done.returncode == 0, done.stderr
    with Image.open(out) as painted:
        assert painted.n_frames == 4
        assert painted.size == (48, 40)
        assert painted.info["loop"] == 3
        found = []
        for i in range(4):
            painted.seek(i)
            painted.load()
            found.append(painted.info["duration"])
    assert found == durations


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_transparency_of_an_animation_is_kept(
    run: Run, style: Path, tmp_path: Path, suffix: str
) -> None:
    frames = [np.full((40, 48, 4), 255, np.uint8) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame[8:24, 12 * (i + 1) :] = (0, 0, 0, 0)
    path, out = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    first, *more = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=more, duration=100, disposal=2, lossless=True)
    done = run("stylize.py", path, "--style", style, "-o", out, "--size-px", 96)
    assert done.returncode == 0, done.stderr
    with Image.open(out) as painted:
        assert (painted.n_frames, painted.size) == (3, (96, 80))
        for i in range(3):
            painted.seek(i)
            alpha = np.asarray(painted.convert("RGBA"))[..., 3]
            visible = np.repeat(np.repeat(frames[i][..., 3], 2, 0), 2, 1)
            assert np.mean((alpha > 127) == (visible > 127)) > 0.99


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize(("height", "said"), [(720, None), (720, 1), (64, None), (64, 1)])
def test_a_player_shows_the_colours_of_before(
    tmp_path: Path, suffix: str, height: int, said: int | None
) -> None:
    guessed = "ITU709" if said == 1 or height == 720 else "ITU601"
    colour = np.full((height, 64, 3), (200, 60, 40), np.uint8)
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        video = film.add_stream("libx264", rate=25, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 64, height, "yuv420p"
        if said:
            context = video.codec_context
            context.colorspace = context.color_primaries = context.color_trc = said
        frame = av.VideoFrame.from_ndarray(colour, format="rgb24")
        film.mux(video.encode(frame.reformat(format="yuv420p", dst_colorspace=guessed)))
        film.mux(video.encode(None))
    paint_film(tmp_path / "film.mp4", tmp_path / f"out{suffix}", lambda frame: frame)
    with av.open(str(tmp_path / f"out{suffix}")) as film:
        frame = next(film.decode(video=0))
        assert film.streams.video[0].codec_context.color_primaries == (said or 2)
    shown_as = {1: "ITU709", 5: "ITU601"}[frame.colorspace]  # it says how it is to be shown
    shown = frame.to_ndarray(format="rgb24", src_colorspace=shown_as)
    np.testing.assert_allclose(shown[height // 2, 32], colour[0, 0].astype(int), atol=5)


def test_bad_films(run: Run, style: Path, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4")
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:300])
    (tmp_path / "text.mp4").write_text("hello")
    for arguments, message in (
        ([tmp_path / "cut.mp4"], "cut.mp4: cannot be painted"),
        ([tmp_path / "text.mp4"], "text.mp4: cannot be painted (Invalid data"),
        ([tmp_path / "none.mp4"], "none.mp4: cannot be painted (No such file"),
        ([film, "-o", tmp_path / "a.gif"], "suffix '.gif'; expected one of .mp4"),
        ([film, "-o", tmp_path / "a.png"], "suffix '.png'; expected one of .mp4"),
        ([film, "--size-px", 8], "film.mp4: 8 x 5 px; expected at least 16 px a side"),
    ):
        out = [] if "-o" in arguments else ["-o", tmp_path / "out.mp4"]
        done = run("stylize.py", *arguments, *out, "--style", style)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"film.mp4", "cut.mp4", "text.mp4"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_film_leaves_no_file(
    style: Path, tmp_path: Path, number: signal.Signals
) -> None:
    film = make_film(tmp_path / "film.mp4", frames=200, size=(256, 192))
    command = [sys.executable, "stylize.py", film, "--style", style, "-o", tmp_path / "out.mp4"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_sigint,
    ) as process:
        deadline_s = time.monotonic() + 60
        while len(os.listdir(tmp_path)) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_smoothing_takes_the_flicker_and_keeps_the_sharpness() -> None:
    photo = read_photo(read_bytes(PHOTOS / "coffee.jpg"), "").pixels
    frames = list(scene(photo, 5))
    stylizer = Stylizer("starry_night", "cpu")
    flicker, sharpness = flicker_and_sharpness([stylizer(frame) for frame in frames])
    smoother = Smoother(1.0)
    calm, sharp = flicker_and_sharpness([smoother(frame, stylizer) for frame in frames])
    assert calm < 0.3 * flicker
    assert sharp > 0.9 * sharpness
