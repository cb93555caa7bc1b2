"""Colours to sRGB, from whatever an image file says that its values mean."""

from __future__ import annotations

import io
import struct
from functools import cache, lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from data.cicp import HDR_PRIMARIES, Cicp, profile_of_png
from data.hdr import DEFAULT_PEAK_NITS, tone_mapped
from data.lab import lab_to_srgb
from data.pixels import Array, Pixels
from data.samples import WHITE, Samples, samples_of

Info = dict[Any, Any]
Notices = tuple[str, ...]
RELATIVE = ImageCms.Intent.RELATIVE_COLORIMETRIC
DEVICE_SPACES = {b"GRAY": "GRAY", b"RGB ": "RGB", b"CMYK": "CMYK"}
"""A profile's own name for its colours, and ours."""
UNUSABLE = "its colour profile is not used: it is damaged or of an unusual kind"
TONE_MAPPED = "its HDR light is not kept: it is tone-mapped to sRGB"
NAMES = {"GRAY": "grey", "RGB": "RGB", "CMYK": "CMYK"}
CICP = "cicp"
"""The key of an image's `info` that holds a `Cicp`; HEIC has one of its own."""


class UnusableProfile(ValueError):
    """An ICC profile that converts nothing."""


def to_srgb(image: Image.Image) -> tuple[Image.Image, Notices]:
    """Return a PIL image of any mode as L, RGB or RGBA in sRGB, and what is guessed or lost.

    Its `info` says what its values mean: CICP, an ICC profile, or PNG's gAMA and cHRM.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return samples_to_srgb(samples_of(image), image.info)
    if image.mode in ("La", "RGBa"):  # its colours are multiplied by its alpha
        image = image.convert(image.mode.upper())
    alpha, picture = _alpha_of(image), image
    if image.mode in ("1", "LA"):
        picture = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        picture = image.convert("RGB")
    picture, notices = _converted(picture, image.info)
    if alpha is not None:
        picture = picture.convert("RGB")
        picture.putalpha(alpha)
    return picture, notices


def _alpha_of(image: Image.Image) -> Image.Image | None:
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        return image.convert("RGBA").getchannel("A")
    return None


def _converted(image: Image.Image, info: Info) -> tuple[Image.Image, Notices]:
    """Return an image of mode L, RGB, CMYK or LAB as L or RGB in sRGB, and notices."""
    space = {"L": "GRAY"}.get(image.mode, image.mode)
    cicp = cicp_of_info(info)
    if cicp and cicp.hdr and space in ("GRAY", "RGB"):
        return Image.fromarray(_tone_mapped(np.asarray(image.convert("RGB")), cicp)), (TONE_MAPPED,)
    if image.mode == "LAB":
        codes = np.asarray(image)
        signed = codes[..., 1:].view(np.int8)
        lab = np.concatenate([codes[..., :1] * (100 / 255), signed], -1)
        return Image.fromarray(_rounded(lab_to_srgb(lab))), ()
    profile, notices = _profile_for(info, space)
    if profile is not None:
        if space == "GRAY" and _space_of(profile) == "RGB":
            image = image.convert("RGB")
        try:
            if transform := _transform_to_srgb(profile, image.mode):
                image = ImageCms.applyTransform(image, transform) or image
        except UnusableProfile:
            notices = (UNUSABLE,)
    return image if image.mode in ("L", "RGB") else image.convert("RGB"), notices


def samples_to_srgb(samples: Samples, info: Info) -> tuple[Image.Image, Notices]:
    """Return values of 16 bits as `to_srgb` returns an image; nothing is rounded before."""
    values, space, cicp = samples.values, samples.space, cicp_of_info(info)
    notices: Notices = ()
    if cicp and cicp.hdr and space in ("GRAY", "RGB"):
        pixels = _tone_mapped(np.broadcast_to(values, (*values.shape[:2], 3)), cicp)
        notices = (TONE_MAPPED,)
    else:
        profile, notices = _profile_for(info, space)
        if space == "GRAY" and profile is not None and _space_of(profile) == "RGB":
            values, space = np.repeat(values, 3, 2), "RGB"
        try:
            pixels = _eight_bits(values, space, profile)
        except UnusableProfile:
            pixels, notices = _eight_bits(values, space, None), (UNUSABLE,)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if samples.alpha is not None:
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(_rounded(samples.alpha)))
    return image, (*samples.notices, *notices)


def _eight_bits(values: Array, space: str, profile: bytes | None) -> Pixels:
    if profile is not None:
        return _transformed(values, space, profile)
    if space == "CMYK":  # as Pillow converts one without a profile
        values = (WHITE - values[..., 3:]).astype(np.float32) / WHITE * (WHITE - values[..., :3])
        return np.rint(values / 257).astype(np.uint8)
    return _rounded(values)


def _transformed(values: Array, space: str, profile: bytes) -> Pixels:
    """Return 16 bits in a profile's colours as sRGB; Pillow has only 8. Raises UnusableProfile."""
    import imagecodecs

    try:
        pixels: Pixels = imagecodecs.cms_transform(
            values[..., 0] if space == "GRAY" else values,
            profile,
            srgb_profile(),
            colorspace=space.lower(),
            outcolorspace="rgb",
            outdtype="uint8",
            intent=int(RELATIVE),
            # of 1 channel its shortcut is 10 levels off in the shadows
            flags=int(imagecodecs.CMS.FLAGS.NOOPTIMIZE) if space == "GRAY" else 0,
        )
    except RuntimeError as error:
        raise UnusableProfile(str(error)) from error
    return pixels


def _rounded(values: Array) -> Pixels:
    """Return 0…65535 as 0…255. In whole numbers: (v + 128) // 257 is v / 257, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _tone_mapped(values: Array, cicp: Cicp) -> Pixels:
    peak = cicp.peak_nits or DEFAULT_PEAK_NITS
    return tone_mapped(values, cicp.hdr, HDR_PRIMARIES[cicp.primaries], peak)


def cicp_of_info(info: Info) -> Cicp | None:
    """Return what a PIL image's `info` says of CICP, unless it is sRGB or there is a profile."""
    found, nclx = info.get(CICP), info.get("nclx_profile")
    if not isinstance(found, Cicp) and isinstance(nclx, dict) and not info.get("icc_profile"):
        found = Cicp(
            int(nclx.get("color_primaries", 2)), int(nclx.get("transfer_characteristics", 2))
        )
    return found if isinstance(found, Cicp) and not found.is_srgb else None


def _profile_for(info: Info, space: str) -> tuple[bytes | None, Notices]:
    """Return the ICC profile that fits an image's values; None where they are sRGB's."""
    cicp = cicp_of_info(info)
    if cicp and (cicp.is_known or not info.get("icc_profile")):
        if space not in ("GRAY", "RGB"):
            return None, ()
        known = cicp.profile
        said = f"{cicp.primaries} and {cicp.transfer}"
        return known, () if known else (f"its colours are taken as sRGB: CICP {said} is not known",)
    profile = info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return profile_of_png(info, space == "GRAY") if space in ("GRAY", "RGB") else None, ()
    found = _space_of(profile)
    if found == space or (found == "RGB" and space == "GRAY"):
        return profile, ()
    if not found:
        return None, (UNUSABLE,)
    return None, (f"its colour profile is not used: it is for {NAMES[found]}, not {NAMES[space]}",)


def _space_of(profile: bytes) -> str:
    """Return GRAY, RGB or CMYK; nothing for what converts no such colours."""
    return DEVICE_SPACES.get(profile[16:20], "")  # ICC.1:2022, 7.2.6


@lru_cache(maxsize=16)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what converts pixels of a mode from a profile to sRGB; None if it changes nothing.

    Most profiles are sRGB's own, under many names: one that changes no colour by more than a level
    of 255 changes none. Raises UnusableProfile.
    """
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(opened, _srgb(), mode, "RGB", RELATIVE)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnusableProfile(str(error)) from error
    if mode == "RGB":
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3)
        converted = ImageCms.applyTransform(Image.fromarray(colours), transform)
        if np.abs(np.asarray(converted, np.int16) - colours).max() <= 1:
            return None
    return transform


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def srgb_profile() -> bytes:
    profile: bytes = _srgb().tobytes()
    # Its date is now: the same picture would be another file a second later (ICC.1:2022, 7.2.8).
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
