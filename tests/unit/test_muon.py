"""The optimizer of kernels, against singular value decompositions."""

from __future__ import annotations

import torch

from training.muon import SCALE, Muon, orthogonalized


def test_singular_values_become_alike_and_their_vectors_stay() -> None:
    torch.manual_seed(1)
    u, _ = torch.linalg.qr(torch.randn(2, 24, 24))
    v, _ = torch.linalg.qr(torch.randn(2, 90, 24))
    spread = torch.logspace(0, -2, 24)
    matrices = orthogonalized(1e-3 * u * spread @ v.mT)
    values = u.mT @ matrices @ v  # diagonal where the vectors are still the same
    diagonal = values.diagonal(dim1=1, dim2=2)
    assert 0.6 < diagonal.min() < diagonal.max() < 1.3
    assert (values - torch.diag_embed(diagonal)).abs().max() < 1e-4


def test_a_step_moves_weights_as_far_whatever_the_gradient_and_the_shape() -> None:
    torch.manual_seed(2)
    for shape in ((32, 3, 9, 9), (128, 128, 3, 3), (128, 64, 4, 4)):
        kernel = torch.zeros(shape).to(memory_format=torch.channels_last)
        kernel.grad = 1e-6 * torch.randn(shape)
        Muon([kernel], lr=0.01).step()
        assert 0.8 < kernel.square().mean().sqrt() / (0.01 * SCALE) < 1.2
        assert (kernel * kernel.grad).sum() < 0


def test_kernels_of_one_shape_move_as_each_would_alone_and_others_stay() -> None:
    torch.manual_seed(3)
    gradients = torch.randn(5, 2, 8, 4, 3, 3)
    together = list(torch.zeros(2, 8, 4, 3, 3))
    alone = list(torch.zeros(2, 8, 4, 3, 3))
    still = torch.ones(8, 4, 3, 3)
    optimizers = [Muon([*together, still]), *(Muon([kernel]) for kernel in alone)]
    for gradient in gradients:
        for kernels in (together, alone):
            for kernel, its in zip(kernels, gradient, strict=True):
                kernel.grad = its
        for optimizer in optimizers:
            optimizer.step()
    assert torch.allclose(torch.stack(together), torch.stack(alone), atol=1e-7)
    assert torch.equal(still, torch.ones_like(still))
    # by hand: momentum m ← 0.8 m + 0.2 g, move along 0.8 m + 0.2 g
    momentum, expected = torch.zeros(8, 36), torch.zeros(8, 36)
    for gradient in gradients[:, 0].flatten(2):
        momentum = 0.8 * momentum + 0.2 * gradient
        expected -= 1e-3 * SCALE * 6 * orthogonalized((0.8 * momentum + 0.2 * gradient)[None])[0]
    assert torch.allclose(together[0].flatten(1), expected, atol=1e-6)
