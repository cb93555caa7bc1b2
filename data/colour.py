"""Colours to sRGB, from whatever an image file says that its values mean."""

from __future__ import annotations

import io
import struct
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageCms


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float32)
        if image.mode != "F":
            values /= 65535
        elif values.max(initial=0) > 1:
            values /= 255
        values = np.clip(np.nan_to_num(values), 0, 1) * 255
        return Image.fromarray(np.rint(values).astype(np.uint8))
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    alpha = image.convert("RGBA").getchannel("A") if transparent else None
    if profile and image.mode in ("L", "RGB", "RGBA", "CMYK"):
        source = image.convert("RGB") if image.mode == "RGBA" else image
        if transform := _transform_to_srgb(profile, source.mode):
            image = ImageCms.applyTransform(source, transform) or image
    if alpha is not None:
        image = image.convert("RGB")
        image.putalpha(alpha)
    return image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what converts pixels of a mode from an embedded profile to sRGB, or None.

    Most profiles are sRGB's own, under many names: one that changes no colour by more than a level
    of 255 changes none. One that does not fit its pixels is worth less than the pixels.
    """
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "RGB":
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3)
        converted = ImageCms.applyTransform(Image.fromarray(colours), transform)
        if np.abs(np.asarray(converted, np.int16) - colours).max() <= 1:
            return None
    return transform


@cache
def srgb_profile() -> bytes:
    profile: bytes = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Its date is now: the same picture would be another file a second later (ICC.1:2022, 7.2.8).
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
