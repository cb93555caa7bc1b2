"""Which convolution is taken, and that the gradients by columns are PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import columns
from models.convolution import conv2d, conv_transpose2d, direct_convolutions

# B, C, K, H, W, side, stride, padding: rows and columns that a stride leaves over, fewer channels
# out than in, a kernel as large as the picture
SHAPES = [
    (2, 3, 5, 12, 15, 9, 1, 0),
    (1, 6, 5, 11, 10, 9, 1, 4),
    (3, 4, 6, 10, 13, 3, 2, 0),
    (2, 4, 6, 9, 8, 3, 2, 1),
    (2, 6, 5, 7, 7, 7, 1, 3),
    (1, 2, 2, 4, 4, 1, 1, 0),
]
# B, C, K, H, W, side, padding, output padding
ROWS = [(2, 5, 3, 11, 14, 9, 0), (1, 4, 1, 9, 8, 3, 1), (2, 3, 4, 5, 5, 5, 2)]  # one padding
FRACTIONAL = [(2, 4, 3, 6, 5, 4, 3, 0), (1, 3, 4, 5, 7, 4, 1, 0), (2, 2, 3, 4, 6, 3, 1, 1)]


def in_channels_last(*shape: int) -> Tensor:
    return torch.randn(shape).to(memory_format=torch.channels_last)


def taken(output: Tensor) -> str:
    """Return which module's gradient an output has."""
    assert output.grad_fn is not None
    return type(output.grad_fn).__name__


def same_gradients(ours: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    outer = torch.randn(expected.shape)  # NCHW, as a gradient may come
    for found, wanted in zip(
        torch.autograd.grad(ours, inputs, outer),
        torch.autograd.grad(expected, inputs, outer),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("strip_values", [columns.STRIP_VALUES, 2000, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_by_columns_of_any_shape(
    shape: tuple[int, ...], strip_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "STRIP_VALUES", strip_values)
    torch.manual_seed(0)
    batch, channels_in, channels_out, height, width, side, stride, padding = shape
    x = in_channels_last(batch, channels_in, height, width).requires_grad_()
    weight = torch.randn(channels_out, channels_in, side, side).requires_grad_()
    bias = torch.randn(channels_out).requires_grad_()
    ours = conv2d(x, weight, bias, stride, padding)
    assert taken(ours) == "ColumnConvolutionBackward"
    same_gradients(ours, F.conv2d(x, weight, bias, stride, padding), [x, weight, bias])


@pytest.mark.parametrize("shape", ROWS)
def test_few_outputs_row_by_row(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    batch, channels_in, channels_out, height, width, side, padding = shape
    x = in_channels_last(batch, channels_in, height, width).requires_grad_()
    weight = (torch.randn(channels_out, channels_in, side, side) / side).requires_grad_()
    bias = torch.randn(channels_out).requires_grad_()
    ours = conv2d(x, weight, bias, 1, padding)
    assert taken(ours) == "AddBackward0"
    same_gradients(ours, F.conv2d(x, weight, bias, 1, padding), [x, weight, bias])


def test_few_outputs_in_bf16_are_rounded_twice_and_not_once_a_row() -> None:
    torch.manual_seed(0)
    x, weight = in_channels_last(1, 32, 24, 24).bfloat16(), torch.randn(3, 32, 9, 9).bfloat16()
    exact = F.conv2d(x.double(), weight.double())
    with torch.autocast("cpu", torch.bfloat16):
        ours, own = conv2d(x, weight), F.conv2d(x, weight)
    assert ours.dtype == own.dtype == torch.bfloat16
    assert float((ours - exact).square().mean()) < 2.5 * float((own - exact).square().mean())


@pytest.mark.parametrize("shape", FRACTIONAL)
def test_gradients_by_columns_of_fractional_convolutions(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    batch, channels_in, channels_out, height, width, side, padding, more = shape
    x = in_channels_last(batch, channels_in, height, width).requires_grad_()
    weight = torch.randn(channels_in, channels_out, side, side).requires_grad_()
    ours = conv_transpose2d(x, weight, None, 2, padding, more)
    assert taken(ours) == "FractionalColumnConvolutionBackward"
    same_gradients(ours, F.conv_transpose2d(x, weight, None, 2, padding, more), [x, weight])
    bias = torch.randn(channels_out).requires_grad_()
    ours = conv_transpose2d(x, weight, bias, 2, padding, more)
    torchs = F.conv_transpose2d(x, weight, bias, 2, padding, more)
    torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-4)
    same_gradients(ours, torchs, [x, weight, bias])


def test_nothing_is_computed_for_a_photo_whose_gradient_nobody_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("the photo is given")

    x, weight = in_channels_last(1, 4, 8, 8), torch.randn(6, 4, 3, 3).requires_grad_()
    outputs = conv2d(x, weight, None, 2, 1), conv_transpose2d(x, weight[:4], None, 2, 1)
    monkeypatch.setattr(F, "conv_transpose2d", refuse)
    monkeypatch.setattr(F, "conv2d", refuse)
    for output in outputs:
        (gradient,) = torch.autograd.grad(output.sum(), weight)
        assert float(gradient.abs().max()) > 0


def test_pytorchs_own_where_asked_for_or_nothing_is_to_be_saved() -> None:
    x, weight = in_channels_last(1, 128, 32, 32), torch.randn(128, 128, 3, 3).requires_grad_()
    direct = "ConvolutionBackward0"
    assert taken(conv2d(x, weight, None, 1, 1)) == "WinogradConvolutionBackward"
    with direct_convolutions():
        own = conv2d(x, weight, None, 1, 1)
    assert taken(own) == direct
    assert torch.equal(own, F.conv2d(x, weight, padding=1))
    assert not torch.equal(own, conv2d(x, weight, None, 1, 1))  # F(4 x 4, 3 x 3) rounds elsewhere
    with torch.autocast("cpu", torch.bfloat16):
        assert taken(conv2d(x, weight, None, 1, 1)) == direct
    assert taken(conv2d(x.contiguous(), weight, None, 1, 1)) == direct  # NCHW
    assert taken(conv2d(x.double(), weight.double(), None, 1, 1)) == direct


@pytest.mark.parametrize(
    ("shape", "kernel"), [((1, 128, 8, 8), 3), ((1, 64, 32, 32), 3), ((1, 128, 32, 32), 5)]
)
def test_a_frozen_kernel_is_convolved_directly_where_tiles_or_channels_are_few(
    shape: tuple[int, ...], kernel: int
) -> None:
    x, weight = in_channels_last(*shape), torch.randn(64, shape[1], kernel, kernel)
    assert torch.equal(conv2d(x, weight, None, 1, 1), F.conv2d(x, weight, padding=1))
