"""The loss network against torchvision's own, and every way its weights can be wrong."""

from __future__ import annotations

import functools
import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from errors import UserError
from models import vgg
from models.convolution import conv2d
from models.vgg import BUNDLED_FILE, VGGFeatures, conv_names, layer_names

ALL_BUNDLED = [name for name in layer_names("vgg16") if not name.endswith(("5_2", "5_3"))]
TORCHVISION_INDEX = {"relu1_2": 3, "conv2_1": 5, "relu3_3": 15, "conv4_2": 19, "relu4_3": 22}


def random_state(network: str) -> dict[str, Tensor]:
    """A small-valued state dict of the whole convolutional part, from torchvision's own class."""
    torch.manual_seed(0)
    return dict(getattr(torchvision.models, network)(weights=None).state_dict())


@pytest.fixture(scope="session")
def vgg19_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    state = {k: v for k, v in random_state("vgg19").items() if k.startswith("features.")}
    torch.save(state, path)
    return path


def slices(features: nn.Sequential, x: Tensor, indices: dict[str, int]) -> dict[str, Tensor]:
    """torchvision's own layers, one slice after another."""
    return {name: features[: index + 1](x) for name, index in indices.items()}


def bundled_in_torchvision() -> nn.Sequential:
    """torchvision's own VGG-16 with our weights, none of its ReLUs in place."""
    features: nn.Sequential = torchvision.models.vgg16(weights=None).features
    for module in features:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    features.load_state_dict(
        {
            name.removeprefix("features."): value.float()
            for name, value in load_file(BUNDLED_FILE).items()
        },
        strict=False,
    )
    return features


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_is_that_of_torchvisions_slices(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 96, 80).to(memory_format=layout).requires_grad_()
    mean = torch.tensor([0.48235, 0.45882, 0.40784]).view(1, 3, 1, 1)
    network = VGGFeatures(TORCHVISION_INDEX).to(memory_format=layout)
    expected = slices(bundled_in_torchvision(), (x - mean) * 255, TORCHVISION_INDEX)
    found = network(x, TORCHVISION_INDEX)
    directions = {name: torch.randn(value.shape) for name, value in expected.items()}
    gradients = [
        torch.autograd.grad(sum((f[name] * d).sum() for name, d in directions.items()), x)[0]
        for f in (found, expected)
    ]
    error = float((gradients[0] - gradients[1]).norm() / gradients[1].norm())
    assert error < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (50, 37)])
def test_parity_with_torchvision_slices_borders_included(size: tuple[int, int]) -> None:
    features = bundled_in_torchvision()
    x = torch.rand(2, 3, *size)
    mean = torch.tensor([0.48235, 0.45882, 0.40784]).view(1, 3, 1, 1)
    expected = slices(features, (x - mean) * 255, TORCHVISION_INDEX)
    found = VGGFeatures(TORCHVISION_INDEX)(x, TORCHVISION_INDEX)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        error = float((found[name] - value).abs().max() / value.abs().max())
        assert error < 1e-5, name


@torch.no_grad()
def test_vgg19_parity_with_torchvision(vgg19_file: Path) -> None:
    torch.manual_seed(0)
    features = torchvision.models.vgg19(weights=None).features
    for module in features:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    x = torch.rand(1, 3, 48, 40)
    mean = torch.tensor([0.48235, 0.45882, 0.40784]).view(1, 3, 1, 1)
    indices = {"conv3_4": 16, "relu4_4": 26, "relu5_4": 35}
    expected = slices(features, (x - mean) * 255, indices)
    found = VGGFeatures(indices, "vgg19", str(vgg19_file))(x, indices)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5 * float(value.max()))


def test_imagenet_normalisation_on_request(vgg19_file: Path) -> None:
    x = torch.rand(1, 3, 16, 16)
    network = VGGFeatures(["conv1_1"], "vgg19", str(vgg19_file), normalization="imagenet")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    expected = network.convs["conv1_1"](normalised)
    torch.testing.assert_close(network(x, ["conv1_1"])["conv1_1"], expected)


def test_average_pooling_is_average_pooling() -> None:
    x = torch.rand(1, 3, 16, 16)
    network = VGGFeatures(["relu1_2", "conv2_1"], pooling="average")
    found = network(x, ["relu1_2", "conv2_1"])
    pooled = nn.functional.avg_pool2d(found["relu1_2"], 2)
    torch.testing.assert_close(found["conv2_1"], network.convs["conv2_1"](pooled))


def test_computes_no_deeper_than_asked_and_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = VGGFeatures(["relu1_2", "relu3_3"])
    assert list(network.convs) == conv_names("vgg16")[:7]
    assert not any(parameter.requires_grad for parameter in network.parameters())
    calls: list[tuple[int, ...]] = []

    def counted(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        calls.append(tuple(weight.shape[:2]))
        return conv2d(x, weight, *rest)

    monkeypatch.setattr(vgg, "conv2d", counted)
    x = torch.rand(1, 3, 32, 32, requires_grad=True)
    network(x, ["relu1_2"])["relu1_2"].sum().backward()
    assert calls == [(64, 3), (64, 64)]
    assert x.grad is not None
    with pytest.raises(KeyError, match="relu4_3"):
        network(x, ["relu4_3"])


def test_value_before_the_relu_is_not_overwritten_by_it() -> None:
    found = VGGFeatures(["conv1_2", "relu1_2"])(torch.rand(1, 3, 16, 16), ["conv1_2", "relu1_2"])
    assert float(found["conv1_2"].min()) < 0
    torch.testing.assert_close(found["relu1_2"], found["conv1_2"].relu())


def test_bundled_weights_reach_conv5_1_and_say_so() -> None:
    assert "relu5_1" in VGGFeatures(ALL_BUNDLED)(torch.rand(1, 3, 32, 32), ["relu5_1"])
    with pytest.raises(UserError, match=r"has no features\.26\.weight \(conv5_2 of vgg16\)"):
        VGGFeatures(["relu5_2"])
    with pytest.raises(UserError, match=r"bundled has vgg16 only, not vgg19"):
        VGGFeatures(["relu1_1"], "vgg19")


def test_unknown_layer_and_too_small_image() -> None:
    with pytest.raises(UserError, match=r"layer 'relu3_4': not in vgg16; expected conv1_1 … relu5"):
        VGGFeatures(["relu3_4"])
    with pytest.raises(UserError, match=r"7 x 9 px: too small for conv4_1 .* at least 8 px"):
        VGGFeatures(["relu4_3"])(torch.rand(1, 3, 9, 7), ["relu4_3"])


class Touch:
    """A pickle that would make a file if it were executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(UserError) as caught:
            VGGFeatures(["relu1_1"], weights=str(path))
        return str(caught.value)

    missing = message(tmp_path / "none.pth")
    assert "no such file" in missing
    assert "stylizing needs none" in missing
    (tmp_path / "a.bin").write_bytes(b"x")
    assert "suffix '.bin'; expected .safetensors or .pth" in message(tmp_path / "a.bin")
    (tmp_path / "cut.safetensors").write_bytes(BUNDLED_FILE.read_bytes()[:5000])
    assert "cannot be read as .safetensors weights" in message(tmp_path / "cut.safetensors")
    (tmp_path / "page.pth").write_text("<html>")
    assert "cannot be read as .pth weights" in message(tmp_path / "page.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "holds no state dict" in message(tmp_path / "list.pth")
    save_file({"features.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "small.safetensors")
    assert "is (8, 3, 3, 3); expected (64, 3, 3, 3)" in message(tmp_path / "small.safetensors")


def test_a_weights_file_is_never_executed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Touch(made)))
    torch.save({"features.0.weight": Touch(made)}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(UserError, match="cannot be read"):
            VGGFeatures(["relu1_1"], weights=str(tmp_path / name))
    assert not made.exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()


@pytest.mark.parametrize(
    ("network", "weights", "entry", "original"),
    [
        ("vgg16", "torchvision", "VGG16_Weights.IMAGENET1K_FEATURES", True),
        ("vgg16", "torchvision:IMAGENET1K_V1", "VGG16_Weights.IMAGENET1K_V1", False),
        ("vgg19", "torchvision", "VGG19_Weights.IMAGENET1K_V1", False),
    ],
)
def test_torchvision_weights_are_downloaded_checked_and_cached(
    network: str,
    weights: str,
    entry: str,
    original: bool,
    server: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, folder = server
    state = {f"features.0.{k}": v for k, v in nn.Conv2d(3, 64, 3).state_dict().items()}
    torch.save(state, folder / "file.pth")
    digest = hashlib.sha256((folder / "file.pth").read_bytes()).hexdigest()[:8]
    name = f"{network}-{digest}.pth"
    (folder / "file.pth").rename(folder / name)
    enum, member = entry.split(".")
    choice = getattr(getattr(torchvision.models, enum), member)
    monkeypatch.setattr(choice.value, "url", f"{url}/{name}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))

    found = VGGFeatures(["relu1_1"], network, weights)
    torch.testing.assert_close(found.convs["conv1_1"].weight.data, state["features.0.weight"])
    assert float(found.std[0, 0, 0, 0]) == pytest.approx(1 / 255 if original else 0.229)
    (folder / name).unlink()
    VGGFeatures(["relu1_1"], network, weights)  # from the cache

    damaged = tmp_path / "cache/checkpoints" / name
    damaged.unlink()
    (folder / name).write_bytes(b"half of it")
    with pytest.raises(UserError, match=r"could not be downloaded .*stylizing needs none of them"):
        VGGFeatures(["relu1_1"], network, weights)


@pytest.mark.shared
def test_float16_weights_change_the_features_by_less_than_a_thousandth(shared: Path) -> None:
    x = torch.rand(1, 3, 64, 64)
    full = VGGFeatures(["relu4_3"], weights=str(shared / "weights/vgg16_features.safetensors"))
    half = VGGFeatures(["relu4_3"])
    a, b = full(x, ["relu4_3"])["relu4_3"], half(x, ["relu4_3"])["relu4_3"]
    assert 0 < float((a - b).norm() / a.norm()) < 1e-3
