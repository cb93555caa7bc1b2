"""The engines paint what the network paints, whole and in tiles."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from configs.schema import load_config
from data.images import read_bytes, read_photo
from errors import UserError
from inference import memory, openvino_engine, tiling, torch_engine
from inference import stylizer as stylizer_module
from inference.openvino_engine import ANY_SIZE, OpenVinoEngine
from inference.stylizer import Stylizer
from inference.tiling import FeatureMap, Region, Statistics, TiledPainter
from inference.torch_engine import TorchEngine
from models.device import has_fast_bf16
from models.layout import NORMS, OUTPUTS, PADDINGS, STEM_STRIDES, UPSAMPLES
from models.style_file import StyleInfo, find_style, load_style, save_style
from models.transformer_net import TransformerNet
from tests.conftest import PHOTOS, Run


def photo(width: int, height: int) -> np.ndarray:
    path = PHOTOS / "chelsea.jpg"
    return read_photo(read_bytes(path), "").pixels[100 : 100 + height, 150 : 150 + width]


def style_file(folder: Path, **model: object) -> Path:
    torch.manual_seed(0)
    model = {"width": 8, "num_blocks": 2, **model}
    network = TransformerNet(**model)
    network(torch.rand(2, 3, 32, 32))  # moves the running statistics
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("bias") or ".1.weight" in name:
                value += 0.3 * torch.randn_like(value)
        network.layers[-1].conv.bias.fill_(0.4)  # else a linear output may be black
    overrides = [f"model.{key}={value}" for key, value in model.items()]
    path = folder / "small.safetensors"
    save_style(path, network, StyleInfo("small", load_config(None, overrides).to_dict()), "float32")
    return path


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.square(a.astype(float) - b).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("stem_stride", STEM_STRIDES)
def test_openvino_paints_what_torch_paints(
    tmp_path: Path, norm: str, upsample: str, padding: str, output: str, stem_stride: int
) -> None:
    path = style_file(
        tmp_path,
        norm=norm,
        upsample=upsample,
        padding=padding,
        output=output,
        stem_stride=stem_stride,
    )
    for width, height, margin_px in ((64, 48, 0), (44, 20, 4), (37, 50, 24), (16, 17, 32)):
        painted = OpenVinoEngine(path, "fp32", margin_px).paint(photo(width, height))
        assert painted.shape == (height, width, 3)
        assert painted.std() > 5
        expected = TorchEngine(path, "cpu", "fp32", margin_px).paint(photo(width, height))
        np.testing.assert_allclose(painted, expected.astype(int), atol=1)


@pytest.mark.parametrize("margin_px", [0, 24])
@pytest.mark.parametrize("precision", ["fp32", "auto", "int8"])
def test_photos_of_many_sizes_share_a_graph(
    precision: str, margin_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = find_style("wave-lite")
    open_engine = (
        int8_engine if precision == "int8" else partial(OpenVinoEngine, precision=precision)
    )
    engine = open_engine(path, margin_px=margin_px)
    built: list[tuple[int, int]] = []
    build = engine.graph.build

    def counted(height: int, width: int) -> Any:
        built.append((height, width))
        return build(height, width)

    monkeypatch.setattr(engine.graph, "build", counted)
    monkeypatch.setattr(openvino_engine, "OFTEN", 3)
    often = ((64, 48), (48, 64), (80, 61), (37, 50), (64, 48), (16, 17), (80, 61), (80, 61))
    for width, height in (*often, (37, 50), (37, 50), (80, 61)):
        pixels = photo(width, height)
        alone = open_engine(path, margin_px=margin_px).paint(pixels)
        assert psnr(engine.paint(pixels), alone) > (60 if precision == "fp32" else 40)
    more = 2 * margin_px
    assert built == [(48 + more, 64 + more), ANY_SIZE, (64 + more, 80 + more)]


def test_a_trained_style_is_the_same_to_60_db() -> None:
    path = find_style("starry_night")
    pixels = photo(251, 190)
    expected = TorchEngine(path, "cpu", "fp32").paint(pixels)
    assert psnr(OpenVinoEngine(path, "fp32").paint(pixels), expected) > 60


@pytest.mark.skipif(not has_fast_bf16(torch.device("cpu")), reason="a CPU without bf16")
@pytest.mark.parametrize("engine", [OpenVinoEngine, partial(TorchEngine, device="cpu")])
def test_a_trained_style_in_bf16_is_the_same_to_40_db(
    engine: Callable[..., OpenVinoEngine | TorchEngine],
) -> None:
    path, pixels = find_style("starry_night"), photo(251, 190)
    painter = engine(path)
    assert painter.precision == "bf16"
    assert psnr(painter.paint(pixels), TorchEngine(path, "cpu", "fp32").paint(pixels)) > 40


def test_what_gpus_compute_in_is_the_same_to_50_db() -> None:
    """In fp16 on the CPU, slowly; nor does its rounding show where a photo has one colour."""
    engine = TorchEngine(find_style("starry_night"), "cpu", "fp32", margin_px=8)
    pixels, grey = photo(125, 94), np.full((64, 80, 3), 128, np.uint8)
    expected = engine.paint(pixels)
    engine.precision = "fp16"
    engine.network.half()
    assert psnr(engine.paint(pixels), expected) > 50
    assert len(np.unique(engine.paint(grey)[8:-8, 8:-8].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize(
    ("gpus", "rank", "expected"), [(2, "", 0), (2, "1", 1), (1, "3", 0), (8, "3", 3)]
)
def test_processes_take_a_gpu_each_or_share_them(
    gpus: int, rank: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = style_file(tmp_path)
    on_cpu = load_style(path)
    monkeypatch.setattr(torch_engine, "load_style", lambda _, device: on_cpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    engine = TorchEngine(path)
    assert engine.device == torch.device("cuda", expected)
    assert engine.precision == "fp16"


class Graphs:
    """What makes a GraphedPass, without a GPU: it counts, and may go wrong as one."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []
        self.launches = 0
        self.error, self.wrong_by = "", 0

    def __call__(
        self, run: Callable[[torch.Tensor], torch.Tensor], photo: np.ndarray, _: torch.device
    ) -> Callable[[np.ndarray], np.ndarray]:
        self.sizes.append(photo.shape[:2])
        if self.error:
            raise RuntimeError(self.error)

        def launch(photo: np.ndarray) -> np.ndarray:
            assert photo.shape[:2] == self.sizes[-1]
            self.launches += 1
            return run(torch.tensor(photo)).numpy() ^ np.uint8(self.wrong_by)

        return launch


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    graphs = Graphs()
    monkeypatch.setattr(torch_engine, "GraphedPass", graphs)
    return graphs


def test_sizes_that_come_again_have_a_graph(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_engine, "GRAPHED_PIXELS", 64 * 48)
    monkeypatch.setattr(torch_engine, "GRAPHED_SIZES", 1)
    engine, single = (TorchEngine(style_file(tmp_path), "cpu", "fp32") for _ in range(2))
    assert not engine.takes_graphs  # a CPU has none
    engine.takes_graphs = True
    sizes = [(64, 49), (64, 48), (64, 49), (64, 48), (48, 60), (48, 60), (64, 48), (64, 48)]
    for width, height in sizes:
        np.testing.assert_array_equal(
            engine.paint(photo(width, height)), single.paint(photo(width, height))
        )
    assert graphs.sizes == [(48, 64)]
    assert graphs.launches == 3  # the first is held against the painting without


@pytest.mark.parametrize(
    ("error", "wrong_by", "reason"),
    [
        ("not in a graph\nCompile with TORCH_USE_CUDA_DSA", 0, "not in a graph"),
        ("", 5, r"[45]\.\d levels of 255 away from single launches"),
    ],
)
def test_graphs_that_go_wrong_are_done_without(
    graphs: Graphs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: str,
    wrong_by: int,
    reason: str,
) -> None:
    engine = TorchEngine(style_file(tmp_path), "cpu", "fp32")
    expected = engine.paint(photo(64, 48))
    graphs.error, graphs.wrong_by, engine.takes_graphs = error, wrong_by, True
    for _ in range(4):
        np.testing.assert_array_equal(engine.paint(photo(64, 48)), expected)
    assert len(graphs.sizes) == 1
    notice = rf"notice: painting without CUDA graphs \({reason}\)\n"
    assert re.fullmatch(notice, capsys.readouterr().err)


class Only(TorchDispatchMode):
    """Counts operations, and asserts that none takes or makes a tensor on another device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.count = device, 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, made)):
            if isinstance(value, torch.Tensor):
                assert value.device == self.device, operation
        self.count += 1
        return made


@pytest.mark.parametrize("model", [{}, {"stem_stride": 2}, {"norm": "batch", "upsample": "resize"}])
def test_a_pass_leaves_its_device_alone(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in it waits for a GPU or brings it anything, so it can be a graph.

    The meta device stands in for one: it has no values to be read.
    """
    meta, network = torch.device("meta"), TransformerNet(**model).eval()
    monkeypatch.setattr(torch_engine, "resolve_device", lambda _: meta)
    monkeypatch.setattr(torch_engine, "load_style", lambda _, device: (network.to(device), None))
    engine = TorchEngine(Path(), margin_px=24)
    pixels = torch.zeros(64, 81, 3, dtype=torch.uint8, device=meta)
    with Only(meta) as watch:
        painting = engine._pass(pixels)
    assert (painting.shape, painting.dtype) == (pixels.shape, torch.uint8)
    assert watch.count > 100


@pytest.mark.skipif(not has_fast_bf16(torch.device("cpu")), reason="a CPU without bf16")
@pytest.mark.parametrize("in_int8", [False, True])
def test_bf16_has_a_first_layer_of_either_kind(in_int8: bool) -> None:
    """The one that this CPU takes, and the one that others take."""
    path, pixels, grey = find_style("the_scream"), photo(251, 190), np.full((96, 64, 3), 90)
    engine = OpenVinoEngine(path, "bf16")
    engine.graph.first_in_int8 = in_int8
    assert psnr(engine.paint(pixels), TorchEngine(path, "cpu", "fp32").paint(pixels)) > 40
    assert np.ptp(engine.paint(grey.astype(np.uint8)), axis=(0, 1)).max() == 0


def int8_engine(style: Path, margin_px: int = 0) -> OpenVinoEngine:
    try:
        return OpenVinoEngine(style, "int8", margin_px)
    except UserError:
        pytest.skip("a CPU that is not known to multiply int8")


@pytest.mark.parametrize("style", ["starry_night", "wave-lite"])
def test_a_trained_style_in_int8_is_the_same_to_40_db(style: str) -> None:
    path, pixels = find_style(style), photo(251, 190)
    painted = int8_engine(path).paint(pixels)
    assert 40 < psnr(painted, OpenVinoEngine(path, "fp32").paint(pixels)) < 52  # not bf16


def test_int8_cuts_off_no_light_in_the_night() -> None:
    path, night = find_style("starry_night"), np.full((192, 256, 3), 4, np.uint8)
    night[90:96, 120:126] = 255  # 48 standard deviations off
    painted = int8_engine(path).paint(night)
    assert psnr(painted, OpenVinoEngine(path, "fp32").paint(night)) > 35


@pytest.mark.parametrize("style", ["starry_night", "wave-lite"])
def test_int8_paints_one_colour_in_one_colour(style: str) -> None:
    painted = int8_engine(find_style(style)).paint(np.full((96, 64, 3), (200, 90, 30), np.uint8))
    assert np.ptp(painted, axis=(0, 1)).max() == 0


def test_int8_keeps_balanced_kernels_balanced() -> None:
    model = int8_engine(find_style("starry_night")).graph.build(16, 16)
    constants = [op.get_data() for op in model.get_ops() if op.get_type_name() == "Constant"]
    (kernel,) = (c for c in constants if c.dtype == np.int8 and c.shape[2:] == (4, 4))
    phases = kernel.astype(int).reshape(*kernel.shape[:2], 2, 2, 2, 2)
    sums = phases.sum(axis=(2, 4)).reshape(-1, 4)  # of the taps that a pixel of each phase meets
    assert np.abs(sums).max() > 10
    assert (sums == sums[:, :1]).all()


def test_int8_takes_networks_of_the_default_kind_only(tmp_path: Path) -> None:
    for model in ({"norm": "batch"}, {"padding": "zero"}, {"padding": "reflect-start"}):
        path = style_file(tmp_path, **model)
        with pytest.raises(UserError, match=r"--precision int8: not on .* small\.safetensors;"):
            OpenVinoEngine(path, "int8")
    int8_engine(style_file(tmp_path, upsample="resize")).paint(photo(64, 48))


@pytest.mark.parametrize("width", [1, 4])
def test_narrow_networks_paint_in_any_precision(tmp_path: Path, width: int) -> None:
    engine = TorchEngine(style_file(tmp_path, width=width), "cpu", "fp32")
    expected = engine.paint(photo(64, 48))
    engine.network.to(torch.bfloat16)
    engine.precision = "bf16"
    assert psnr(engine.paint(photo(64, 48)), expected) > 25


@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("stem_stride", STEM_STRIDES)
def test_tiles_paint_what_the_whole_paints(
    tmp_path: Path, norm: str, upsample: str, padding: str, stem_stride: int
) -> None:
    path = style_file(
        tmp_path, norm=norm, upsample=upsample, padding=padding, stem_stride=stem_stride
    )
    engine = TorchEngine(path, "cpu", "fp32")
    for width, height in ((150, 101), (64, 130)):
        whole = engine.paint(photo(width, height))
        tiled = TiledPainter(engine.network, engine.device, 32).paint(photo(width, height))
        assert np.abs(tiled.astype(int) - whole).max() <= 1
        assert np.abs(tiled.astype(int) - whole).mean() < 0.1


def test_tiles_may_be_painted_into_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where grain made a copy of the photo, the painting takes its room; the photo stays."""
    pixels = photo(90, 70).copy()
    pixels[:40, :40] = 200  # flat
    before = pixels.copy()
    stylizer = Stylizer("wave-lite", "cpu", engine="torch", precision="fp32")
    whole = stylizer(pixels)
    stylizer.tile_px = 16
    paint, given = TiledPainter.paint, []

    def spy(painter: TiledPainter, pixels: np.ndarray, into: np.ndarray | None) -> np.ndarray:
        given.append(pixels is into)
        return paint(painter, pixels, into)

    monkeypatch.setattr(TiledPainter, "paint", spy)
    np.testing.assert_allclose(stylizer(pixels), whole.astype(int), atol=1)
    assert given == [True]
    monkeypatch.undo()
    np.testing.assert_array_equal(pixels, before)
    engine = TorchEngine(find_style("wave-lite"), "cpu", "fp32")
    painted = TiledPainter(engine.network, engine.device, 16, 8).paint(pixels, pixels)
    assert painted is pixels


@pytest.mark.parametrize("size", [(16, 16), (61, 38), (40, 23)], ids=str)
def test_margins_are_the_same_whole_and_in_tiles(tmp_path: Path, size: tuple[int, int]) -> None:
    path, pixels = style_file(tmp_path), photo(*size)
    options: dict[str, Any] = {"engine": "torch", "precision": "fp32"}
    for margin_px in (0, 4, 12, 24, 32):
        around = [(margin_px, margin_px + -side % 4) for side in pixels.shape[:2]]
        mirrored = np.pad(pixels, (*around, (0, 0)), mode="reflect")
        expected = TorchEngine(path, "cpu", "fp32").paint(mirrored)
        expected = expected[margin_px:, margin_px:][: size[1], : size[0]].astype(int)
        whole = Stylizer(path, "cpu", margin_px=margin_px, **options)(pixels)
        tiled = Stylizer(path, "cpu", margin_px=margin_px, tile_px=8, **options)(pixels)
        np.testing.assert_array_equal(whole, expected)
        np.testing.assert_allclose(tiled, expected, atol=1)
    with pytest.raises(UserError, match="--margin-px 6: expected a multiple of 4 from 0 to 32"):
        Stylizer(path, "cpu", margin_px=6)


def test_tiles_of_a_trained_style_have_no_seam() -> None:
    engine = TorchEngine(find_style("starry_night"), "cpu", "fp32")
    pixels = photo(230, 190)
    away = np.abs(
        TiledPainter(engine.network, engine.device, 64).paint(pixels).astype(int)
        - engine.paint(pixels)
    )
    assert away.mean() < 0.2
    assert away[:, 60:68].mean() < 0.2  # across a border between tiles
    assert away.max() <= 2


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_one_colour_stays_one_colour(precision: str) -> None:
    """Where a photo has no variance, normalisations enlarge any rounding that differs by place."""
    engine = OpenVinoEngine(find_style("the_scream"), precision)
    for grey, size in ((26, (130, 170)), (64, (96, 96)), (128, (333, 401)), (200, (128, 172))):
        painted = engine.paint(np.full((*size, 3), grey, np.uint8))
        assert len(np.unique(painted.reshape(-1, 3), axis=0)) == 1


def test_the_command_leaves_openvinos_converter_alone(tmp_path: Path, run: Run) -> None:
    loaded = (
        "import sys, runpy\n"
        f"sys.argv = ['stylize.py', {str(PHOTOS / 'coffee.jpg')!r}, '--style', "
        f"{str(style_file(tmp_path))!r}, '-o', {str(tmp_path / 'out.png')!r}]\n"
        "try:\n    runpy.run_path('stylize.py', run_name='__main__')\n"
        "finally:\n    print(sys.modules['openvino.tools.ovc'], 'openvino' in sys.modules)"
    )
    done = run("-c", loaded)
    assert done.stdout.splitlines()[-1] == "None True", done.stderr


def test_separate_tiles_would_differ() -> None:
    """What the shared statistics are for: tiles painted one by one do not look like the whole."""
    engine = TorchEngine(find_style("starry_night"), "cpu", "fp32")
    pixels = photo(230, 190)
    alone = engine.paint(np.ascontiguousarray(pixels[:64, :64]))
    assert np.abs(alone.astype(int) - engine.paint(pixels)[:64, :64])[:40, :40].mean() > 5


def test_statistics_of_tiles_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    whole = torch.randn(1, 5, 20, 30) * 3 + 100
    statistics = Statistics()
    for part in (whole[..., :7, :], whole[..., 7:, :11], whole[..., 7:, 11:]):
        statistics.add(part)
    mean, var = whole.double().mean((0, 2, 3)), whole.double().var((0, 2, 3), correction=0)
    torch.testing.assert_close(statistics.mean, mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(statistics.var, var, atol=1e-3, rtol=0)


def test_feature_maps_keep_regions_and_say_when_the_disk_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    with FeatureMap(3, 10, 12) as features:
        x = torch.arange(3 * 4 * 5.0).view(1, 3, 4, 5)
        features.write(Region(2, 6, 7, 12), x)
        torch.testing.assert_close(features.read(Region(2, 6, 7, 12), cpu), x)
        assert float(features.read(Region(0, 2, 0, 12), cpu).abs().max()) == 0
    monkeypatch.setattr(tiling.shutil, "disk_usage", lambda _: type("D", (), {"free": 1 << 20}))
    with pytest.raises(UserError, match=r"1 MiB free; expected 2 MiB .* set TMPDIR"):
        FeatureMap(128, 100, 100)


def test_the_papers_network_cannot_be_tiled(tmp_path: Path) -> None:
    engine = TorchEngine(style_file(tmp_path, padding="reflect-start"), "cpu", "fp32")
    with pytest.raises(UserError, match="cannot be painted in tiles"):
        TiledPainter(engine.network, engine.device)


def test_too_little_memory_means_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stylizer = Stylizer(style_file(tmp_path), "cpu")
    whole = stylizer(photo(90, 70))
    painted = []
    monkeypatch.setattr(
        tiling.TiledPainter, "paint", lambda _, pixels, into: painted.append(1) or pixels
    )
    assert np.array_equal(stylizer(photo(90, 70)), whole)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1_000_000)
    stylizer(photo(90, 70))
    assert painted == [1]


def test_tiles_do_not_ask_torch_for_what_it_does_not_know_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO has the CPU's bf16 whatever torch can tell of it, and int8."""
    monkeypatch.setattr("inference.torch_engine.has_fast_bf16", lambda device: False)
    for precision in ("bf16", "int8"):
        stylizer = Stylizer(style_file(tmp_path), "cpu", tile_px=32)
        whole = stylizer.engine.paint(photo(90, 70)).astype(int)
        stylizer.engine.precision = precision
        assert np.abs(stylizer(photo(90, 70)) - whole).mean() < 2


def test_a_device_that_runs_out_of_memory_falls_back_to_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stylizer = Stylizer(style_file(tmp_path), "cpu", engine="torch", precision="fp32")
    whole = stylizer(photo(90, 70))

    def paint(pixels: np.ndarray) -> np.ndarray:
        raise torch.OutOfMemoryError("of memory")

    monkeypatch.setattr(stylizer.engine, "paint", paint)
    np.testing.assert_allclose(stylizer(photo(90, 70)), whole.astype(int), atol=1)
    assert capsys.readouterr().err.splitlines()[0] == (
        "notice: 90 x 70 px are more than cpu holds at once; painting in tiles"
    )


def test_what_is_no_photo_or_style_is_a_type_error(tmp_path: Path) -> None:
    stylizer = Stylizer(style_file(tmp_path), "cpu")
    for photo, kind in (("a.jpg", "str"), (tmp_path, "PosixPath"), (b"", "bytes"), (None, "None")):
        with pytest.raises(TypeError, match=rf"{kind}.*; expected a PIL image, or a uint8 array"):
            stylizer(photo)
    with pytest.raises(TypeError, match="a style of type int; expected its name or the path"):
        Stylizer(5)


def test_a_pil_image_or_an_array_comes_back_as_it_went_in(tmp_path: Path) -> None:
    stylizer = Stylizer(style_file(tmp_path), "cpu")
    pixels = photo(40, 30).copy()
    painted = stylizer(pixels)
    image = stylizer(Image.fromarray(pixels))
    assert isinstance(image, Image.Image)
    np.testing.assert_array_equal(np.asarray(image), painted)
    np.testing.assert_array_equal(pixels, photo(40, 30))
    with pytest.raises(ValueError, match=r"float32 of shape \(30, 40\); expected uint8, H x W x 3"):
        stylizer(np.zeros((30, 40), np.float32))
    with pytest.raises(UserError, match="1 x 1 px; expected at least 16 px a side"):
        stylizer(np.zeros((1, 1, 3), np.uint8))


def test_a_pil_image_is_painted_as_a_file_is(tmp_path: Path) -> None:
    stylizer = Stylizer(style_file(tmp_path), "cpu")
    lying = Image.fromarray(np.rot90(photo(40, 30)))
    lying.putalpha(Image.fromarray(np.rot90(np.eye(30, 40, dtype=np.uint8) * 255)))
    lying.getexif()[ExifTags.Base.Orientation] = 6  # to be turned by a quarter, clockwise
    painted = stylizer(lying)
    lying.save(tmp_path / "lying.png", exif=lying.getexif())
    file = read_photo(read_bytes(tmp_path / "lying.png"), "")
    assert (painted.mode, painted.size) == ("RGBA", (40, 30))
    assert file.alpha is not None
    np.testing.assert_array_equal(painted.getchannel("A"), file.alpha)
    np.testing.assert_array_equal(painted.convert("RGB"), stylizer(file.pixels))


@pytest.mark.parametrize("options", [{"engine": "openvino"}, {"tile_px": 32}], ids=str)
def test_threads_may_share_a_stylizer(options: dict[str, Any]) -> None:
    stylizer = Stylizer("wave-lite", "cpu", **options)  # of some work: they meet in it
    photos = [np.roll(photo(120, 96), 9 * i, axis=1) for i in range(6)]
    expected = [stylizer(pixels) for pixels in photos]
    with ThreadPoolExecutor(4) as threads:
        paintings = list(threads.map(stylizer, 4 * photos))
    for painting, alone in zip(paintings, 4 * expected, strict=True):
        np.testing.assert_array_equal(painting, alone)


def test_unknown_engines_and_precisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = style_file(tmp_path)
    for engine in ("openvino", "torch"):
        with pytest.raises(UserError, match=r"--precision fp8: not on .*; expected auto"):
            Stylizer(path, "cpu", engine=engine, precision="fp8")
        with pytest.raises(UserError, match="--precision fp16: not on"):
            Stylizer(path, "cpu", engine=engine, precision="fp16")
    with pytest.raises(UserError, match="--engine tvm: expected one of auto, openvino, torch"):
        Stylizer(path, "cpu", engine="tvm")
    monkeypatch.setattr(stylizer_module, "find_spec", lambda _: None)
    assert isinstance(Stylizer(path, "cpu").engine, TorchEngine)  # where there is no wheel
    with pytest.raises(UserError, match=r"--engine openvino: not with .* or not installed"):
        Stylizer(path, "cpu", engine="openvino")


def test_painting_on_the_cpu_imports_no_torch(run: Run, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from inference.stylizer import Stylizer\n"
        f"Stylizer({str(style_file(tmp_path))!r}, 'cpu')(np.zeros((32, 32, 3), np.uint8))\n"
        "print('torch' in sys.modules)"
    )
    done = run("-c", code)
    assert done.stdout == "False\n", done.stderr
    assert "torch" in sys.modules  # here, so the check can fail


OF_SIGNALS = """
import ctypes, sys
from pathlib import Path
from inference.openvino_engine import OpenVinoEngine

class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("bytes", ctypes.c_size_t)]

first, second = (OpenVinoEngine(Path(sys.argv[1])) for _ in range(2))
del first
del second
stack = Stack()
ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
mapped = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
at = stack.start or 0
print(at == 0 or any(int(start, 16) <= at < int(end, 16) for start, end in mapped))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's list of mapped memory")
def test_signals_have_their_stack_when_engines_are_gone(run: Run, tmp_path: Path) -> None:
    """Where a CPU has AMX, which needs a large one, OpenVINO makes it."""
    done = run("-c", OF_SIGNALS, style_file(tmp_path))
    assert done.stdout == "True\n", done.stderr
