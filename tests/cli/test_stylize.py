"""stylize.py as a user runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from configs.schema import load_config
from data.images import read_bytes, read_photo
from models.style_file import StyleInfo, save_style
from models.transformer_net import TransformerNet
from tests.conftest import PHOTOS, ROOT, Run, size_of


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small style file: random weights paint something, and that is enough here."""
    torch.manual_seed(0)
    config = load_config(None, ["model.width=4", "model.num_blocks=1"])
    path = tmp_path_factory.mktemp("style") / "mine.safetensors"
    save_style(path, TransformerNet(4, 1), StyleInfo("mine", config.to_dict(), 1))
    return path


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
        (["none*.jpg"], "none*.jpg: holds no photo"),
        (["tests/unit"], "tests/unit: holds no photo; expected files that end in .jpg"),
        (
            [f"{PHOTOS}/*.jpg", "-o", "one.jpg"],
            "-o one.jpg: one file for 6 paintings; expected a folder",
        ),
        ([f"{PHOTOS}/coffee.jpg", "-o", "a.gif"], "a.gif: suffix '.gif'; expected one of .jpg"),
        (
            [f"{PHOTOS}/coffee.jpg", "-o", str(PHOTOS)],
            "is an input; expected a place where nothing",
        ),
        ([f"{PHOTOS}/coffee.jpg", "--style", "mona"], "--style mona: no such style; expected one"),
        ([f"{PHOTOS}/coffee.jpg", "--device", "cuda:9"], "CUDA devices here"),
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


def test_list_and_help(run: Run) -> None:
    done = run("stylize.py", "--list")
    assert done.returncode == 0, done.stderr
    for path in ROOT.glob("styles/*.safetensors"):
        assert path.stem in done.stdout
    code = (
        "import sys, runpy\n"
        "sys.argv = ['stylize.py', '--help']\n"
        "try: runpy.run_path('stylize.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    assert run("-c", code).stdout.endswith("[]\n")
