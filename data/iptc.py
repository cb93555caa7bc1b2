"""IPTC-IIM: a photo's caption, keywords and rights, as newspapers have written them since 1991.

Layout: IPTC-NAA Information Interchange Model 4.2, 1.5; what each dataset is in XMP: IPTC Photo
Metadata Standard 2023.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from data.xmp import DC, IPTC, PHOTOSHOP, XMP, Packet

RESOURCE = 0x0404
"""Where a Photoshop segment has it."""
_APPLICATION = 2
_NO_LOSS = {0, *range(200, 203)}
"""The record's version; a preview, which shows the photo as it was."""
_XMP_OF = {
    5: (DC, "title", "Alt"),
    10: (PHOTOSHOP, "Urgency", ""),
    15: (PHOTOSHOP, "Category", ""),
    20: (PHOTOSHOP, "SupplementalCategories", "Bag"),
    25: (DC, "subject", "Bag"),
    40: (PHOTOSHOP, "Instructions", ""),
    55: (PHOTOSHOP, "DateCreated", ""),
    62: (XMP, "CreateDate", ""),
    65: (XMP, "CreatorTool", ""),
    80: (DC, "creator", "Seq"),
    85: (PHOTOSHOP, "AuthorsPosition", ""),
    90: (PHOTOSHOP, "City", ""),
    92: (IPTC, "Location", ""),
    95: (PHOTOSHOP, "State", ""),
    100: (IPTC, "CountryCode", ""),
    101: (PHOTOSHOP, "Country", ""),
    103: (PHOTOSHOP, "TransmissionReference", ""),
    105: (PHOTOSHOP, "Headline", ""),
    110: (PHOTOSHOP, "Credit", ""),
    115: (PHOTOSHOP, "Source", ""),
    116: (DC, "rights", "Alt"),
    120: (DC, "description", "Alt"),
    122: (PHOTOSHOP, "CaptionWriter", ""),
}

_TIMES = {55: 60, 62: 63}
"""Datasets that hold a date, and those that hold its time."""
_NAMES = {80: "by-line", 105: "headline", 110: "credit", 116: "copyright", 118: "contact"} | {
    120: "caption",
    25: "keywords",
}


def datasets(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield record, dataset and value, as far as they can be read."""
    at = 0
    while at + 5 <= len(content) and content[at] == 0x1C:
        record, dataset, size = struct.unpack_from(">BBH", content, at + 1)
        at += 5
        if size & 0x8000:  # what follows is the size's size
            width = size & 0x7FFF
            size, at = int.from_bytes(content[at : at + width], "big"), at + width
        if at + size > len(content):
            return
        yield record, dataset, content[at : at + size]
        at += size


def cleaned(content: bytes) -> bytes:
    """Return what describes the photo, not how it was stored; empty for what cannot be read."""
    return b"".join(
        struct.pack(">BBBH", 0x1C, record, dataset, len(value)) + value
        for record, dataset, value in datasets(content)
        if record == 1 or (record == _APPLICATION and dataset not in range(200, 203))
        if len(value) < 0x8000
    )


def add_to_xmp(content: bytes, packet: Packet) -> list[str]:
    """Add to XMP what it does not say yet; return what finds no place there."""
    utf8 = any(found == (1, 90, b"\x1b%G") for found in datasets(content))
    values: dict[int, list[str]] = {}
    for record, dataset, value in datasets(content):
        if record == _APPLICATION:
            values.setdefault(dataset, []).append(_text(value, utf8))
    for date, time in _TIMES.items():
        if date in values:
            values[date] = [_moment(values[date][0], values.pop(time, [""])[0])]
    lost = sorted(values.keys() - _XMP_OF.keys() - _NO_LOSS)
    for dataset in sorted(values.keys() & _XMP_OF.keys()):
        space, name, kind = _XMP_OF[dataset]
        said = packet.text_of(space, name)
        if said is None:
            packet.add(space, name, values[dataset], kind)
        elif dataset not in _TIMES and not all(value in said for value in values[dataset]):
            lost.append(dataset)
    return [f"2:{n} ({_NAMES[n]})" if n in _NAMES else f"2:{n}" for n in sorted(lost)]


def _moment(date: str, time: str) -> str:
    """Return a date and a time as XMP writes them."""
    if len(date) == 8:
        date = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    if len(time) == 11:
        return f"{date}T{time[:2]}:{time[2:4]}:{time[4:6]}{time[6:9]}:{time[9:]}"
    return date


def _text(value: bytes, utf8: bool) -> str:
    try:
        return value.decode("utf-8" if utf8 else "ascii")
    except UnicodeDecodeError:  # without a word of it, Latin-1 as often as UTF-8
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
