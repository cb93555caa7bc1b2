"""Pictures in memory: uint8 arrays, H rows × W columns × 3. Nothing here takes torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
"""H × W × 3, 0…255 (H × W for masks and transparency)."""
Array = npt.NDArray[Any]
Picture = Image.Image


def as_picture(pixels: Pixels, alpha: Pixels | None = None) -> Picture:
    """Return pixels as a PIL image, RGBA where there is an alpha."""
    image = Image.fromarray(pixels)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image
