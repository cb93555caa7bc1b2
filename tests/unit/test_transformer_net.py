"""The transformation network: sizes, borders, upsampling, the paper's form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.layout import NORMS, OUTPUTS, PADDINGS, STEM_STRIDES, UPSAMPLES, weight_shapes
from models.transformer_net import (
    FractionalConv,
    TransformerNet,
    balance_buffer,
    balanced_kernel,
    normalization,
    reflect_pad,
    tied_kernel,
)


@pytest.mark.parametrize("stem_stride", STEM_STRIDES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("norm", NORMS)
def test_output_has_the_input_size_and_range(
    norm: str, upsample: str, padding: str, stem_stride: int
) -> None:
    network = TransformerNet(4, 5, norm, upsample, padding, stem_stride=stem_stride).eval()
    for height, width in ((16, 16), (17, 35), (30, 18), (64, 33)):
        image = torch.rand(2, 3, height, width)
        before = image.clone()
        with torch.no_grad():
            out = network(image)
        assert out.shape == image.shape
        assert torch.equal(image, before)
        assert 0 <= float(out.min()) <= float(out.max()) <= 1


@pytest.mark.parametrize("stem_stride", STEM_STRIDES)
@pytest.mark.parametrize("upsample", UPSAMPLES)
@pytest.mark.parametrize("norm", NORMS)
def test_the_layout_has_the_networks_weights(norm: str, upsample: str, stem_stride: int) -> None:
    network = TransformerNet(8, 3, norm, upsample, stem_stride=stem_stride)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert weight_shapes(8, 3, norm, upsample, stem_stride=stem_stride) == shapes


def test_too_small_and_unknown_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 px"):
        TransformerNet(4, 1)(torch.rand(1, 3, 15, 40))
    with pytest.raises(ValueError, match="instance, batch"):
        TransformerNet(norm="layer")
    with pytest.raises(ValueError, match="3; expected one of 1, 2"):
        TransformerNet(stem_stride=3)


def test_the_papers_network_has_its_layers() -> None:
    network = TransformerNet(norm="batch", upsample="fractional3", padding="reflect-start")
    assert network.start_px == 40
    convs = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs] == [
        (3, 32, 9, 1),
        (32, 64, 3, 2),
        (64, 128, 3, 2),
        *[(128, 128, 3, 1)] * 10,
        (128, 64, 3, 2),
        (64, 32, 3, 2),
        (32, 3, 9, 1),
    ]


def test_a_stem_of_stride_2_leaves_no_features_at_full_size() -> None:
    network = TransformerNet(16, 1, stem_stride=2)
    sides: list[int] = []
    for layer in network.layers[:-1]:
        layer.register_forward_hook(lambda _, __, out: sides.append(out.shape[-1]))
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 64))
    assert sides == [32, 16, 16, 32]


@pytest.mark.parametrize("stem_stride", STEM_STRIDES)
def test_reflected_borders_leave_no_trace_on_a_flat_photo(stem_stride: int) -> None:
    torch.manual_seed(0)
    flat = torch.full((1, 3, 40, 40), 0.4)

    def spread(padding: str) -> float:
        with torch.no_grad():
            out = TransformerNet(8, 2, padding=padding, stem_stride=stem_stride)(flat)
        return float((out.amax((2, 3)) - out.amin((2, 3))).max())

    assert spread("reflect") < 1e-5
    assert spread("zero") > 0.05


def test_kernel_of_4_starts_as_nearest_doubling_then_convolution() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 3, 3)
    x = torch.randn(2, 3, 7, 6)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
    out = F.conv_transpose2d(x, tied_kernel(weight), stride=2, padding=1)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_only_the_kernel_of_3_prints_a_checkerboard_on_flat_features() -> None:
    torch.manual_seed(0)
    flat = torch.ones(1, 6, 9, 8)

    def spread(kernel: int) -> float:
        double = FractionalConv(6, 4, kernel, "reflect")
        nn.init.normal_(double.conv.weight)  # whatever training makes of it
        out = double(flat)
        assert out.shape == (1, 4, 18, 16)
        return float((out.amax((2, 3)) - out.amin((2, 3))).max().detach())

    assert spread(4) < 1e-4
    assert spread(8) < 1e-4
    assert spread(3) > 0.05


def test_balancing_keeps_a_balanced_kernel_and_every_kernels_sum() -> None:
    kernel = tied_kernel(torch.randn(5, 3, 3, 3))
    torch.testing.assert_close(balanced_kernel(kernel, balance_buffer(4, 2)), kernel)
    free = torch.randn(3, 5, 9, 9)
    balanced = balanced_kernel(free, balance_buffer(9, 4))
    torch.testing.assert_close(balanced.sum((2, 3)), free.sum((2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(balanced_kernel(balanced, balance_buffer(9, 4)), balanced)


@pytest.mark.parametrize("period", [1, 2, 4])
def test_a_balanced_kernel_averages_a_grid_away(period: int) -> None:
    torch.manual_seed(0)
    kernel = torch.randn(3, 5, 9, 9)
    grid = torch.randn(1, 5, period, period).repeat(1, 1, 24 // period, 24 // period)
    averaged = F.conv2d(grid, balanced_kernel(kernel, balance_buffer(9, 4)))
    torch.testing.assert_close(
        averaged, averaged[..., :1, :1].expand_as(averaged), rtol=1e-4, atol=1e-4
    )
    free = F.conv2d(grid, kernel)
    assert period == 1 or float(free.std()) > 1


@pytest.mark.parametrize("stem_stride", STEM_STRIDES)
@pytest.mark.parametrize("upsample", UPSAMPLES)
def test_no_grid_passes_the_last_layer_but_the_papers(upsample: str, stem_stride: int) -> None:
    torch.manual_seed(0)
    last = TransformerNet(4, 1, upsample=upsample, stem_stride=stem_stride).layers[-1]
    period = 4 // stem_stride  # in the last layer's pixels, where the photo's is 4
    grid = torch.randn(1, 4, period, period).repeat(1, 1, 24 // period, 24 // period)
    with torch.no_grad():
        spread = float(last(grid)[..., 8:-8, 8:-8].std((2, 3)).max())
    assert (spread > 0.01) == (upsample == "fractional3")


@pytest.mark.parametrize("output", OUTPUTS)
def test_no_grid_comes_of_cutting_off_the_brightest_in_one_phase_more(output: str) -> None:
    torch.manual_seed(0)
    network = TransformerNet(4, 1, output=output, stem_stride=2)
    grid = 2 * torch.randn(1, 3, 2, 2).repeat(1, 1, 9, 9)[..., :17, :17]
    painted = network.in_range(grid)
    assert painted.shape == (1, 3, 16, 16)
    assert float((painted.amax((2, 3)) - painted.amin((2, 3))).max()) < 1e-6


@pytest.mark.parametrize("trained", [False, True])
def test_instance_normalisation_is_torchs(trained: bool) -> None:
    torch.manual_seed(0)
    ours, torchs = normalization("instance", 6), nn.InstanceNorm2d(6, affine=True)
    with torch.no_grad():
        ours.weight.normal_()
        ours.bias.normal_()
    torchs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 5, 7).to(memory_format=torch.channels_last).requires_grad_(trained)
    outputs = ours(x), torchs(x)
    torch.testing.assert_close(*outputs)
    assert outputs[0].is_contiguous(memory_format=torch.channels_last)
    if trained:
        wanted = torch.randn_like(x)
        gradients = [
            torch.autograd.grad(output, [x, *norm.parameters()], wanted)
            for output, norm in zip(outputs, (ours, torchs), strict=True)
        ]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("border", [(3, 2, 1, 0), (40, 43, 40, 41)])
def test_reflect_pad_reaches_beyond_the_image(border: tuple[int, int, int, int]) -> None:
    image = torch.arange(2 * 16 * 17.0).view(1, 2, 16, 17)
    left, right, top, bottom = border
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (top, bottom), (left, right)), mode="reflect")
    np.testing.assert_array_equal(reflect_pad(image, *border).numpy(), expected)
