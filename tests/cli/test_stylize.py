"""stylize.py as a user runs it."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stylize
from data.encoding import write_pixels
from data.images import read_bytes, read_photo
from inference.batch import Outcome
from models.card import card
from models.style_file import read_info
from tests.conftest import PHOTOS, ROOT, Run, heed_sigint, size_of


def test_a_folder_with_a_bad_file_and_odd_ones(run: Run, style: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos/deep"
    photos.mkdir(parents=True)
    with Image.open(PHOTOS / "chelsea.jpg") as chelsea:
        photo = chelsea.resize((61, 45))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(photos / "turned.jpg", exif=exif)
    photo.convert("L").save(photos / "grey.png")
    photo.convert("CMYK").save(photos / "cmyk.tif")
    rgba = photo.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(photo.size))
    rgba.save(photos / "alpha.webp", lossless=True)
    photo.crop((0, 0, 15, 15)).save(photos / "small.bmp")
    (photos / "cut.jpg").write_bytes((photos / "turned.jpg").read_bytes()[:300])

    done = run("stylize.py", tmp_path / "photos", "--style", style, "-o", tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert "painted 4 of 6 photos; 2 failed" in done.stderr
    assert "cut.jpg: cannot be read" in done.stderr
    assert "small.bmp: 15 x 15 px; expected at least 16 px a side" in done.stderr
    out = tmp_path / "out/deep"
    sizes = {path.name: size_of(path) for path in out.iterdir()}
    assert sizes == {
        "turned.jpg": (45, 61),
        "grey.png": (61, 45),
        "cmyk.tif": (61, 45),
        "alpha.webp": (61, 45),
    }
    before, after = (
        read_photo(read_bytes(folder / "alpha.webp"), "").alpha for folder in (photos, out)
    )
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after, before, atol=5)
    with Image.open(out / "turned.jpg") as turned:
        assert 0x0112 not in turned.getexif()


def test_names_that_are_no_text(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    name = os.fsdecode(b"odd\xff.jpg")
    (photos / name).write_bytes((PHOTOS / "coffee.jpg").read_bytes())
    command = [sys.executable, "stylize.py", photos, "--style", style, "-o", out, "--size-px", "64"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == os.fsencode(f"{out / name}\n")
    assert [path.name for path in out.iterdir()] == [name]


def test_phones_formats(
    run: Run, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    coffee = read_photo(read_bytes(PHOTOS / "coffee.jpg"), "", longer_px=90).pixels
    for suffix in (".heic", ".avif"):
        write_pixels(photos / f"a{suffix}", coffee)
    done = run("stylize.py", photos, "--style", style, "-o", out)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["a.avif", "a.heic"]
    for path in out.iterdir():
        assert read_photo(read_bytes(path), "").pixels.shape == coffee.shape
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "no"))
    (tmp_path / "no").mkdir()
    (tmp_path / "no/pillow_heif.py").write_text("raise ImportError\n")
    done = run("stylize.py", photos / "a.heic", "--style", style, "-o", out / "b.jpg")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {photos / 'a.heic'}: is HEIC, and pillow-heif is not installed; expected it, or "
        "another format. Run: pip install '.[heic]'\n"
    )


def test_one_photo_to_one_file_and_the_default_name(run: Run, style: Path, tmp_path: Path) -> None:
    done = run(
        "stylize.py",
        PHOTOS / "coffee.jpg",
        "--style",
        style,
        "--size-px",
        90,
        "-o",
        tmp_path / "a.png",
    )
    assert done.returncode == 0, done.stderr
    assert size_of(tmp_path / "a.png") == (90, 60)
    code = (
        "import os, runpy, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"runpy.run_path({str(ROOT / 'stylize.py')!r}, run_name='__main__')"
    )
    done = run("-c", code, PHOTOS / "coffee.jpg", "--style", style, "--size-px", 40)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "coffee_mine.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg"], "none.jpg: No such file or directory; expected an image file"),
        (["none*.jpg"], "none*.jpg: holds no photo or film; expected files"),
        (["tests/unit"], "tests/unit: holds no photo or film; expected files that end in"),
        (
            [f"{PHOTOS}/*.jpg", "-o", "one.jpg"],
            "-o one.jpg: one file for 6 paintings; expected a folder",
        ),
        (
            [f"{PHOTOS}/coffee.jpg", "-o", "a.psd"],
            "a.psd: suffix '.psd'; expected a folder, or one of .jpg",
        ),
        (
            [f"{PHOTOS}/coffee.jpg", "-o", str(PHOTOS)],
            "is an input; expected a place where nothing",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--style", "mona"], "--style mona: no such style; expected one"),
        ([f"{PHOTOS}/coffee.jpg", "--device", "cuda:9"], "CUDA devices here"),
        ([f"{PHOTOS}/coffee.jpg", "--max-pixels", "9"], "600 x 400 px; expected at most 9 pixels"),
        ([f"{PHOTOS}/coffee.jpg", "--shard", "3/2"], "--shard 3/2: no share; expected I/N"),
        ([f"{PHOTOS}/coffee.jpg", "--precision", "int4"], "--precision int4: not on"),
        (
            [f"{PHOTOS}/coffee.jpg", "--margin-px", "5"],
            "--margin-px 5: expected a multiple of 4 from 0 to 32",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--engine", "tvm"], "--engine tvm: expected one of auto"),
        (
            [f"{PHOTOS}/coffee.jpg", "--mask", f"{PHOTOS}/chelsea.jpg"],
            "expected the photo's 600 x 4",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--style", "a:0,b"], "is no share; expected a name, or a blend"),
        ([f"{PHOTOS}/coffee.jpg", "--scale", "0.001"], "1 x 1 px; expected at least 16 px a side"),
        ([f"{PHOTOS}/coffee.jpg", "-o", "README.md/a.jpg"], "expected a file in a folder with"),
        (
            [f"{PHOTOS}/coffee.jpg", "--report", "a.txt"],
            "a.txt: suffix '.txt'; expected one of .json",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--style", "README.md"], "README.md: cannot be read ("),
        (["README.md"], "README.md: cannot be read (not an image we know); expected a JPEG"),
        (
            [f"{PHOTOS}/coffee.jpg", "--scale", "1000"],
            "600000 x 400000 px to paint, by --size-px, --scale or --stroke-scale; expected at",
        ),
        (
            [f"{PHOTOS}/coffee.jpg", "--size-px", "1000000"],
            "1000000 x 666667 px to paint, by --s",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--stroke-scale", "0.001"], "600000 x 400000 px to paint, by --"),
        (
            [f"{PHOTOS}/coffee.jpg", "--stroke-scale", "1000"],
            "--stroke-scale 1000: leaves 1 x 1",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--scale", "inf"], "--scale inf; expected more than 0, at most"),
        (
            [f"{PHOTOS}/coffee.jpg", "--size-px", "17000", "-o", "a.webp"],
            "a.webp: 17000 x 11333 px; expected at most 16383 px a side in WebP. Choose another",
        ),
        (
            ["--export", "onnx", "/dev/null/a.onnx"],
            "a.onnx: /dev/null cannot be written to; expec",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--strength", "1.5"], "--strength 1.5; expected 0 to 1"),
        ([f"{PHOTOS}/coffee.jpg", "--smooth", "-1"], "--smooth -1.0; expected 0 to 1"),
        ([f"{PHOTOS}/coffee.jpg", "--stroke-scale", "0"], "0; expected more than 0, or auto"),
        ([f"{PHOTOS}/coffee.jpg", "--stroke-scale", "big"], "big; expected more than 0, or auto"),
        (
            [f"{PHOTOS}/coffee.jpg", "--background", "wave"],
            "--background wave; expected --mask FILE with it",
        ),
        ([f"{PHOTOS}/coffee.jpg", "-o", "-", "--json"], "--json; expected -o FILE or DIR with it"),
        ([f"{PHOTOS}/coffee.jpg", "--scale", "big"], "--scale: invalid float value: 'big'. See "),
        ([], "error: expected INPUT... and --style NAME; --list shows the styles. See stylize.py"),
        (["--stlye", "wave"], "error: unrecognized arguments: --stlye. See stylize.py --help."),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    run: Run, style: Path, arguments: list[str], message: str
) -> None:
    if "--style" not in arguments:
        arguments = [*arguments, "--style", str(style)]
    done = run("stylize.py", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_photos_that_would_overwrite_each_other_are_refused(
    run: Run, style: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / folder / "x.png")
    both = (tmp_path / "a/x.png", tmp_path / "b/x.png")
    done = run("stylize.py", *both, "--style", style, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "would both become" in done.stderr


def test_a_full_disk_is_one_line_and_leaves_no_file(style: Path, tmp_path: Path) -> None:
    command = [sys.executable, "stylize.py", f"{PHOTOS}/coffee.jpg", "--style", str(style)]
    command += ["-o", str(tmp_path / "a.png")]
    limit = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    done = subprocess.run(
        [sys.executable, "-c", limit + "os.execv(sys.argv[1], sys.argv[1:])", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "a.png: cannot be written (File too large); expected a folder with room" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_exists_is_kept_unless_told(run: Run, style: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    out.write_text("mine")
    command = ("stylize.py", PHOTOS / "coffee.jpg", "--style", style, "--size-px", 40, "-o", out)
    done = run(*command)
    assert done.returncode == 2
    assert "a.png: exists; expected a new file. Add --overwrite" in done.stderr
    assert out.read_text() == "mine"
    assert run(*command, "--overwrite").returncode == 0
    assert size_of(out) == (40, 27)


def test_a_folder_goes_on_where_it_stopped_and_in_shares(
    run: Run, style: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    common = ("stylize.py", PHOTOS, "--style", style, "--size-px", 40, "-o", out, "--json")
    first = run(*common, "--shard", "1/2", "--report", tmp_path / "report.json")
    assert first.returncode == 0, first.stderr
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    assert [Path(line["output"]).name for line in lines] == [
        "astronaut.jpg",
        "chelsea.jpg",
        "hubble_deep_field.jpg",
    ]
    assert {(line["status"], max(line["width"], line["height"])) for line in lines} == {
        ("painted", 40)
    }
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["painted"], report["failed"], len(report["photos"])) == (3, 0, 3)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    rest = run(*common)
    assert "painted 3 of 6 photos, 3 were there already; 0 failed" in rest.stderr
    assert len(rest.stdout.splitlines()) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(out.iterdir())) == 6


def test_looks_from_the_command_line(run: Run, style: Path, tmp_path: Path) -> None:
    """Strength 0 is the photo, whatever else is asked; what comes out is of what came in."""
    content = (PHOTOS / "chelsea.jpg").read_bytes()
    as_png = io.BytesIO()
    Image.open(io.BytesIO(content)).save(as_png, "PNG")
    command = [sys.executable, "stylize.py", "-", "--style", str(style), "-o", "-"]
    options = ["--strength", "0", "--preserve-color", "--stroke-scale", "2", "--scale", "0.5"]
    for given, away in ((content, 2), (as_png.getvalue(), 0)):
        done = subprocess.run([*command, *options], cwd=ROOT, input=given, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout[:3] == given[:3]
        painted = read_photo(done.stdout, "").pixels.astype(int)
        assert np.abs(painted - read_photo(given, "", scale=0.5).pixels).mean() <= away


def test_strokes_as_large_as_the_photo_asks_for(run: Run, style: Path, tmp_path: Path) -> None:
    Image.open(PHOTOS / "chelsea.jpg").resize((1500, 1500)).save(tmp_path / "large.png")
    painted = []
    for scale in ("auto", "1.5", "1"):
        painted.append(tmp_path / f"{scale}.png")
        options = ["--style", style, "--stroke-scale", scale, "-o", painted[-1]]
        done = run("stylize.py", tmp_path / "large.png", *options)
        assert done.returncode == 0, done.stderr
    auto, larger, usual = (path.read_bytes() for path in painted)
    assert auto == larger != usual


def test_a_sheet_and_a_blend_of_all_styles(run: Run, tmp_path: Path) -> None:
    photo = PHOTOS / "coffee.jpg"
    done = run("stylize.py", photo, "--style", "all", "--sheet", "--size-px", 64, "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    assert 3 * 64 < size_of(tmp_path / "coffee.jpg")[0] < 5 * 72  # nothing is enlarged
    small = ("--style", "night_wind", "--sheet", "--cell-px", 40, "-o", tmp_path / "small.png")
    assert run("stylize.py", photo, *small).returncode == 0
    assert 2 * 40 < size_of(tmp_path / "small.png")[0] < 3 * 40
    done = run("stylize.py", photo, "--style", "all", "--size-px", 64, "-o", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    names = sorted(path.parent.name for path in (tmp_path / "all").rglob("*.jpg"))
    shipped = (path.stem for path in ROOT.glob("styles/*.safetensors"))
    assert names == sorted(name for name in shipped if not name.endswith("-lite"))


def test_tiles_and_engines_paint_the_same(run: Run, style: Path, tmp_path: Path) -> None:
    paintings = []
    for i, options in enumerate(
        (["--engine", "openvino"], ["--engine", "torch"], ["--tile-px", 64])
    ):
        out = tmp_path / f"{i}.png"
        options += ["--precision", "fp32", "-o", out]
        done = run("stylize.py", PHOTOS / "chelsea.jpg", "--style", style, *options)
        assert done.returncode == 0, done.stderr
        paintings.append(read_photo(read_bytes(out), "").pixels.astype(int))
    assert np.abs(paintings[0] - paintings[1]).max() <= 1
    assert np.abs(paintings[0] - paintings[2]).max() <= 1


@pytest.mark.slow
def test_large_photos_take_little_memory(tmp_path: Path) -> None:
    """16 megapixels in tiles; whole, they would take five times as much."""
    photo = Image.open(PHOTOS / "coffee.jpg").resize((4800, 3336))
    photo.save(tmp_path / "large.jpg")
    command = [sys.executable, "stylize.py", str(tmp_path / "large.jpg"), "--style", "starry_night"]
    command += ["--tile-px", "512", "-o", str(tmp_path / "out.jpg")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    assert peak_mib < 1300
    assert size_of(tmp_path / "out.jpg") == (4800, 3336)


def test_list_and_help(run: Run) -> None:
    done = run("stylize.py", "--list")
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert names == sorted(path.stem for path in ROOT.glob("styles/*.safetensors"))
    done = run("stylize.py", "--style", "wave", "--card")
    assert done.stdout == card(read_info(ROOT / "styles/wave.safetensors"))
    done = run("stylize.py", "--card")
    assert done.returncode == 2
    assert "--card; expected --style NAME with it; --list shows the styles" in done.stderr
    code = (
        "import sys, runpy\n"
        "sys.argv = ['stylize.py', '--help']\n"
        "try: runpy.run_path('stylize.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    assert run("-c", code).stdout.endswith("[]\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "stylize.py", "--list"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + 13, b"")


def test_one_bad_input_stops_nothing(run: Run, style: Path, tmp_path: Path) -> None:
    good, text, pipe = tmp_path / "good.jpg", tmp_path / "notes.txt", tmp_path / "pipe.jpg"
    with Image.open(PHOTOS / "coffee.jpg") as photo:
        photo.resize((60, 40)).save(good)
    text.write_text("hello")
    os.mkfifo(pipe)
    inputs = (text, tmp_path / "none.jpg", pipe, good, tmp_path / "none.mp4")
    report = tmp_path / "report.json"
    done = run("stylize.py", *inputs, "--style", style, "-o", tmp_path / "out", "--report", report)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "painted 1 of 5 photos; 4 failed" in done.stderr
    assert f"error: {text}: cannot be read (not an image we know)" in done.stderr
    assert f"error: {pipe}: is a pipe, a socket or a device; expected an image" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.jpg"]
    assert json.loads(report.read_text())["failed"] == 4


def test_an_animation_is_painted_whole_wherever_it_comes_from(style: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 30), (50 * i, 90, 120)) for i in range(4)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[50, 60, 70, 80])
    command = [sys.executable, "stylize.py", "--style", str(style)]
    piped = subprocess.run([*command, "-"], cwd=ROOT, input=path.read_bytes(), capture_output=True)
    assert piped.returncode == 0, piped.stderr
    out, still = tmp_path / "out.png", tmp_path / "still.jpg"
    options = [str(path), "--json", "--strength", "0", "-o"]
    done = subprocess.run([*command, *options, out], cwd=ROOT, capture_output=True, text=True)
    said = json.loads(done.stdout)
    assert (said["width"], said["height"], said["status"]) == (40, 30, "painted")
    for content in (piped.stdout, out.read_bytes()):
        with Image.open(io.BytesIO(content)) as animation:
            durations = []
            for i in range(4):
                animation.seek(i)
                durations.append(animation.info["duration"])
        assert durations == [50, 60, 70, 80]
    done = subprocess.run([*command, *options, still], cwd=ROOT, capture_output=True, text=True)
    assert f"notice: {path}: 3 of its 4 frames are not kept" in done.stderr
    assert json.loads(done.stdout)["notices"] == ["3 of its 4 frames are not kept"]


def test_a_mask_fits_the_photo_before_and_after_resizing(
    run: Run, style: Path, tmp_path: Path
) -> None:
    """The left half is white, and alpha is opaque: only there it is painted."""
    photo = Image.open(PHOTOS / "coffee.jpg").resize((96, 64))
    photo.save(tmp_path / "photo.png")
    for name, size in (("before", (96, 64)), ("after", (48, 32))):
        mask = Image.new("RGBA", size, (0, 0, 0, 255))
        mask.paste((255, 255, 255, 255), (0, 0, size[0] // 2, size[1]))
        mask.save(tmp_path / f"{name}.png")
        out = tmp_path / f"{name}_out.png"
        options = ("--mask", tmp_path / f"{name}.png", "--feather-px", 0, "--size-px", 48)
        done = run("stylize.py", tmp_path / "photo.png", "--style", style, "-o", out, *options)
        assert done.returncode == 0, done.stderr
        painted = np.asarray(Image.open(out)).astype(int)
        expected = read_photo(read_bytes(tmp_path / "photo.png"), "", longer_px=48).pixels
        away = np.abs(painted - expected).mean((0, 2))
        assert away[:22].min() > 5
        assert away[26:].max() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_one_signal_ends_it_even_where_a_read_never_ends(
    style: Path, tmp_path: Path, number: signal.Signals
) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "stylize.py", f"/dev/fd/{reading}", "--style", style]
    with subprocess.Popen(
        [*command, PHOTOS / "coffee.jpg", "-o", tmp_path / "out"],
        cwd=ROOT,
        pass_fds=(reading,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=heed_sigint,
    ) as process:
        time.sleep(3)
        process.send_signal(number)
        assert process.wait(10) == 128 + number, process.stderr.read()
    os.close(reading)
    os.close(writing)
    assert not list(tmp_path.rglob(".*"))


def test_what_is_to_be_said_of_many_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Outcome(f"{i}.jpg", "", "s", "painted", notices=("lost", f"only {i}")[: 2 if i else 1])
        for i in range(3)
    ]
    stylize.tell_notices(outcomes)
    assert capsys.readouterr().err.splitlines() == [
        "notice: 0.jpg and 2 more: lost",
        "notice: 1.jpg: only 1",
        "notice: 2.jpg: only 2",
    ]


def test_where_every_output_is_refused_each_is_listed(
    run: Run, style: Path, tmp_path: Path
) -> None:
    """With the style's name behind it each name is longer than a system takes."""
    names = [letter * 250 + ".jpg" for letter in "ab"]
    for name in names:
        (tmp_path / name).write_bytes((PHOTOS / "coffee.jpg").read_bytes())
    report = tmp_path / "report.json"
    photos = [tmp_path / name for name in names]
    done = run("stylize.py", *photos, "--style", style, "--report", report)
    assert done.returncode == 2
    assert [line[:8] for line in done.stderr.splitlines()[:2]] == ["error: a", "error: b"]
    assert json.loads(report.read_text())["failed"] == 2
