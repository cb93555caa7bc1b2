"""What the transformation network is made of, for every engine alike, without torch.

Axes: C channels, K kernel.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

NORMS = ("instance", "batch")
UPSAMPLES = ("fractional3", "fractional4", "resize")
PADDINGS = ("reflect", "reflect-start", "zero")
OUTPUTS = ("tanh", "linear")
STEM_STRIDES = (1, 2)
MIN_SIZE_PX = 16
STRIDE = 4  # two convolutions of stride 2: inside, a photo is four times smaller
OUTPUT_KERNEL = 8
"""Of the last layer where it doubles: an axis has two taps for each phase of the grid, 4 px."""


def check_choices(norm: str, upsample: str, padding: str, output: str, stem_stride: int) -> None:
    """Raise ValueError for a choice that there is not."""
    for value, choices in (
        (norm, NORMS),
        (upsample, UPSAMPLES),
        (padding, PADDINGS),
        (output, OUTPUTS),
        (stem_stride, STEM_STRIDES),
    ):
        if value not in choices:
            raise ValueError(f"{value!r}; expected one of {', '.join(map(str, choices))}")


def channels_inward(width: int, stem_stride: int) -> tuple[int, ...]:
    """Return how many channels there are from the first layer inward, the blocks' last."""
    return (width, 2 * width, 4 * width)[: 4 - stem_stride]


def doubling_border(kernel: int, reflects: bool) -> tuple[int, int]:
    """Return how many pixels a fractional convolution reflects a side, and crops, to double a size.

    It crops what the kernel hangs over, and what comes of the reflected pixels.
    """
    reflect_px = max(1, kernel // 4) if reflects else 0
    return reflect_px, (kernel - 1) // 2 + 2 * reflect_px


def weight_shapes(
    width: int = 32,
    num_blocks: int = 5,
    norm: str = "instance",
    upsample: str = "fractional4",
    padding: str = "reflect",
    output: str = "tanh",
    stem_stride: int = 1,
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of `TransformerNet` with these arguments, by its name.

    Raises ValueError for a choice that there is not.
    """
    check_choices(norm, upsample, padding, output, stem_stride)
    inward = channels_inward(width, stem_stride)
    most, outward = inward[-1], inward[::-1]
    first_block, first_up = len(inward), len(inward) + num_blocks
    last = first_up + len(inward) - 1
    convs = {"0.0.conv": (width, 3, 9, 9)}
    norms = {"0.1": width}
    for i, (few, many) in enumerate(pairwise(inward), start=1):
        convs[f"{i}.0.conv"] = (many, few, 3, 3)
        norms[f"{i}.1"] = many
    for i in range(first_block, first_up):
        convs[f"{i}.body.0.0.conv"] = convs[f"{i}.body.1.conv"] = (most, most, 3, 3)
        norms[f"{i}.body.0.1"] = norms[f"{i}.body.2"] = most
    for i, (many, few) in enumerate(pairwise(outward), start=first_up):
        if upsample == "resize":
            convs[f"{i}.0.1.conv"] = (few, many, 3, 3)
        else:
            kernel = int(upsample[-1])
            convs[f"{i}.0.conv"] = (many, few, kernel, kernel)
        norms[f"{i}.1"] = few
    convs[f"{last}.conv"] = (
        (3, width, 9, 9) if stem_stride == 1 else (width, 3, OUTPUT_KERNEL, OUTPUT_KERNEL)
    )

    shapes: dict[str, tuple[int, ...]] = {f"layers.{k}.weight": v for k, v in convs.items()}
    shapes[f"layers.{last}.conv.bias"] = (3,)
    for name, num_channels in norms.items():
        of_channels = ["weight", "bias"]
        if norm == "batch":
            of_channels += ["running_mean", "running_var"]
            shapes[f"layers.{name}.num_batches_tracked"] = ()
        shapes |= {f"layers.{name}.{key}": (num_channels,) for key in of_channels}
    return shapes


def grid_px(upsample: str, output: str) -> int:
    """Return the period of the grid that the last layer averages away; 1 for none.

    The paper's network, and those trained by others, have their grid.
    """
    return 1 if upsample == "fractional3" or output == "linear" else STRIDE


def shift_cancels(norm: str, upsample: str, padding: str) -> bool:
    """Return whether a constant added to a channel before an upsampling cancels after it.

    Borders of zeros show it, and so does the paper's kernel, which covers pixels unevenly; batch
    normalisation takes out the mean of other photos.
    """
    return norm == "instance" and upsample != "fractional3" and padding == "reflect"


@cache
def balancing_matrix(kernel: int, period: int) -> npt.NDArray[np.float64]:
    """Return the K² × K² matrix that balances a kernel's taps: `taps @ matrix`, taps row by row.

    The taps of a K × K kernel fall into period² phases, those that stand `period` px apart, and
    each phase gets the same sum; the whole sum stays, and each tap of a phase changes alike.
    """
    phase = np.arange(kernel) % period
    phase = (phase[:, None] * period + phase).ravel()  # K²
    member = np.eye(period**2)[phase]  # K² × period²
    # Each phase's sum less the mean of all sums, spread evenly over the phase's taps.
    excess = member @ (np.eye(period**2) - 1 / period**2) @ (member / member.sum(0)).T
    matrix: npt.NDArray[np.float64] = np.eye(kernel**2) - excess
    matrix.setflags(write=False)
    return matrix
