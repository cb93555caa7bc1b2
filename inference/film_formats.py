"""The films that we read and write, by suffix."""

from __future__ import annotations

from pathlib import PurePath

from data.formats import ANIMATION_SUFFIXES

FILM_CODECS = {
    ".mp4": "libx264",
    ".m4v": "libx264",
    ".mov": "libx264",
    ".mkv": "libx264",
    ".avi": "mpeg4",
    ".webm": "libvpx-vp9",
}
"""What encodes the picture."""
SUFFIXES = (*FILM_CODECS, *ANIMATION_SUFFIXES)


def is_film(path: PurePath) -> bool:
    """Return whether a file is a film, by its suffix."""
    return path.suffix.lower() in FILM_CODECS
