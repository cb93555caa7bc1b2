"""What a format keeps of a photo's metadata, made true of the painting, and what it does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from PIL import TiffTags

from data import iptc
from data.exif import (
    BYTE,
    GPS,
    INTEROP,
    LONG,
    MAKER_NOTE,
    PHOTO,
    UNDEFINED,
    Directory,
    Exif,
    Value,
    exif_bytes,
    name_of,
    rational,
    shorts,
    sized,
    swapped,
    text,
)
from data.formats import FORMATS, Format
from data.metadata import INCHES, IPTC_TAG, NO_METADATA, SIZE_TAGS, TAG, XMP_TAG, Metadata
from data.xmp import DC, RIGHTS, Packet, joined

SUBJECT_TAGS = (0x9214, 0xA214)  # SubjectArea, SubjectLocation
FOCAL_TAGS = (TAG.FocalPlaneXResolution, TAG.FocalPlaneYResolution)
FURTHEST_NOTE = 60_000
"""Further from the beginning than this the camera's notes do not keep their place."""
_MOVABLE_NOTES = (b"Apple iOS", b"Nikon\0\x02", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"HDRP")
"""How notes begin that point from their own beginning, and so may lie anywhere."""
_STORED_IN_PHOTO = {TAG.CompressedBitsPerPixel, TAG.Gamma, 0xEA1C, 0xEA1D}
_GEOTIFF_OF_SIZE = {33550, 33922, 34264}
_TAG_OF_TEXT = {
    "Author": TAG.Artist,
    "Copyright": TAG.Copyright,
    "Description": TAG.ImageDescription,
    "Software": TAG.Software,
}
"""Where EXIF has the texts of a PNG (PNG 3, 11.3.3)."""
XMP_HEAD = len(b"http://ns.adobe.com/xap/1.0/\0")
PHOTOSHOP_HEAD = len(b"Photoshop 3.0\0" + b"8BIM") + 8


@dataclass(frozen=True)
class Kept:
    """What is written of a photo's metadata: its values in the form that a format has for them."""

    exif: Exif | None = None
    xmp: bytes = b""
    iptc: bytes = b""
    comment: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    notices: tuple[str, ...] = ()


def kept_in(format_: str, metadata: Metadata, size: tuple[int, int]) -> Kept:
    """Return what a format keeps of a photo's metadata, true of a picture of a size."""
    if metadata is NO_METADATA:
        return Kept()
    places = FORMATS[format_]
    if not places.exif:
        return _kept_without_exif(places, metadata)
    notices: list[str] = list(metadata.notices)
    same_pixels = metadata.size == size and metadata.orientation == 1
    packet = None
    if metadata.xmp or metadata.iptc or metadata.texts or metadata.rights:
        packet = joined(metadata.xmp or ("",))
        notices += packet.clear(same_pixels)
        for name, value in metadata.rights:
            if packet.text_of(RIGHTS, name) is None:
                packet.add(RIGHTS, name, [value])
    iptc_kept = metadata.iptc if places.iptc else b""
    most = places.most_metadata_bytes
    if most and len(iptc_kept) > most - PHOTOSHOP_HEAD:
        notices.append(f"the IPTC metadata is not kept: {places.named} holds 64 KB of it")
        iptc_kept = b""
    elif (
        packet
        and metadata.iptc
        and not places.iptc
        and (left := iptc.add_to_xmp(metadata.iptc, packet))
    ):
        notices.append(
            _not_kept("IPTC datasets", left, "XMP has no place for them, or says otherwise")
        )
    exif, comment = _with_texts(metadata, places, packet, notices)
    tags = _true_of(exif, format_, metadata, size, notices)
    if tags is not None and most:
        tags = _shortened(tags, places, notices)
    xmp, lost = packet.to_bytes(max(0, most - XMP_HEAD)) if packet else (b"", [])
    if lost:
        notices.append(_not_kept("XMP properties", lost, f"{places.named} holds 64 KB of XMP"))
    texts = metadata.texts
    if places.texts and comment:
        texts, comment = (*texts, ("Comment", comment)), ""
    return Kept(
        exif=tags,
        xmp=xmp,
        iptc=iptc_kept,
        comment=comment,
        texts=texts if places.texts else (),
        dpi=metadata.dpi if places.dpi else None,
        notices=tuple(dict.fromkeys(notices)),
    )


def _kept_without_exif(places: Format, metadata: Metadata) -> Kept:
    """Return what a GIF or a BMP keeps."""
    there = {
        "EXIF": metadata.exif.tags or metadata.private,
        "XMP": metadata.xmp or metadata.rights,
        "IPTC": metadata.iptc,
        "PNG text": [key for key, _ in metadata.texts if key.lower() != "comment"],
    }
    comment = metadata.comment or _comment_in(metadata.texts)
    kinds = [kind for kind, found in there.items() if found]
    notices = list(metadata.notices)
    if kinds:
        notices.append(
            f"the {' and '.join(kinds)} metadata is not kept: {places.named} has no place for it"
        )
    if comment and not places.comment:
        notices.append(f"the comment is not kept: {places.named} has no place for it")
    if metadata.dpi and not places.dpi:
        notices.append(f"the resolution (dpi) is not kept: {places.named} has no place for it")
    return Kept(
        comment=comment if places.comment else "",
        dpi=metadata.dpi if places.dpi else None,
        notices=tuple(notices),
    )


def _with_texts(
    metadata: Metadata, places: Format, packet: Packet | None, notices: list[str]
) -> tuple[Exif, str]:
    """Return EXIF, with the texts of a PNG and the comment where a format has none, and the latter.

    What finds no place is added to the notices.
    """
    most = places.most_metadata_bytes
    exif, comment, tags = metadata.exif, metadata.comment, dict(metadata.exif.tags)
    if not places.texts and metadata.texts:
        texts = {key: value for key, value in metadata.texts if key.lower() != "comment"}
        comment = comment or _comment_in(metadata.texts)
        for key, tag in _TAG_OF_TEXT.items():
            if key in texts and _says(tags.setdefault(tag, text(texts[key])), texts[key]):
                del texts[key]
        if packet and "Title" in texts and packet.text_of(DC, "title") is None:
            packet.add(DC, "title", [texts.pop("Title")], "Alt")
        if texts:
            notices.append(_not_kept("texts", texts, f"{places.named} has no place for them"))
    if comment and not (places.comment or places.texts):
        photo = dict(exif.folder(PHOTO))
        said = photo.get(TAG.UserComment)
        if isinstance(said, Value) and said.data[8:].strip(b"\0 "):
            notices.append("the comment is not kept: EXIF has another in its place")
        else:
            photo[TAG.UserComment] = _user_comment(comment, exif.order)
            tags[PHOTO] = photo
        comment = ""
    elif most and len(comment.encode()) > most:
        notices.append(f"the comment is not kept: {places.named} holds 64 KB of it")
        comment = ""
    return replace(exif, tags=tags), comment


def _comment_in(texts: Iterable[tuple[str, str]]) -> str:
    return next((text for key, text in texts if key.lower() == "comment"), "")


def _says(value: Value | Directory, words: str) -> bool:
    return isinstance(value, Value) and value.data.rstrip(b"\0") == text(words).data[:-1]


def _user_comment(comment: str, order: str) -> Value:
    """Return a comment with its character code before it (Exif 3.0, 4.6.6: UserComment)."""
    if comment.isascii():
        return Value(UNDEFINED, b"ASCII\0\0\0" + comment.encode())
    return Value(
        UNDEFINED, b"UNICODE\0" + comment.encode(f"utf-16-{'l' if order == '<' else 'b'}e")
    )


def _true_of(
    exif: Exif, format_: str, metadata: Metadata, size: tuple[int, int], notices: list[str]
) -> Exif | None:
    """Return EXIF that is true of what is written; None where there is nothing to say."""
    places, tiff = FORMATS[format_], format_ == "TIFF"
    if not exif.tags and (places.dpi or not metadata.dpi) and not (tiff and metadata.private):
        return None
    if tiff:
        exif = swapped(exif, "<")
    order, same_pixels = exif.order, metadata.size == size and metadata.orientation == 1
    tags = exif.tags | _private(metadata, tiff, same_pixels, notices)
    if gps := exif.folder(GPS):
        tags[GPS] = dict(gps)
    photo = {t: v for t, v in exif.folder(PHOTO).items() if t not in _STORED_IN_PHOTO}
    photo |= _in_pixels(exif, metadata, size)
    if metadata.size == (0, 0) and (lost := photo.keys() & {*SUBJECT_TAGS, *FOCAL_TAGS}):
        notices.append(_not_kept("EXIF tags", map(name_of, sorted(lost)), "the size was another"))
        photo = {tag: value for tag, value in photo.items() if tag not in lost}
    at = metadata.exif.maker_note_at
    note = photo.get(MAKER_NOTE)
    stays = not tiff and order == metadata.exif.order and at <= FURTHEST_NOTE
    if isinstance(note, Value) and not stays:
        at = 0
        if not note.data.startswith(_MOVABLE_NOTES):
            del photo[MAKER_NOTE]
            notices.append(
                f"the camera's own notes (MakerNote) are not kept: they point to places "
                f"that are others in {places.named}"
            )
    required = {TAG.ExifVersion: b"0232", TAG.FlashPixVersion: b"0100"}
    photo = {int(tag): Value(UNDEFINED, data) for tag, data in required.items()} | photo
    photo[TAG.ColorSpace] = shorts(order, 1)  # sRGB
    if isinstance(comment := photo.get(TAG.UserComment), Value):
        photo[TAG.UserComment] = Value(UNDEFINED, comment.data)  # Pillow writes it as bytes
    for tag, px in zip(SIZE_TAGS, size, strict=True):
        if not tiff or tag in photo:  # a TIFF need not say it twice
            photo[tag] = sized(order, px)
    photo[TAG.ComponentsConfiguration] = Value(UNDEFINED, b"\1\2\3\0")  # Y, Cb, Cr
    if tiff:
        del photo[TAG.ComponentsConfiguration]  # of what is compressed as a JPEG is
    if interop := exif.folder(PHOTO).get(INTEROP):
        photo[INTEROP] = _interop(interop, order, size)
    tags[PHOTO] = photo
    if not tiff:
        x, y = metadata.dpi or (72, 72)  # so where it is not known (Exif 3.0, 4.6.5)
        tags[TAG.XResolution], tags[TAG.YResolution] = rational(order, x), rational(order, y)
        tags[TAG.ResolutionUnit] = shorts(order, INCHES)
        tags[TAG.YCbCrPositioning] = shorts(order, 1)
    return Exif(tags, order, at)


def _in_pixels(exif: Exif, metadata: Metadata, size: tuple[int, int]) -> Directory:
    """Return the tags that count in pixels of the photo, as they are in one of a size."""
    (width, height), turned = metadata.size, metadata.orientation
    if not width or not height:
        return {}
    sideways = turned >= 5
    across, down = (height, width) if sideways else (width, height)
    factors = size[0] / across, size[1] / down
    found: Directory = {}
    for tag in SUBJECT_TAGS:
        values = exif.numbers(tag, PHOTO)
        if len(values) < 2:
            continue
        x, y, *extent = values
        x, y = {  # Exif 3.0, 4.6.5: Orientation
            2: (width - 1 - x, y),
            3: (width - 1 - x, height - 1 - y),
            4: (x, height - 1 - y),
            5: (y, x),
            6: (height - 1 - y, x),
            7: (height - 1 - y, width - 1 - x),
            8: (y, width - 1 - x),
        }.get(turned, (x, y))
        extent = extent[::-1] if sideways else extent
        scaled = [value * factors[i % 2] for i, value in enumerate((x, y, *extent))]
        found[tag] = shorts(exif.order, *(min(max(round(value), 0), 65535) for value in scaled))
    focal = [exif.numbers(tag, PHOTO)[:1] for tag in FOCAL_TAGS]
    if all(focal):
        per_unit = [value for (value,) in (focal[::-1] if sideways else focal)]
        for tag, value, factor in zip(FOCAL_TAGS, per_unit, factors, strict=True):
            found[tag] = rational(exif.order, value * factor)
    return found


def _interop(interop: Value | Directory, order: str, size: tuple[int, int]) -> Value | Directory:
    """Return the Interop folder, as it is of an sRGB picture of a size."""
    if not isinstance(interop, dict):
        return interop
    interop = dict(interop) | {0x0001: text("R98")}
    related = {0x1001: size[0], 0x1002: size[1]}
    return interop | {tag: sized(order, px) for tag, px in related.items() if tag in interop}


def _private(metadata: Metadata, tiff: bool, same_pixels: bool, notices: list[str]) -> Directory:
    """Return the private tags that a format keeps; what it does not is added to the notices."""
    if not metadata.private:
        return {}
    lost = set() if tiff else set(metadata.private)
    why = "only a TIFF has them"
    if tiff and not same_pixels:
        lost, why = _GEOTIFF_OF_SIZE & metadata.private.keys(), "the painting has another size"
    if lost:
        known = {tag: TiffTags.lookup(tag).name for tag in sorted(lost)}
        names = [str(tag) if name == "unknown" else name for tag, name in known.items()]
        notices.append(_not_kept("TIFF tags", names, why))
    kept = {tag: value for tag, value in metadata.private.items() if tag not in lost}
    return swapped(Exif(kept, metadata.exif.order), "<").tags


def _shortened(exif: Exif, places: Format, notices: list[str]) -> Exif:
    """Return EXIF that a format has room for: without the camera's notes, then the largest tags."""
    lost: list[str] = []
    while len(exif_bytes(exif)) + 6 > places.most_metadata_bytes:
        directories = [exif.tags, exif.folder(PHOTO), exif.folder(GPS)]
        values = [
            (len(value.data) + (2**32 if tag == MAKER_NOTE else 0), tag, i)
            for i, directory in enumerate(directories)
            for tag, value in directory.items()
            if isinstance(value, Value)
        ]
        _, tag, i = max(values)
        lost.append(name_of(tag, (0, PHOTO, GPS)[i]))
        del directories[i][tag]
    if lost:
        notices.append(_not_kept("EXIF tags", lost, f"{places.named} holds 64 KB of EXIF"))
    return exif


def _not_kept(what: str, names: Iterable[str], why: str) -> str:
    """Return a notice that lists what is not kept; of many, the first ones and how many more."""
    listed = list(names)
    if len(listed) > 7:
        listed = [*listed[:6], f"and {len(listed) - 6} more"]
    return f"{what} that are not kept: {', '.join(listed)} ({why})"


def tiff_tags(kept: Kept) -> Exif:
    """Return what is added to a TIFF that Pillow wrote."""
    exif = kept.exif or Exif()
    tags = dict(exif.tags)
    if kept.xmp:
        tags[XMP_TAG] = Value(BYTE, kept.xmp)
    if kept.iptc:
        tags[IPTC_TAG] = Value(LONG, kept.iptc + bytes(-len(kept.iptc) % 4))
    return Exif(tags, exif.order)
