"""What the transformation network is made of, for every engine alike, without torch.

Axes: C channels, K kernel.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

NORMS = ("instance", "batch")
UPSAMPLES = ("fractional3", "fractional4", "resize")
PADDINGS = ("reflect", "reflect-start", "zero")
OUTPUTS = ("tanh", "linear")
MIN_SIZE_PX = 16
STRIDE = 4  # two convolutions of stride 2: inside, a photo is four times smaller


def check_choices(norm: str, upsample: str, padding: str, output: str) -> None:
    """Raise ValueError for a choice that there is not."""
    for value, choices in (
        (norm, NORMS),
        (upsample, UPSAMPLES),
        (padding, PADDINGS),
        (output, OUTPUTS),
    ):
        if value not in choices:
            raise ValueError(f"{value!r}; expected one of {', '.join(choices)}")


def weight_shapes(
    width: int = 32,
    num_blocks: int = 5,
    norm: str = "instance",
    upsample: str = "fractional4",
    padding: str = "reflect",
    output: str = "tanh",
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of `TransformerNet` with these arguments, by its name.

    Raises ValueError for a choice that there is not.
    """
    check_choices(norm, upsample, padding, output)
    half, quarter = 2 * width, 4 * width
    up1, up2, last = (f"{num_blocks + i}" for i in (3, 4, 5))
    convs = {
        "0.0.conv": (width, 3, 9, 9),
        "1.0.conv": (half, width, 3, 3),
        "2.0.conv": (quarter, half, 3, 3),
        f"{last}.conv": (3, width, 9, 9),
    }
    norms = {"0.1": width, "1.1": half, "2.1": quarter, f"{up1}.1": half, f"{up2}.1": width}
    for i in range(3, 3 + num_blocks):
        convs[f"{i}.body.0.0.conv"] = convs[f"{i}.body.1.conv"] = (quarter, quarter, 3, 3)
        norms[f"{i}.body.0.1"] = norms[f"{i}.body.2"] = quarter
    for name, channels_in, channels_out in ((up1, quarter, half), (up2, half, width)):
        if upsample == "resize":
            convs[f"{name}.0.1.conv"] = (channels_out, channels_in, 3, 3)
        else:
            kernel = int(upsample[-1])
            convs[f"{name}.0.conv"] = (channels_in, channels_out, kernel, kernel)

    shapes: dict[str, tuple[int, ...]] = {f"layers.{k}.weight": v for k, v in convs.items()}
    shapes[f"layers.{last}.conv.bias"] = (3,)
    for name, channels in norms.items():
        of_channels = ["weight", "bias"]
        if norm == "batch":
            of_channels += ["running_mean", "running_var"]
            shapes[f"layers.{name}.num_batches_tracked"] = ()
        shapes |= {f"layers.{name}.{key}": (channels,) for key in of_channels}
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
