"""A trained style, ready to paint: what every program uses, whatever engine does the work."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, overload

from data.images import as_photo
from data.pixels import Picture, Pixels, as_picture
from errors import UserError
from inference.grain import GRAIN, MAX_GRAIN, with_grain
from inference.memory import fits_whole
from models.layout import MIN_SIZE_PX, STRIDE
from models.style_file import StyleInfo, find_style

if TYPE_CHECKING:  # it takes torch
    from inference.tiling import TiledPainter

ENGINES = ("auto", "openvino", "torch")
MARGIN_PX = 24
"""So much of a photo is mirrored around it and painted with it: networks paint a line along the
edge of what they see, some a strip (docs/painting.md)."""
MARGINS_PX = range(0, 33, STRIDE)
"""Whole pixels of the quarter size."""


class Engine(Protocol):
    """What runs the network."""

    info: StyleInfo
    precision: str

    def paint(self, photo: Pixels) -> Pixels:
        """Return the painting of an H × W × 3 photo, of its size."""


class Stylizer:
    """One style on one device: `Stylizer("starry_night")(photo)`."""

    def __init__(
        self,
        style: str | Path,
        device: str = "auto",
        *,
        precision: str = "auto",
        engine: str = "auto",
        tile_px: int = 0,
        grain: int = GRAIN,
        margin_px: int = MARGIN_PX,
    ) -> None:
        """Load a style by its name in styles/ or by its file.

        `engine` auto is OpenVINO on the CPU where it is installed, else PyTorch. `tile_px` paints
        in tiles of that side (0: only photos that memory would not hold whole). `grain` is noise,
        in levels of 255, for flat areas, which get no strokes else (0: none). `margin_px` is how
        much is mirrored around a photo and painted with it, then cropped (`MARGINS_PX`). Raises
        UserError, TypeError for a style that is no name or path.
        """
        if not isinstance(style, str | os.PathLike):
            raise TypeError(
                f"a style of type {type(style).__name__}; expected its name or the path of its file"
            )
        if not 0 <= grain <= MAX_GRAIN:
            raise UserError(
                f"--grain {grain}: expected 0 to {MAX_GRAIN}. Leave it out for {GRAIN}."
            )
        if margin_px not in MARGINS_PX:
            raise UserError(
                f"--margin-px {margin_px}: expected a multiple of {STRIDE} from 0 to "
                f"{MARGINS_PX[-1]}. Leave it out for {MARGIN_PX}."
            )
        self.path = find_style(str(style))
        self.tile_px, self.grain, self.margin_px = tile_px, grain, margin_px
        self.device, self.precision = device, precision
        self.engine = self._open(engine)
        self.info = self.engine.info
        self._tiled: TiledPainter | None = None
        self._lock = threading.Lock()

    @overload
    def __call__(self, photo: Pixels) -> Pixels: ...
    @overload
    def __call__(self, photo: Picture) -> Picture: ...
    def __call__(self, photo: Picture | Pixels) -> Picture | Pixels:
        """Return the painting of a photo, of its size and kind.

        `photo` is a PIL image, which is painted upright, in sRGB and keeps its transparency, as
        stylize.py has it; or pixels, a uint8 array, H × W × 3. Raises UserError for a side under
        16 px, ValueError for an array of another shape or dtype, TypeError for anything else.
        Threads may share it: one photo is painted at a time, with all cores.
        """
        given = as_photo(photo)
        height, width = given.pixels.shape[:2]
        if min(height, width) < MIN_SIZE_PX:
            raise UserError(
                f"{width} x {height} px; expected at least {MIN_SIZE_PX} px a side. Enlarge it."
            )
        with self._lock:
            grainy = with_grain(given.pixels, self.grain)
            painting = self._paint(grainy, None if grainy is given.pixels else grainy)
        return painting if photo is given.pixels else as_picture(painting, given.alpha)

    def _paint(self, pixels: Pixels, into: Pixels | None) -> Pixels:
        """Return the painting; tiles are written into an array, where there is one to spare."""
        height, width = pixels.shape[:2]
        if self.tile_px or not fits_whole(height * width):
            return self._paint_in_tiles(pixels, into)
        try:
            return self.engine.paint(pixels)
        except RuntimeError as error:
            if type(error).__name__ != "OutOfMemoryError":  # torch's, which may not be imported
                raise
        print(
            f"notice: {width} x {height} px are more than {getattr(self.engine, 'device', '')} "
            "holds at once; painting in tiles",
            file=sys.stderr,
        )
        return self._paint_in_tiles(pixels, into)

    def _open(self, engine: str) -> Engine:
        on_cpu = self.device == "cpu" or (self.device == "auto" and not _may_have_gpu())
        if engine not in ENGINES:
            raise UserError(f"--engine {engine}: expected one of {', '.join(ENGINES)}. Use auto.")
        if engine == "openvino" and not (on_cpu and find_spec("openvino")):
            raise UserError(
                f"--engine openvino: not with --device {self.device} or not installed; expected "
                "auto or torch. Use auto, or pip install openvino."
            )
        if engine != "torch" and on_cpu and find_spec("openvino"):
            from inference.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(self.path, self.precision, self.margin_px)
        from inference.torch_engine import TorchEngine

        return TorchEngine(self.path, self.device, self.precision, self.margin_px)

    def _paint_in_tiles(self, pixels: Pixels, into: Pixels | None) -> Pixels:
        from inference.tiling import TILE_PX, TiledPainter
        from inference.torch_engine import TorchEngine

        if self._tiled is None:
            engine = self.engine
            if not isinstance(engine, TorchEngine):
                # torch has no int8, and before 2.10 does not know of a CPU's bf16
                precision = "fp32" if engine.precision == "fp32" else "auto"
                engine = TorchEngine(self.path, "cpu", precision)
            tile_px = self.tile_px or TILE_PX
            self._tiled = TiledPainter(engine.network, engine.device, tile_px, self.margin_px)
        return self._tiled.paint(pixels, into)


def _may_have_gpu() -> bool:
    """Return whether it is worth a second to ask torch for a GPU."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    except OSError:
        return False
    return True
