"""Convolutions with fewer multiplications against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import winograd
from models.convolution import conv2d
from models.winograd import Kernel, WinogradConvolution

# B, C, K, H, W, padding: odd sizes, tiles that hang over, a single pixel, more images than a strip
SHAPES = [
    (1, 3, 5, 16, 16, 1),
    (3, 4, 2, 17, 23, 1),
    (5, 2, 3, 9, 30, 0),
    (2, 3, 3, 7, 6, 2),
    (7, 2, 2, 5, 5, 1),
    (1, 1, 1, 3, 3, 0),
    (4, 2, 2, 1, 2, 2),
]


def in_channels_last(*shape: int) -> Tensor:
    return torch.randn(shape).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("strip_values", [winograd.STRIP_VALUES, 3000, 700])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_of_any_size_in_any_strips(
    shape: tuple[int, ...], strip_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winograd, "STRIP_VALUES", strip_values)
    torch.manual_seed(0)
    batch, channels_in, channels_out, height, width, padding = shape
    x = in_channels_last(batch, channels_in, height, width).double().requires_grad_()
    weight = torch.randn(channels_out, channels_in, 3, 3).double().requires_grad_()
    bias = torch.randn(channels_out).double().requires_grad_()
    expected = F.conv2d(x, weight, bias, padding=padding)
    found = WinogradConvolution.apply(x, weight, bias, padding, Kernel(weight))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
    outer = torch.randn(expected.shape).double()  # NCHW, as a gradient may come
    inputs = (x, weight, bias)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, outer),
        torch.autograd.grad(expected, inputs, outer),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_float32_loses_no_more_than_rounding() -> None:
    torch.manual_seed(0)
    x = in_channels_last(1, 256, 48, 48).relu()
    weight, bias = torch.randn(128, 256, 3, 3) / 48, torch.randn(128)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    found = conv2d(x, weight, bias, 1, 1)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(found, F.conv2d(x, weight, bias, padding=1))  # it took the short way
    assert float((found - exact).square().mean().sqrt() / exact.std()) < 3e-6


def test_one_colour_stays_one_colour() -> None:
    torch.manual_seed(0)
    weight = torch.randn(128, 128, 3, 3)
    flat = torch.randn(1, 128, 1, 1).expand(1, 128, 34, 34).contiguous()
    convolved = conv2d(flat.to(memory_format=torch.channels_last), weight)
    assert torch.equal(convolved, convolved[..., :1, :1].expand_as(convolved))


def test_bf16_takes_it_where_channels_are_many_and_loses_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(winograd, "cpu_has", lambda name: False)
    torch.manual_seed(0)
    x = in_channels_last(1, 256, 48, 48).relu().requires_grad_()
    weight, bias = (torch.randn(256, 256, 3, 3) / 48).requires_grad_(), torch.randn(256)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    outer = torch.randn(exact.shape)
    with torch.autocast("cpu", torch.bfloat16):
        found = conv2d(x, weight, bias, 1, 1)
        few = conv2d(x[:, :128], weight[:, :128], bias, 1, 1)
    assert type(found.grad_fn).__name__ == "WinogradConvolutionBackward"
    assert type(few.grad_fn).__name__ == "ConvolutionBackward0"
    assert found.dtype == torch.bfloat16
    gradients = torch.autograd.grad(found, (x, weight), outer.bfloat16())
    expected = torch.autograd.grad(exact, (x, weight), outer.double())
    for ours, theirs in ((found, exact), *zip(gradients, expected, strict=True)):
        error = (ours - theirs).detach().square().mean().sqrt() / theirs.detach().std()
        assert float(error) < 0.025


def test_matrix_units_are_faster_than_any_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "cpu_has", lambda name: name == "amx_bf16")
    shapes = (1, 256, 48, 48), (256, 256, 3, 3)
    assert not winograd.worthwhile(*shapes, torch.bfloat16)
    assert winograd.worthwhile(*shapes, torch.float32)


def test_the_frozen_kernel_is_transformed_once_and_only_as_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transformed, made = winograd._transformed, []

    def counted(weight: Tensor, near: float) -> Tensor:
        made.append(weight)
        return transformed(weight, near)

    monkeypatch.setattr(winograd, "_transformed", counted)
    x, weight = in_channels_last(1, 128, 32, 32), torch.randn(128, 128, 3, 3)
    kernel = Kernel(weight)
    for _ in range(2):
        conv2d(x, weight, None, 1, 1, kernel)
    assert len(made) == 1
    for _ in range(2):
        conv2d(x.requires_grad_(), weight, None, 1, 1, kernel).sum().backward()
    assert len(made) == 2


def test_nothing_is_computed_for_a_gradient_that_nobody_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, weight = in_channels_last(1, 128, 32, 32).requires_grad_(), torch.randn(128, 128, 3, 3)

    def refuse(*_: object) -> Tensor:
        raise AssertionError("the weight is frozen")

    monkeypatch.setattr(winograd, "_weight_gradient", refuse)
    conv2d(x, weight, None, 1, 1).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) > 0
