"""What an image file says of its picture: who took it, when, where and with what, who owns it."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import ExifTags, Image

from data import iptc
from data.exif import GPS, PHOTO, Directory, Exif, Value, read_exif
from data.xmp import DEPTH_MAP, GAIN_MAP, XmpError, check

MOST_XMP = 16_000_000
"""Bytes of XMP that are read; more holds a picture, which is not the painting's."""
TAG = ExifTags.Base
XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, LAYERS_TAG = 700, 33723, 34377, 37724
RESOLUTION_TAGS = (TAG.XResolution, TAG.YResolution, TAG.ResolutionUnit)
SIZE_TAGS = (TAG.ExifImageWidth, TAG.ExifImageHeight)
INCHES, CENTIMETRES = 2, 3
_DESCRIPTIVE = {
    *(TAG.DocumentName, TAG.ImageDescription, TAG.Make, TAG.Model, TAG.PageName, TAG.Software),
    *(TAG.DateTime, TAG.Artist, TAG.HostComputer, TAG.Copyright, TAG.Rating, TAG.RatingPercent),
    *(TAG.XPTitle, TAG.XPComment, TAG.XPAuthor, TAG.XPKeywords, TAG.XPSubject),
    *(TAG.PrintImageMatching, PHOTO, GPS),
}
"""What of a TIFF's first directory every format's EXIF holds."""
_STORED = {
    *range(254, 269),
    *(*range(273, 282), *range(284, 285), *range(288, 294), 297, *range(300, 302)),
    *(*range(317, 348), 351, *range(512, 533), 559),  # but for the resolution and the texts
    *(32995, 32996, 32997, 33421, 33422, 34675, XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, LAYERS_TAG),
    *(0xEA1C, 0xEA1D),
    *range(50706, 51200),  # DNG's: of the raw values
    *range(52525, 52600),
}
"""How the pixels were stored, or what the new file says in its own way."""
_STORED_TEXTS = (b"ImageJ=", b'{"shape"')  # tifffile's
"""How descriptions begin that say how the pixels lie."""


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file beside its pixels."""

    exif: Exif = field(default_factory=Exif)
    private: Directory = field(default_factory=dict)
    """Tags of a TIFF that no other format has, in the order of `exif`."""
    dpi: tuple[float, float] | None = None
    """As the file's rows and columns lie upright."""
    xmp: tuple[str, ...] = ()
    """The packet and those that extend it."""
    iptc: bytes = b""
    rights: tuple[tuple[str, str], ...] = ()
    """What Photoshop says of them beside IPTC, by XMP's names."""
    comment: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    """Keywords and texts of a PNG."""
    size: tuple[int, int] = (0, 0)
    """Of the file's pixels, as they lie there; (0, 0) where it is not known."""
    orientation: int = 1
    """How they were turned to lie upright, as EXIF numbers it."""
    notices: tuple[str, ...] = ()
    """What could not be read."""


NO_METADATA = Metadata()


def metadata_of(image: Image.Image, content: bytes = b"") -> Metadata:
    """Return what an image file says of its picture; damaged metadata costs only itself.

    `content` is a TIFF's, for one that Pillow no longer has at hand.
    """
    notices: list[str] = []

    def tried(what: str, read: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return read()
        except Exception:  # as many kinds as there are ways to damage it; the picture matters more
            notices.append(f"the {what} metadata is not kept: it is damaged")
            return otherwise

    tiff = image.format == "TIFF"
    profiles = _raw_profiles(image)
    exif: Exif = tried("EXIF", lambda: _exif_of(image, content, profiles), Exif())
    if exif.damaged:
        notices.append("some of the EXIF metadata is not kept: it is damaged")
    left_out = _STORED | set(RESOLUTION_TAGS)
    if (said := exif.tags.get(TAG.ImageDescription)) and isinstance(said, Value):
        left_out |= {TAG.ImageDescription} if said.data.startswith(_STORED_TEXTS) else set()
        if b"<OME " in said.data:
            left_out |= {TAG.ImageDescription}
            notices.append("the OME-XML description is not kept: it is of the pixels as they were")
    found = {tag: value for tag, value in exif.tags.items() if tag not in left_out}
    private = {tag: found.pop(tag) for tag in found.keys() - _DESCRIPTIVE} if tiff else {}
    if tiff and LAYERS_TAG in exif.tags:
        notices.append("Photoshop's layers are not kept: the painting is one picture")
    # that of a HEIC is applied already
    applied = image.info.get("original_orientation")
    orientation = int(applied or (exif.numbers(TAG.Orientation) or (1,))[0])
    size = _stored_size(image, exif)
    notices += tried("other pictures'", lambda: _other_pictures_of(image), [])
    dpi = tried("resolution", lambda: _dpi_of(image, exif), None)
    return Metadata(
        exif=replace(exif, tags=found),
        private=private,
        dpi=dpi[::-1] if dpi and orientation >= 5 else dpi,
        xmp=tried("XMP", lambda: _xmp_of(image, exif, profiles, notices), ()),
        iptc=tried("IPTC", lambda: iptc.cleaned(_iptc_of(image, exif, profiles)), b""),
        rights=tried("Photoshop", lambda: _rights_of(image), ()),
        comment="" if image.format == "PNG" else _decoded(image.info.get("comment", b"")),
        texts=tuple(_texts_of(image)),
        size=size[::-1] if applied and orientation >= 5 else size,
        orientation=orientation if 1 <= orientation <= 8 else 1,
        notices=tuple(notices),
    )


def _exif_of(image: Image.Image, content: bytes, profiles: dict[str, bytes]) -> Exif:
    if image.format == "TIFF":
        # Pillow forgets `fp` once a page is decoded
        open_ = getattr(image, "fp", None) or getattr(image, "_fp", None)
        file = io.BytesIO(content) if content else open_
        return read_exif(file, image.tell()) if file else Exif()
    found = image.info.get("exif") or profiles.get("exif") or profiles.get("APP1") or b""
    while found.startswith(b"Exif\0\0"):
        found = found[6:]
    return read_exif(io.BytesIO(found)) if found else Exif()


def _stored_size(image: Image.Image, exif: Exif) -> tuple[int, int]:
    """Return the size in the file; of a JPEG decoded at a reduced one, as its EXIF has it."""
    reduced = (getattr(image, "decoderconfig", None) or (1,))[0]
    if image.format not in ("JPEG", "MPO") or reduced == 1:
        return image.size
    width, height = (exif.numbers(tag, PHOTO)[:1] for tag in SIZE_TAGS)
    size = (int((width or (0,))[0]), int((height or (0,))[0]))
    fits = tuple(-(-side // reduced) for side in size) == image.size
    return size if fits else (0, 0)


def _dpi_of(image: Image.Image, exif: Exif) -> tuple[float, float] | None:
    """Return the resolution in dots per inch, of the file itself or of its EXIF."""
    found = image.info.get("dpi") or ()
    if image.format == "TIFF" or not found:
        x, y, unit = (exif.numbers(tag)[:1] for tag in RESOLUTION_TAGS)
        factor = {INCHES: 1, CENTIMETRES: 2.54}.get(int((unit or (INCHES,))[0]), 0)
        found = [factor * value for value in x + (y or x)]
    if len(found) != 2 or not all(1 < float(value) < 2**16 for value in found):
        return None
    x_dpi, y_dpi = (_whole(float(value)) for value in found)
    return x_dpi, y_dpi


def _whole(dpi: float) -> float:
    """Return a resolution that a PNG had rounded to whole pixels a metre as it was before."""
    near = round(dpi)
    return near if abs(dpi - near) < 0.0128 else dpi


def _xmp_of(
    image: Image.Image, exif: Exif, profiles: dict[str, bytes], notices: list[str]
) -> tuple[str, ...]:
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or profiles.get("xmp")
    if isinstance(value := exif.tags.get(XMP_TAG), Value):
        found = value.data
    if not found:
        return ()
    packets = [found, *_extensions(image)]
    if sum(map(len, packets)) > MOST_XMP:
        raise ValueError("too large")
    texts = [p if isinstance(p, str) else p.rstrip(b"\0").decode() for p in packets]
    check(texts[:1])
    try:
        check(texts)
    except XmpError:
        notices.append("the XMP metadata beyond 64 KB is not kept: it is damaged")
        return (texts[0],)
    return tuple(texts)


def _extensions(image: Image.Image) -> list[bytes]:
    """Return the XMP of a JPEG beyond its first 64 KB (ISO 16684-3, 1.1.3.1)."""
    parts: dict[bytes, dict[int, bytes]] = {}
    head = b"http://ns.adobe.com/xmp/extension/\0"
    for app, data in getattr(image, "applist", ()):
        if app == "APP1" and data.startswith(head) and len(data) > len(head) + 40:
            digest, rest = data[len(head) :][:32], data[len(head) + 32 :]
            parts.setdefault(digest, {})[struct.unpack(">L", rest[4:8])[0]] = rest[8:]
    return [b"".join(data for _, data in sorted(part.items())) for part in parts.values()]


def _iptc_of(image: Image.Image, exif: Exif, profiles: dict[str, bytes]) -> bytes:
    found = image.info.get("photoshop")
    if isinstance(found, dict):
        return bytes(found.get(iptc.RESOURCE, b""))
    if isinstance(value := exif.tags.get(IPTC_TAG), Value):
        return value.data
    if isinstance(value := exif.tags.get(PHOTOSHOP_TAG), Value):
        return _resource(value.data)
    raw = profiles.get("iptc") or profiles.get("8bim") or b""
    return _resource(raw) if b"8BIM" in raw[:20] else raw


def _rights_of(image: Image.Image) -> tuple[tuple[str, str], ...]:
    """Return the flag of copyright and the address of its owner (Photoshop File Formats, 1)."""
    resources = image.info.get("photoshop")
    if not isinstance(resources, dict):
        return ()
    flag, address = resources.get(0x040A, b""), resources.get(0x040B, b"")
    marked = (("Marked", "True"),) if flag[:1] == b"\1" else ()
    return (*marked, ("WebStatement", _decoded(address))) if address else marked


def _other_pictures_of(image: Image.Image) -> list[str]:
    """Return a line for each kind of what lies beside a photo in its file, and is left out."""
    notices = []
    if any("gainmap" in str(name).lower() for name in image.info.get("aux", ())):
        notices.append(GAIN_MAP)
    if image.info.get("depth_images"):
        notices.append(DEPTH_MAP)
    if any(app == "APP11" and b"jumb" in data for app, data in getattr(image, "applist", ())):
        notices.append("the content credentials (C2PA) are not kept: they hold for the photo only")
    return notices


def _resource(content: bytes) -> bytes:
    """Return IPTC from the resources of a Photoshop segment."""
    at = content.find(b"8BIM" + struct.pack(">H", iptc.RESOURCE))
    if at < 0:
        return b""
    at += 6 + (content[at + 6] + 2) // 2 * 2  # a name, padded
    (size,) = struct.unpack_from(">L", content, at)
    return content[at + 4 : at + 4 + size]


def _raw_profiles(image: Image.Image) -> dict[str, bytes]:
    """Return the metadata that ImageMagick puts into texts of a PNG, by kind."""
    found = {}
    for key, value in image.info.items():
        if isinstance(value, str) and str(key).startswith("Raw profile type "):
            try:
                found[str(key).split()[-1]] = bytes.fromhex("".join(value.split("\n")[3:]))
            except ValueError:
                continue
    return found


def _texts_of(image: Image.Image) -> list[tuple[str, str]]:
    if image.format != "PNG":
        return []
    info = {key: value for key, value in image.info.items() if isinstance(value, str)}
    # ImageMagick writes the file's dates, and EXIF and XMP once more, as `exif:Make`
    twice = r"Raw profile type |XML:com\.adobe\.xmp|date:"
    if "exif" in image.info or any(key.startswith("Raw profile type ") for key in map(str, info)):
        twice += r"|\w+:\w"
    return [(str(key), text) for key, text in info.items() if not re.match(twice, str(key))]


def _decoded(comment: bytes | str) -> str:
    if isinstance(comment, str):
        return comment
    comment = comment.rstrip(b"\0")
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")
