"""What an optimization is given: photo, style images and masks, read at the size it paints at.

Axes: B images, C channels, H rows, W columns. A size is (height, width) in pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines.gatys import noise_image, start_image
from configs.build import build_objective
from configs.schema import INITS, Config
from data.images import read_mask, read_pixels
from data.pixels import Pixels
from data.resizing import resized
from data.tensors import read_rgb, to_pixels, to_tensor, unit_range
from errors import UserError
from losses.perceptual import StyleImage
from models.layout import MIN_SIZE_PX

NONE = "none"
"""Instead of a photo, of a style image, or of a mask."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Sources:
    """The files of an optimization."""

    photo: Path | None
    """None: a texture, of the style alone."""
    styles: list[Path]
    """Empty: the photo from its features alone."""
    weights: list[float]
    """Each style image's."""
    masks: list[Path | None]
    """Where each style image goes, of the photo's size; None: everywhere."""

    @classmethod
    def named(
        cls,
        photo: str,
        styles: Sequence[str],
        weights: Sequence[float] = (),
        masks: Sequence[str] = (),
    ) -> Sources:
        """Return the sources that a command line names. Raises UserError."""
        paths = [Path(name) for name in styles if name != NONE]
        if len(paths) < len(styles) > 1 or (photo == NONE and not paths):
            raise UserError(
                f"{photo} {' '.join(styles)}: expected a photo, style images, or both. Write "
                f"{NONE} once, for what there is not."
            )
        for option, values in (("weight", weights), ("mask", masks)):
            if values and len(values) != len(paths):
                raise UserError(
                    f"--style-{option}: {len(values)} for {len(paths)} style images; expected one "
                    "each. Give as many."
                )
        if any(not 0 < weight < float("inf") for weight in weights):
            raise UserError(
                f"--style-weight {' '.join(f'{weight:g}' for weight in weights)}: expected "
                "numbers above 0. Leave out what should not count."
            )
        return cls(
            None if photo == NONE else Path(photo),
            paths,
            list(weights) or [1.0] * len(paths),
            [None if mask == NONE else Path(mask) for mask in masks or [NONE] * len(paths)],
        )

    @property
    def stem(self) -> str:
        """What a picture of them is called."""
        photo = self.photo.stem if self.photo else "texture"
        return "_".join([photo, *(path.stem for path in self.styles)])

    def to_dict(self) -> dict[str, Any]:
        """Return the files' names and the weights."""
        return {
            "photo": self.photo.name if self.photo else NONE,
            "styles": [path.name for path in self.styles],
            "weights": self.weights,
            "masks": [mask.name if mask else NONE for mask in self.masks],
        }

    @cached_property
    def photo_pixels(self) -> Pixels | None:
        """The photo at its own size. Raises ImageError."""
        return None if self.photo is None else read_pixels(self.photo)


def picture_sizes(sources: Sources, config: Config) -> list[Size]:
    """Return the sizes to paint at, coarse to fine. Raises UserError."""
    optimize = config.optimize
    photo = sources.photo_pixels
    if photo is None:
        if not optimize.size_px:
            raise UserError("optimize.size_px: 0 without a photo; expected a size. Set it.")
        height, width = optimize.texture_height_px or optimize.size_px, optimize.size_px
    else:
        height, width = photo.shape[:2]
        scale = min(1, (optimize.size_px or max(height, width)) / max(height, width))
        height, width = (max(1, round(side * scale)) for side in (height, width))
    halvings = [2**i for i in reversed(range(optimize.num_sizes))]
    sizes = [(round(height / n), round(width / n)) for n in halvings]
    if len(sizes) > 1 and min(sizes[0]) < MIN_SIZE_PX:
        raise UserError(
            f"optimize.num_sizes: {len(sizes)} begin at {sizes[0][1]} x {sizes[0][0]} px; expected "
            f"at least {MIN_SIZE_PX} px a side. Take fewer."
        )
    return sizes


class Scene:
    """The sources at one size, and the objective that they make."""

    def __init__(
        self, sources: Sources, config: Config, size: Size, final: Size, device: torch.device
    ) -> None:
        """Read the images. Raises UserError.

        Where `size` is coarser than the `final` one, style images are coarser by as much.
        """
        self.config, self.size, self.device = config, size, device
        photo = sources.photo_pixels
        self.content = None if photo is None else self._fitted(photo)
        """The photo, 1 × 3 × H × W in [0, 1]."""
        style_px = round(config.style.size_px * max(size) / max(final))
        whole = final if photo is None else (photo.shape[0], photo.shape[1])
        styles = [
            StyleImage(read_rgb(path, longer_px=style_px).to(device), weight, self._mask(m, whole))
            for path, weight, m in zip(sources.styles, sources.weights, sources.masks, strict=True)
        ]
        self.masks = [style.mask for style in styles if style.mask is not None]
        self._everywhere = len(self.masks) < len(styles) or not styles
        loss = config.loss
        if self.content is None:
            loss = dataclasses.replace(loss, content_layers={})
        if not styles:
            loss = dataclasses.replace(loss, style_layers={})
        self.objective = build_objective(loss, styles, style_px, device)

    def start(self, coarser: Tensor | None = None) -> Tensor:
        """Return the first picture, 1 × 3 × H × W in [0, 1]: what `optimize.init` says.

        From a picture of a coarser size it is that one, enlarged. Where masks leave something out,
        it is the photo there. Raises ImageError.
        """
        optimize = self.config.optimize
        if coarser is not None:
            return self._fitted(to_pixels(coarser))
        if optimize.init not in INITS:
            start = self._fitted(read_pixels(Path(optimize.init)))
        elif self.content is not None:
            start = start_image(self.content, optimize)
        else:
            start = noise_image(*self.size, optimize.seed).to(self.device)
        if self.content is None or self._everywhere:
            return start
        inside = torch.stack(self.masks).amax(0)
        return inside * start + (1 - inside) * self.content

    def _fitted(self, pixels: Pixels) -> Tensor:
        return to_tensor(resized(pixels, self.size[::-1])).to(self.device)

    def _mask(self, path: Path | None, whole: Size) -> Tensor | None:
        """Return a mask of the `whole` photo at this size, 1 × 1 × H × W in [0, 1]."""
        if path is None:
            return None
        mask = read_mask(path, (whole[1], whole[0]))
        if not mask.any():
            raise UserError(f"{path}: black all over; expected white where the style goes. Redraw.")
        return unit_range(torch.tensor(resized(mask, self.size[::-1])))[None, None].to(self.device)
