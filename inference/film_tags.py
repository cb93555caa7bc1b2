"""What a film says of itself: title, date, place, languages, chapters, cover, attachments."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

# what is true of the old file, or of who wrote it, and not of the film
OF_THE_FILE = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|duration|alpha_mode|vendor_id|rotate"
    r"|bps.*|number_of_.*|_statistics_.*|source_id.*|handler_name",
    re.IGNORECASE,
)
APPLE = "com.apple.quicktime."
APPLE_NAMES = {
    "location.ISO6709": "location",
    "creationdate": "date",
    "make": "make",
    "model": "model",
    "title": "title",
    "artist": "artist",
    "description": "description",
    "comment": "comment",
    "copyright": "copyright",
}
MOV_LANGUAGES = {
    # QuickTime's list has the bibliographic codes of ISO 639-2 for these
    "bod": "tib",
    "cym": "wel",
    "deu": "ger",
    "ell": "gre",
    "eus": "baq",
    "fas": "per",
    "hye": "arm",
    "isl": "ice",
    "kat": "geo",
    "mkd": "mac",
    "msa": "may",
    "mya": "bur",
    "nld": "dut",
    "sqi": "alb",
    "zho": "chi",
}
MP4_SUFFIXES = (".mp4", ".m4v", ".mov")
COVER_TYPES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


def film_tags(film: Any) -> dict[str, str]:
    """Return a film's tags; what Apple's devices name in their way stands under both names."""
    tags = {
        key: value
        for key, value in film.metadata.items()
        if not OF_THE_FILE.fullmatch(key)
        and not (key.lower() == "software" and value.startswith("Lav"))
    }
    for apple, name in APPLE_NAMES.items():
        if APPLE + apple in tags:
            tags.setdefault(name, tags[APPLE + apple])
    return tags


def output_options(film: Any, suffix: str) -> dict[str, str]:
    """Return a container's options that a film's tags and times need."""
    if suffix == ".avi":  # sound that begins a little early would hold the picture up by a frame
        return {"avoid_negative_ts": "disabled"}
    apple = any(key.startswith(APPLE) for key in film.metadata)
    return {"movflags": "use_metadata_tags"} if apple and suffix in MP4_SUFFIXES else {}


def copy_stream_tags(source: Any, stream: Any, suffix: str) -> None:
    """Give a stream the language, title and role of its source."""
    tags = {
        key: value
        for key, value in source.metadata.items()
        if not OF_THE_FILE.fullmatch(key) or key.lower() == "handler_name"
    }
    if suffix == ".mov" and "language" in tags:
        tags["language"] = MOV_LANGUAGES.get(tags["language"], tags["language"])
    if "name" in tags:  # a track's title in an MP4
        tags.setdefault("title", tags.pop("name"))
    stream.metadata.update(tags)
    stream.disposition = source.disposition


def copy_chapters(film: Any, out: Any) -> None:
    """Give an output the film's chapters."""
    if chapters := film.chapters():
        out.set_chapters(chapters)


def add_cover(av: ModuleType, out: Any, stream: Any, suffix: str, path: str) -> list[Any]:
    """Add a film's cover to an output; return the packets to write. Raises ValueError."""
    with av.open(path, metadata_errors="replace") as film:
        packet = next(p for p in film.demux(film.streams[stream.index]) if p.size)
        content = bytes(packet)
    if suffix == ".mkv":
        name, kind = COVER_TYPES[stream.codec_context.codec.canonical_name]
        out.add_attachment(stream.metadata.get("filename", name), kind, content)
        return []
    copied = out.add_stream_from_template(stream, opaque=True)
    copied.disposition = stream.disposition
    fresh = av.Packet(content)
    fresh.pts = fresh.dts = 0
    fresh.time_base = stream.time_base
    fresh.is_keyframe = True
    fresh.stream = copied
    return [fresh]


def missing(film: Any, out: Any, kept: dict[int, int]) -> list[str]:
    """Return the names of the tags that a written film, opened again, lacks.

    `kept` says which of its streams came of which of the source's, by their index.
    """
    wanted, found = _plain(film_tags(film)), _plain(out.metadata)
    there = set(found.values())  # under another name, maybe
    names = {
        name
        for name, value in wanted.items()
        if name not in found and value not in there and not name.startswith(APPLE)
    }
    if len(out.chapters()) < len(film.chapters()):
        names.add("chapters")
    for old, new in kept.items():
        if new < len(out.streams):
            names |= _missing_of_stream(film.streams[old], out.streams[new])
    return sorted(names)


def _missing_of_stream(old: Any, new: Any) -> set[str]:
    names = set()
    wanted, found = _plain(old.metadata), _plain(new.metadata)
    kind = "the picture" if old.type == "video" else f"{old.type} track {old.index}"
    language = wanted.get("language", "und")
    if found.get("language", "und") not in (language, MOV_LANGUAGES.get(language)):
        names.add(f"language of {kind} ({language})")
    title = wanted.get("title") or wanted.get("name")
    if title and title not in found.values():
        names.add(f"title of {kind}")
    if "timecode" in wanted and "timecode" not in found:
        names.add("time code")
    lost = old.disposition & ~new.disposition & ~type(old.disposition).default
    names |= {f'mark "{role.name}" of {kind}' for role in type(lost) if role & lost}
    return names


def _plain(tags: dict[str, str]) -> dict[str, str]:
    """Return tags by names that containers share: small letters, no language."""
    return {re.sub(r"-[a-z]{3}$", "", key.lower()): value for key, value in tags.items()}
