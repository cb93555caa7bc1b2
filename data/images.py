"""Image files in and out: the one place where 0…255, EXIF and colour profiles exist.

Axes: B images, C channels, H rows, W columns.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageCms, ImageDraw, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
ALPHA_SUFFIXES = (".png", ".webp", ".tif", ".tiff")
JPEG_QUALITY = 95
MAX_PIXELS = 500_000_000
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit only warns; `_open` refuses above ours
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "MPO")


Pixels = npt.NDArray[np.uint8]
"""H × W × 3, 0…255: decoded photos on their way to a crop."""


class ImageError(UserError):
    """A file that is no readable image."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo, upright, in sRGB."""

    rgb: Tensor
    """1 × 3 × H × W in [0, 1]."""
    alpha: Tensor | None
    """1 × 1 × H × W in [0, 1], or None where the file has no transparency."""


def read_photo(path: Path, longer_px: int = 0) -> Photo:
    """Return the photo of a JPEG, PNG, WebP, TIFF or BMP file in any of their modes.

    EXIF orientation is applied, an embedded colour profile converted to sRGB, 16 bits kept; what is
    fully transparent, and so has no colour of its own, becomes white. The longer side is made
    `longer_px` (0: as it is). Raises ImageError.
    """
    image = _open(_read_bytes(path), str(path))
    if longer_px:
        image = resize(image, longer_px / max(image.size))
    alpha = None
    if image.mode == "RGBA":
        alpha = to_tensor(image.getchannel("A"))
    rgb = to_tensor(image if image.mode == "F" else image.convert("RGB"))
    if image.mode == "F":
        rgb = rgb.expand(1, 3, -1, -1).contiguous()
    if alpha is not None:
        rgb = torch.where(alpha > 0, rgb, torch.ones(()))
    return Photo(rgb, alpha)


def open_rgb(content: bytes, name: str, min_side_px: int = 0) -> Image.Image:
    """Return an upright sRGB image in mode RGB from a file's content.

    With `min_side_px` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves its shorter
    side at least so long. Raises ImageError that starts with `name`.
    """
    image = _open(content, name, min_side_px)
    if image.mode == "F":
        image = Image.fromarray(np.asarray(image) * np.float32(255)).convert("L")
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def read_rgb(
    path: Path, *, shorter_px: int = 0, longer_px: int = 0, square: bool = False
) -> Tensor:
    """Return an image file as `decode_rgb` does. Raises ImageError."""
    content = _read_bytes(path)
    return decode_rgb(content, str(path), shorter_px=shorter_px, longer_px=longer_px, square=square)


def decode_rgb(
    content: bytes,
    name: str,
    *,
    shorter_px: int = 0,
    longer_px: int = 0,
    square: bool = False,
) -> Tensor:
    """Return a file's content as 1 × 3 × H × W in [0, 1], resized and centre-cropped as asked.

    `shorter_px` or `longer_px` is the length of that side afterwards (0: as it is); `square` crops
    the centre. Raises ImageError that starts with `name`.
    """
    image = open_rgb(content, name)
    if shorter_px:
        image = resize(image, shorter_px / min(image.size))
    elif longer_px:
        image = resize(image, longer_px / max(image.size))
    if square:
        image = ImageOps.fit(image, (min(image.size),) * 2)
    return to_tensor(image)


def write_image(path: Path, rgb: Tensor, alpha: Tensor | None = None) -> None:
    """Write 1 × 3 × H × W in [0, 1] under the format of the path's suffix, rounded to 8 bits.

    `alpha` (1 × 1 × H × W) is kept where the format has transparency and put on white where it has
    none. The file is written beside and renamed, so a failure leaves what was there. Raises
    UserError for a suffix we do not write or a place that cannot be written.
    """
    check_writable(path)
    suffix = path.suffix.lower()
    if alpha is not None and suffix not in ALPHA_SUFFIXES:
        rgb, alpha = rgb * alpha + (1 - alpha), None
    image = to_image(rgb)
    if alpha is not None:
        image.putalpha(to_image(alpha))
    options: dict[str, Any] = {}
    if suffix in (".jpg", ".jpeg", ".webp"):
        options = {"quality": JPEG_QUALITY}
    if suffix in (".jpg", ".jpeg"):
        options["subsampling"] = 0
    if suffix in (".tif", ".tiff"):
        options = {"compression": "tiff_lzw"}
    beside = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(beside, **options)
        os.replace(beside, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); expected a folder with room "
            "and permission. Choose another with -o."
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise UserError, before any work is done, for a path that `write_image` could not write."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: suffix {path.suffix!r}; expected one of {', '.join(SUFFIXES)}.")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(
            f"{path}: {'is a folder' if path.is_dir() else f'{folder} cannot be written to'}; "
            "expected a file in a folder with permission. Choose another with -o."
        )


def resize(
    image: Image.Image, factor: float, resample: int = Image.Resampling.BICUBIC
) -> Image.Image:
    """Return the image `factor` times as large, antialiased, each side at least 1 px."""
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image if image.size == (width, height) else image.resize((width, height), resample)


def resized_square(pixels: Pixels, side_px: int) -> Pixels:
    """Return square pixels resized to `side_px` × `side_px` × 3, antialiased."""
    image = Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.BICUBIC)
    return np.array(image)


def unit_range(pixels: Tensor) -> Tensor:
    """Return uint8 values of any shape as float32 in [0, 1]."""
    return pixels.to(torch.float32) / 255


def to_tensor(image: Image.Image) -> Tensor:
    """Return an image of mode L, F, or RGB as 1 × C × H × W in [0, 1] (mode F already is)."""
    array = np.asarray(image)
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / np.float32(255)
    tensor = torch.from_numpy(np.array(array, copy=True))
    tensor = tensor.unsqueeze(-1) if tensor.ndim == 2 else tensor  # H × W × C
    return tensor.permute(2, 0, 1).unsqueeze(0).contiguous()


def to_image(tensor: Tensor) -> Image.Image:
    """Return 1 × C × H × W in [0, 1] as an 8-bit image, C 1 or 3, rounded to the nearest value."""
    array = tensor.detach().clamp(0, 1).mul(255).round().to("cpu", torch.uint8)[0]
    return Image.fromarray(array.permute(1, 2, 0).squeeze(-1).contiguous().numpy())


def picture_grid(
    rows: Sequence[Sequence[Tensor]],
    titles: Sequence[str] = (),
    cell_px: int = 256,
    gap_px: int = 6,
) -> Tensor:
    """Return pictures side by side as one, 1 × 3 × H × W, each fitted into a square of `cell_px`.

    `rows` holds rows of 1 × 3 × H × W images in [0, 1]; `titles` stand above the columns.
    """
    columns = max(len(row) for row in rows)
    top = 22 if titles else 0
    pitch = cell_px + gap_px
    sheet = Image.new("RGB", (columns * pitch + gap_px, top + len(rows) * pitch + gap_px), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            cell = ImageOps.contain(to_image(picture), (cell_px, cell_px), Image.Resampling.LANCZOS)
            left = gap_px + x * pitch + (cell_px - cell.width) // 2
            sheet.paste(cell, (left, top + gap_px + y * pitch + (cell_px - cell.height) // 2))
    draw = ImageDraw.Draw(sheet)
    for x, title in enumerate(titles):
        draw.text(
            (gap_px + x * pitch + cell_px / 2, top / 2 + 2),
            title,
            "black",
            anchor="mm",
            font_size=14,
        )
    return to_tensor(sheet)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{path}: {error.strerror or error}; expected an image file. Check the path."
        ) from error


def _open(content: bytes, name: str, min_side_px: int = 0) -> Image.Image:
    """Return an upright sRGB image in mode L, RGB, RGBA or F (grey beyond 8 bits, in [0, 1])."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata: the pixels decide
            image: Image.Image = Image.open(io.BytesIO(content), formats=_FORMATS)
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{name}: {width} x {height} px; expected at most {MAX_PIXELS:,} pixels. "
                    "Make it smaller first."
                )
            if min_side_px and isinstance(image, ImageFile.ImageFile):
                scale = min(width, height) / min_side_px
                if scale >= 2:
                    image.draft(None, (int(width / scale), int(height / scale)))
            image.load()
            profile = image.info.get("icc_profile")
            image = ImageOps.exif_transpose(image)
            return _to_srgb(image, profile)
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for one cause: a bad file
        if isinstance(error, MemoryError):
            raise
        reason = "not an image we know" if isinstance(error, UnidentifiedImageError) else error
        raise ImageError(
            f"{name}: cannot be read ({reason}); expected a JPEG, PNG, WebP, TIFF or BMP file. "
            "Replace or remove it."
        ) from error


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float32)
        if image.mode != "F":
            values /= 65535
        elif values.max(initial=0) > 1:
            values /= 255
        return Image.fromarray(np.clip(np.nan_to_num(values), 0, 1))
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if transparent else None
    if profile and image.mode in ("L", "RGB", "RGBA", "CMYK"):
        source = image.convert("RGB") if image.mode == "RGBA" else image
        try:
            converted = ImageCms.profileToProfile(
                source,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
            )
            image = converted or image
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a profile that does not fit its pixels is worth less than the pixels
    if alpha is not None:
        image = image.convert("RGB")
        image.putalpha(alpha)
    return image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
