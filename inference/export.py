"""A style for other programs: ONNX and TorchScript, for photos of any height and width.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.formats import check_place
from errors import UserError
from models.layout import STRIDE
from models.style_file import find_style, load_style
from models.transformer_net import TransformerNet
from whole_file import told_of, whole_file

FORMATS = ("onnx", "torchscript")
CHECKED_SIZES = ((64, 64), (61, 83), (50, 97))  # rows, columns
TOLERANCE = 1e-3  # of [0, 1]: a quarter of what 8 bits tell apart
OPSET = 18


class AnySize(nn.Module):
    """The network with its borders as operations on the size, which a tracer follows."""

    def __init__(self, network: TransformerNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the stylized images, B × 3 × H × W in [0, 1]; `images` are the same."""
        height, width = images.shape[-2], images.shape[-1]
        start = self.network.start_px
        border = [start, start + -width % STRIDE, start, start + -height % STRIDE]
        x = F.pad(images, border, mode="reflect")
        x = self.network.in_range(self.network.layers(2 * x - 1))
        return x[..., :height, :width]


def export(style: str, format_: str, path: Path) -> None:
    """Write a style as `onnx` or `torchscript`: input `photo`, output `painting`, B × 3 × H × W.

    The file is checked against the network on three sizes before it takes its place. Raises
    UserError.
    """
    if format_ not in FORMATS:
        raise UserError(
            f"--export {format_}: no such format; expected one of {', '.join(FORMATS)}."
        )
    check_place(path)
    network, _ = load_style(find_style(style))
    network = network.to(memory_format=torch.contiguous_format)
    example = torch.rand(1, 3, 64, 72)
    with told_of(path), whole_file(path) as beside:
        beside.touch()  # where that cannot be, it is told of before the work
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracers warn of what the check below settles
            if format_ == "onnx":
                _export_onnx(AnySize(network), example, beside)
            else:
                torch.jit.trace(AnySize(network), example).save(beside)  # type: ignore[no-untyped-call]
        _check(network, format_, beside, path)


def _export_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    try:
        import onnx  # noqa: F401, the exporter needs it
    except ImportError as error:
        raise UserError(
            "--export onnx: onnx is not installed; expected the extra of exports. Run: "
            "pip install '.[export]'"
        ) from error
    any_size = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        network,
        (example,),
        str(path),
        input_names=["photo"],
        output_names=["painting"],
        dynamic_axes={"photo": any_size, "painting": any_size},
        opset_version=OPSET,
        dynamo=False,
    )


@torch.no_grad()
def _check(network: TransformerNet, format_: str, written: Path, path: Path) -> None:
    """Raise UserError where the written file paints anything but the network's painting."""
    if format_ == "onnx":
        try:
            from inference.openvino_engine import CORE
        except ImportError as error:
            raise UserError(
                "--export onnx: openvino is not installed; expected it, to check the file. Run: "
                "pip install openvino, or export torchscript."
            ) from error
        exact = {"INFERENCE_PRECISION_HINT": "f32"}  # where a CPU has bf16, that is the default
        compiled = CORE.compile_model(written, "CPU", exact)

        def paint(photo: Tensor) -> Tensor:
            return torch.from_numpy(np.array(compiled(photo.numpy())[0]))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, and asked for all the same
            script = torch.jit.load(written)  # type: ignore[no-untyped-call]

        def paint(photo: Tensor) -> Tensor:
            painted: Tensor = script(photo)
            return painted

    for height, width in CHECKED_SIZES:
        photo = torch.rand(1, 3, height, width)
        expected, found = network(photo), paint(photo)
        away = (found - expected).abs().max().item() if found.shape == expected.shape else 1.0
        if not away <= TOLERANCE:
            raise UserError(
                f"{path}: differs by {away:.3g} at {width} x {height} px; expected at most "
                f"{TOLERANCE}. Not written; please report it."
            )
