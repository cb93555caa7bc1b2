"""The terms against slow float64 loops, by hand, and by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from losses.functional import (
    CONTENT_DISTANCES,
    GRAMS,
    STYLE_DISTANCES,
    content_loss,
    gram_matrix,
    style_loss,
    tv_loss,
)
from losses.perceptual import PerceptualLoss, StyleImage
from tests import reference

STYLE_VARIANTS = [
    (gram, distance)
    for gram in GRAMS
    for distance in STYLE_DISTANCES
    if distance != "gatys" or gram == "none"
]


def features(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def style_of(y: Tensor, s: Tensor, gram: str, distance: str) -> Tensor:
    return style_loss(
        gram_matrix(y, gram),
        gram_matrix(s, gram),
        distance,
        num_positions=y.shape[-1] * y.shape[-2],
        target_num_positions=s.shape[-1] * s.shape[-2],
    )


@pytest.mark.parametrize("distance", CONTENT_DISTANCES)
def test_content_matches_loops_and_is_the_mean_over_the_batch(distance: str) -> None:
    y, x = features(2, 3, 4, 5), features(2, 3, 4, 5, seed=1)
    expected = np.mean([reference.content(y[i].numpy(), x[i].numpy(), distance) for i in (0, 1)])
    assert float(content_loss(y, x, distance)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("divisor", GRAMS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_matches_loops(divisor: str, layout: torch.memory_format) -> None:
    y = features(2, 3, 4, 5).contiguous(memory_format=layout)
    expected = np.stack([reference.gram(one.numpy(), divisor) for one in y])
    np.testing.assert_allclose(gram_matrix(y, divisor).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("gram", "distance"), STYLE_VARIANTS)
def test_style_matches_loops_for_a_style_of_another_size(gram: str, distance: str) -> None:
    y, s = features(2, 3, 4, 5), features(1, 3, 6, 3, seed=1)
    expected = np.mean([reference.style(one.numpy(), s[0].numpy(), gram, distance) for one in y])
    assert float(style_of(y, s, gram, distance)) == pytest.approx(expected, rel=1e-12)


def test_gatys_distance_is_the_papers_formula_for_equal_sizes() -> None:
    y, s = features(1, 3, 4, 5), features(1, 3, 4, 5, seed=1)
    a, b = reference.gram(y[0].numpy(), "none"), reference.gram(s[0].numpy(), "none")
    expected = ((a - b) ** 2).sum() / (4 * 3**2 * 20**2)
    assert float(style_of(y, s, "none", "gatys")) == pytest.approx(expected, rel=1e-12)


def test_tv_matches_loops() -> None:
    y = features(2, 3, 4, 5)
    expected = np.mean([reference.tv(one.numpy()) for one in y])
    assert float(tv_loss(y)) == pytest.approx(expected, rel=1e-12)


def test_tv_by_hand() -> None:
    assert float(tv_loss(torch.full((1, 3, 4, 4), 0.3))) == 0
    checkerboard = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    assert float(tv_loss(checkerboard)) == 4 * 255**2


def test_gram_ignores_the_order_of_pixels_and_style_with_itself_is_zero() -> None:
    y = features(1, 4, 3, 4)
    shuffled = y.flatten(2)[..., torch.randperm(12)].view_as(y)
    torch.testing.assert_close(gram_matrix(y), gram_matrix(shuffled))
    assert float(style_of(y, y, "chw", "mean")) == 0


@pytest.mark.parametrize("distance", CONTENT_DISTANCES)
def test_content_gradient(distance: str) -> None:
    x = features(1, 2, 3, 3, seed=1)
    y = features(1, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: content_loss(t, x, distance), y)


@pytest.mark.parametrize(("gram", "distance"), STYLE_VARIANTS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_style_gradient(gram: str, distance: str, layout: torch.memory_format) -> None:
    s = features(1, 3, 4, 2, seed=1)
    y = features(2, 3, 3, 2).contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: style_of(t, s, gram, distance), y)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_gradient(layout: torch.memory_format) -> None:
    y = features(2, 3, 3, 2).contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(gram_matrix, y)


def test_content_gradient_is_gatys_eq_2() -> None:
    before = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    p = features(1, 3, 4, 5, seed=1).relu()
    f = before.relu()  # eq. 2 is the gradient of what a ReLU gave: 0 where it gave nothing
    (gradient,) = torch.autograd.grad(content_loss(f, p, "half_sum"), before)
    torch.testing.assert_close(gradient, (f - p).detach() * (f > 0))


def test_style_gradient_is_gatys_eq_6() -> None:
    y, s = features(1, 3, 4, 5).requires_grad_(), features(1, 3, 4, 5, seed=1)
    (gradient,) = torch.autograd.grad(style_of(y, s, "none", "gatys"), y)
    f, n, m = y.detach()[0].flatten(1), 3, 20
    difference = f @ f.T - s[0].flatten(1) @ s[0].flatten(1).T
    torch.testing.assert_close(gradient[0].flatten(1), (difference @ f) / (n**2 * m**2))


def test_tv_gradient() -> None:
    assert torch.autograd.gradcheck(tv_loss, features(2, 3, 4, 3).requires_grad_())


def test_unknown_variants_are_refused() -> None:
    y = features(1, 2, 3, 3)
    for call in (
        lambda: content_loss(y, y, "median"),
        lambda: gram_matrix(y, "c"),
        lambda: style_loss(gram_matrix(y), gram_matrix(y), "median"),
    ):
        with pytest.raises(ValueError, match="expected one of"):
            call()
    with pytest.raises(ValueError, match=r"features \(1, 2, 3, 3\)"):
        content_loss(y, y[..., 1:])


def fake_network(images: Tensor, layers: object) -> dict[str, Tensor]:
    return {name: images * (1 + i) for i, name in enumerate(layers)}  # type: ignore[arg-type]


def test_objective_is_the_weighted_sum() -> None:
    style, x, y = (features(1, 3, 6, 6, seed=seed) for seed in range(3))
    objective = PerceptualLoss(
        fake_network,
        style,
        content_layers={"a": 2.0},
        style_layers={"a": 0.5, "b": 3.0},
        content_weight=7.0,
        style_weight=11.0,
        tv_weight=1e-3,
    )
    # the fake network numbers its layers in the order asked: a is 1 × image, b is 2 × image
    terms = objective(y, objective.content_features(x))
    content = 2 * reference.content(y[0].numpy(), x[0].numpy(), "mean")
    near = [reference.style(k * y[0].numpy(), k * style[0].numpy(), "chw", "mean") for k in (1, 2)]
    style_term = 0.5 * near[0] + 3 * near[1]
    tv = reference.tv(y[0].numpy())
    assert float(terms.content_loss) == pytest.approx(content)
    assert float(terms.style_loss) == pytest.approx(style_term)
    assert float(terms.tv_loss) == pytest.approx(tv)
    assert float(terms.total_loss) == pytest.approx(7 * content + 11 * style_term + 1e-3 * tv)
    assert float(terms.by_layer["style/b"]) == pytest.approx(near[1])


def test_first_nonfinite_names_the_layer() -> None:
    style, y = features(1, 3, 6, 6), features(1, 3, 6, 6, seed=1)
    objective = PerceptualLoss(fake_network, style, content_layers={"a": 1.0}, style_layers={})
    x = y.clone()
    assert objective(y, objective.content_features(x)).first_nonfinite() is None
    x[0, 0, 0, 0] = float("nan")
    assert objective(y, objective.content_features(x)).first_nonfinite() == "content_loss"


@pytest.mark.parametrize(("gram", "distance"), STYLE_VARIANTS)
def test_a_guide_that_cuts_out_is_the_style_loss_of_the_cutting(gram: str, distance: str) -> None:
    y, style = features(1, 3, 6, 8), features(1, 3, 5, 5, seed=1)
    mask = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    mask[..., 2:5, 1:5] = 1
    objective = PerceptualLoss(
        fake_network,
        [StyleImage(style, mask=mask)],
        content_layers={},
        style_layers={"a": 1.0},
        gram=gram,
        style_distance=distance,
    )
    cut = y[0, :, 2:5, 1:5].numpy()
    expected = reference.style(cut, style[0].numpy(), gram, distance)
    assert float(objective(y, {}).style_loss) == pytest.approx(expected, rel=1e-9)


def test_several_styles_count_by_their_shares_and_masks() -> None:
    y, one, other = features(1, 3, 6, 6), features(1, 3, 6, 6, seed=1), features(1, 3, 4, 4, seed=2)

    def style_term(*styles: StyleImage) -> float:
        layers = {"a": 1.0, "b": 2.0}
        objective = PerceptualLoss(fake_network, styles, content_layers={}, style_layers=layers)
        return float(objective(y, {}).style_loss)

    alone = [style_term(StyleImage(image)) for image in (one, other)]
    blend = style_term(StyleImage(one, 3.0), StyleImage(other, 1.0))
    assert blend == pytest.approx(0.75 * alone[0] + 0.25 * alone[1])
    everywhere = torch.ones(1, 1, 6, 6, dtype=torch.float64)
    assert style_term(StyleImage(one, mask=everywhere)) == pytest.approx(alone[0])
    half = everywhere.clone()
    half[..., :3] = 0.5  # a uniform guide, whatever its value, changes nothing
    assert style_term(StyleImage(one, mask=0.5 * everywhere)) == pytest.approx(alone[0])
    assert style_term(StyleImage(one, mask=half)) != pytest.approx(alone[0])
    assert style_term() == 0


def test_gram_matrices_of_bf16_features_are_float32_and_their_gradient_is_bf16() -> None:
    torch.manual_seed(0)
    features = torch.rand(2, 6, 40, 40).bfloat16().requires_grad_()
    exact = features.detach().float().requires_grad_()
    gram, expected = gram_matrix(features), gram_matrix(exact)
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, expected, rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(gram.square().sum(), features)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(
        gradient.float(), torch.autograd.grad(expected.square().sum(), exact)[0], rtol=0.02, atol=0
    )
