"""How often an AVIF animation is played: Pillow neither reads nor writes it.

Source: ISO/IEC 14496-12, 8.6.6 (edit lists) and 8.3.2 (track header); 23008-12, 9.6.1 (repetition).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from data.boxes import boxes_in, find

REPEATED = 1  # the edit list's flag


@dataclass(frozen=True)
class _Number:
    """A number's place in the file, and how wide it is."""

    at: int
    kind: str  # as struct has it

    def read(self, content: bytes | bytearray) -> int:
        return int(struct.unpack_from(f">{self.kind}", content, self.at)[0])

    @property
    def largest(self) -> int:
        return int(256 ** struct.calcsize(self.kind) - 1)


@dataclass(frozen=True)
class _Track:
    flags_at: int
    segment: _Number
    duration: _Number


def plays_of(content: bytes) -> int:
    """Return how often an AVIF animation is played; 0 for ever, and where nothing is said."""
    try:
        track = next(_tracks(content))
    except (struct.error, ValueError, IndexError, StopIteration):
        return 0
    if not content[track.flags_at] & REPEATED:
        return 1
    duration, segment = track.duration.read(content), track.segment.read(content)
    if duration == track.duration.largest or not segment:
        return 0
    return -(-duration // segment)


def with_plays(content: bytes, plays: int) -> bytes:
    """Return an AVIF animation, as Pillow writes it for ever, played so often.

    Raises ValueError or struct.error for another structure.
    """
    played = bytearray(content)
    movie, _ = find(boxes_in(content, *_movie(content)), b"mvhd")
    for track in _tracks(content):
        played[track.flags_at] = REPEATED if plays > 1 else 0
        whole = track.segment.read(content) * plays
        for number in (track.duration, _number(content, movie, 16, 24)):
            struct.pack_into(f">{number.kind}", played, number.at, whole)
    return bytes(played)


def _movie(content: bytes) -> tuple[int, int]:
    return find(boxes_in(content, 0, len(content)), b"moov")


def _tracks(content: bytes) -> Iterator[_Track]:
    for kind, start, stop in boxes_in(content, *_movie(content)):
        if kind == b"trak":
            inner = list(boxes_in(content, start, stop))
            header, _ = find(inner, b"tkhd")
            edits = boxes_in(content, *find(inner, b"edts"))
            edit, _ = find(edits, b"elst")
            yield _Track(edit + 3, _number(content, edit, 8, 8), _number(content, header, 20, 28))


def _number(content: bytes, start: int, narrow: int, wide: int) -> _Number:
    """Return where a box has a duration: in version 1 of the box it has 64 bits."""
    return _Number(start + wide, "Q") if content[start] else _Number(start + narrow, "I")
