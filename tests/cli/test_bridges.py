"""Networks in from other trainers, and out to other programs."""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.images import read_bytes, read_photo
from data.tensors import to_tensor
from inference import export as export_module
from inference.openvino_engine import CORE
from inference.stylizer import Stylizer
from models.foreign import import_state
from models.style_file import StyleFileError, load_style
from tests.conftest import PHOTOS, Run


class Foreign(nn.Module):
    """A network of the form that pytorch/examples trains, written from its layers' names."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()

        def conv(cin: int, cout: int, kernel: int) -> nn.Module:
            return nn.ModuleDict({"conv2d": nn.Conv2d(cin, cout, kernel)})

        w = width
        for name, (cin, cout, kernel) in {
            "conv1": (3, w, 9),
            "conv2": (w, 2 * w, 3),
            "conv3": (2 * w, 4 * w, 3),
            "deconv1": (4 * w, 2 * w, 3),
            "deconv2": (2 * w, w, 3),
            "deconv3": (w, 3, 9),
        }.items():
            self.add_module(name, conv(cin, cout, kernel))
        for i, channels in enumerate((w, 2 * w, 4 * w, 2 * w, w), start=1):
            self.add_module(f"in{i}", nn.InstanceNorm2d(channels, affine=True))
        for i in range(1, blocks + 1):
            block = nn.Module()
            for j in (1, 2):
                block.add_module(f"conv{j}", conv(4 * w, 4 * w, 3))
                block.add_module(f"in{j}", nn.InstanceNorm2d(4 * w, affine=True))
            self.add_module(f"res{i}", block)
        self.blocks = blocks

    def forward(self, x: Tensor) -> Tensor:
        """Paint B × 3 × H × W in 0…255."""

        def conv(of: nn.Module, name: str, x: Tensor, stride: int = 1, up: int = 1) -> Tensor:
            layer = getattr(of, name)["conv2d"]
            x = F.interpolate(x, scale_factor=up, mode="nearest") if up > 1 else x
            x = F.pad(x, [layer.kernel_size[0] // 2] * 4, mode="reflect")
            return F.conv2d(x, layer.weight, layer.bias, stride)

        x = F.relu(self.in1(conv(self, "conv1", x)))
        x = F.relu(self.in2(conv(self, "conv2", x, 2)))
        x = F.relu(self.in3(conv(self, "conv3", x, 2)))
        for i in range(1, self.blocks + 1):
            block = getattr(self, f"res{i}")
            y = F.relu(block.in1(conv(block, "conv1", x)))
            x = block.in2(conv(block, "conv2", y)) + x
        x = F.relu(self.in4(conv(self, "deconv1", x, up=2)))
        x = F.relu(self.in5(conv(self, "deconv2", x, up=2)))
        return conv(self, "deconv3", x)


def test_a_foreign_network_gives_the_same_pixels(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    foreign = Foreign(8, 3)
    with torch.no_grad():
        for name, value in foreign.named_parameters():
            value.add_(0.1 * torch.randn_like(value))
            if name.startswith("deconv3"):
                value.mul_(40)
        foreign.deconv3["conv2d"].bias.fill_(120)
        foreign.conv1["conv2d"].weight.mul_(1e-4)  # so faint that the normalisation's ε counts
    state = foreign.state_dict() | {"in1.running_mean": torch.zeros(8)}  # of torch 0.3
    torch.save(state, tmp_path / "candy.pth")
    out = tmp_path / "candy.safetensors"
    command = ("-m", "models.style_file", "import", tmp_path / "candy.pth", "-o", out)
    done = run(*command, "--title", "Candy", "--artist", "June")
    assert done.returncode == 0, done.stderr
    assert load_style(out)[1].title == "Candy, June"
    pixels = read_photo(read_bytes(PHOTOS / "chelsea.jpg"), "", longer_px=128).pixels[:84]
    with torch.no_grad():
        expected = foreign(to_tensor(pixels) * 255).clamp(0, 255).round()[0].permute(1, 2, 0)
    assert 20 < float(expected.std()) < 110
    for engine in ("openvino", "torch"):
        painted = Stylizer(out, "cpu", engine=engine, precision="fp32", margin_px=0)(pixels)
        away = np.abs(painted.astype(int) - expected.numpy())
        assert away.max() <= 1
        assert away.mean() < 0.01
    again = run(*command)
    assert again.returncode == 2
    assert "candy.safetensors: exists; expected a new file" in again.stderr


def test_a_network_is_found_within_a_checkpoint(tmp_path: Path) -> None:
    state = Foreign(4, 1).state_dict()
    torch.save(state, tmp_path / "plain.pth")
    model, weights = import_state(tmp_path / "plain.pth")
    wrapped = {f"module.{name}": value for name, value in state.items()}
    for saved in (
        wrapped,
        {"state_dict": state, "epoch": 2, "optimizer": {0: torch.zeros(2)}},
        {"model": wrapped},
        {"epoch": 1, 7: {"net": {f"net.module.{name}": value for name, value in state.items()}}},
        OrderedDict({name: value.half() for name, value in state.items()} | {"steps": 5, 3: 1}),
    ):
        torch.save(saved, tmp_path / "checkpoint.pth")
        found_model, found = import_state(tmp_path / "checkpoint.pth")
        assert found_model == model
        assert found.keys() == weights.keys()
        for name, value in found.items():
            np.testing.assert_allclose(value, weights[name], rtol=1e-3, atol=0.03)


def test_what_cannot_be_imported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<html>Not found</html>")
    torch.save({"layer1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    state = Foreign(4, 1).state_dict()
    state["conv2.conv2d.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "damaged.pth")
    torch.save({0: torch.zeros(1), "epoch": 1}, tmp_path / "numbers.pth")
    torch.save([state], tmp_path / "list.pth")
    for name, message in (
        ("none.pth", "none.pth: no such file; expected a state dict"),
        ("page.pth", "page.pth: cannot be read ("),
        ("other.pth", "other.pth: holds layer1.weight; expected a state dict of fast_neural_style"),
        ("numbers.pth", "numbers.pth: holds 0, epoch; expected a state dict of fast_neural_style"),
        ("list.pth", "list.pth: holds list; expected a state dict of fast_neural_style"),
        ("damaged.pth", "layers.1.0.conv.weight are (2,); expected (8, 4, 3, 3)"),
    ):
        with pytest.raises(StyleFileError, match=re.escape(message)):
            import_state(tmp_path / name)
    out = tmp_path / "out.safetensors"
    done = run("-m", "models.style_file", "import", tmp_path / name, "-o", out)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("format_", ["onnx", "torchscript"])
def test_exports_paint_any_size(run: Run, style: Path, tmp_path: Path, format_: str) -> None:
    out = tmp_path / "mine.bin"
    done = run("stylize.py", "--style", style, "--export", format_, out)
    assert done.returncode == 0, done.stderr
    network, _ = load_style(style)
    photo = torch.rand(2, 3, 45, 70)
    if format_ == "onnx":
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = CORE.compile_model(out, "CPU", exact)
        painted = torch.from_numpy(compiled(photo.numpy())[0])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            painted = torch.jit.load(out)(photo)
    torch.testing.assert_close(painted, network(photo), atol=1e-3, rtol=0)
    again = run("stylize.py", "--style", style, "--export", format_, out)
    assert again.returncode == 2
    assert "exists; expected a new file" in again.stderr


def test_an_export_that_differs_is_not_written(
    style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = export_module.AnySize.forward
    monkeypatch.setattr(export_module.AnySize, "forward", lambda self, x: forward(self, x) + 0.01)
    with pytest.raises(export_module.UserError, match=r"differs by 0\.01.* Not written"):
        export_module.export(str(style), "torchscript", tmp_path / "a.pt")
    with pytest.raises(export_module.UserError, match="no such format; expected one of onnx"):
        export_module.export(str(style), "tflite", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
