"""optimize.py and compare.py as a user runs them, on the objective that train.py trains on."""

from __future__ import annotations

import csv
import itertools
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.adam import minimize_by_adam
from baselines.gatys import Painting, optimize_image
from configs.build import build_objective
from configs.schema import config_from_dict, load_config
from data.encoding import write_pixels
from data.frames import number_of_frames
from data.images import read_pixels
from data.resizing import resized
from data.tensors import read_rgb
from models.style_file import StyleInfo, load_style, save_style
from models.transformer_net import TransformerNet
from tests.conftest import PHOTOS, ROOT, STYLES, Run, size_of

STYLE_IMAGE = STYLES / "woodcut.jpg"
SMALL = ("optimize.size_px=64", "style.size_px=96", "optimize.iterations=6")


@pytest.mark.parametrize("init", ["noise", "content"])
def test_the_baseline_paints_and_never_rises(run: Run, tmp_path: Path, init: str) -> None:
    out = tmp_path / "out.png"
    done = run(
        "optimize.py", PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", out, *SMALL,
        f"optimize.init={init}", "optimize.snapshot_every=3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert size_of(out) == (64, 43)
    assert (tmp_path / "out_00003.png").is_file()
    assert (tmp_path / "out_00006.png").is_file()
    record = json.loads((tmp_path / "out.json").read_text())
    trace = record["trace"]
    assert [line["iteration"] for line in trace] == list(range(7))
    assert all(b["total_loss"] <= a["total_loss"] for a, b in itertools.pairwise(trace))
    assert trace[-1]["total_loss"] < 0.8 * trace[0]["total_loss"]

    # the trace's last line is the objective of the picture that was saved, up to its 8 bits
    config = config_from_dict(record["config"], "trace")
    device = torch.device("cpu")
    objective = build_objective(config.loss, STYLE_IMAGE, config.style.size_px, device)
    content = read_rgb(PHOTOS / "coffee.jpg", longer_px=64)
    terms = objective(read_rgb(out), objective.content_features(content)).floats()
    assert terms["total_loss"] == pytest.approx(trace[-1]["total_loss"], rel=0.02)


def test_a_stopped_optimization_keeps_its_picture_and_goes_on(run: Run, tmp_path: Path) -> None:
    settings = (*SMALL[:2], "optimize.snapshot_every=2", "optimize.iterations=40")
    images = (PHOTOS / "coffee.jpg", STYLE_IMAGE)
    whole = run("optimize.py", *images, "-o", tmp_path / "whole.png", *settings)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-u", "optimize.py", *images, "-o", tmp_path / "out.png", *settings]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while process.poll() is None and not (tmp_path / "out_00002.png").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert "and saved: " in process.stderr.read()
        assert process.wait() == 143
    stopped = json.loads((tmp_path / "out.json").read_text())["trace"]
    assert 2 < len(stopped) < 41
    assert size_of(tmp_path / "out.png") == (64, 43)
    other = run("optimize.py", *images, "-o", tmp_path / "out.png", "--resume")
    assert other.returncode == 2
    assert "out.state.pt: is of another config; expected the same" in other.stderr
    swapped = run(
        *("optimize.py", *reversed(images), "-o", tmp_path / "out.png", *settings), "--resume"
    )
    assert "is of photo: coffee.jpg; styles: ['woodcut.jpg']; weights: [1.0]" in swapped.stderr
    state = (tmp_path / "out.state.pt").read_bytes()
    fewer = (*settings[:-1], "optimize.iterations=1")  # it has done more than that
    assert (
        run("optimize.py", *images, "-o", tmp_path / "out.png", *fewer, "--resume").returncode == 0
    )
    assert json.loads((tmp_path / "out.json").read_text())["trace"] == stopped
    (tmp_path / "out.state.pt").write_bytes(state)
    done = run("optimize.py", *images, "-o", tmp_path / "out.png", *settings, "--resume")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    traces = [json.loads((tmp_path / f"{n}.json").read_text())["trace"] for n in ("out", "whole")]
    for one, two in zip(*traces, strict=True):
        assert {**one, "elapsed_s": 0} == {**two, "elapsed_s": 0}
    again = run("optimize.py", *images, "-o", tmp_path / "out.png", *settings, "--resume")
    assert again.returncode == 2
    assert "out.state.pt: no such file; expected what a stopped optimization left" in again.stderr


@pytest.mark.parametrize("name", ["original", "johnson", "keras_notes"])
def test_the_presets_paint(run: Run, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out.png"
    bundled = ("loss.network=vgg16", "loss.weights=bundled")  # VGG-19 would be downloaded
    done = run(
        "optimize.py", PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", out, *SMALL, *bundled,
        "--config", f"configs/gatys/{name}.yaml", "optimize.iterations=8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trace = json.loads((tmp_path / "out.json").read_text())["trace"]
    assert trace[-1]["total_loss"] < 0.5 * trace[0]["total_loss"]


def test_johnsons_preset_is_the_default_objective_and_the_original_is_gatys() -> None:
    johnson = load_config(Path("configs/gatys/johnson.yaml"))
    assert johnson.loss == load_config(None).loss
    loss = load_config(Path("configs/gatys/original.yaml")).loss
    assert (loss.network, loss.pooling, loss.gram) == ("vgg19", "average", "none")
    assert (loss.content_distance, loss.style_distance) == ("half_sum", "gatys")
    assert loss.style_layers == {f"conv{block}_1": 0.2 for block in range(1, 6)}
    assert loss.content_weight / loss.style_weight == 1e-3
    assert load_config(Path("configs/gatys/keras_notes.yaml")).loss.gram == "hw"


def test_adam_goes_down_and_goes_on_where_it_was_stopped() -> None:
    config = load_config(None, ["optimize.method=adam", "optimize.iterations=12"]).optimize
    objective = build_objective(load_config(None).loss, STYLE_IMAGE, 64, torch.device("cpu"))
    content = read_rgb(PHOTOS / "coffee.jpg", longer_px=48)
    whole = list(optimize_image(content, objective, config))
    assert whole[-1].losses["total_loss"] < 0.9 * whole[0].losses["total_loss"]
    assert all(float(p.picture.min()) >= 0 and float(p.picture.max()) <= 1 for p in whole)
    state = whole[5].state_dict()
    resumed = Painting.from_state_dict(state, torch.device("cpu"))
    rest = list(optimize_image(content, objective, config, resumed))
    assert [p.iteration for p in rest] == list(range(5, 13))
    assert torch.equal(rest[-1].picture, whole[-1].picture)


def test_bf16_is_the_same_objective() -> None:
    objective = build_objective(load_config(None).loss, STYLE_IMAGE, 96, torch.device("cpu"))
    content = read_rgb(PHOTOS / "coffee.jpg", longer_px=64)
    targets = objective.content_features(content)
    runs = {}
    for precision in ("fp32", "bf16"):
        overrides = ["optimize.iterations=40", f"optimize.precision={precision}"]
        runs[precision] = list(
            optimize_image(content, objective, load_config(None, overrides).optimize)
        )
        for painting in runs[precision][::10]:
            with torch.no_grad():
                exact = objective(painting.picture, targets).floats()
            assert painting.losses == pytest.approx(exact, rel=0.01)
    first, second = (runs[precision][-1] for precision in ("fp32", "bf16"))
    assert first.losses != second.losses
    assert second.losses["total_loss"] == pytest.approx(first.losses["total_loss"], rel=0.1)
    assert second.picture.dtype == torch.float32


def test_one_adam_step_by_hand() -> None:
    def plane(x: Tensor) -> tuple[float, Tensor]:
        return float(2 * x.sum()), torch.full_like(x, 2)

    start = torch.tensor([0.5, 0.01])
    steps = minimize_by_adam(plane, start, low=0, high=1, learning_rate=0.1)
    first, second = itertools.islice(steps, 2)
    # m / sqrt(v) of the first step is 1, whatever the gradient; the second value meets its bound
    torch.testing.assert_close(second.x, torch.tensor([0.4, 0.0]))
    assert torch.equal(first.x, start)
    assert second.value == pytest.approx(0.8)


def test_texture_and_reconstruction_have_one_term_alone(run: Run, tmp_path: Path) -> None:
    texture = tmp_path / "texture.png"
    done = run(
        "optimize.py", "none", STYLE_IMAGE, "-o", texture, *SMALL, "optimize.texture_height_px=40"
    )
    assert done.returncode == 0, done.stderr
    assert size_of(texture) == (64, 40)
    trace = json.loads(texture.with_suffix(".json").read_text())["trace"]
    assert {line["content_loss"] for line in trace} == {0}
    assert trace[-1]["style_loss"] < 0.5 * trace[0]["style_loss"]
    photo = tmp_path / "photo.png"
    done = run("optimize.py", PHOTOS / "coffee.jpg", "none", "-o", photo, *SMALL, "--plot")
    assert done.returncode == 0, done.stderr
    trace = json.loads(photo.with_suffix(".json").read_text())["trace"]
    assert {line["style_loss"] for line in trace} == {0}
    assert trace[-1]["content_loss"] < 0.5 * trace[0]["content_loss"]
    assert size_of(tmp_path / "photo_trace.png")[0] > 300


def test_masks_keep_styles_apart_and_the_photo_elsewhere(run: Run, tmp_path: Path) -> None:
    photo = read_pixels(PHOTOS / "coffee.jpg")
    height, width = photo.shape[:2]
    for name, columns in (("left", slice(0, width // 3)), ("right", slice(width // 3 * 2, width))):
        mask = np.zeros((height, width, 3), np.uint8)
        mask[:, columns] = 255
        write_pixels(tmp_path / f"{name}.png", mask)
    out = tmp_path / "out.png"
    done = run(
        "optimize.py", PHOTOS / "coffee.jpg", STYLE_IMAGE, STYLES / "night_wind.jpg", "-o", out,
        *SMALL, "--style-mask", tmp_path / "left.png", "--style-mask", tmp_path / "right.png",
        "optimize.iterations=10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    away = np.abs(read_pixels(out).astype(int) - resized(photo, (64, 43))).mean((0, 2))
    assert away[26:38].mean() < 0.4 * min(away[:18].mean(), away[46:].mean())
    (tmp_path / "black.png").write_bytes((tmp_path / "left.png").read_bytes())
    write_pixels(tmp_path / "black.png", np.zeros_like(photo))
    done = run(
        "optimize.py", PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", out, *SMALL,
        "--style-mask", tmp_path / "black.png",
    )  # fmt: skip
    assert done.returncode == 2
    assert "black.png: black all over; expected white where the style goes" in done.stderr


def test_coarse_to_fine_with_film_board_and_the_photos_colours(run: Run, tmp_path: Path) -> None:
    out, film = tmp_path / "out.png", tmp_path / "out.gif"
    done = run(
        "optimize.py", PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", out, *SMALL, "--preserve-color",
        "optimize.num_sizes=2", "optimize.snapshot_every=2", "--film", film,
        "--tensorboard", tmp_path / "board",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trace = json.loads((tmp_path / "out.json").read_text())["trace"]
    assert [line["iteration"] for line in trace] == list(range(13))
    assert [line["size_px"] for line in trace] == [32] * 7 + [64] * 6
    seconds = [line["elapsed_s"] for line in trace]
    assert seconds == sorted(seconds)
    assert trace[-1]["total_loss"] < trace[7]["total_loss"] < trace[0]["total_loss"]
    assert size_of(tmp_path / "out_00006.png") == (32, 22)
    assert size_of(out) == size_of(film) == (64, 43)
    assert number_of_frames(film) == 6  # five snapshots and the picture
    assert list((tmp_path / "board").glob("events*"))
    chroma = np.array([[-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])  # Cb, Cr of BT.601
    painted, photo = (
        pixels @ chroma.T
        for pixels in (read_pixels(out), resized(read_pixels(PHOTOS / "coffee.jpg"), (64, 43)))
    )
    assert np.abs(painted - photo).mean() < 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", STYLE_IMAGE], "none.jpg: No such file or directory; expected an image"),
        ([PHOTOS / "coffee.jpg", STYLE_IMAGE, "-o", "a.psd"], "suffix '.psd'; expected one of"),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "optimize.init=photo"],
            "optimize.init: 'photo'; expected one of noise, content, or an image file",
        ),
        ([PHOTOS / "coffee.jpg", STYLE_IMAGE, "optimize.init=x.png"], "x.png: No such file"),
        ([PHOTOS / "coffee.jpg", STYLE_IMAGE, "optimize.method=sgd"], "one of lbfgs, adam"),
        ([PHOTOS / "coffee.jpg", STYLE_IMAGE, "optimize.size_px=9"], "too small for conv4_1"),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "loss.style_layers={relu6_1: 1}"],
            "loss.style_layers: 'relu6_1' is no layer of vgg16; did you mean relu5_1?",
        ),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "style.size_px=900000"],
            "GiB that are free. Set it to ",
        ),
        (["none", STYLE_IMAGE, "optimize.size_px=900000"], "optimize.size_px: 900000 px take"),
        (["none", STYLE_IMAGE, "optimize.size_px=0"], "optimize.size_px: 0 without a photo"),
        (["none", "none"], "none none: expected a photo, style images, or both"),
        ([PHOTOS / "coffee.jpg"], "1 images; expected CONTENT and STYLE, either may be none"),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "--style-weight", "1", "--style-weight", "2"],
            "--style-weight: 2 for 1 style images; expected one each",
        ),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "--style-weight", "-1"],
            "--style-weight -1: expected numbers above 0",
        ),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "--style-mask", PHOTOS / "chelsea.jpg"],
            "expected the photo's",
        ),
        (
            [PHOTOS / "coffee.jpg", STYLE_IMAGE, "optimize.num_sizes=9"],
            "optimize.num_sizes: 9 begin at 2 x 1 px; expected at least 16 px",
        ),
        ([PHOTOS / "coffee.jpg", STYLE_IMAGE, "--film", "a.txt"], "a.txt: suffix '.txt'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run: Run, arguments: list[object], message: str) -> None:
    done = run("optimize.py", *arguments)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_the_comparison_reports_both_on_the_same_objective(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = load_config(None, ["model.width=4", "model.num_blocks=1", "style.size_px=96"])
    style = tmp_path / "mine.safetensors"
    save_style(style, TransformerNet(4, 1), StyleInfo("mine", config.to_dict(), 1), "float32")
    done = run(
        "compare.py", "--style", style, "--style-image", STYLE_IMAGE, "--photos", PHOTOS,
        "--out", tmp_path / "out", "--num-photos", 2, "--sizes-px", 48, 64, "--steps", 5,
        "--init", "noise", "content",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out/iterations.csv").open() as file:
        rows = list(csv.DictReader(file))
    starts = [row for row in rows if row["iteration"] == "0"]
    assert [(r["photo"], int(r["size_px"]), r["method"]) for r in starts] == [
        (photo, size_px, init)
        for size_px in (48, 64)
        for photo in ("astronaut.jpg", "camera.jpg")
        for init in ("noise", "content")
    ]
    first, *course = rows[:7]  # the network, iterations 0 to 5
    assert [row["iteration"] for row in course] == list("012345")
    network, _ = load_style(style)
    device = torch.device("cpu")
    objective = build_objective(config.loss, STYLE_IMAGE, 96, device)
    content = read_rgb(PHOTOS / "astronaut.jpg", shorter_px=48, square=True)
    with torch.no_grad():
        terms = objective(network(content), objective.content_features(content)).floats()
    assert {term: float(first[term]) for term in terms} == pytest.approx(terms, rel=1e-4)
    assert float(course[0]["seconds"]) == 0
    passed = [r["iteration"] for r in course if float(r["total_loss"]) <= terms["total_loss"]]
    at = passed[0] if passed else "–"
    text = (tmp_path / "out/report.md").read_text()
    assert "mine, 48 × 48 px, 2 photos, baseline from the photo" in text
    (line,) = (line for line in text.splitlines() if "| 48 | noise | astronaut.jpg |" in line)
    assert line.split(" | ")[6] == at
    for name in ("objective.png", "pictures.png"):
        assert size_of(tmp_path / "out" / name)[0] > 300


def test_baselines_are_kept_for_any_network(run: Run, style: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (
        "compare.py", "--style-image", STYLE_IMAGE, "--photos", PHOTOS, "--sizes-px", 48,
        "--num-photos", 2, "--style",
    )  # fmt: skip
    assert run(*command, style, "--steps", 8, "--out", out).returncode == 0
    kept = {path: path.stat().st_mtime_ns for path in (out / "baselines").iterdir()}
    runs = sorted(path for path in kept if path.suffix == ".json")
    assert [path.name[:12] for path in runs] == ["astronaut_48", "camera_48_no"]
    record = json.loads(runs[0].read_text())
    assert len(record["losses"]) == len(record["seconds"]) == 9

    # Another network is held against the same runs.
    other = tmp_path / "other.safetensors"
    network, info = load_style(style)
    save_style(other, network, replace(info, name="other"), "float32")
    done = run(*command, other, "--steps", 8, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "**other, 48 × 48 px, 2 photos" in (out / "report.md").read_text()
    assert {path: path.stat().st_mtime_ns for path in runs} == {path: kept[path] for path in runs}
    # Other settings are other baselines.
    assert run(*command, style, "--steps", 4, "--out", out).returncode == 0
    assert len(list((out / "baselines").glob("*.json"))) == 4
    in_bf16 = run(*command, style, "--steps", 4, "--precision", "bf16", "--out", out)
    assert in_bf16.returncode == 0, in_bf16.stderr
    assert len(list((out / "baselines").glob("*.json"))) == 6
    assert ", bf16, torch" in json.loads((out / "report.json").read_text())["machine"]


def test_pictures_made_elsewhere_are_scored(run: Run, style: Path, tmp_path: Path) -> None:
    command = (
        "compare.py", "--style", style, "--style-image", STYLE_IMAGE, "--photos", PHOTOS,
        "--sizes-px", 48, "--num-photos", 2,
    )  # fmt: skip
    pictures = tmp_path / "pictures"
    painted = run("stylize.py", PHOTOS, "--style", style, "-o", pictures, "--strength", 0)
    assert painted.returncode == 0, painted.stderr
    scored = run(*command, "--out", tmp_path / "scores", "--pictures", pictures)
    assert scored.returncode == 0, scored.stderr
    assert "48 px, 2 of 2 photos: objective" in scored.stdout
    record = json.loads((tmp_path / "scores/pictures.json").read_text())
    network, info = load_style(style)
    config = config_from_dict(info.config, info.name)
    objective = build_objective(config.loss, STYLE_IMAGE, config.style.size_px, torch.device("cpu"))
    content = read_rgb(PHOTOS / "astronaut.jpg", shorter_px=48, square=True)
    with torch.no_grad():
        terms = objective(network(content), objective.content_features(content)).floats()
    assert record[0]["network"] == pytest.approx(terms, rel=1e-4)
    # the photo itself, through a JPEG: hardly any content loss
    assert record[0]["picture"]["content_loss"] < 0.05 * terms["content_loss"]
    nothing = run(*command, "--out", tmp_path / "scores", "--pictures", STYLES)
    assert nothing.returncode == 2
    assert "none is named as one of 2 photos (astronaut, camera" in nothing.stderr


def test_the_comparison_needs_a_style_and_photos(run: Run, style: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "a.jpg").write_bytes((PHOTOS / "coffee.jpg").read_bytes())
    (photos / "b.jpg").write_bytes(b"no photo")
    command = ("compare.py", "--style", style, "--style-image", STYLE_IMAGE, "--photos", photos)
    done = run(*command, "--steps", 2, "--sizes-px", 48, "--out", out)
    assert done.returncode == 2
    assert "b.jpg: cannot be read" in done.stderr
    assert not out.exists()  # before any work
    done = run(*command, "--sizes-px", 4, "--out", out)
    assert done.returncode == 2
    assert done.stderr == "error: --sizes-px 4; expected at least 16. See compare.py --help.\n"
    done = run(
        "compare.py", "--style", "mona", "--style-image", STYLE_IMAGE, "--photos", PHOTOS,
        "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--style mona: no such style" in done.stderr
