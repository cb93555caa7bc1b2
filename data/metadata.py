"""What an image file says of its picture: who took it, when, where and with what."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ExifTags, Image

_KEPT_FOLDERS = {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}
_KEPT_TAGS = _KEPT_FOLDERS | {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
}  # not the orientation, which is applied, nor how the pixels were stored


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file beside its pixels."""

    exif: bytes = b""
    """Who took it, when, where and with what; empty for none."""


NO_METADATA = Metadata()


def metadata_of(image: Image.Image) -> Metadata:
    """Return what an image file says of its picture."""
    return Metadata(exif=_exif_of(image))


def _exif_of(image: Image.Image) -> bytes:
    """Return what EXIF says of how a photo came about; empty for none, and for a damaged one."""
    try:
        found, kept = image.getexif(), Image.Exif()
        for tag in _KEPT_TAGS & found.keys():
            kept[tag] = found.get_ifd(tag) if tag in _KEPT_FOLDERS else found[tag]
        return kept.tobytes() if len(kept) else b""
    except Exception:  # as many kinds as there are ways to damage it; the picture matters more
        return b""
