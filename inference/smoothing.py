"""Less flicker: frames that follow the film's motion instead of its noise.

Frames are uint8, H rows × W columns × 3.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from data.pixels import Array, Pixels
from errors import UserError
from inference.effects import luma
from models.layout import STRIDE

TRUST = 12.0
"""Difference of luma, 0 to 255, at which the motion explains a pixel only to 1/e."""
PHOTO_SHARE = 0.7
PAINTING_SHARE = 0.5
"""How much of a frame comes from the one before where the motion explains it, at most."""


class Smoother:
    """Paints frames in order, so that strokes move with the scene.

    A network of stride 4 paints other strokes when the scene moves by anything but 4 px, and that,
    more than noise, is what flickers (docs/painting.md). So each frame is shifted by the few
    pixels that bring the scene back to where the strokes were, painted, and shifted back. What
    flickers still is mixed with the frame before, moved along: the photo, so that noise does not
    reach the network, and the painting. Motion is dense inverse search (Kroeger et al. 2016, by
    OpenCV).
    """

    def __init__(self, smooth: float) -> None:
        """Take a share of 0 to 1. Raises UserError where OpenCV is not installed."""
        self.cv2 = _cv2()
        self.smooth = smooth
        self.flow = self.cv2.DISOpticalFlow_create(self.cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self.pan_px = np.zeros(2)  # of the scene, since the first frame (x, y)
        self.before: tuple[Pixels, Pixels, Pixels] | None = None  # its grey, photo, painting

    def __call__(self, photo: Pixels, paint: Callable[[Pixels], Pixels]) -> Pixels:
        """Return the painting of the next frame; `paint` paints one."""
        grey = np.rint(luma(photo)).astype(np.uint8)
        if self.before is None or self.before[0].shape != grey.shape:
            self.pan_px = np.zeros(2)
            self.before = grey, photo, paint(photo)
            return self.before[2]
        old_grey, old_photo, old_painting = self.before
        # H × W × 2: where each pixel was in the frame before, less where it is
        flow = self.flow.calc(grey, old_grey, None)
        old_photo, old_painting = self._moved(old_photo, flow), self._moved(old_painting, flow)
        away = self.cv2.GaussianBlur(luma(photo) - luma(old_photo), (0, 0), 1.5)  # but for noise
        trust = self.smooth * np.exp(-np.square(away / TRUST))[..., None]
        photo = _mixed(photo, old_photo, PHOTO_SHARE * trust)
        self.pan_px += np.median(flow.reshape(-1, 2), 0)
        shift_px = (self.pan_px + STRIDE / 2) % STRIDE - STRIDE / 2
        painting = self._shifted(paint(self._shifted(photo, shift_px)), -shift_px)
        painting = _mixed(painting, old_painting, PAINTING_SHARE * trust)
        self.before = grey, photo, painting
        return painting

    def _moved(self, picture: Pixels, flow: Array) -> Pixels:
        cv2 = self.cv2
        rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
        where = flow + np.stack([columns, rows], -1)
        moved: Pixels = cv2.remap(
            picture, where, None, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT
        )
        return moved

    def _shifted(self, picture: Pixels, by_px: Array) -> Pixels:
        cv2 = self.cv2
        matrix = np.array([[1, 0, by_px[0]], [0, 1, by_px[1]]], np.float32)
        size = picture.shape[1], picture.shape[0]
        shifted: Pixels = cv2.warpAffine(
            picture, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT
        )
        return shifted


def _mixed(new: Pixels, old: Pixels, share: Array) -> Pixels:
    mixed: Pixels = np.rint(new * (1 - share) + old * share).astype(np.uint8)
    return mixed


def _cv2() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise UserError(
            "--smooth: OpenCV is not installed; expected the extra of films. Run: pip install "
            "'.[film]'"
        ) from error
    module: ModuleType = cv2
    return module
