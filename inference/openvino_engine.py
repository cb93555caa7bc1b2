"""The transformation network on the CPU by OpenVINO, built from the style file without torch.

Axes: C channels, H rows, W columns, K kernel.
"""

from __future__ import annotations

import math
import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import openvino.opset13 as ops

from data.pixels import Pixels
from errors import UserError
from models.layout import (
    OUTPUT_KERNEL,
    STRIDE,
    balancing_matrix,
    channels_inward,
    doubling_border,
    grid_px,
    shift_cancels,
)
from models.style_file import StyleInfo, read_style

EPSILON = 1e-5  # torch's
WIDE_PX = 5
"""So many pixels of a row does the last layer paint at once, as channels: 15 of a register's 16."""
OWN_SIZES = 2
"""So many photo sizes are compiled by themselves: a camera's upright and lying photos."""
OFTEN = 20
"""The second of them is the first that came so often: compiling it takes what it saves on these."""
ANY_SIZE = -1, -1
INT8_REACH = 12
"""So many standard deviations does int8 reach on most photos (docs/architecture.md)."""

CORE = openvino.Core()
"""The process's one: two that go out of turn leave its signals a freed stack (architecture.md)."""

Array = npt.NDArray[np.float32]


class OpenVinoEngine:
    """One style, compiled for the first photo's size, a frequent one, and once for all others."""

    def __init__(self, path: Path, precision: str = "auto", margin_px: int = 0) -> None:
        """Read a style file. Raises StyleFileError; UserError for a precision not to be had.

        `margin_px` of a photo, a multiple of 4, are mirrored around it while it is painted.
        """
        self.info, weights = read_style(path)
        graph = self.graph = _Graph(self.info, weights, margin_px)
        has_bf16 = "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        has_int8 = _multiplies_int8(has_bf16) and graph.shifts_and_scales_cancel
        valid = ["fp32", *["bf16"] * has_bf16, *["int8"] * has_int8]
        if precision not in ("auto", *valid):
            raise UserError(
                f"--precision {precision}: not on this CPU with {path.name}; expected auto, "
                f"{', '.join(valid)}. Use auto."
            )
        self.precision = ("bf16" if has_bf16 else "fp32") if precision == "auto" else precision
        self.float_type = "bf16" if has_bf16 and self.precision != "fp32" else "f32"
        graph.in_int8 = self.precision == "int8"
        graph.first_in_int8 = has_int8 and self.precision != "fp32"
        if self.precision == "bf16" and "amx_bf16" in _cpu_flags():  # docs/architecture.md
            graph.first_in_int8 = False
        self._requests: dict[tuple[int, int], Any] = {}
        self._seen: Counter[tuple[int, int]] = Counter()

    def paint(self, photo: Pixels) -> Pixels:
        """Return the painting of an H × W × 3 photo, of its size."""
        height, width = photo.shape[:2]
        border = self.graph.start_px + self.graph.margin_px
        right, bottom = border + -width % STRIDE, border + -height % STRIDE
        if right or bottom:
            photo = np.pad(photo, ((border, bottom), (border, right), (0, 0)), mode="reflect")
        request = self._request(photo.shape[0], photo.shape[1])
        painted = request.infer({0: photo[None]}, share_inputs=True)[0]
        rows = math.prod(painted.shape[:-1])
        pixels: Pixels = painted.reshape(rows, -1, 3)[:height, :width]
        return pixels

    def _request(self, height: int, width: int) -> Any:
        """Return the request for a size (docs/architecture.md has what decided it)."""
        size = height, width
        self._seen[size] += 1
        own = len(self._requests.keys() - {ANY_SIZE})
        takes_own = not own or (own < OWN_SIZES and self._seen[size] >= OFTEN)
        if size not in self._requests and not takes_own:
            size = ANY_SIZE
        if size not in self._requests:
            config = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": self.float_type,
                # 0 is every core; the variable is what other engines go by
                "INFERENCE_NUM_THREADS": int(os.environ.get("OMP_NUM_THREADS") or 0),
            }
            compiled = CORE.compile_model(self.graph.build(*size), "CPU", config)
            self._requests[size] = compiled.create_infer_request()
        return self._requests[size]


class _Graph:
    """The layers of models/transformer_net.py as OpenVINO's operations."""

    def __init__(self, info: StyleInfo, weights: dict[str, Array], margin_px: int) -> None:
        model = info.config["model"]
        self.stem_stride: int = model.get("stem_stride", 1)
        self.first_block = len(channels_inward(1, self.stem_stride))
        self.first_up = self.first_block + model.get("num_blocks", 5)
        self.norm: str = model.get("norm", "instance")
        self.upsample: str = model.get("upsample", "fractional4")
        self.output: str = model.get("output", "tanh")
        padding = model.get("padding", "reflect")
        blocks = self.first_up - self.first_block
        self.start_px = 8 * blocks if padding == "reflect-start" else 0
        self.border = "reflect" if padding == "reflect" else "constant"
        self.unpadded_blocks = padding == "reflect-start"
        self.centred = shift_cancels(self.norm, self.upsample, padding)
        self.shifts_and_scales_cancel = self.norm == "instance" and padding == "reflect"
        self.in_int8 = self.first_in_int8 = False
        self.weights = weights
        self.margin_px = margin_px

    def build(self, height: int, width: int) -> openvino.Model:
        """Return the graph from 1 × H × W × 3, uint8, to its painting without the margin.

        That is uint8 too, in rows of 3 W' values, W' at least what is left of W. A side of -1 is
        any size.
        """
        image = ops.parameter([1, height, width, 3], np.uint8, name="photo")
        x = ops.relu(self._normalized(self._first_conv(image, "0.0"), "0.1"))
        for layer in range(1, self.first_block):
            x = self._conv(x, f"{layer}.0", 2)
            x = ops.relu(self._normalized(x, f"{layer}.1"))
        for layer in range(self.first_block, self.first_up):
            x = self._residual_block(x, layer)
        last = self.first_up + self.first_block - 1
        for layer in range(self.first_up, last):
            double = self._first_doubled if layer == self.first_up else self._doubled
            x = ops.relu(self._normalized(double(x, layer), f"{layer}.1"))
        x = self._last_layer(x, f"{last}.conv")
        return openvino.Model([x], [image], "transformer_net")

    def _first_conv(self, image: Any, name: str) -> Any:
        # in rows of values: of rows of pixels, 3 values each, the next takes ten times as long
        x = ops.convert(ops.reshape(image, _ints(0, 0, -1), True), "f32")
        kernel = self._kernel(name)
        pads = _ints(0, kernel.shape[-2] // 2, kernel.shape[-1] // 2, 0)
        if self.first_in_int8:  # its bytes are exact; normalisation takes out what -1 would add
            x, kernel = ops.fake_quantize(x, *_floats(0, 255, 0, 2), 256), _in_int8(kernel)
        else:  # exact in bf16 as well: half of an odd number of 8 bits
            x, kernel = ops.subtract(x, np.float32(255 / 2)), kernel * np.float32(2 / 255)
        x = ops.reshape(x, _ints(0, 0, -1, 3), True)
        x = ops.transpose(ops.pad(x, pads, pads, self.border, np.float32(0)), _ints(0, 3, 1, 2))
        return _convolved(x, kernel, (self.stem_stride, self.stem_stride))

    def _residual_block(self, x: Any, layer: int) -> Any:
        name, padded = f"{layer}.body", not self.unpadded_blocks
        if self.in_int8 and layer > self.first_block:  # the first one's reach too far
            mean, spread = self._mean_and_spread_before(layer)
            y = ops.subtract(x, _of_channels(mean))
            y = self._int8_conv(y, f"{name}.0.0", INT8_REACH * spread, signed=True)
        else:
            y = self._conv(x, f"{name}.0.0", padded=padded)
        y = ops.relu(self._normalized(y, f"{name}.0.1"))
        if self.in_int8:
            spread, mean = self._scale_and_shift(f"{name}.0.1")
            reach = INT8_REACH * np.abs(spread) + np.maximum(mean, 0)
            y = self._int8_conv(y, f"{name}.1", reach, signed=False)
        else:
            y = self._conv(y, f"{name}.1", padded=padded)
        y = self._normalized(y, f"{name}.2")
        if not padded:  # the identity loses 2 px a side, as the two convolutions do
            x = ops.slice(x, _ints(2, 2), _ints(-2, -2), _ints(1, 1), _ints(2, 3))
        return ops.add(x, y)

    def _int8_conv(self, x: Any, name: str, reach: Array, signed: bool) -> Any:
        """Return a convolution's output but for its scale, which normalisation takes out."""
        x = self._padded(_in_bytes(x, reach, signed), 1)
        return _convolved(x, _in_int8(self._kernel(name) * reach[:, None, None]), (1, 1))

    def _mean_and_spread_before(self, layer: int) -> tuple[Array, Array]:
        """Return the mean and standard deviation, nearly, of the sums that a block is given."""
        scale, shift = self._scale_and_shift(f"{self.first_block - 1}.1")
        mean, variance = np.maximum(shift, 0), scale**2
        for block in range(self.first_block, layer):
            scale, shift = self._scale_and_shift(f"{block}.body.2")
            mean, variance = mean + shift, variance + scale**2
        return mean, np.sqrt(variance)

    def _conv(self, x: Any, name: str, stride: int = 1, padded: bool = True) -> Any:
        kernel = self._kernel(name)
        pad_px = kernel.shape[-1] // 2 if padded else 0
        return _convolved(self._padded(x, pad_px), kernel, (stride, stride))

    def _padded(self, x: Any, pad_px: int, bottom_px: int = 0, right_px: int = 0) -> Any:
        """Return a map with so much more of it at each side; less, where that is negative."""
        if pad_px == bottom_px == right_px == 0:
            return x
        begin = _ints(0, 0, pad_px, pad_px)
        end = _ints(0, 0, pad_px + bottom_px, pad_px + right_px)
        return ops.pad(x, begin, end, self.border, np.float32(0))

    def _normalized(self, x: Any, name: str) -> Any:
        scale, shift = self._scale_and_shift(name)
        if self.norm == "batch":
            mean, var = (self.weights[f"layers.{name}.running_{key}"] for key in ("mean", "var"))
            scale = (scale / np.sqrt(var + EPSILON)).astype(np.float32)
            shift = shift - mean * scale
        else:
            x = ops.mvn(x, _ints(2, 3), True, EPSILON, "inside_sqrt")
        return ops.add(ops.multiply(x, _of_channels(scale)), _of_channels(shift))

    def _kernel(self, name: str) -> Array:
        return self.weights[f"layers.{name}.conv.weight"]

    def _scale_and_shift(self, name: str) -> tuple[Array, Array]:
        return self.weights[f"layers.{name}.weight"], self.weights[f"layers.{name}.bias"]

    def _first_doubled(self, x: Any, layer: int) -> Any:
        if self.centred:  # else flat areas round to a grid; see UpsampleLayer
            x = ops.subtract(x, ops.reduce_mean(x, _ints(2, 3), True))
        if not self.in_int8 or self.upsample != "fractional4":
            return self._doubled(x, layer)
        reach = INT8_REACH * self._mean_and_spread_before(layer)[1]
        kernel = _balanced(self._kernel(f"{layer}.0"), 2) * reach[:, None, None, None]
        return self._enlarged(_in_bytes(x, reach, signed=True), _in_int8(kernel, 2, outputs=1), 4)

    def _doubled(self, x: Any, layer: int) -> Any:
        name = f"{layer}.0"
        if self.upsample == "resize":
            x = ops.interpolate(
                x, np.array([2, 2], np.float32), "nearest", "scales", axes=_ints(2, 3)
            )
            return self._conv(x, f"{name}.1")
        kernel = self._kernel(name)
        if self.upsample == "fractional4":
            kernel = _balanced(kernel, 2)
        return self._enlarged(x, ops.constant(kernel), kernel.shape[-1])

    def _enlarged(self, x: Any, kernel: Any, size: int) -> Any:
        reflect_px, crop_px = doubling_border(size, self.border == "reflect")
        return ops.convolution_backprop_data(
            self._padded(x, reflect_px),
            kernel,
            [2, 2],
            pads_begin=[crop_px, crop_px],
            pads_end=[crop_px, crop_px],
            dilations=[1, 1],
            output_padding=[size % 2] * 2,
        )

    def _last_layer(self, x: Any, name: str) -> Any:
        """Return the painting in uint8: H rows of 3 W' values.

        Three channels would leave most of a vector register idle. A kernel for each of some pixels
        beside each other fills it, in strides of as many (docs/architecture.md): `WIDE_PX` of a
        row, or the 2 × 2 that a layer that doubles makes of one. Nothing is normalised after it, so
        it leaves the margin out but for what its kernel reaches.
        """
        margin_px = self.margin_px // self.stem_stride
        kernel = self.weights[f"layers.{name}.weight"]
        period = grid_px(self.upsample, self.output)
        if period > 1:
            kernel = _balanced(kernel, period)
        bias = self.weights[f"layers.{name}.bias"]
        if self.stem_stride == 1:
            x = self._padded(x, kernel.shape[-1] // 2 - margin_px, right_px=WIDE_PX - 1)
            x = _convolved(x, _of_a_row(kernel), (1, WIDE_PX))
            return _in_rows(self._in_range(x, np.tile(bias, WIDE_PX)))
        x = self._padded(x, OUTPUT_KERNEL // 4 - margin_px, bottom_px=1, right_px=1)
        x = self._in_range(_convolved(x, _of_2_by_2(kernel), (1, 1)), np.tile(bias, 4))
        rows = [_in_rows(_convolved(x, mean, (1, 1))) for mean in _mean_of_2_by_2(len(bias))]
        return ops.concat(rows, 2)

    def _in_range(self, x: Any, bias: Array) -> Any:
        x = ops.add(x, _of_channels(bias))
        if self.output == "linear":
            return ops.clamp(ops.subtract(ops.multiply(x, np.float32(2)), np.float32(1)), -1.0, 1.0)
        return ops.tanh(x)


def _multiplies_int8(has_bf16: bool) -> bool:
    """Return whether the CPU sums products of bytes in 32 bits; 16, as others do, run over."""
    return platform.machine() in ("x86_64", "AMD64") and (has_bf16 or "vnni" in _cpu_flags())


def _cpu_flags() -> str:
    """Return the text that names what the CPU has; empty on systems other than Linux."""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _convolved(x: Any, kernel: Any, strides: tuple[int, int]) -> Any:
    if isinstance(kernel, np.ndarray):  # OpenVINO would make one by way of a list, 0.1 s in all
        kernel = ops.constant(kernel)
    return ops.convolution(x, kernel, list(strides), [0, 0], [0, 0], [1, 1])


def _of_a_row(kernel: Array) -> Array:
    """Return the kernels of `WIDE_PX` pixels of a row, K × C × S × S each, as one."""
    size = kernel.shape[-1]
    wide = np.zeros((WIDE_PX, *kernel.shape[:3], size + WIDE_PX - 1), np.float32)
    for i in range(WIDE_PX):
        wide[i, ..., i : i + size] = kernel
    return wide.reshape(-1, *wide.shape[2:])


def _of_2_by_2(kernel: Array) -> Array:
    """Return what a fractional kernel of 8, C × K × 8 × 8, is for 2 × 2 pixels: 4 K × C × 5 × 5.

    Pixel 2 n + r takes tap r + 3 - 2 d of what lies d beside n.
    """
    taps = np.pad(kernel.transpose(1, 0, 2, 3), ((0, 0), (0, 0), (1, 1), (1, 1)))
    of_pixels = [taps[..., row + 8 :: -2, column + 8 :: -2] for row, column in np.ndindex(2, 2)]
    return np.concatenate(of_pixels)


def _mean_of_2_by_2(colours: int) -> Array:
    """Return what makes a pixel the mean of itself and the next: a kernel for each row of 2 × 2.

    2 × 2 stand as channels.
    """
    kernel = np.zeros((2, 2, colours, 2, 2, colours, 2, 2), np.float32)
    for row, column, down, right in np.ndindex(2, 2, 2, 2):
        (y, from_row), (x, from_column) = divmod(row + down, 2), divmod(column + right, 2)
        kernel[row, column, :, from_row, from_column, :, y, x] = np.eye(colours) / 4
    return kernel.reshape(2, 2 * colours, 4 * colours, 2, 2)


def _in_rows(x: Any) -> Any:
    """Return 1 × C × H × W' in [-1, 1] as uint8 colours, 1 × H × 1 × W' C."""
    x = ops.multiply(ops.add(x, np.float32(1)), np.float32(255 / 2))
    x = ops.transpose(ops.convert(ops.round(x), "u8"), _ints(0, 2, 3, 1))
    return ops.reshape(x, _ints(0, 0, 1, -1), True)


def _in_bytes(x: Any, reach: Array, signed: bool) -> Any:
    """Return each channel of `x` by its `reach`, in 256 steps from 0, or from -1, to 1.

    Where a photo has values beyond (a lamp in the night), the steps are wider: none is cut off.
    """
    x = ops.multiply(x, _of_channels(np.reciprocal(np.maximum(reach, np.float32(EPSILON)))))
    furthest = ops.reduce_max(ops.abs(x) if signed else x, _ints(1, 2, 3), True)
    x = ops.divide(x, ops.maximum(furthest, np.float32(1)))
    ends = _floats(-1, 127 / 128) if signed else _floats(0, 1)
    return ops.fake_quantize(x, *ends, *ends, 256)


def _in_int8(kernel: Array, period: int = 1, outputs: int = 0) -> Any:
    """Return a kernel of 8 bits, a scale for each output (axis `outputs`).

    Running sums are rounded instead of values, a phase of a `period`-pixel grid after another: what
    a flat area gives, the sum of a phase's taps, is then off by half a step at most, and a balanced
    kernel remains balanced.
    """
    axes = tuple(axis for axis in range(4) if axis != outputs)
    step = np.maximum(np.abs(kernel).max(axes, keepdims=True), EPSILON**2) / 127
    values = np.zeros_like(kernel)
    for row, column in np.ndindex(period, period):
        taps = (kernel / step)[..., row::period, column::period]
        sums = np.round(np.cumsum(taps.reshape(*taps.shape[:2], -1), axis=-1))
        taps = np.diff(sums, axis=-1, prepend=np.float32(0)).reshape(taps.shape)
        values[..., row::period, column::period] = taps
    integers = ops.constant(np.clip(values, -127, 127).astype(np.int8))
    return ops.multiply(ops.convert(integers, "f32"), ops.constant(step))


def _balanced(kernel: Array, period: int) -> Array:
    matrix = balancing_matrix(kernel.shape[-1], period).astype(np.float32)
    taps = kernel.reshape(*kernel.shape[:2], -1) @ matrix
    return taps.reshape(kernel.shape)


def _of_channels(values: Array) -> Array:
    return values[None, :, None, None]


def _floats(*values: float) -> list[np.float32]:
    return [np.float32(value) for value in values]


def _ints(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)
