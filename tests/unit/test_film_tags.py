"""What a film says of itself, and its subtitles, in every container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.films import TENTH, make, painted, quarters

MILLISECOND = Fraction(1, 1000)
TAGS = {
    "title": "My Film",
    "comment": "hello",
    "date": "2021-05-06",
    "artist": "Me",
    "location": "+48.1000+011.5000/",
    "creation_time": "2020-01-02T03:04:05.000000Z",
}
TEXTS = [(200, 500, "Hello there"), (900, 400, "Second, line")]


def rich_film(path: Path, subtitles: str) -> Path:
    """A film with tags, two sound tracks, chapters, and subtitles."""
    with av.open(str(path), "w") as out:
        out.metadata.update(TAGS)
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        tracks = []
        for language, title in (("eng", ""), ("deu", "Kommentar")):
            track = out.add_stream("aac", rate=48000)
            track.layout = "mono"
            track.metadata["language"] = language
            if title:
                track.metadata["title"] = title
                track.disposition = 8  # comment
            tracks.append(track)
        text = out.add_stream(subtitles)
        text.time_base = MILLISECOND
        text.metadata["language"] = "fra"
        text.codec_context.subtitle_header = (
            b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\n"
            b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, "
            b"BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, "
            b"BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
            b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,"
            b"10,10,1\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV,"
            b" Effect, Text\n"
        )
        out.set_chapters(
            [
                {
                    "id": i,
                    "start": start,
                    "end": end,
                    "time_base": MILLISECOND,
                    "metadata": {"title": title},
                }
                for i, (start, end, title) in enumerate(((0, 700, "One"), (700, 1500, "Two")))
            ]
        )
        for i in range(15):
            frame = av.VideoFrame.from_ndarray(quarters(), format="rgb24")
            frame.pts, frame.time_base = i, TENTH
            out.mux(video.encode(frame))
        for track in tracks:
            tone = av.AudioFrame("fltp", "mono", 72000)
            for plane in tone.planes:
                plane.update(bytes(plane.buffer_size))
            tone.sample_rate, tone.pts = 48000, 0
            out.mux([*track.encode(tone), *track.encode(None)])
        for number, (start, duration, words) in enumerate(TEXTS):
            line = f"{number},0,Default,,0,0,0,,{words}".encode()
            subtitle = av.subtitles.subtitle.SubtitleSet.create(line, 0, duration)
            packet = text.codec_context.encode_subtitle(subtitle)
            packet.pts = packet.dts = start
            packet.duration, packet.time_base, packet.stream = duration, MILLISECOND, text
            out.mux(packet)
        out.mux(video.encode(None))
    return path


def said(path: Path) -> dict[str, Any]:
    """What a film says, in the words of `TAGS`, whatever its container calls them."""
    with av.open(str(path)) as film:
        tags = {key.lower(): value for key, value in film.metadata.items()}
        texts = []
        for stream in film.streams.subtitles:
            for packet in film.demux(stream):
                for part in packet.decode() if packet.size else []:
                    if words := part.dialogue.decode().strip():
                        texts.append((float(packet.pts * packet.time_base), words))
        return {
            "tags": {key: value for key, value in tags.items() if key in TAGS},
            "languages": [stream.metadata.get("language") for stream in film.streams.audio],
            "titles": [
                stream.metadata.get("title") or stream.metadata.get("name")
                for stream in film.streams.audio
            ],
            "chapters": [
                (float(c["start"] * c["time_base"]), c["metadata"]["title"])
                for c in film.chapters()
            ],
            "texts": texts,
            "codecs": [
                stream.codec_context.codec.canonical_name for stream in film.streams.subtitles
            ],
            "text languages": [s.metadata.get("language") for s in film.streams.subtitles],
        }


@pytest.mark.parametrize(("source", "subtitles"), [(".mp4", "mov_text"), (".mkv", "ass")])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_what_a_film_says_is_kept(tmp_path: Path, source: str, subtitles: str, suffix: str) -> None:
    film = rich_film(tmp_path / f"film{source}", subtitles)
    result = painted(film, tmp_path / f"out{suffix}")
    found = said(tmp_path / f"out{suffix}")
    assert found["tags"] == TAGS
    assert found["languages"] == ["eng", "ger" if suffix == ".mov" else "deu"]
    assert found["titles"] == [None, "Kommentar"]
    assert [title for _, title in found["chapters"]] == ["One", "Two"]
    assert [start for start, _ in found["chapters"]] == pytest.approx([0, 0.7], abs=0.001)
    assert [words for _, words in found["texts"]] == [words for *_, words in TEXTS]
    # a container without negative times moves all by the 21 ms that an AAC begins early
    assert [start for start, _ in found["texts"]] == pytest.approx([0.2, 0.9], abs=0.03)
    held = {".mkv": "subrip", ".webm": "webvtt"}.get(suffix, "mov_text")
    kept = (subtitles == "mov_text" and held == "mov_text") or suffix == source
    assert found["codecs"] == [subtitles if kept else held]
    assert found["text languages"] == ["fra"]
    told = f"subtitles 1 are converted from {subtitles} to {held}"
    assert (told in result.notices) == (not kept)
    mark = 'mark "comment" of audio track 2'
    lost = f"not kept, a {suffix} film has no place for it: {mark}"
    assert (lost in result.notices) == (suffix in (".mov", ".webm"))


def test_what_an_avi_does_not_hold_is_told_of(tmp_path: Path) -> None:
    film = rich_film(tmp_path / "film.mp4", "mov_text")
    notices = painted(film, tmp_path / "out.avi").notices
    found = said(tmp_path / "out.avi")
    held = ("title", "comment", "date", "artist")
    assert found["tags"] == {key: TAGS[key] for key in held}
    assert "subtitles 1 are not kept: a .avi film has no place for them" in notices
    assert notices[-1] == (
        "not kept, a .avi film has no place for it: chapters, creation_time, language of audio "
        'track 1 (eng), language of audio track 2 (deu), location, mark "comment" of audio track 2'
    )


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv", ".webm"])
def test_the_place_that_a_phone_writes(tmp_path: Path, suffix: str) -> None:
    apple = "com.apple.quicktime."
    tags = {
        f"{apple}location.ISO6709": "+48.1000+011.5000+520.0/",
        f"{apple}make": "Apple",
        f"{apple}creationdate": "2023-05-06T07:08:09+0200",
    }
    film = make(tmp_path / "film.mov", tags=tags, container={"movflags": "use_metadata_tags"})
    assert painted(film, tmp_path / f"out{suffix}").notices == ()
    with av.open(str(tmp_path / f"out{suffix}")) as out:
        found = {key.lower(): value for key, value in out.metadata.items()}
    for key, value in tags.items():
        assert found[key.lower()] == value
    assert found["location"].startswith("+48.1000+011.5000+520.0")
    assert (found["make"], found["date"]) == ("Apple", "2023-05-06T07:08:09+0200")


def test_covers_and_attachments(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    cover = av.CodecContext.create("mjpeg", "w")
    cover.width, cover.height, cover.pix_fmt, cover.time_base = 32, 32, "yuvj420p", TENTH
    frame = av.VideoFrame.from_ndarray(quarters(32, 32), format="rgb24").reformat(format="yuvj420p")
    packets = [*cover.encode(frame), *cover.encode(None)]
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        out.add_attachment("cover.jpg", "image/jpeg", bytes(packets[0]))
        out.add_attachment("font.ttf", "application/x-truetype-font", b"a font")
        frame = av.VideoFrame.from_ndarray(quarters(), format="rgb24")
        frame.pts, frame.time_base = 0, TENTH
        out.mux([*video.encode(frame), *video.encode(None)])
    told = {
        ".mkv": (),
        ".mp4": ("not kept: an attachment (font.ttf)",),
        ".webm": (
            "not kept, a .webm film has no place for it: the cover",
            "not kept: an attachment (font.ttf)",
        ),
    }
    for suffix, notices in told.items():
        result = painted(film, tmp_path / f"out{suffix}")
        assert result.notices == notices
        assert (result.frames, result.width) == (1, 64)
        with av.open(str(tmp_path / f"out{suffix}")) as out:
            covers = [stream for stream in out.streams.video if stream.width == 32]
            assert len(covers) == (suffix != ".webm")
            assert len(out.streams.attachments) == (suffix == ".mkv")
            for stream in covers:
                (packet,) = (packet for packet in out.demux(stream) if packet.size)
                assert bytes(packet) == bytes(packets[0])


def test_tags_that_are_no_text(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", tags={"title": "Grüße"})
    film.write_bytes(film.read_bytes().replace("Grüße".encode(), b"Gr\xff\xfe\xfde "))
    painted(film, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert out.metadata["title"].startswith("Gr")
